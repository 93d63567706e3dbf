"""The schema of the catalog: migrations make what queries use, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from imseek.data.catalog import migrations
from imseek.data.catalog.migrations import MIGRATIONS, migrate
from imseek.data.catalog.reflected_tables import find_difference, load_tables
from imseek.data.catalog.sqlite.catalog_file import CatalogConnection, check_version, open_for_writing
from imseek.errors import FormatVersionError


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Let imseek know some more migrations than it does; returns how many it knows then."""

    def know(*more: tuple[str, str]) -> int:
        monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, *more))
        return len(MIGRATIONS) + len(more)

    return know


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[CatalogConnection]:
    with closing(open_for_writing(tmp_path / "catalog.sqlite", 0)) as connection:
        yield connection


def tables(catalog: CatalogConnection) -> set[str]:
    return {name for (name,) in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def version(catalog: CatalogConnection) -> int:
    return int(catalog.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])


def test_the_schema_has_all_tables_of_a_new_catalog(catalog: CatalogConnection) -> None:
    assert migrate(catalog) == len(MIGRATIONS)
    assert tables(catalog) == {*load_tables().tables, "migrations"}
    assert "albums" not in load_tables(1).tables
    for name, table in load_tables().tables.items():
        assert table.columns.keys() == [row[1] for row in catalog.execute(f"PRAGMA table_info({name})")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("SELECT 1", None),
        ("CREATE TABLE other (a INTEGER)", None),
        ("DROP TABLE tags", "it lacks the table 'tags'"),
        ("ALTER TABLE images DROP COLUMN state", "it lacks the column 'images.state'"),
        ("DROP TABLE meta; CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT)", "'meta.value' may be NULL"),
        (
            "DROP TABLE meta; CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
            "the type of 'meta.value' is BLOB",
        ),
        ("DROP TABLE meta; CREATE TABLE meta (name TEXT, value TEXT NOT NULL)", "the primary key of 'meta' is another"),
    ],
)
def test_a_difference_to_the_schema(change: str, fault: str | None) -> None:
    with closing(migrations.make_empty(MIGRATIONS)) as catalog:
        catalog.executescript(change)
        engine = create_engine("sqlite://", creator=lambda: catalog, poolclass=StaticPool)
        with engine.connect() as connection:
            assert find_difference(connection, len(MIGRATIONS)) == fault


def test_a_migrated_catalog_is_left_alone(catalog: CatalogConnection) -> None:
    migrate(catalog)
    assert migrate(catalog) == 0


def test_a_migration_that_dies_half_way_leaves_the_version_before(
    catalog: CatalogConnection, known: Callable[..., int]
) -> None:
    migrate(catalog)
    known(("broken", "CREATE TABLE half (a {int}); CREATE TABLE half (a {int})"))
    with pytest.raises(Exception, match="already exists"):
        migrate(catalog)
    assert (version(catalog), "half" in tables(catalog)) == (len(MIGRATIONS), False)
    newest = known(("mended", "CREATE TABLE half (a {int}); CREATE TABLE other (a {int})"))
    assert migrate(catalog) == 1
    assert (version(catalog), {"half", "other"} <= tables(catalog)) == (newest, True)


def test_a_first_migration_that_dies_leaves_nothing(
    catalog: CatalogConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (("broken", "CREATE TABLE a (b {int}); CREATE NONSENSE"),)
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises(Exception, match="syntax error"):
        migrate(catalog)
    assert tables(catalog) == set()


def test_a_migration_and_its_record_are_one(catalog: CatalogConnection, known: Callable[..., int]) -> None:
    """Where the record cannot be written, the tables are not there either."""
    migrate(catalog)
    # Counted as the migration after the last, it takes the number of the one after that.
    catalog.execute("INSERT INTO migrations VALUES (?, 'squatter', '')", (len(MIGRATIONS) + 2,))
    known(("a", "SELECT 1"), ("b", "CREATE TABLE b (a {int})"))
    with pytest.raises(Exception, match="UNIQUE"):
        migrate(catalog)
    assert "b" not in tables(catalog)


def test_a_later_version_is_refused(catalog: CatalogConnection, tmp_path: Path, known: Callable[..., int]) -> None:
    later = known(("later", "CREATE TABLE later (a {int})"))
    migrate(catalog)
    known()
    with pytest.raises(FormatVersionError, match=f"version {later}"):
        migrate(catalog)
    catalog.close()
    before = (tmp_path / "catalog.sqlite").read_bytes()
    with pytest.raises(FormatVersionError, match=f"up to {len(MIGRATIONS)}"):
        check_version(tmp_path / "catalog.sqlite")
    assert (tmp_path / "catalog.sqlite").read_bytes() == before


def test_a_path_is_no_url(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100%25 #1"
    folder.mkdir()
    with closing(open_for_writing(folder / "catalog.sqlite", 0)) as connection:
        migrate(connection)
    assert [path.name for path in folder.iterdir()] == ["catalog.sqlite"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    check_version(folder / "catalog.sqlite")


def test_transactions_do_not_wait_for_each_other(catalog: CatalogConnection) -> None:
    """A nested one fails at once, and the one it is in is rolled back."""
    migrate(catalog)
    with (
        pytest.raises(RuntimeError, match="a transaction inside another"),
        catalog.transaction(),
        closing(catalog.execute("INSERT INTO meta VALUES ('a', 'b')")),
        catalog.transaction(),
    ):
        pytest.fail("a transaction inside another")
    assert catalog.execute("SELECT * FROM meta").fetchall() == []
    with catalog.transaction():
        catalog.execute("INSERT INTO meta VALUES ('a', 'b')")
    assert catalog.execute("SELECT * FROM meta").fetchall() == [("a", "b")]


def test_a_writer_opens_no_catalog_of_a_later_imseek(
    catalog: CatalogConnection, tmp_path: Path, known: Callable[..., int]
) -> None:
    """Also one that came between the look at its version and the opening."""
    count = len(MIGRATIONS)
    migrate(catalog)
    catalog.execute("INSERT INTO migrations VALUES (?, 'of the future', '2100-01-01')", (count + 1,))
    path = tmp_path / "catalog.sqlite"
    before = path.read_bytes()
    with pytest.raises(FormatVersionError):
        open_for_writing(path, 1)
    assert path.read_bytes() == before

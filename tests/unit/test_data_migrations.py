"""The schema of the catalog: migrations make what schema.py describes, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from imseek.data.catalog import migrations, schema
from imseek.data.catalog.migrations import MIGRATIONS, migrate
from imseek.data.catalog.sqlite.catalog import open_engine
from imseek.data.catalog.sqlite.catalog_file import check_version, open_for_writing
from imseek.errors import FormatVersionError


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Let imseek know some more migrations than it does; returns how many it knows then."""

    def know(*more: tuple[str, str]) -> int:
        monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, *more))
        return len(MIGRATIONS) + len(more)

    return know


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_engine(tmp_path / "catalog.sqlite")


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def version(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT COUNT(*) FROM migrations")).scalar_one())


def test_the_migrations_make_what_the_schema_says(engine: Engine) -> None:
    assert migrate(engine) == len(MIGRATIONS)
    assert tables(engine) == {*schema.metadata.tables, "migrations"}
    with engine.connect() as connection:
        found = inspect(connection)
        for name, table in schema.metadata.tables.items():
            made = {c["name"]: c for c in found.get_columns(name)}
            assert list(made) == [c.name for c in table.columns], name
            keys = found.get_pk_constraint(name)["constrained_columns"]
            assert set(keys) == {c.name for c in table.primary_key}, name
            for column in table.columns:
                # SQLite lets a primary key that is no INTEGER be null unless told; we never write one.
                if not column.primary_key:
                    assert made[column.name]["nullable"] == column.nullable, f"{name}.{column.name}"
                affinity = made[column.name]["type"]._type_affinity
                assert affinity is column.type._type_affinity, f"{name}.{column.name}"


def test_a_migrated_catalog_is_left_alone(engine: Engine) -> None:
    migrate(engine)
    assert migrate(engine) == 0


def test_a_migration_that_dies_half_way_leaves_the_version_before(engine: Engine, known: Callable[..., int]) -> None:
    migrate(engine)
    known(("broken", "CREATE TABLE half (a {int}); CREATE TABLE half (a {int})"))
    with pytest.raises(Exception, match="already exists"):
        migrate(engine)
    assert (version(engine), "half" in tables(engine)) == (len(MIGRATIONS), False)
    newest = known(("mended", "CREATE TABLE half (a {int}); CREATE TABLE other (a {int})"))
    assert migrate(engine) == 1
    assert (version(engine), {"half", "other"} <= tables(engine)) == (newest, True)


def test_a_first_migration_that_dies_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (("broken", "CREATE TABLE a (b {int}); CREATE NONSENSE"),)
    monkeypatch.setattr(migrations, "MIGRATIONS", broken)
    with pytest.raises(Exception, match="syntax error"):
        migrate(engine)
    assert tables(engine) == set()


def test_a_migration_and_its_record_are_one(engine: Engine, known: Callable[..., int]) -> None:
    """Where the record cannot be written, the tables are not there either."""
    migrate(engine)
    last = len(MIGRATIONS)
    with engine.begin() as connection:
        # Counted as the migration `last + 1`, it takes the number of the one after that.
        connection.execute(text("INSERT INTO migrations VALUES (:v, 'squatter', '')"), {"v": last + 2})
    known(("a", "SELECT 1"), ("b", "CREATE TABLE b (a {int})"))
    with pytest.raises(Exception, match="UNIQUE"):
        migrate(engine)
    assert "b" not in tables(engine)


def test_a_later_version_is_refused(engine: Engine, tmp_path: Path, known: Callable[..., int]) -> None:
    later = known(("later", "CREATE TABLE later (a {int})"))
    migrate(engine)
    known()
    with pytest.raises(FormatVersionError, match=f"version {later}"):
        migrate(engine)
    engine.dispose()
    before = (tmp_path / "catalog.sqlite").read_bytes()
    with pytest.raises(FormatVersionError, match=f"up to {len(MIGRATIONS)}"):
        check_version(tmp_path / "catalog.sqlite")
    assert (tmp_path / "catalog.sqlite").read_bytes() == before


def test_a_path_is_no_url(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100%25 #1"
    folder.mkdir()
    engine = open_engine(folder / "catalog.sqlite")
    migrate(engine)
    engine.dispose()
    assert [path.name for path in folder.iterdir()] == ["catalog.sqlite"]
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    check_version(folder / "catalog.sqlite")


def test_transactions_do_not_wait_for_each_other(engine: Engine) -> None:
    """A nested one would wait ten seconds for the one it is in."""
    with engine.begin(), pytest.raises(Exception, match="QueuePool limit"), engine.begin():
        pytest.fail("a transaction inside another")


def test_a_writer_opens_no_catalog_of_a_later_imseek(engine: Engine, tmp_path: Path, known: Callable[..., int]) -> None:
    """Also one that came between the look at its version and the opening."""
    count = len(MIGRATIONS)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO migrations VALUES ({count + 1}, 'of the future', '2100-01-01')"))
    path = Path(str(engine.url.database))
    before = path.read_bytes()
    with pytest.raises(FormatVersionError):
        open_for_writing(path, 1)
    assert path.read_bytes() == before

"""One suite over both backends of catalogs: SQLite, and PostgreSQL where there is a server."""

from __future__ import annotations

import inspect
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from databases import BOTH_CATALOGS

import imseek
from imseek.data import layout
from imseek.data.catalog import sources
from imseek.data.catalog.backend import CatalogBackend, backend_of, new_backend
from imseek.data.catalog.catalog_writer import Catalog, current_of, get_meta, set_meta
from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
from imseek.data.collection_records import parse_current, read_identity
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, LockedError, StorageError, UsageError

pytestmark = BOTH_CATALOGS


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    return collection.path


@pytest.fixture
def backend(root: Path) -> CatalogBackend:
    return backend_of(root)


def add(root: Path, name: bytes = b"/a") -> None:
    with Writer(root, "test") as writer:
        sources.add(writer, "folder", name)


def roots(connection: Any) -> list[bytes]:
    return [bytes(row[0]) for row in connection.execute("SELECT root FROM sources ORDER BY source_id")]


# -- the protocol --------------------------------------------------------------------------------------------


def members(of: type) -> dict[str, Any]:
    """Public members that a class states itself, with their parameters."""
    return {
        name: list(inspect.signature(member).parameters) if inspect.isfunction(member) else None
        for name, member in vars(of).items()
        if not name.startswith("_")
    }


def test_the_backend_has_what_the_protocol_says_and_nothing_else(backend: CatalogBackend) -> None:
    assert members(type(backend)).keys() == members(CatalogBackend).keys()
    for name, parameters in members(CatalogBackend).items():
        assert members(type(backend))[name] == parameters, name


def test_its_catalog_adds_nothing_that_a_writer_could_depend_on(root: Path) -> None:
    with Writer(root, "test") as writer:
        one = type(writer.catalog)
        own = {"fold"}  # For copies, which are files whatever the catalog of the collection is.
        assert members(one).keys() - own <= members(Catalog).keys() | Catalog.__annotations__.keys()
        assert vars(writer.catalog).keys() - {"address"} <= {"root", "_connection", "_engine", "_checksums"}


def test_where_it_is(backend: CatalogBackend, root: Path, catalog: str | None) -> None:
    assert backend.address == catalog
    assert backend.is_file == (catalog is None) == (root / layout.CATALOG).exists()


# -- reading -------------------------------------------------------------------------------------------------


def test_queries_have_the_same_form(backend: CatalogBackend, root: Path) -> None:
    add(root, b"/caf\xe9")
    query = "SELECT root, kind FROM sources WHERE source_id = ? AND kind = ?"
    with backend.connect() as connection:
        found = connection.execute(query, (1, "folder"))
        assert [column[0] for column in found.description] == ["root", "kind"]
        assert [bytes(found.fetchone()[0]), found.fetchone()] == [b"/caf\xe9", None]
        named = connection.execute("SELECT kind FROM sources WHERE source_id = :id", {"id": 1})
        assert named.fetchmany(5) == [("folder",)]
        assert connection.execute(query, (2, "folder")).fetchall() == []


def test_an_open_connection_sees_what_is_committed_later(backend: CatalogBackend, root: Path) -> None:
    with closing(backend.open_for_reading()) as connection:
        assert roots(connection) == []
        add(root)
        assert roots(connection) == [b"/a"]


def test_readers_change_nothing(backend: CatalogBackend, root: Path) -> None:
    add(root)
    with pytest.raises(StorageError), backend.connect() as connection:
        connection.execute("DELETE FROM sources")
    with (
        closing(backend.open_for_reading()) as connection,
        pytest.raises(StorageError),
        backend.translate_errors(),
    ):
        connection.execute("DELETE FROM sources")
    with backend.connect() as connection:
        assert roots(connection) == [b"/a"]


def test_a_connection_may_be_used_again_as_long_as_its_key_is_the_same(backend: CatalogBackend, root: Path) -> None:
    before = backend.reuse_key()
    add(root)
    assert backend.reuse_key() == before


def test_a_frozen_catalog_is_that_of_one_moment(backend: CatalogBackend, root: Path) -> None:
    add(root)
    with backend.freeze() as connection:
        before = current_of(connection)
        add(root, b"/b")
        assert current_of(connection) == before
        assert len(connection.execute("SELECT * FROM sources").fetchall()) == 1


# -- generations ---------------------------------------------------------------------------------------------


def test_each_commit_tells_readers(backend: CatalogBackend, root: Path) -> None:
    stamps, runs, generations = set(), set(), []
    for name in (b"/a", b"/b", b"/c"):
        add(root, name)
        stamps.add(backend.read_generation_stamp())
        runs.add(backend.read_run_stamp())
        assert backend.read_generation_stamp() in stamps, "the same until the next commit"
        generations.append(parse_current(root, backend.read_current_document()).generation)
    assert len(stamps) == len(runs) == 3
    assert None not in stamps | runs
    assert generations == [1, 2, 3]


# -- writing -------------------------------------------------------------------------------------------------


def test_one_writer_at_a_time(backend: CatalogBackend, root: Path) -> None:
    assert not backend.is_locked()
    lock = backend.lock()
    lock.acquire()
    try:
        lock.check()
        assert backend.is_locked()
        with pytest.raises(LockedError, match="is being written by another process"):
            backend_of(root).lock().acquire()
    finally:
        lock.release()
    assert not backend.is_locked()
    with (
        Writer(root, "the first"),
        pytest.raises(LockedError, match="is being written by `the first`, process"),
    ):
        backend.lock().acquire()


def test_a_catalog_is_opened_after_what_the_last_writer_left(backend: CatalogBackend, root: Path) -> None:
    add(root)
    staging = root / layout.STAGING
    staging.mkdir(exist_ok=True)
    (staging / "left behind").touch()
    lock = backend.lock()
    lock.acquire()
    try:
        with closing(backend.open_for_writing(read_identity(root).uuid)) as catalog:
            assert list(staging.iterdir()) == []
            assert [source.root for source in catalog.sources()] == [b"/a"]
            with catalog.transaction() as connection:
                current = current_of(connection)
            assert catalog.read_current() in (None, current)
            with suppress(ZeroDivisionError), catalog.transaction() as connection:
                set_meta(connection, "generation", 17)
                raise ZeroDivisionError
            with catalog.transaction() as connection:
                assert get_meta(connection, "generation") == "1"
                set_meta(connection, "generation", 2)
                catalog.record_current(connection, current_of(connection))
                current = current_of(connection)
            catalog.publish_current(current)
            assert parse_current(root, backend.read_current_document()) == current
            catalog.renew_backup(layout.BACKUPS[0])
            catalog.end_run(has_changed=True)
            assert all(isinstance(note, str) for note in catalog.scrub())
    finally:
        lock.release()


def test_a_copy_is_a_file_of_one_generation(backend: CatalogBackend, root: Path, tmp_path: Path) -> None:
    add(root)
    work = tmp_path / "work"
    work.mkdir()
    uuid = read_identity(root).uuid

    def hold(files: Any, generation: int) -> tuple[list[Any], int]:
        add(root, b"/later")
        return list(files), generation

    assert backend.copy_to(work, uuid, hold) == ([], 1)
    with closing(SqliteCatalog(work)) as copy, copy.transaction() as connection:
        assert get_meta(connection, "uuid") == uuid
        assert get_meta(connection, "generation") == "1"
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(CorruptCollectionError, match="another collection"):
        backend.copy_to(other, "0" * 32, lambda files, _: files)


def test_a_new_catalog_is_complete_or_not_there(tmp_path: Path, catalog: str | None) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    backend = new_backend(folder, catalog)

    def fail(connection: Any, identity: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backend.create("absolute", fail)
    assert not (folder / layout.COLLECTION).exists()
    with pytest.raises(UsageError, match="or sqlite"):
        new_backend(folder, "mysql://example")

"""What a statement on a catalog may cost."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from imseek.data.catalog.migrations import migrate
from imseek.data.catalog.sqlite import catalog_file
from imseek.data.catalog.sqlite.errors import storage_error
from imseek.errors import (
    CorruptCollectionError,
    LockedError,
    ReadOnlyError,
    StorageError,
)

COUNT = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500000) SELECT COUNT(*) FROM n"


def test_a_catalog_that_grows_may_be_asked_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer opens an empty catalog, adds millions of rows, and then reads all of them."""
    monkeypatch.setattr(catalog_file, "_STEPS", 1_000_000)
    monkeypatch.setattr(catalog_file, "_STRIDE", 100_000)
    with closing(catalog_file.open_for_writing(tmp_path / "catalog.sqlite", 1)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(COUNT)
        connection.execute("CREATE TABLE rows (content BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO rows VALUES (?)", [(bytes(1000),)] * 2000)
        connection.execute("COMMIT")
        assert connection.execute(COUNT).fetchone() == (500_000,)


@pytest.mark.parametrize("writing", [False, True])
def test_each_statement_has_a_budget_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: bool) -> None:
    monkeypatch.setattr(catalog_file, "_STEPS", 1_000_000)
    monkeypatch.setattr(catalog_file, "_STRIDE", 10_000)
    path = tmp_path / "catalog.sqlite"
    with closing(catalog_file.open_for_writing(path, 1)) as connection:
        migrate(connection)
    with closing(catalog_file.open_for_writing(path, 1) if writing else catalog_file.open_catalog(path)) as connection:
        for _ in range(50):
            assert connection.execute(COUNT.replace("500000", "20000")).fetchone() == (20_000,)
        if writing:
            for n in range(50):
                counted = "INSERT INTO meta SELECT ?, (" + COUNT.replace("500000", "20000") + ")"
                connection.executemany(counted, [(f"count {n}",)])


def test_a_schema_whose_names_are_no_text_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (content BLOB)")
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute(
            "UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT), tbl_name = name, sql = CAST(x'fffe' AS TEXT)"
        )
    for open_catalog in (catalog_file.open_catalog, lambda path: catalog_file.open_for_writing(path, 1)):
        with pytest.raises(sqlite3.DatabaseError, match="malformed database schema"):
            open_catalog(path).close()


@pytest.mark.parametrize("statement", ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"])
def test_a_connection_that_cannot_be_made_durable_is_closed(
    tmp_path: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []

    class Connection(catalog_file.CatalogConnection):
        def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
            if query == statement:
                raise sqlite3.OperationalError("database is locked")
            return super().execute(query, *values)

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(catalog_file, "CatalogConnection", Connection)
    with pytest.raises(sqlite3.OperationalError, match="is locked"):
        catalog_file.open_for_writing(tmp_path / "catalog.sqlite", 1)
    assert len(closed) == 1


def test_a_connection_that_cannot_be_guarded_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Connection(catalog_file.CatalogConnection):
        def guard(self, path: Path) -> None:
            raise MemoryError

        def close(self) -> None:
            closed.append(self)
            super().close()

    monkeypatch.setattr(catalog_file, "CatalogConnection", Connection)
    with pytest.raises(MemoryError):
        catalog_file.open_for_writing(tmp_path / "catalog.sqlite", 1)
    assert len(closed) == 1


def test_a_path_through_a_file_has_no_journal_to_be_afraid_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    catalog_file.check_files(tmp_path / "file" / "catalog.sqlite")
    (tmp_path / "catalog.sqlite-journal").write_bytes(b"x")
    with pytest.raises(CorruptCollectionError, match="rollback journal"):
        catalog_file.check_files(tmp_path / "catalog.sqlite")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_NOMEM, StorageError),
        (sqlite3.SQLITE_BUSY, LockedError),
        (sqlite3.SQLITE_READONLY, ReadOnlyError),
        (sqlite3.SQLITE_FULL, StorageError),
        (sqlite3.SQLITE_IOERR, StorageError),
        (sqlite3.SQLITE_INTERRUPT, CorruptCollectionError),
        (sqlite3.SQLITE_CORRUPT, CorruptCollectionError),
        (sqlite3.SQLITE_CANTOPEN, CorruptCollectionError),
        (None, CorruptCollectionError),
    ],
)
def test_only_damage_is_called_damage(tmp_path: Path, code: int | None, kind: type[StorageError]) -> None:
    error = sqlite3.OperationalError("so it is")
    if code is not None:
        error.sqlite_errorcode = code
    assert type(storage_error(error, tmp_path / "catalog.sqlite")) is kind


def test_a_writer_that_closes_meanwhile_disturbs_no_reader(tmp_path: Path) -> None:
    """The last connection deletes the write-ahead log as it closes, between two looks of a reader."""
    path = tmp_path / "catalog.sqlite"
    with closing(catalog_file.open_for_writing(path, 1)) as connection:
        migrate(connection)
    end = threading.Event()

    def write() -> None:
        while not end.is_set():
            with closing(catalog_file.open_for_writing(path, 10)) as connection, connection.transaction():
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('written', 'yes')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20_000):
            catalog_file.is_folded(path)
    finally:
        end.set()
        writer.join()

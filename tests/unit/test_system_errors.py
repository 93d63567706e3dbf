"""What the system and SQLite say becomes an error of ours that names the file, and says what can be done."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from imseek.data.catalog.sqlite.errors import storage_error
from imseek.data.files.system_errors import system_error, translate_os_errors
from imseek.errors import (
    FREE_SPACE,
    MORE_FILES,
    CorruptCollectionError,
    LockedError,
    ReadOnlyError,
    StorageError,
    hint_of_os_error,
)


def of_the_system(number: int, *names: str | int | None) -> OSError:
    return OSError(number, os.strerror(number), *names)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (of_the_system(errno.EACCES), "/here: Permission denied"),
        (of_the_system(errno.EACCES, "/there"), "/there: Permission denied"),
        (of_the_system(errno.EACCES, 7), "/here: Permission denied"),
        (of_the_system(errno.EACCES, "/from", None, "/to"), "/from: Permission denied"),
        (of_the_system(errno.ENOSPC, "/from", None, "/to"), "/to: No space left on device"),
        (of_the_system(errno.EDQUOT, "/from", None, "/to"), "/to: Disk quota exceeded"),
        (of_the_system(errno.EFBIG, "/from", None, "/to"), "/to: File too large"),
        (OSError(errno.EACCES, None), "/here: Permission denied"),
        (OSError("of a server"), "/here: Success"),
    ],
)
def test_a_file_is_named_with_what_is_wrong(error: OSError, said: str) -> None:
    for path in (Path("/here"), "/here"):
        found = system_error(error, path)
        assert (type(found), str(found)) == (StorageError, said)


def test_names_that_are_no_text_are_told_too() -> None:
    assert str(system_error(OSError(errno.EIO, "no", b"/caf\xe9"), "/here")) == "/caf\udce9: no"


def test_a_medium_that_cannot_be_written_is_told_as_one() -> None:
    found = system_error(of_the_system(errno.EROFS), "/here")
    assert isinstance(found, ReadOnlyError)
    assert found.hint


@pytest.mark.parametrize(
    ("number", "piece"),
    [
        (errno.ENOSPC, FREE_SPACE),
        (errno.EDQUOT, FREE_SPACE),
        (errno.EMFILE, MORE_FILES),
        (errno.ENFILE, MORE_FILES),
        (errno.EIO, "failing"),
        (errno.ENOENT, "moved"),
    ],
)
def test_what_can_be_done(number: int, piece: str) -> None:
    assert piece in str(system_error(of_the_system(number), "/here").hint)
    assert piece in str(hint_of_os_error(OSError(number, None)))
    assert hint_of_os_error(OSError(number, "NoSuchBucket")) is None, "a server has words of its own"
    assert hint_of_os_error(of_the_system(errno.EACCES)) is None


def test_an_error_in_the_body_is_translated_and_kept_as_its_cause() -> None:
    with pytest.raises(StorageError, match=r"^/here: File exists") as caught, translate_os_errors("/here"):
        raise (cause := of_the_system(errno.EEXIST))
    assert caught.value.__cause__ is cause
    with pytest.raises(OSError, match="damaged") as passed, translate_os_errors("/here"):
        raise OSError("a damaged file, as Arrow says it")
    assert type(passed.value) is OSError
    with pytest.raises(ValueError, match="other"), translate_os_errors("/here"):
        raise ValueError("other")


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("what it says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        (sqlite3.SQLITE_BUSY, LockedError, "another program"),
        (sqlite3.SQLITE_LOCKED, LockedError, "another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, LockedError, "another program"),
        (sqlite3.SQLITE_READONLY, ReadOnlyError, "searching"),
        (sqlite3.SQLITE_READONLY_DBMOVED, ReadOnlyError, "searching"),
        (sqlite3.SQLITE_FULL, StorageError, FREE_SPACE),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StorageError, FREE_SPACE),
        (sqlite3.SQLITE_IOERR, StorageError, "full or failing"),
        (sqlite3.SQLITE_IOERR_WRITE, StorageError, "full or failing"),
        (sqlite3.SQLITE_INTERRUPT, CorruptCollectionError, "repair /photos"),
        (sqlite3.SQLITE_NOMEM, StorageError, ""),
        (sqlite3.SQLITE_CANTOPEN, CorruptCollectionError, "repair /photos"),
        (sqlite3.SQLITE_CORRUPT, CorruptCollectionError, "repair /photos"),
        (sqlite3.SQLITE_NOTADB, CorruptCollectionError, "repair /photos"),
        (sqlite3.SQLITE_ERROR, CorruptCollectionError, "repair /photos"),
    ],
)
def test_what_sqlite_says(code: int, kind: type[StorageError], hint: str) -> None:
    found = storage_error(of_sqlite(code), Path("/photos/catalog.sqlite"))
    assert type(found) is kind
    assert str(found).startswith("/photos/catalog.sqlite: ")
    assert ("what it says" in str(found)) == (code != sqlite3.SQLITE_INTERRUPT)
    assert (hint in str(found.hint)) if hint else found.hint is None


def test_a_catalog_that_is_there_and_cannot_be_opened_is_not_damaged(tmp_path: Path) -> None:
    """Nor one that was to be made."""
    (tmp_path / "catalog.sqlite").touch()
    error = of_sqlite(sqlite3.SQLITE_CANTOPEN)
    for found in (
        storage_error(error, tmp_path / "catalog.sqlite"),
        storage_error(error, tmp_path / "new.sqlite", writing=True),
    ):
        assert type(found) is StorageError
        assert MORE_FILES in str(found.hint)


def test_an_error_without_a_number_means_damage() -> None:
    for error in (None, sqlite3.DatabaseError("it has none")):
        found = storage_error(error, Path("/photos/catalog.sqlite"))
        assert type(found) is CorruptCollectionError
        assert found.hint == "imseek collection repair /photos"

"""Where a catalog is: :func:`backend_of` returns the backend for it, SQLite or PostgreSQL.

Reading and writing a collection depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from imseek.data import layout

if TYPE_CHECKING:
    from imseek.data.catalog.catalog_writer import Catalog
    from imseek.data.catalog.sql import Connection, ReadConnection
    from imseek.data.collection_records import Identity
    from imseek.data.words.values import Unit

T = TypeVar("T")


class WordIndex(Protocol):
    """The lexical index over the documents of a catalog."""

    @property
    def position(self) -> str:
        """Name of the SQL function for the position of one text in another; 0: it is not in there."""
        ...

    def matches(self, condition: str) -> str:
        """Return SQL for ``id``, the numbers of documents in ascending order.

        Its parameters are an expression, the last number, those of a condition on columns of the documents, and how
        many at most.
        """
        ...

    def match_expression(self, groups: Sequence[Sequence[Unit]], fields: Sequence[str] | None) -> str:
        """Return the expression for documents that hold a unit of each group, in these columns (None: in any).

        Nothing in the tokens is syntax.
        """
        ...


class Lock(Protocol):
    """Exclusive right to write a collection."""

    def acquire(self) -> None:
        """Acquire the lock. Raises LockedError, naming the process, while another writer works; StorageError."""
        ...

    def check(self) -> None:
        """Check that the lock still holds. Raises LockedError, and StorageError where the folder was moved."""
        ...

    def release(self) -> None:
        """Release the lock, if it was acquired."""
        ...


class CatalogBackend(Protocol):
    """Everything about the catalog of one collection that depends on where it is."""

    @property
    def is_file(self) -> bool:
        """Whether the catalog is a file of the collection: then imseek itself checks its bytes."""
        ...

    @property
    def address(self) -> str | None:
        """URL of the database that holds the catalog; None where it is a file of the collection."""
        ...

    # -- reading ---------------------------------------------------------------------------------------

    def connect(self) -> AbstractContextManager[ReadConnection]:
        """Open a read-only connection for the body of the ``with``, where the backend's errors become ours.

        Raises CorruptCollectionError where the catalog cannot be read, LockedError or StorageError where it cannot be
        read now, and FormatVersionError where a later imseek changed what the query needs.
        """
        ...

    def open_for_reading(self) -> ReadConnection:
        """Open a connection for reading by one thread at a time, which the caller closes."""
        ...

    def translate_errors(self) -> AbstractContextManager[None]:
        """Context manager that translates the backend's errors into ours; raises as :meth:`connect`."""
        ...

    def reuse_key(self) -> tuple[int, ...] | None:
        """Return a key, the process id first, that changes when an open connection must not be used any more.

        None where a connection must not be reused.
        """
        ...

    # -- words -----------------------------------------------------------------------------------------

    def can_search_words(self, connection: ReadConnection) -> bool:
        """Whether the index over the documents of such a catalog can be read here."""
        ...

    @property
    def word_index(self) -> WordIndex: ...

    def freeze(self) -> AbstractContextManager[Connection]:
        """Connect to the catalog as of one moment. Writers need not wait, nothing can be changed."""
        ...

    # -- generations -----------------------------------------------------------------------------------

    def read_current_document(self) -> dict[str, Any]:
        """Read what ``current.json`` says of the newest generation, verified by its checksum."""
        ...

    def read_generation_stamp(self) -> tuple[int | str, ...] | None:
        """Return a cheap stamp that differs between generations; None where it cannot be read.

        Raises StorageError where the catalog is on a server that does not answer.
        """
        ...

    def read_run_stamp(self) -> tuple[int, ...] | None:
        """Return a stamp that differs before and after any run; None where there is none."""
        ...

    # -- writing ---------------------------------------------------------------------------------------

    def lock(self) -> Lock:
        """Return the writer's lock, not yet acquired. Raises ReadOnlyError."""
        ...

    def is_locked(self) -> bool:
        """Whether a writer is active now. False where this process may not look. Raises StorageError."""
        ...

    def open_for_writing(self, uuid: str) -> Catalog:
        """Open the catalog of the collection ``uuid`` for a writer, which has the lock, and empty the staging folder.

        Raises CorruptCollectionError, FormatVersionError, StorageError.
        """
        ...

    def create(self, places: str, fill: Callable[[Connection, Identity], None]) -> Identity:
        """Create a catalog, ``fill`` it in its first transaction, and write the collection's files, the identity last.

        ``places`` is as in :class:`imseek.data.collection_records.Identity`.
        """
        ...

    def copy_to(self, folder: Path, uuid: str, open_files: Callable[[Sequence[Any], int], T]) -> T:
        """Copy the catalog of the collection ``uuid`` into an empty folder, as a SQLite file.

        Returns what ``open_files`` returns. It is called in the transaction that is copied, with path, kind and size of
        each live file and the generation. Raises CorruptCollectionError.
        """
        ...


def backend_of(root: Path) -> CatalogBackend:
    """Return the backend of the catalog of the collection at ``root``."""
    if layout.has_server_catalog(root):
        from imseek.data.catalog.postgres.backend import PostgresBackend

        return PostgresBackend(root)
    return _file_backend(root)


@lru_cache
def _file_backend(root: Path) -> CatalogBackend:
    """Return the backend of a catalog in a file, which has no state."""
    from imseek.data.catalog.sqlite.backend import SqliteBackend

    return SqliteBackend(root)


def new_backend(root: Path, url: str | None) -> CatalogBackend:
    """Return the backend for a new collection: a database at ``url``, or a file.

    Raises UsageError for a URL that must not be recorded, MissingExtraError.
    """
    if url is not None:
        from imseek.data.catalog.postgres.backend import PostgresBackend

        return PostgresBackend(root, url)
    from imseek.data.catalog.sqlite.backend import SqliteBackend

    return SqliteBackend(root)

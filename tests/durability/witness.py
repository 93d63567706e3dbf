"""What a process that may be killed was promised, written down where the kill does not reach."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What a victim may be at, by the number that it keeps in shared memory. Inner ones hide outer ones.
MOMENTS = (
    "before the first transaction",
    "between transactions",
    "in a transaction",
    "writing files",
    "renaming files",
    "in SQLite's COMMIT",
    "backing up",
    "closing the catalog",
    "writing the catalog anew",
)
_LIVE = "SELECT i.image_id, hex(i.content_hash), p.path FROM images i LEFT JOIN places p ON p.image_id = i.image_id "
_LIVE += "AND p.died = 9223372036854775807 WHERE i.died = 9223372036854775807 AND i.state = 'live' "
_LIVE += "AND i.shard_id IS NOT NULL ORDER BY i.image_id"


class Witness:
    """What a victim was about to do, what it was told is done, and how far it had come. Outlives it."""

    def __init__(self, home: Path) -> None:
        self._book = home / "witness"
        life = home / "life"
        if not life.exists():
            life.write_bytes(bytes(2))
        with life.open("r+b") as file:
            self._life = mmap.mmap(file.fileno(), 2)

    def begin(self) -> None:
        """Another victim lives."""
        self._life[:] = bytes(2)

    @property
    def moment(self) -> str:
        return MOMENTS[self._life[0]]

    @property
    def commits(self) -> int:
        """How many of SQLite's transactions have been committed, 255 at the most."""
        return self._life[1]

    def install(self) -> None:
        """In the victim: hook into what it calls."""
        from imseek.data.catalog.sqlite import catalog_backups
        from imseek.data.catalog.sqlite.catalog_file import SqliteConnection
        from imseek.data.catalog.sqlite.catalog_writer import SqliteCatalog
        from imseek.data.files import durable_files
        from imseek.data.writing.writer import Writer

        apply, transaction = Writer.apply, SqliteCatalog.transaction

        def witnessed(writer: Writer, change: Callable[[Any, int], None]) -> int:
            def noted(connection: Any, generation: int) -> None:
                change(connection, generation)
                rows = connection.execute(_LIVE).fetchall()
                self.may(generation, [[image_id, hash_, name_of(path)] for image_id, hash_, path in rows])

            generation = apply(writer, noted)
            self.did(generation)
            return generation

        @contextmanager
        def watched(catalog: SqliteCatalog) -> Iterator[Any]:
            with self._at("in a transaction"), transaction(catalog) as connection:
                yield connection

        Writer.apply = witnessed  # type: ignore[method-assign]
        SqliteCatalog.transaction = watched  # type: ignore[method-assign]
        self._watch(SqliteConnection, "commit", "in SQLite's COMMIT", self._committed)
        self._watch(SqliteCatalog, "close", "closing the catalog")
        self._watch(SqliteCatalog, "scrub", "writing the catalog anew")
        self._watch(durable_files, "stage", "writing files")
        self._watch(durable_files, "publish", "renaming files")
        self._watch(catalog_backups, "back_up", "backing up")

    def promises(self) -> tuple[dict[int, list[Any]], int]:
        """The live images of each generation that may be there, and the last one that was acknowledged (else -1)."""
        possible: dict[int, list[Any]] = {}
        acknowledged = -1
        # A line without an end was being written when its writer died.
        for line in self._book.read_text().splitlines(keepends=True) if self._book.exists() else []:
            if line.endswith("\n"):
                what, generation, *facts = json.loads(line)
                if what == "may":
                    possible[generation] = facts[0]
                else:
                    acknowledged = generation
        return possible, acknowledged

    def may(self, generation: int, facts: list[Any]) -> None:
        """A generation is about to be committed, with these images."""
        self._write("may", generation, facts)

    def did(self, generation: int) -> None:
        """A generation is acknowledged."""
        self._write("did", generation)

    def _write(self, *values: Any) -> None:
        # The page cache outlives the kill.
        with self._book.open("ab", buffering=0) as file:
            file.write((json.dumps(values) + "\n").encode())

    def _watch(self, owner: Any, name: str, moment: str, after: Callable[[], None] = lambda: None) -> None:
        function = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self._at(moment):
                result = function(*args, **kwargs)
                after()
                return result

        setattr(owner, name, watched)

    @contextmanager
    def _at(self, moment: str) -> Iterator[None]:
        before = self._life[0] or MOMENTS.index("between transactions")
        self._life[0] = MOMENTS.index(moment)
        try:
            yield
        finally:
            self._life[0] = before

    def _committed(self) -> None:
        self._life[1] = min(255, self._life[1] + 1)


def name_of(path: bytes | None) -> str | None:
    """The last part of a path, also inside an archive: folders may have been renamed."""
    return None if path is None else os.fsdecode(path).rpartition("\0")[2].rpartition("/")[2]

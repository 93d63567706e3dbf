"""History and saved searches of each collection, in ``<home>/searches.json``, readable by this user only.

A search is stored as its URL parameters (:mod:`imseek.ui.web.asked`), so whatever can be linked can be saved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from imseek.errors import StorageError, UsageError
from imseek.ui.web import documents
from imseek.ui.web.asked import Asked, read

#: Maximum numbers of entries of a history, saved searches of a collection, collections, and characters of a name.
HISTORY: Final = 100
SAVED: Final = 200
_COLLECTIONS: Final = 200
LONGEST: Final = 100
_SCHEMA: Final = 1
_BROKEN: Final = "the file of earlier and saved searches was damaged"


@dataclass(frozen=True, slots=True)
class Past:
    """An entry of the history; ``at`` is in UTC, as ISO 8601."""

    asked: Asked
    at: str


@dataclass(frozen=True, slots=True)
class Searches:
    """Searches of one collection: ``history`` newest first, ``saved`` by name in the order in which they were saved.

    ``note`` says what could not be read.
    """

    history: tuple[Past, ...] = ()
    saved: Mapping[str, Asked] = field(default_factory=dict)
    note: str | None = None


class Store:
    """The file of searches. Thread-safe; if two processes write at once, the later one wins."""

    def __init__(self, home: Path) -> None:
        self.path = home / "searches.json"
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int] | None, dict[str, Searches], str | None] = (None, {}, None)

    def of(self, uuid: str) -> Searches:
        with self._lock:
            try:
                everything = self._read()
            except StorageError as error:
                return Searches(note=f"{error}: {error.hint}")
            return replace(everything.get(uuid, Searches()), note=self._known[2])

    def remember(self, uuid: str, asked: Asked) -> None:
        """Put a search first in the history, moving it if it is there already. Its page of hits is not stored."""
        first = asked.but()

        def add(mine: Searches) -> Searches:
            past = Past(first, datetime.now(UTC).isoformat(timespec="seconds"))
            rest = tuple(one for one in mine.history if one.asked != first)
            return replace(mine, history=(past, *rest)[:HISTORY])

        self._change(uuid, add)

    def forget(self, uuid: str) -> None:
        """Clear the history."""
        self._change(uuid, lambda mine: replace(mine, history=()))

    def save(self, uuid: str, name: str, asked: Asked) -> None:
        """Save a search under a name, replacing another of that name. Raises UsageError."""
        called = checked_name(name)

        def add(mine: Searches) -> Searches:
            if called not in mine.saved and len(mine.saved) >= SAVED:
                raise UsageError(
                    f"there are {SAVED} saved searches already", hint="delete one that is not needed"
                )
            return replace(mine, saved={**mine.saved, called: asked.but()})

        self._change(uuid, add)

    def rename(self, uuid: str, name: str, new: str) -> None:
        """Rename a saved search. Raises UsageError if the name is taken or invalid."""
        called = checked_name(new)

        def change(mine: Searches) -> Searches:
            if called != name and called in mine.saved:
                raise UsageError(f"another search is called {called!r}", hint="choose another name")
            return replace(
                mine, saved={called if one == name else one: asked for one, asked in mine.saved.items()}
            )

        self._change(uuid, change)

    def delete(self, uuid: str, name: str) -> None:
        self._change(
            uuid, lambda mine: replace(mine, saved={k: v for k, v in mine.saved.items() if k != name})
        )

    def _change(self, uuid: str, change: Callable[[Searches], Searches]) -> None:
        """Apply a change to a collection's searches. Raises StorageError if the file cannot be read or written."""
        with self._lock:
            everything = self._read()
            mine = change(everything.pop(uuid, Searches()))
            # Most recently used collection last; the first are dropped when there are too many.
            everything = dict([*everything.items(), (uuid, mine)][-_COLLECTIONS:])
            self._write(everything)

    def _read(self) -> dict[str, Searches]:
        """Read the file if it has changed. A damaged one is renamed, which ``note`` reports from then on.

        Raises StorageError.
        """
        stamp = self._stamp()
        if stamp is None or stamp != self._known[0]:
            loaded = documents.load(self.path, "schema", _SCHEMA, _parsed)
            note = self._known[2]
            if loaded.aside is not None:
                note = f"{_BROKEN}; it is now {loaded.aside}, and a new one begins"
            self._known = (None if loaded.found is None else stamp, loaded.found or {}, note)
        return dict(self._known[1])

    def _write(self, everything: Mapping[str, Searches]) -> None:
        document = {"schema": _SCHEMA, "collections": {k: _written(v) for k, v in everything.items()}}
        documents.save(self.path, document)
        self._known = (self._stamp(), dict(everything), self._known[2])

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def checked_name(name: str) -> str:
    """Normalise the name of a search. Raises UsageError."""
    called = " ".join(name.split())
    if not called or len(called) > LONGEST or not called.isprintable():
        raise UsageError(
            "that cannot name a search", hint=f"a name has 1 to {LONGEST} characters that can be printed"
        )
    return called


def _written(searches: Searches) -> dict[str, Any]:
    return {
        "history": [{"at": one.at, "asked": one.asked.parameters()} for one in searches.history],
        "saved": {name: asked.parameters() for name, asked in searches.saved.items()},
    }


def _parsed(document: Any) -> dict[str, Searches]:
    return {
        str(uuid): Searches(
            tuple(Past(_asked(one["asked"]), str(one["at"])) for one in mine["history"]),
            {str(name): _asked(asked) for name, asked in mine["saved"].items()},
        )
        for uuid, mine in document["collections"].items()
    }


def _asked(parameters: Mapping[str, Sequence[str]]) -> Asked:
    if not all(isinstance(value, str) for values in parameters.values() for value in values):
        raise ValueError("not the query of an address")
    return read(parameters).asked

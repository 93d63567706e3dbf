"""History and saved searches of each collection, in ``<home>/searches.json``, readable by this user only.

A search is stored as its URL parameters (:mod:`imseek.ui.web.search_state`), so whatever can be linked can be saved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from imseek.errors import StorageError, UsageError
from imseek.ui.web import json_store
from imseek.ui.web.search_state import SearchState, parse_address

#: Maximum numbers of entries of a history, saved searches of a collection, collections, and characters of a name.
MAX_HISTORY: Final = 100
MAX_SAVED: Final = 200
_COLLECTIONS: Final = 200
MAX_NAME_LENGTH: Final = 100
_SCHEMA: Final = 1
_BROKEN: Final = "the file of earlier and saved searches was damaged"


@dataclass(frozen=True, slots=True)
class PastSearch:
    """An entry of the history; ``at`` is in UTC, as ISO 8601."""

    state: SearchState
    at: str


@dataclass(frozen=True, slots=True)
class CollectionSearches:
    """Searches of one collection: ``history`` newest first, ``saved`` by name in the order in which they were saved.

    ``note`` says what could not be read.
    """

    history: tuple[PastSearch, ...] = ()
    saved: Mapping[str, SearchState] = field(default_factory=dict)
    note: str | None = None


class SearchStore:
    """The file of searches. Thread-safe; if two processes write at once, the later one wins."""

    def __init__(self, home: Path) -> None:
        self.path = home / "searches.json"
        self._lock = threading.Lock()
        self._cache: tuple[tuple[int, int] | None, dict[str, CollectionSearches], str | None] = (
            None,
            {},
            None,
        )

    def of(self, uuid: str) -> CollectionSearches:
        with self._lock:
            try:
                everything = self._read()
            except StorageError as error:
                return CollectionSearches(note=f"{error}: {error.hint}")
            return replace(everything.get(uuid, CollectionSearches()), note=self._cache[2])

    def remember(self, uuid: str, state: SearchState) -> None:
        """Put a search first in the history, moving it if it is there already. Its page of hits is not stored."""
        first = state.with_changes()

        def add(searches: CollectionSearches) -> CollectionSearches:
            past = PastSearch(first, datetime.now(UTC).isoformat(timespec="seconds"))
            rest = tuple(one for one in searches.history if one.state != first)
            return replace(searches, history=(past, *rest)[:MAX_HISTORY])

        self._change(uuid, add)

    def forget(self, uuid: str) -> None:
        """Clear the history."""
        self._change(uuid, lambda mine: replace(mine, history=()))

    def save(self, uuid: str, name: str, state: SearchState) -> None:
        """Save a search under a name, replacing another of that name. Raises UsageError."""
        title = check_name(name)

        def add(searches: CollectionSearches) -> CollectionSearches:
            if title not in searches.saved and len(searches.saved) >= MAX_SAVED:
                raise UsageError(f"there are {MAX_SAVED} saved searches already", hint="delete one that is not needed")
            return replace(searches, saved={**searches.saved, title: state.with_changes()})

        self._change(uuid, add)

    def rename(self, uuid: str, name: str, new: str) -> None:
        """Rename a saved search. Raises UsageError if the name is taken or invalid."""
        title = check_name(new)

        def change(searches: CollectionSearches) -> CollectionSearches:
            if title != name and title in searches.saved:
                raise UsageError(f"another search is called {title!r}", hint="choose another name")
            return replace(
                searches, saved={title if one == name else one: state for one, state in searches.saved.items()}
            )

        self._change(uuid, change)

    def delete(self, uuid: str, name: str) -> None:
        self._change(
            uuid, lambda searches: replace(searches, saved={k: v for k, v in searches.saved.items() if k != name})
        )

    def _change(self, uuid: str, change: Callable[[CollectionSearches], CollectionSearches]) -> None:
        """Apply a change to a collection's searches. Raises StorageError if the file cannot be read or written."""
        with self._lock:
            everything = self._read()
            searches = change(everything.pop(uuid, CollectionSearches()))
            # Most recently used collection last; the first are dropped when there are too many.
            everything = dict([*everything.items(), (uuid, searches)][-_COLLECTIONS:])
            self._write(everything)

    def _read(self) -> dict[str, CollectionSearches]:
        """Read the file if it has changed. A damaged one is renamed, which ``note`` reports from then on.

        Raises StorageError.
        """
        stamp = self._stamp()
        if stamp is None or stamp != self._cache[0]:
            document = json_store.load(self.path, "schema", _SCHEMA, _parse_document)
            note = self._cache[2]
            if document.aside is not None:
                note = f"{_BROKEN}; it is now {document.aside}, and a new one begins"
            self._cache = (None if document.content is None else stamp, document.content or {}, note)
        return dict(self._cache[1])

    def _write(self, everything: Mapping[str, CollectionSearches]) -> None:
        document = {"schema": _SCHEMA, "collections": {k: _searches_json(v) for k, v in everything.items()}}
        json_store.save(self.path, document)
        self._cache = (self._stamp(), dict(everything), self._cache[2])

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def check_name(name: str) -> str:
    """Normalise the name of a search. Raises UsageError."""
    title = " ".join(name.split())
    if not title or len(title) > MAX_NAME_LENGTH or not title.isprintable():
        raise UsageError(
            "this cannot be the name of a search",
            hint=f"a name has 1 to {MAX_NAME_LENGTH} characters that can be printed",
        )
    return title


def _searches_json(searches: CollectionSearches) -> dict[str, Any]:
    return {
        "history": [{"at": one.at, "asked": one.state.parameters()} for one in searches.history],
        "saved": {name: state.parameters() for name, state in searches.saved.items()},
    }


def _parse_document(document: Any) -> dict[str, CollectionSearches]:
    return {
        str(uuid): CollectionSearches(
            tuple(PastSearch(_parse_search(one["asked"]), str(one["at"])) for one in searches["history"]),
            {str(name): _parse_search(state) for name, state in searches["saved"].items()},
        )
        for uuid, searches in document["collections"].items()
    }


def _parse_search(parameters: Mapping[str, Sequence[str]]) -> SearchState:
    if not all(isinstance(value, str) for values in parameters.values() for value in values):
        raise ValueError("not the query of an address")
    return parse_address(parameters).state

"""Storage of decisions: at once in a file of this user, and as judgements in the collection when it can be written.

Judging takes the collection's writer lock, which may be held while images are indexed. The user never waits for it: one
thread stores the decisions in order, and withdraws those that were undone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from imseek import duplicates
from imseek.errors import ImseekError, LockedError, StorageError
from imseek.overview import read_state
from imseek.ui.web import json_store
from imseek.ui.web.pages.duplicates.decisions import (
    Decision,
    Key,
    State,
    Verdicts,
    from_json,
    states,
    to_json,
    verdicts_from_json,
    verdicts_to_json,
)

FORMAT: Final = 1
#: Seconds until another attempt if another writer holds the lock.
_RETRY_SECONDS: Final = 2.0


class DecisionStore:
    """Decisions about the groups of one collection. Thread-safe.

    ``settings`` are the options of the last search, with which the form begins. ``written`` is called with the
    generations before and after each commit of judgements. ``note`` says where a damaged file was moved. ``unread`` is
    the error about a file that must be left alone: no decision can be made then.
    """

    def __init__(self, root: Path, file: Path, on_write: Callable[[int, int], None] | None = None) -> None:
        self._root = root
        self._file = file
        self._on_write = on_write or (lambda before, after: None)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._entries: list[Decision] = []
        #: Undone decisions, as the earlier verdicts to restore.
        self._undone: list[Verdicts] = []
        self._states: dict[Key, State] = {}
        self.settings: dict[str, Any] = {}
        self.version = 0
        self.trouble: ImseekError | None = None
        self.note: str | None = None
        self.unread: StorageError | None = None
        with suppress(StorageError):
            self._load()
        self.store()

    @property
    def states(self) -> Mapping[Key, State]:
        return self._states

    @property
    def entries(self) -> tuple[Decision, ...]:
        return tuple(self._entries)

    @property
    def is_storing(self) -> bool:
        """Whether the thread is running, which retries by itself."""
        return self._thread is not None

    @property
    def pending(self) -> int:
        """The number of decisions that are not in the collection yet."""
        return len(self._undone) + sum(one.before is None and bool(one.verdicts) for one in self._entries)

    def add(self, *new: Decision) -> None:
        """Add decisions, each undone by itself.

        Raises StorageError if the file cannot be read or written; then none is added.
        """
        with self._lock:
            self._load_late()
            self._change([*self._entries, *new], self._undone)
        self.store()

    def undo(self) -> Decision | None:
        """Undo the last decision, and return it. Raises as :meth:`add`."""
        with self._lock:
            self._load_late()
            if not self._entries:
                return None
            *rest, last = self._entries
            self._change(rest, [*self._undone, last.before] if last.before else self._undone)
        self.store()
        return last

    def save_settings(self, settings: Mapping[str, Any]) -> None:
        with self._lock:
            with suppress(StorageError):
                self._load_late()
            self.settings = dict(settings)
            with suppress(StorageError):
                self._save()

    def store(self) -> None:
        """Start the thread if there is something to store and it is not running."""
        with self._lock:
            if self._thread is None and self.pending:
                self._thread = threading.Thread(target=self._store, name="imseek judging", daemon=True)
                self._thread.start()

    # -- storing ---------------------------------------------------------------------------------------

    def _store(self) -> None:
        while True:
            with self._lock:
                undone = self._undone[0] if self._undone else None
                new = None if undone is not None else self._new()
                if undone is None and new is None:
                    self._thread, self.trouble = None, None
                    return
            try:
                before = self._judge(undone if undone is not None else new.verdicts if new else {})
            except LockedError as error:
                self.trouble = error
                time.sleep(_RETRY_SECONDS)
                continue
            except Exception as error:  # The page shows it: nobody would catch it here.
                with self._lock:
                    self._thread = None
                    self.trouble = error if isinstance(error, ImseekError) else ImseekError(str(error))
                return
            with self._lock:
                self.trouble = None
                if undone is not None:
                    del self._undone[0]
                elif new is not None:
                    new.before = before
                    if not any(one is new for one in self._entries):  # It was undone meanwhile.
                        self._undone.append(before)
                with suppress(StorageError):
                    self._save()

    def _new(self) -> Decision | None:
        return next((one for one in self._entries if one.before is None and one.verdicts), None)

    def _judge(self, verdicts: Verdicts) -> Verdicts:
        generation = read_state(self._root).generation
        before = duplicates.rejudge(self._root, verdicts)
        after = read_state(self._root).generation
        if after == generation + 1:  # Otherwise another writer has committed too.
            self._on_write(generation, after)
        # Undoing this must not take back verdicts that were stored already.
        return {pair: verdict for pair, verdict in before.items() if verdict != verdicts[pair]}

    # -- the file --------------------------------------------------------------------------------------

    def _change(self, entries: list[Decision], undone: list[Verdicts]) -> None:
        before = self._entries, self._undone
        self._entries, self._undone = entries, undone
        try:
            self._save()
        except BaseException:
            self._entries, self._undone = before
            raise
        self._states = states(entries)
        self.version += 1

    def _save(self) -> None:
        if self.unread is not None:
            raise self.unread
        document = {
            "imseek_review": FORMAT,
            "settings": self.settings,
            "said": to_json(self._entries),
            "undone": [verdicts_to_json(one) for one in self._undone],
        }
        json_store.save(self._file, document)

    def _load(self) -> None:
        """Load the file. A damaged one is renamed: judgements are in the collection all the same. Raises
        StorageError."""
        self.unread = None
        try:
            document = json_store.load(self._file, "imseek_review", FORMAT, _parse_document)
        except StorageError as error:
            self.unread = error
            raise
        if document.aside is not None:
            self.note = f"what was decided here could not be read: its file was damaged, and is now {document.aside}"
        if document.content is not None:
            self._entries, self._undone, self.settings = document.content
            self._states = states(self._entries)

    def _load_late(self) -> None:
        """Load the file if it could not be read before. Raises StorageError."""
        if self.unread is not None:
            self._load()
            self.version += 1


def _parse_document(document: Any) -> tuple[list[Decision], list[Verdicts], dict[str, Any]]:
    undone = [verdicts_from_json(one) for one in document["undone"]]
    return from_json(document["said"]), undone, dict(document["settings"])

"""Following folders: what changes in them is indexed as soon as it has come to rest.

Events only say where to look. What they do not tell (a queue that overflowed, a name that is not UTF-8, changes made
on another host, a disk that was away) a scan of the whole folder finds: when it is known to be due, and regularly.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeAlias

from imseek.collection import AnyPath, Collection
from imseek.data import path_lookup
from imseek.errors import LockedError, MissingExtraError, UsageError, WatchError
from imseek.indexer.debounce import Settling, below, cover
from imseek.indexer.source_lookup import holder, lies_in_collection, pictures_below
from imseek.indexer.sources.files import trouble_at
from imseek.indexer.sources.filters import looks_like_picture
from imseek.types import IndexReport, display_path

Events: TypeAlias = Generator[set[tuple[object, str]], None, None]

#: Seconds between looks at the folders themselves.
TICK: Final = 0.25
#: Paths that one run is asked for; more are put together to the folders that hold them.
PATHS: Final = 64
#: Files below one folder that has appeared, from which on the whole is scanned instead.
MANY: Final = 20_000
#: Seconds that a scan, or more paths than a run takes, waits for files that are still being written.
HOLD: Final = 30.0
#: Images that are looked for where a folder was taken away and something lies there again.
SAMPLE: Final = 200
#: How often in a row the system may refuse to let folders be followed.
REFUSALS: Final = 8
_LONGEST_RETRY: Final = 30.0


def watch(
    collection: Collection,
    paths: Sequence[AnyPath] = (),
    *,
    settle: float = 2.0,
    rescan: float = 3600.0,
    skip_known: bool | Sequence[AnyPath] = False,
    stop: threading.Event | None = None,
    on_report: Callable[[IndexReport], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
) -> None:
    """Keep the collection in line with folders until ``stop`` is set; without ``paths``, with all its folder sources.

    First the folders are indexed, then what changes in them, each time as one :meth:`Collection.index`, whose report
    goes to ``on_report``. A path is taken up when nothing has happened to it for ``settle`` seconds. A folder that
    vanishes, is empty, or has become another one loses nothing: it is waited for. Every ``rescan`` seconds each
    folder is scanned as a whole. Where another writer has the collection, it is tried again. ``on_notice`` is given a
    line for each thing of this kind. ``skip_known`` is that of :meth:`Collection.index`.

    When this returns, what was under way is committed. Raises UsageError (no such folder), MissingExtraError,
    WatchError where the system does not let folders be followed, and what :meth:`Collection.index` raises but
    LockedError.
    """
    _watchfiles()
    stop = stop or threading.Event()
    say = on_notice or (lambda _line: None)
    given = [os.path.abspath(os.path.expanduser(os.fsencode(path))) for path in paths]
    for path in given:
        if not os.path.isdir(path) and (
            os.path.exists(path) or not path_lookup.with_places(collection.path, [path])
        ):
            trouble = "is no folder" if os.path.exists(path) else "does not exist"
            raise UsageError(f"{display_path(path)} {trouble}: folders are followed")
    folders = given or [
        source.root for source in path_lookup.local_sources(collection.path) if _is_folder(source)
    ]
    if not folders:
        raise UsageError("there is no folder to follow", hint="imseek watch FOLDER")
    watching = _Watch(collection, dict.fromkeys(folders), settle, rescan, skip_known, stop, say)
    try:
        for report in watching.runs():
            if on_report is not None:
                on_report(report)
    finally:
        watching.close()


@dataclass(slots=True)
class _Root:
    """A folder that is followed. ``away`` is why it cannot be now; it is scanned as a whole from ``due`` on.

    ``held`` is False until a source holds it: before the first run, where it was not indexed before.
    """

    path: bytes
    due: float
    held: bool = False
    identity: tuple[int, int] | None = None
    away: str | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one run is asked for: ``wholes`` as sources, ``parts`` within sources. ``roots`` are those of the folders
    that are scanned so, ``taken`` the paths that have settled and are dealt with so."""

    roots: list[_Root]
    wholes: set[bytes]
    parts: set[bytes]
    taken: set[bytes]


class _Watch:
    def __init__(
        self,
        collection: Collection,
        folders: dict[bytes, None],
        settle: float,
        rescan: float,
        skip_known: bool | Sequence[AnyPath],
        stop: threading.Event,
        say: Callable[[str], object],
    ) -> None:
        self._collection, self._skip_known = collection, skip_known
        self._settle, self._rescan, self._stop, self._say = settle, rescan, stop, say
        now = time.monotonic()
        self._roots = [_Root(path, now) for path in folders]
        self._settling = Settling(settle)
        self._events: Events | None = None
        self._deaf = False
        self._refusals = 0
        self._nameless: set[bytes] = set()
        self._retry_at, self._retry_after = now, 1.0

    def runs(self) -> Iterator[IndexReport]:
        """Every run of the index, until the event to stop is set."""
        self._look()
        # From here on nothing is missed: events wait while a run is at work.
        self._listen_anew()
        while not self._stop.is_set():
            now = time.monotonic()
            if now >= self._retry_at and (batch := self._due(now)):
                report = self._index(batch)
                if report is not None:
                    yield report
            self._listen()
            if self._look() or self._deaf:
                self._listen_anew()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    # -- the folders -----------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Look at the folders themselves; whether some must be listened to anew."""
        anew = False
        for root in self._roots:
            identity, trouble = self._probe(root)
            if trouble is not None:
                if root.away is None:
                    self._settling.forget([p for p in self._settling if below(root.path, p)])
                if root.away != trouble:
                    self._say(f"{display_path(root.path)}: {trouble}; its images are kept, waiting for it")
                root.away = trouble
                continue
            if root.away is not None or root.identity != identity:
                anew = True
                if root.away is not None or root.identity is not None:
                    self._say(f"{display_path(root.path)} is there again: looking at all of it")
                root.away, root.identity, root.due = None, identity, time.monotonic()
        return anew

    def _probe(self, root: _Root) -> tuple[tuple[int, int] | None, str | None]:
        """What the folder is, and why nothing that is missing in it may be taken for gone."""
        try:
            info = os.stat(root.path)
            with os.scandir(root.path) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            return None, trouble_at(root.path) or str(error.strerror)
        if empty and path_lookup.with_places(self._collection.path, [root.path]):
            return None, "it is empty, perhaps not mounted"
        identity = (info.st_dev, info.st_ino)
        if root.identity not in (None, identity):
            sample = path_lookup.files_below(self._collection.path, root.path, SAMPLE)
            if sample and not any(os.path.lexists(place) for place in sample):
                return (
                    None,
                    "another folder lies there, with none of its images (`imseek index` if that is meant)",
                )
        return identity, None

    def _root_of(self, path: bytes) -> _Root | None:
        holding = [root for root in self._roots if below(root.path, path)]
        return max(holding, key=lambda root: len(root.path), default=None)

    # -- events ----------------------------------------------------------------------------------------

    def _listen_anew(self) -> None:
        """Listen to the folders that are there. The old ear is closed once the new one is open."""
        here = [root for root in self._roots if root.away is None]
        self._deaf = False
        old, self._events = self._events, self._open(here)
        if old is not None:
            self._take(old)
            old.close()

    def _open(self, roots: Sequence[_Root]) -> Events | None:
        watchfiles = _watchfiles()
        names = []
        for root in roots:
            try:
                names.append(root.path.decode("utf-8"))
            except UnicodeDecodeError:
                if root.path not in self._nameless:
                    self._say(
                        f"{display_path(root.path)}: no events can be had of it, since its name is not UTF-8; "
                        f"looking at it every {self._rescan:g} s"
                    )
                self._nameless.add(root.path)
        if not names:
            return None
        events: Events = watchfiles.watch(
            *names,
            watch_filter=None,
            debounce=400,
            step=50,
            rust_timeout=int(TICK * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        )
        try:
            first = next(events, set())  # Only now does it listen.
        except FileNotFoundError:  # One has gone since we looked: the next look says so.
            self._deaf = True
            return None
        except (OSError, RuntimeError) as error:
            # Once or twice that may be a name that cannot be told, as in _take.
            self._deaf, self._refusals = True, self._refusals + 1
            if self._refusals < REFUSALS:
                self._missed()
                return None
            raise WatchError(
                f"folders cannot be followed: {error}",
                hint="where the limit of watches is reached: sysctl fs.inotify.max_user_watches=1048576",
            ) from error
        self._refusals = 0
        self._note(first)
        return events

    def _listen(self) -> None:
        """Take what has happened, or wait for it for a moment."""
        if self._events is None:
            self._stop.wait(TICK)
        elif not self._take(self._events):
            self._events = None
            if not self._stop.is_set():
                self._listen_anew()

    def _take(self, events: Events) -> bool:
        """Note the next events; whether there may be more."""
        try:
            happened = next(events, None)
        except (OSError, RuntimeError):
            # A name that is not UTF-8 does that, and takes along what came with it.
            self._missed()
            return False
        if happened is None:
            return False
        self._note(happened)
        return True

    def _missed(self) -> None:
        """Something has happened, and it is not known where."""
        due = time.monotonic() + self._settle
        for root in self._roots:
            root.due = min(root.due, due)

    def _note(self, happened: set[tuple[object, str]]) -> None:
        if not happened:
            return
        now = time.monotonic()
        sources = path_lookup.local_sources(self._collection.path)
        for _, name in happened:
            path = os.fsencode(name)
            root = self._root_of(path)
            if root is None or path == root.path:
                continue
            held = holder(sources, path)
            # The files of a collection, such as this one, are no pictures.
            if held is None or lies_in_collection(root.path, os.path.dirname(path)):
                continue
            if held.whole or not os.path.isdir(path):
                # What has gone may have been a folder of any name.
                if held.whole or looks_like_picture(path) or not os.path.lexists(path):
                    self._settling.touch(path, now)
                continue
            for n, picture in enumerate(pictures_below(held, path)):
                if n == MANY:
                    root.due = min(root.due, now + self._settle)
                    break
                self._settling.touch(picture, now)

    # -- runs ------------------------------------------------------------------------------------------

    def _due(self, now: float) -> _Batch | None:
        """What has to be indexed now, if anything."""
        ready = self._settling.ready(now)
        gone = {path for path, there in ready.items() if not there}
        strangers = gone - path_lookup.with_places(self._collection.path, gone) if gone else set()
        self._settling.forget(strangers)
        taken = ready.keys() - strangers
        restless = [path for path in self._settling if path not in ready]
        roots = [
            root
            for root in self._roots
            if root.away is None
            and now >= root.due
            and (now >= root.due + HOLD or not any(below(root.path, path) for path in restless))
        ]
        if not roots and not taken:
            return None
        sources = path_lookup.local_sources(self._collection.path)
        # A folder that no source holds is to become one; any other is asked for as a part of what holds it.
        held = {root.path: holder(sources, root.path) for root in roots}
        for root in roots:
            if root.held and held[root.path] is None:  # It must not come back by itself.
                self._say(f"{display_path(root.path)} was taken out of the collection: not followed any more")
                self._roots.remove(root)
                del held[root.path]
                self._deaf = True
        roots = [root for root in roots if root.path in held]
        wholes = {path for path, found in held.items() if found is None or found.source.root == path}
        rest = set()
        for path in taken:
            if any(below(root.path, path) for root in roots):
                continue
            found = holder(sources, path)
            if found is not None and found.whole:
                wholes.add(found.source.root)
            elif found is not None:
                rest.add(path)
            else:
                self._settling.forget([path])
        parts = cover(rest, restless, {root.path for root in self._roots}, PATHS)
        if len(parts) > PATHS:
            # Some of the folders hold what is still being written: later, or all of them.
            for path in parts:
                if (followed := self._root_of(path)) is not None:
                    followed.due = min(followed.due, now)
            parts, taken = set(), taken - rest
        parts |= held.keys() - wholes
        return _Batch(roots, wholes, parts, taken) if wholes or parts else None

    def _index(self, batch: _Batch) -> IndexReport | None:
        """One run; None where it could not be, and what it was for goes on to wait."""
        if self._look():  # A disk that has gone in this very moment is not taken for emptied.
            self._listen_anew()
        asked = batch.wholes | batch.parts
        if any(root.away and any(below(root.path, path) for path in asked) for root in self._roots):
            return None
        began = time.monotonic()
        try:
            wholes, parts = sorted(batch.wholes), sorted(batch.parts)
            report = self._collection.index(wholes, names=parts, skip_known=self._skip_known, stop=self._stop)
        except (LockedError, UsageError) as error:  # The latter where a folder has gone in this very moment.
            if self._retry_after == 1.0:
                self._say(f"{error}; trying again")
            self._retry_at = time.monotonic() + self._retry_after
            self._retry_after = min(2 * self._retry_after, _LONGEST_RETRY)
            return None
        self._retry_after = 1.0
        self._settling.forget(batch.taken)
        for root in batch.roots:
            root.due, root.held = began + self._rescan, True
        return report


def _is_folder(source: path_lookup.LocalSource) -> bool:
    """Whether a source is a folder, or was one where it is not there now."""
    return source.kind in ("folder", "imagefolder") or os.path.isdir(source.root)


def _watchfiles() -> ModuleType:
    """The library that asks the system for events. Raises MissingExtraError."""
    try:
        import watchfiles
    except ImportError as error:
        raise MissingExtraError("watchfiles", "watch") from error
    return watchfiles

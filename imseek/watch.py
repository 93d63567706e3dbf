"""Watch folders, and index changes once they have settled.

Events only say where to look. A scan of the whole folder finds what they miss (a queue overflow, a name that is not
UTF-8, changes made on another host, a disk that was absent): when one is known to be needed, and regularly.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeAlias

from imseek import ocr
from imseek.collection import AnyPath, Collection
from imseek.data.catalog import path_lookup
from imseek.errors import LockedError, MissingExtraError, UsageError, WatchError
from imseek.indexer.containing_source import find_source, lies_in_collection, pictures_below
from imseek.indexer.debounce import PathDebouncer, below, cover
from imseek.indexer.sources.filters import looks_like_picture
from imseek.indexer.sources.local_files import trouble_at
from imseek.indexer.sources.sidecar_files import is_sidecar, pictures_beside
from imseek.tilde_expansion import expand_user
from imseek.types.indexing_runs import FOLDER_KINDS, IndexReport
from imseek.types.pictures import display_path

Events: TypeAlias = Generator[set[tuple[object, str]], None, None]

#: Seconds between checks of the folders themselves.
TICK: Final = 0.25
#: Paths per run; beyond that, they are merged into the folders that hold them.
MAX_PATHS: Final = 64
#: Files below a new folder beyond which the whole is scanned instead.
RESCAN_THRESHOLD: Final = 20_000
#: Seconds that a scan, or a run of merged paths, waits for files still being written.
MAX_HOLD: Final = 30.0
#: Images checked when a watched folder has been replaced by another.
SAMPLE_SIZE: Final = 200
#: Seconds for which the text in pictures is read before changes of files are looked at again.
TEXT_SECONDS: Final = 30.0
#: Consecutive failures to set up watches before giving up.
MAX_REFUSALS: Final = 8
_MAX_RETRY: Final = 30.0


def watch(
    collection: Collection,
    paths: Sequence[AnyPath] = (),
    *,
    settle: float = 2.0,
    rescan: float = 3600.0,
    skip_known: bool | Sequence[AnyPath] = False,
    untrusted: bool = False,
    stop: threading.Event | None = None,
    on_report: Callable[[IndexReport], object] | None = None,
    on_notice: Callable[[str], object] | None = None,
) -> None:
    """Keep the collection in line with folders until ``stop`` is set; by default, with all its folder sources.

    First the folders are indexed, then each batch of changes, by :meth:`Collection.index`; its reports go to
    ``on_report``. A path is indexed once nothing has happened to it for ``settle`` seconds. A folder that vanishes, is
    empty or has been replaced loses no images: the watch waits for it to return. Every ``rescan`` seconds each folder
    is scanned as a whole. If another writer has the collection, runs are retried. ``on_notice`` receives a line for
    each of these events. ``skip_known`` and ``untrusted`` are those of :meth:`Collection.index`. Where the collection's
    pictures are read (:func:`imseek.ocr.is_active`), the text in new ones is, whenever no change is due.

    On return, all work in progress is committed. Raises UsageError (no such folder), MissingExtraError, WatchError if
    the system cannot watch the folders, and whatever :meth:`Collection.index` raises except LockedError.
    """
    _watchfiles()
    stop = stop or threading.Event()
    say = on_notice or (lambda _line: None)
    absolute_paths = [os.path.abspath(os.fsencode(expand_user(path))) for path in paths]
    for path in absolute_paths:
        if not os.path.isdir(path) and (
            os.path.exists(path) or not path_lookup.paths_with_images(collection.path, [path])
        ):
            trouble = "is not a folder" if os.path.exists(path) else "does not exist"
            raise UsageError(f"{display_path(path)} {trouble}: folders are followed")
    folders = absolute_paths or [
        source.root for source in path_lookup.local_sources(collection.path) if _is_folder(source)
    ]
    if not folders:
        raise UsageError("there is no folder to follow", hint="imseek watch FOLDER")
    watching = _FolderWatcher(collection, dict.fromkeys(folders), settle, rescan, skip_known, untrusted, stop, say)
    try:
        for report in watching.runs():
            if on_report is not None:
                on_report(report)
    finally:
        watching.close()


@dataclass(slots=True)
class _WatchedFolder:
    """A watched folder. ``away`` says why it is unavailable; a full scan is due at ``due``.

    ``has_source`` is False until the folder belongs to a source: before the first run, if it was not indexed yet.
    """

    path: bytes
    due: float
    has_source: bool = False
    identity: tuple[int, int] | None = None
    away: str | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """The work of one run: ``wholes`` are whole sources, ``parts`` paths within sources.

    ``roots`` are the folders scanned completely, ``paths`` the settled paths that this run covers.
    """

    roots: list[_WatchedFolder]
    wholes: set[bytes]
    parts: set[bytes]
    paths: set[bytes]


class _Slice(threading.Event):
    """Is set when another event is, or after ``seconds``."""

    def __init__(self, stop: threading.Event, seconds: float) -> None:
        super().__init__()
        self._stop_event, self._end = stop, time.monotonic() + seconds

    def is_set(self) -> bool:
        return self._stop_event.is_set() or time.monotonic() >= self._end


class _FolderWatcher:
    def __init__(
        self,
        collection: Collection,
        folders: dict[bytes, None],
        settle: float,
        rescan: float,
        skip_known: bool | Sequence[AnyPath],
        untrusted: bool,
        stop: threading.Event,
        say: Callable[[str], object],
    ) -> None:
        self._collection, self._skip_known, self._untrusted = collection, skip_known, untrusted
        self._settle, self._rescan, self._stop, self._say = settle, rescan, stop, say
        now = time.monotonic()
        self._roots = [_WatchedFolder(path, now) for path in folders]
        self._settling = PathDebouncer(settle)
        self._events: Events | None = None
        self._deaf = False
        self._refusals = 0
        self._nameless: set[bytes] = set()
        self._retry_at, self._retry_after = now, 1.0
        self._has_unread, self._text_seconds = False, TEXT_SECONDS

    def runs(self) -> Iterator[IndexReport]:
        """Yield the report of each index run, until the stop event is set."""
        self._look()
        # From here on nothing is missed: events queue up during a run.
        self._reopen_events()
        while not self._stop.is_set():
            now = time.monotonic()
            if now >= self._retry_at:
                if batch := self._next_batch(now):
                    report = self._index(batch)
                    if report is not None:
                        self._has_unread = True
                        yield report
                elif self._has_unread:
                    self._read_texts()
            self._wait_for_events()
            if self._look() or self._deaf:
                self._reopen_events()

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    # -- the folders -----------------------------------------------------------------------------------

    def _look(self) -> bool:
        """Check the folders themselves; returns whether the event stream must be reopened."""
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

    def _probe(self, root: _WatchedFolder) -> tuple[tuple[int, int] | None, str | None]:
        """Return the folder's identity, or why missing files must not be treated as deleted."""
        try:
            info = os.stat(root.path)
            with os.scandir(root.path) as entries:
                empty = next(entries, None) is None
        except OSError as error:
            return None, trouble_at(root.path) or str(error.strerror)
        if empty and path_lookup.paths_with_images(self._collection.path, [root.path]):
            return None, "it is empty, perhaps not mounted"
        identity = (info.st_dev, info.st_ino)
        if root.identity not in (None, identity):
            sample = path_lookup.files_below(self._collection.path, root.path, SAMPLE_SIZE)
            if sample and not any(os.path.lexists(place) for place in sample):
                return (
                    None,
                    "another folder lies there, with none of its images (`imseek index` if that is meant)",
                )
        return identity, None

    def _folder_of(self, path: bytes) -> _WatchedFolder | None:
        holders = [root for root in self._roots if below(root.path, path)]
        return max(holders, key=lambda root: len(root.path), default=None)

    # -- events ----------------------------------------------------------------------------------------

    def _reopen_events(self) -> None:
        """Reopen the event stream for the available folders. The old one is closed only then."""
        available = [root for root in self._roots if root.away is None]
        self._deaf = False
        old, self._events = self._events, self._open(available)
        if old is not None:
            self._take(old)
            old.close()

    def _open(self, roots: Sequence[_WatchedFolder]) -> Events | None:
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
            first = next(events, set())  # Watching starts only now.
        except FileNotFoundError:  # A folder has just gone: the next check reports it.
            self._deaf = True
            return None
        except (OSError, RuntimeError) as error:
            # The first few failures may be due to an undecodable name, as in _take.
            self._deaf, self._refusals = True, self._refusals + 1
            if self._refusals < MAX_REFUSALS:
                self._schedule_rescan()
                return None
            raise WatchError(
                f"folders cannot be followed: {error}",
                hint="where the limit of watches is reached: sysctl fs.inotify.max_user_watches=1048576",
            ) from error
        self._refusals = 0
        self._note(first)
        return events

    def _wait_for_events(self) -> None:
        """Note new events, or wait for some for a moment."""
        if self._events is None:
            self._stop.wait(TICK)
        elif not self._take(self._events):
            self._events = None
            if not self._stop.is_set():
                self._reopen_events()

    def _take(self, events: Events) -> bool:
        """Note the next events; returns whether more may follow."""
        try:
            happened = next(events, None)
        except (OSError, RuntimeError):
            # An undecodable name causes this, and the events that came with it are lost.
            self._schedule_rescan()
            return False
        if happened is None:
            return False
        self._note(happened)
        return True

    def _schedule_rescan(self) -> None:
        """Schedule a scan of all folders, because events were lost."""
        due = time.monotonic() + self._settle
        for root in self._roots:
            root.due = min(root.due, due)

    def _note(self, events: set[tuple[object, str]]) -> None:
        if not events:
            return
        now = time.monotonic()
        sources = path_lookup.local_sources(self._collection.path)
        for _, name in events:
            path = os.fsencode(name)
            root = self._folder_of(path)
            if root is None or path == root.path:
                continue
            place = find_source(sources, path)
            # Files of a collection, such as this one, are not pictures.
            if place is None or lies_in_collection(root.path, os.path.dirname(path)):
                continue
            if place.is_container or not os.path.isdir(path):
                # A path that is gone may have been a folder of any name.
                if place.is_container or looks_like_picture(path) or not os.path.lexists(path):
                    self._settling.touch(path, now)
                for picture in pictures_beside(path) if is_sidecar(path) and not place.is_container else ():
                    self._settling.touch(picture, now)
                continue
            for n, picture in enumerate(pictures_below(place, path)):
                if n == RESCAN_THRESHOLD:
                    root.due = min(root.due, now + self._settle)
                    break
                self._settling.touch(picture, now)

    # -- runs ------------------------------------------------------------------------------------------

    def _next_batch(self, now: float) -> _Batch | None:
        """Return what must be indexed now, if anything."""
        stable = self._settling.ready(now)
        vanished = {path for path, exists in stable.items() if not exists}
        strangers = vanished - path_lookup.paths_with_images(self._collection.path, vanished) if vanished else set()
        self._settling.forget(strangers)
        paths = stable.keys() - strangers
        restless = [path for path in self._settling if path not in stable]
        roots = [
            root
            for root in self._roots
            if root.away is None
            and now >= root.due
            and (now >= root.due + MAX_HOLD or not any(below(root.path, path) for path in restless))
        ]
        if not roots and not paths:
            return None
        sources = path_lookup.local_sources(self._collection.path)
        # A folder without a source becomes one; any other is indexed as part of its source.
        source_of_folder = {root.path: find_source(sources, root.path) for root in roots}
        for root in roots:
            if root.has_source and source_of_folder[root.path] is None:  # It must not come back by itself.
                self._say(f"{display_path(root.path)} was taken out of the collection: not followed any more")
                self._roots.remove(root)
                del source_of_folder[root.path]
                self._deaf = True
        roots = [root for root in roots if root.path in source_of_folder]
        wholes = {path for path, place in source_of_folder.items() if place is None or place.source.root == path}
        single_paths = set()
        for path in paths:
            if any(below(root.path, path) for root in roots):
                continue
            place = find_source(sources, path)
            if place is not None and place.is_container:
                wholes.add(place.source.root)
            elif place is not None:
                single_paths.add(path)
            else:
                self._settling.forget([path])
        parts = cover(single_paths, restless, {root.path for root in self._roots}, MAX_PATHS)
        if len(parts) > MAX_PATHS:
            # Some of these folders hold files still being written, so scan whole folders later.
            for path in parts:
                if (followed := self._folder_of(path)) is not None:
                    followed.due = min(followed.due, now)
            parts, paths = set(), paths - single_paths
        parts |= source_of_folder.keys() - wholes
        return _Batch(roots, wholes, parts, paths) if wholes or parts else None

    def _index(self, batch: _Batch) -> IndexReport | None:
        """Run the index for a batch; returns None if that was impossible, and the batch stays due."""
        if self._look():  # A disk that has just gone must not look emptied.
            self._reopen_events()
        paths = batch.wholes | batch.parts
        if any(root.away and any(below(root.path, path) for path in paths) for root in self._roots):
            return None
        began = time.monotonic()
        try:
            wholes, parts = sorted(batch.wholes), sorted(batch.parts)
            report = self._collection.index(
                wholes, names=parts, skip_known=self._skip_known, untrusted=self._untrusted, stop=self._stop
            )
        except (LockedError, UsageError) as error:  # UsageError: a folder has just gone.
            self._retry_later(error)
            return None
        self._retry_after = 1.0
        self._settling.forget(batch.paths)
        for root in batch.roots:
            root.due, root.has_source = began + self._rescan, True
        return report

    def _retry_later(self, error: Exception) -> None:
        if self._retry_after == 1.0:
            self._say(f"{error}; trying again")
        self._retry_at = time.monotonic() + self._retry_after
        self._retry_after = min(2 * self._retry_after, _MAX_RETRY)

    def _read_texts(self) -> None:
        """Read the text in new pictures for a while, if the collection's pictures are read."""
        try:
            if not ocr.is_active(self._collection.path):
                self._has_unread = False
                return
            report = ocr.recognise(self._collection, stop=_Slice(self._stop, self._text_seconds))
        except LockedError as error:
            self._retry_later(error)
            return
        except (MissingExtraError, UsageError) as error:
            self._has_unread = False
            self._say(f"the text in new pictures is not read: {error}" + (f" ({error.hint})" if error.hint else ""))
            return
        self._retry_after = 1.0
        self._has_unread = report.interrupted
        # If there was no time for a single picture, the next slice is longer.
        is_stuck = report.interrupted and not report.read + report.unreadable
        self._text_seconds = 2 * self._text_seconds if is_stuck else TEXT_SECONDS
        if report.read:
            self._say(f"read {report.read:,} pictures for text; {report.with_text:,} have some")


def _is_folder(source: path_lookup.LocalSource) -> bool:
    """Whether a source is a folder, or was one if it is gone now."""
    return source.kind in FOLDER_KINDS or os.path.isdir(source.root)


def _watchfiles() -> ModuleType:
    """Import the library that receives file events. Raises MissingExtraError."""
    try:
        import watchfiles
    except ImportError as error:
        raise MissingExtraError("watchfiles", "watch") from error
    return watchfiles

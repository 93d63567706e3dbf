"""Watch what a run of imseek touches of the canaries around it.

An :class:`~hostile.arena.Arena` is a folder with a home, a library, pictures and canaries. A
:class:`~hostile.runner.Runner` runs functions in children of a fork server. :func:`observe` runs one of them and says
what it touched, from five sources: the audit hook in the child, inotify on the canaries (native code too), their state
before and after, a listener for connections, and the child's end. :mod:`hostile.strace` watches a real process.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from inotify_simple import INotify, flags

from hostile.arena import Arena
from hostile.findings import SECONDS, Finding, Outcome, leaks
from hostile.runner import Runner

_CANARY_EVENTS: Final = (
    flags.OPEN
    | flags.ACCESS
    | flags.MODIFY
    | flags.ATTRIB
    | flags.CREATE
    | flags.DELETE
    | flags.MOVED_FROM
    | flags.MOVED_TO
)


class _State(NamedTuple):
    mode: int
    size: int
    mtime_ns: int
    content: str


def _state(path: Path) -> _State:
    """Type, mode, size, time and content of a path, links not followed; of a folder, its mode only."""
    info = path.lstat()
    if stat.S_ISDIR(info.st_mode):
        return _State(info.st_mode, 0, 0, "")
    content = _digest(path, info.st_ino, info.st_ctime_ns) if stat.S_ISREG(info.st_mode) else ""
    return _State(info.st_mode, info.st_size, info.st_mtime_ns, content)


@lru_cache(maxsize=4096)
def _digest(path: Path, inode: int, ctime_ns: int) -> str:
    """The sha256 of a file; inode and time say whether it is known already."""
    del inode, ctime_ns
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Canaries:
    """A watch on canaries: inotify on their folders, and their state at the beginning.

    Folders are told by :meth:`Arena.canaries`. ``pictures`` are watched for writing only.
    """

    def __init__(self, arena: Arena, spare: Sequence[Path], pictures: Sequence[Path]) -> None:
        self._arena, self._spare, self._pictures = arena, spare, pictures
        self._above = above(spare)
        self._before = dict(self._states())
        # All before the first watch is set: to list a folder is an event.
        folders = [path for path in arena.canaries(spare) if path.is_dir() and not path.is_symlink()]
        self._inotify = INotify()
        self._folders = {self._inotify.add_watch(path, _CANARY_EVENTS): path for path in folders}

    def close(self) -> None:
        self._inotify.close()

    def findings(self) -> list[Finding]:
        """What was done to the canaries since the beginning."""
        events = list(self._events())
        after = dict(self._states())
        return [*events, *self._changes(after)]

    def _states(self) -> Iterator[tuple[Path, _State]]:
        for path in (*self._arena.canaries(self._spare), *self._pictures):
            with suppress(FileNotFoundError):
                yield path, _state(path)

    def _events(self) -> Iterator[Finding]:
        for event in self._inotify.read(timeout=0):
            seen = event.mask & (flags.OPEN | flags.ACCESS)
            path = self._folders[event.wd] / event.name
            if seen and self._is_canary(path):
                yield Finding("canary read", f"{_names(seen)} {path}")

    def _is_canary(self, path: Path) -> bool:
        """Whether nobody may read a path below a watched folder, which may be one of the arena's own folders."""
        own = (*self._spare, *self._arena.own, *self._arena.inputs)
        return path not in self._above and not any(path.is_relative_to(one) for one in own)

    def _changes(self, after: Mapping[Path, _State]) -> Iterator[Finding]:
        for path in self._before.keys() | after.keys():
            before, now = self._before.get(path), after.get(path)
            if before is None:
                yield Finding("canary written", f"created {path}")
            elif now is None:
                yield Finding("canary deleted", f"deleted {path}")
            elif now != before:
                yield Finding("canary written", f"changed {path}")


def above(paths: Sequence[Path]) -> frozenset[Path]:
    """The folders above some paths: who writes there may list them, and makes new names in them durable."""
    return frozenset(folder for path in paths for folder in path.parents)


def _names(mask: int) -> str:
    return "|".join(flag.name.lower() for flag in flags.from_mask(mask) if flag.name)


#: What no program under test can know to send.
_OWN: Final = secrets.token_bytes(16)


class Listener:
    """A port of this machine that nobody may connect to. A context manager; :attr:`port` is its number."""

    def __enter__(self) -> Listener:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._seen: list[str] = []
        self._own = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def findings(self) -> list[Finding]:
        """Connections since the last call: connections come in turn, so one of our own tells that all have come."""
        self._own.clear()
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            own.sendall(_OWN)
        assert self._own.wait(30)
        seen, self._seen = self._seen, []
        return [Finding("socket", f"connected: {data}") for data in seen]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(1)
                data = b""
                with suppress(OSError):
                    data = connection.recv(80)
            if data == _OWN:
                self._own.set()
            else:
                self._seen.append(repr(data))


@contextmanager
def canaries(arena: Arena, spare: Sequence[Path], pictures: Sequence[Path] = ()) -> Iterator[Canaries]:
    """A watch on the canaries of an arena for the body of the ``with``."""
    watch = Canaries(arena, spare, pictures)
    try:
        yield watch
    finally:
        watch.close()


def observe(
    runner: Runner,
    listener: Listener,
    arena: Arena,
    function: str,
    arguments: Mapping[str, Any],
    *,
    spare: Sequence[Path],
    pictures: Sequence[Path] = (),
    reads: Sequence[str] = (),
    seconds: float = SECONDS,
) -> Outcome:
    """Run a function in a child and gather all findings.

    ``spare`` are paths of the arena that it may read and write, such as the collection; ``pictures`` files that it may
    read, and that are compared afterwards. ``reads`` are further real paths that it may read.
    """
    listener.findings()
    with canaries(arena, spare, pictures) as watch:
        outcome = runner.run(
            function,
            arguments,
            writes=arena.writable(*spare),
            reads=reads,
            folders=[str(path) for path in above([*spare, arena.photos])],
            seconds=seconds,
        )
        found = [*watch.findings(), *listener.findings()]
    given = [outcome.out, outcome.err, *(path.read_bytes() for path in _files(arena.out))]
    findings = dict.fromkeys([*outcome.findings, *found, *leaks(given)])
    return Outcome(outcome.code, outcome.out, outcome.err, tuple(findings), outcome.cpu, outcome.memory)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())

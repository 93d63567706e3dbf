"""Archives and tables that lie elsewhere: in object stores, on web servers, wherever fsspec reaches.

The URL was named by the user, not found in data, so it is asked as it is.
"""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections.abc import Iterator
from typing import IO, Any, Final, Generic, TypeVar

from imseek.data.catalog import UNKNOWN_STAT, FileStat
from imseek.errors import MissingExtraError, UsageError
from imseek.types import display_path

T = TypeVar("T")

#: Facts that tell whether a file has changed, under the names that file systems give them.
_VERSIONS: Final = (
    "ETag", "etag", "md5Hash", "Content-MD5", "checksum", "generation", "mtime", "modified", "LastModified",
    "last_modified", "Last-Modified", "updated", "created",
)  # fmt: skip
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MAGIC: Final = frozenset("*?[{")


def listing(root: bytes) -> list[tuple[bytes, FileStat]]:
    """The files that a URL names: one, all below a folder, or what a pattern (``{000..099}``, ``*``) matches.

    With the stat of each, in the order of their names. Raises OSError, MissingExtraError, UsageError.
    """
    url = os.fsdecode(root)
    system, path = _file_system(url)
    found: dict[str, dict[str, Any]] = {}
    for one in _expanded(path):
        if _MAGIC & set(one):
            found.update(system.glob(one, detail=True))
        else:
            info = system.info(one)
            below = info["type"] == "directory"
            found.update(system.find(one, detail=True) if below else {one: info})
    return [
        (os.fsencode(system.unstrip_protocol(name)), _stat(info))
        for name, info in sorted(found.items())
        if info["type"] == "file"
    ]


def stat(url: bytes) -> FileStat:
    """Raises OSError (FileNotFoundError), MissingExtraError, UsageError."""
    system, path = _file_system(os.fsdecode(url))
    return _stat(system.info(path))


def is_gone(url: bytes) -> bool:
    """Whether a file is certainly not there any more."""
    try:
        stat(url)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def open_binary(url: bytes) -> IO[bytes]:
    """A file that can seek, where the server sends parts of files. Raises as :func:`stat`."""
    system, path = _file_system(os.fsdecode(url))
    opened: IO[bytes] = system.open(path, "rb")
    return opened


def _file_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise MissingExtraError(f"what reads {protocol}://", _EXTRAS.get(protocol, "remote")) from error
    except ValueError as error:
        raise UsageError(f"cannot read {display_path(os.fsencode(url))}: {error}") from error
    return system, path


def _expanded(path: str) -> list[str]:
    if "{" not in path:
        return [path]
    try:
        from braceexpand import braceexpand
    except ImportError as error:
        raise MissingExtraError("braceexpand", "remote") from error
    return list(braceexpand(path))


def _stat(info: dict[str, Any]) -> FileStat:
    """Size and version of a remote file; ``UNKNOWN_STAT`` where nothing tells whether it has changed."""
    versions = {name: str(info[name]) for name in _VERSIONS if info.get(name) is not None}
    if not versions or info.get("size") is None:
        return UNKNOWN_STAT
    digest = hashlib.sha256(repr(sorted(versions.items())).encode()).digest()
    return FileStat(int(info["size"]), 0, 0, int.from_bytes(digest[:8], "big") >> 1, time.time_ns())


class Ahead(Generic[T]):
    """An iterator that a thread runs ahead of, by ``most`` items: so that a network does not wait for an encoder."""

    def __init__(self, items: Iterator[T], most: int) -> None:
        self._items = items
        self._most = most

    def __iter__(self) -> Iterator[T]:
        waiting: queue.Queue[tuple[bool, Any]] = queue.Queue(self._most)
        given_up = threading.Event()
        thread = threading.Thread(target=self._run, args=(waiting, given_up), daemon=True)
        thread.start()
        try:
            while True:
                more, value = waiting.get()
                if more:
                    yield value
                elif value is None:
                    return
                else:
                    raise value
        finally:
            given_up.set()
            with waiting.mutex:  # A thread that waits for room finds it, and ends.
                waiting.queue.clear()
                waiting.not_full.notify_all()

    def _run(self, waiting: queue.Queue[tuple[bool, Any]], given_up: threading.Event) -> None:
        end: tuple[bool, Any] = (False, None)
        try:
            for item in self._items:
                if given_up.is_set():
                    return
                waiting.put((True, item))
        except BaseException as error:  # Raised where the items are taken.
            end = (False, error)
        waiting.put(end)

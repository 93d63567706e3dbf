"""Archives and tables that lie elsewhere: in object stores, on web servers, wherever fsspec reaches.

The URL was named by the user, not found in data, so it is asked as it is.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

from imseek.data.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import ImseekError, MissingExtraError, UsageError
from imseek.types import display_path

#: Facts that tell whether a file has changed, under the names that file systems give them.
_VERSIONS: Final = (
    "ETag", "etag", "md5Hash", "Content-MD5", "checksum", "generation", "mtime", "modified", "LastModified",
    "last_modified", "Last-Modified", "updated", "created",
)  # fmt: skip
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MAGIC: Final = frozenset("*?[")
#: Files that a server is asked about at once.
_ASKED_AT_ONCE: Final = 16
#: Bytes of a stream that are asked for at once.
_READ_AT_ONCE: Final = 2**20


def check(root: bytes, *, writing: bool = False) -> None:
    """Whether there is all that reads, or writes, a URL; nobody is asked. Raises MissingExtraError, UsageError."""
    system, path = _file_system(os.fsdecode(root))
    _expanded(path)
    if writing and "http" in system.protocol:
        raise UsageError(f"nothing can be written to {display_path(root)}")


def listing(root: bytes) -> tuple[list[tuple[bytes, FileStat]], list[bytes]]:
    """The files that a URL names: one, all below a folder, or what a pattern (``{000..099}``, ``*``) matches.

    With the stat of each, in the order of their names; and those that a pattern in braces names and that are not there,
    or cannot be reached. Raises OSError (FileNotFoundError where none is there), MissingExtraError, UsageError.
    """
    system, path = _file_system(os.fsdecode(root))
    named = _expanded(path)
    found: dict[str, dict[str, Any]] = {}
    missing = []
    trouble: OSError = FileNotFoundError(errno.ENOENT, "it is not there")
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        for one, files in zip(named, pool.map(lambda one: _files(system, one), named), strict=True):
            if not isinstance(files, OSError):
                found.update(files)
                continue
            missing.append(os.fsencode(system.unstrip_protocol(one)))
            if not isinstance(files, FileNotFoundError):
                trouble = files
    if len(missing) == len(named):
        raise trouble
    stats = [
        (os.fsencode(system.unstrip_protocol(name)), _stat(info))
        for name, info in sorted(found.items())
        if info["type"] == "file"
    ]
    return stats, missing


def _files(system: Any, path: str) -> dict[str, dict[str, Any]] | OSError:
    """What is known of the files that a path without braces names, by their paths; or why there are none."""
    # A question mark in a web address begins its query.
    magic = _MAGIC - {"?"} if "http" in system.protocol else _MAGIC
    try:
        with _explained():
            if magic & set(path):
                matching: dict[str, dict[str, Any]] = system.glob(path, detail=True)
                return matching
            info = system.info(path)
            if info["type"] != "directory":
                return {path: info}
            below: dict[str, dict[str, Any]] = system.find(path, detail=True)
            return below
    except OSError as error:
        return error


def stat(url: bytes) -> FileStat:
    """Raises OSError (FileNotFoundError), MissingExtraError, UsageError."""
    system, path = _file_system(os.fsdecode(url))
    with _explained():
        return _stat(system.info(path))


def is_there(url: bytes) -> bool:
    """Raises OSError where nobody can tell, MissingExtraError, UsageError."""
    try:
        stat(url)
    except FileNotFoundError:
        return False
    return True


def is_gone(url: bytes) -> bool:
    """Whether a file is certainly not there any more."""
    try:
        return not is_there(url)
    except OSError:
        return False


def open_binary(url: bytes) -> IO[bytes]:
    """A file that can seek, where the server sends parts of files. Raises as :func:`stat`, also while it is read."""
    system, path = _file_system(os.fsdecode(url))
    with _explained():
        whole = "http" in system.protocol and not _sends_parts(system, path)
        opened = system.open(path, "rb", block_size=0) if whole else system.open(path, "rb")
        return io.BufferedReader(_File(opened, seekable=not whole), _READ_AT_ONCE)


@contextmanager
def new_binary(url: bytes) -> Iterator[io.RawIOBase]:
    """A file to be written, which is there, and whole, once the body has ended well; else there is what was before.

    Raises as :func:`stat`, also while it is written, and what the body raises.
    """
    # A transaction takes up all that is written to its file system, by other threads too.
    system, path = _file_system(os.fsdecode(url), shared=False)
    transaction = system.transaction
    with _explained():
        transaction.start()
        file = _File(system.open(path, "wb"), seekable=False)
    try:
        yield file
        file.close()
        with _explained():
            transaction.complete(commit=True)
    except BaseException:
        for end in (file.close, lambda: transaction.complete(commit=False)):
            with suppress(Exception):  # What failed first is told.
                end()
        raise


def _sends_parts(system: Any, path: str) -> bool:
    """Whether a web server heeds what part is asked for; one that does not sends the whole each time."""
    with system.open(path, "rb", block_size=0, headers={"Range": "bytes=0-0"}) as answer:
        return bool(answer.r.status == 206)


class _File(io.RawIOBase):
    """A file of fsspec whose errors are OSErrors with a number: what fails on the way is no damage of the file."""

    def __init__(self, file: Any, *, seekable: bool) -> None:
        self._file = file
        self._seekable = seekable

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._seekable

    def readinto(self, buffer: Any) -> int:
        with _explained():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with _explained():
            return int(self._file.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _explained():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        try:
            if not self.closed:
                with _explained():
                    self._file.close()
        finally:
            super().close()  # Else it is tried again when it is collected.


@contextmanager
def _explained() -> Iterator[None]:
    """Whatever a file system raises as OSError with a number: each has errors of its own."""
    try:
        yield
    except (ImseekError, InterruptedError):  # The latter is a wish of ours, without a number.
        raise
    except FileNotFoundError as error:
        # fsspec says so of whatever a web server answers, and where there is none.
        cause = error.__cause__
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410):
            raise FileNotFoundError(errno.ENOENT, "it is not there") from error
        raise OSError(errno.EIO, _said(cause)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, PermissionError):
            said = f"access is denied: {error} (are the credentials those of this server?)"
            raise PermissionError(errno.EACCES, said) from error
        raise OSError(errno.EIO, _said(error)) from error


def _said(error: BaseException) -> str:
    """What went wrong, in one line. That there is no bucket, S3's libraries say in several ways."""
    said = str(error)
    if "NoSuchBucket" in said or ("HeadBucket" in said and "404" in said):
        return "there is no such bucket"
    return f"{type(error).__name__}: {said}"


def _file_system(url: str, *, shared: bool = True) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    try:
        # Nothing is kept of what was listed: others write there too.
        system, path = url_to_fs(url, use_listings_cache=False, skip_instance_cache=not shared)
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

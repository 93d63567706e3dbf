"""Archives and tables in object stores, on web servers, or wherever else fsspec reaches.

The user named the URL, it was not found in data, so it is accessed without address checks.
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

from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import ImseekError, MissingExtraError, UsageError
from imseek.indexer.sources.base import MISSING
from imseek.progress import Cancelled
from imseek.types.pictures import display_path

#: Details that show whether a file has changed, under the names of various file systems.
_VERSION_FIELDS: Final = (
    "ETag", "etag", "md5Hash", "Content-MD5", "checksum", "generation", "mtime", "modified", "LastModified",
    "last_modified", "Last-Modified", "updated", "created",
)  # fmt: skip
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
_MAGIC: Final = frozenset("*?[")
#: Concurrent requests to a server.
_MAX_REQUESTS: Final = 16
#: Bytes of a stream to read at a time.
_BUFFER_SIZE: Final = 2**20


def check_url(root: bytes, *, writing: bool = False) -> None:
    """Check that everything needed to read (or write) a URL is installed, without accessing it.

    Raises MissingExtraError, UsageError.
    """
    system, path = _file_system(os.fsdecode(root))
    _expand_braces(path)
    if writing and "http" in system.protocol:
        raise UsageError(f"nothing can be written to {display_path(root)}")


def try_list_files(root: bytes) -> tuple[list[tuple[bytes, FileStat]], list[bytes], str | None]:
    """List files as :func:`list_files`; returns also why that is not possible, or None."""
    try:
        return *list_files(root), None
    except FileNotFoundError:
        return [], [], MISSING
    except OSError as error:
        return [], [], str(error.strerror or error)


def list_files(root: bytes) -> tuple[list[tuple[bytes, FileStat]], list[bytes]]:
    """List the files that a URL names: one, all below a folder, or the matches of a pattern (``{000..099}``, ``*``).

    Returns them with their stats, sorted by name; and those named by braces that are missing or unreachable. Raises
    OSError (FileNotFoundError where none exists), MissingExtraError, UsageError.
    """
    system, path = _file_system(os.fsdecode(root))
    paths = _expand_braces(path)
    infos: dict[str, dict[str, Any]] = {}
    missing = []
    trouble: OSError = FileNotFoundError(errno.ENOENT, "it is not there")
    with ThreadPoolExecutor(_MAX_REQUESTS) as pool:
        for one, files in zip(paths, pool.map(lambda one: _find_files(system, one), paths), strict=True):
            if not isinstance(files, OSError):
                infos.update(files)
                continue
            missing.append(os.fsencode(system.unstrip_protocol(one)))
            if not isinstance(files, FileNotFoundError):
                trouble = files
    if len(missing) == len(paths):
        raise trouble
    stats = [
        (os.fsencode(system.unstrip_protocol(name)), _stat(info))
        for name, info in sorted(infos.items())
        if info["type"] == "file"
    ]
    return stats, missing


def _find_files(system: Any, path: str) -> dict[str, dict[str, Any]] | OSError:
    """Return details, by path, of the files that a path without braces matches, or the error if it matches none."""
    # A question mark in a web address starts its query.
    magic = _MAGIC - {"?"} if "http" in system.protocol else _MAGIC
    try:
        with _translate_errors():
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
    """Return the stat of a remote file. Raises OSError (FileNotFoundError), MissingExtraError, UsageError."""
    system, path = _file_system(os.fsdecode(url))
    with _translate_errors():
        return _stat(system.info(path))


def is_there(url: bytes) -> bool:
    """Tell whether a file exists. Raises OSError where that cannot be determined, MissingExtraError, UsageError."""
    try:
        stat(url)
    except FileNotFoundError:
        return False
    return True


def is_gone(url: bytes) -> bool:
    """Tell whether a file has certainly disappeared."""
    try:
        return not is_there(url)
    except OSError:
        return False


def open_binary(url: bytes) -> IO[bytes]:
    """Open a file, seekable if the server supports ranges. Opening and reading raise as :func:`stat`."""
    system, path = _file_system(os.fsdecode(url))
    with _translate_errors():
        is_whole = "http" in system.protocol and not _supports_ranges(system, path)
        stream = system.open(path, "rb", block_size=0) if is_whole else system.open(path, "rb")
        return io.BufferedReader(_File(stream, seekable=not is_whole), _BUFFER_SIZE)


@contextmanager
def create_binary(url: bytes) -> Iterator[io.RawIOBase]:
    """Create a file that appears complete when the body succeeds; otherwise the previous one stays.

    Raises as :func:`stat`, also while writing, and what the body raises.
    """
    # A transaction captures everything written to its file system, by other threads too.
    system, path = _file_system(os.fsdecode(url), shared=False)
    transaction = system.transaction
    with _translate_errors():
        transaction.start()
        file = _File(system.open(path, "wb"), seekable=False)
    try:
        yield file
        file.close()
        with _translate_errors():
            transaction.complete(commit=True)
    except BaseException:
        for end in (file.close, lambda: transaction.complete(commit=False)):
            with suppress(Exception):  # the first error is reported
                end()
        raise


def _supports_ranges(system: Any, path: str) -> bool:
    """Tell whether a web server honours range requests; others send the whole file each time."""
    with system.open(path, "rb", block_size=0, headers={"Range": "bytes=0-0"}) as answer:
        return bool(answer.r.status == 206)


class _File(io.RawIOBase):
    """An fsspec file that raises OSErrors with a number, so that transport errors are not taken for a damaged file."""

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
        with _translate_errors():
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        with _translate_errors():
            return int(self._file.write(data))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _translate_errors():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        try:
            if not self.closed:
                with _translate_errors():
                    self._file.close()
        finally:
            super().close()  # otherwise it is tried again at collection


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate the diverse errors of file systems to OSErrors with a number."""
    try:
        yield
    except (ImseekError, Cancelled):  # the latter is our own and has no number
        raise
    except FileNotFoundError as error:
        # fsspec raises this for any answer of a web server, and for no answer.
        cause = error.__cause__
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410):
            raise FileNotFoundError(errno.ENOENT, "it is not there") from error
        raise OSError(errno.EIO, _error_text(cause)) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if isinstance(error, PermissionError):
            message = f"access is denied: {error} (are the credentials those of this server?)"
            raise PermissionError(errno.EACCES, message) from error
        raise OSError(errno.EIO, _error_text(error)) from error


def _error_text(error: BaseException) -> str:
    """Describe an error in one line. S3 libraries report a missing bucket in several ways."""
    text = str(error)
    if "NoSuchBucket" in text or ("HeadBucket" in text and "404" in text):
        return "there is no such bucket"
    return f"{type(error).__name__}: {text}"


def _file_system(url: str, *, shared: bool = True) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0]
    try:
        # Do not cache listings: others write there too.
        system, path = url_to_fs(url, use_listings_cache=False, skip_instance_cache=not shared)
    except ImportError as error:
        raise MissingExtraError(f"what reads {protocol}://", _EXTRAS.get(protocol, "remote")) from error
    except ValueError as error:
        raise UsageError(f"cannot read {display_path(os.fsencode(url))}: {error}") from error
    return system, path


def _expand_braces(path: str) -> list[str]:
    """Expand the braces of a path. Raises MissingExtraError."""
    if "{" not in path:
        return [path]
    try:
        from braceexpand import braceexpand
    except ImportError as error:
        raise MissingExtraError("braceexpand", "remote") from error
    return list(braceexpand(path))


def _stat(info: dict[str, Any]) -> FileStat:
    """Return size and version of a remote file; ``UNKNOWN_STAT`` where nothing shows whether it has changed."""
    versions = {name: str(info[name]) for name in _VERSION_FIELDS if info.get(name) is not None}
    if not versions or info.get("size") is None:
        return UNKNOWN_STAT
    digest = hashlib.sha256(repr(sorted(versions.items())).encode()).digest()
    return FileStat(int(info["size"]), 0, 0, int.from_bytes(digest[:8], "big") >> 1, time.time_ns())

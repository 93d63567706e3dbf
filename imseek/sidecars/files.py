"""Read, write and remove files beside pictures: each atomically, and only if it is the file that was read."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from imseek.data.user_files import file_moves, safe_path
from imseek.data.user_files.safe_path import ChangingError, Content, FolderEntry, SafePath
from imseek.errors import MediaError
from imseek.media.xmp import MAX_BYTES
from imseek.types.pictures import SkipReason

_NEW_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Errors where the system or file system cannot swap names.
_NO_EXCHANGE: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})
#: Mode bits that a new version of a file keeps.
_MODES: Final = 0o666


def digest(data: bytes) -> str:
    """Return the sha256 of a file's content, in hex."""
    return hashlib.sha256(data).hexdigest()


def read(path: bytes) -> bytes | None:
    """Read a regular file of at most ``MAX_BYTES``; None if it does not exist.

    Raises MediaError for anything else (a link, a folder, a larger file), and OSError.
    """
    with safe_path.open_parent(SafePath.of(path)) as at:
        return _read(at)


def write(path: bytes, before: bytes | None, after: bytes, name: str) -> None:
    """Replace a file that holds ``before``, or create it for None; ``name`` names the unfinished file beside it.

    Raises ChangingError where it holds something else by now, and OSError.
    """
    with safe_path.open_parent(SafePath.of(path)) as at:
        part = FolderEntry(at.folder, _part_name(name))
        content = None
        if before is not None:
            content = safe_path.read_content(at)
            if content.sha256 != hashlib.sha256(before).digest():
                raise ChangingError("it was changed just now")
        with _unfinished(part) as write_all:
            write_all(after, None if content is None else content.info.st_mode & _MODES)
            if content is None:
                file_moves.rename_part(part, at)
            else:
                _swap(part, at, content)
            safe_path.sync_entries(at)


def remove(path: bytes, sha256: str) -> None:
    """Remove a file with this content. Raises ChangingError where it has another by now, and OSError."""
    with safe_path.open_parent(SafePath.of(path)) as at:
        content = safe_path.read_content(at)
        if content.sha256.hex() != sha256:
            raise ChangingError("it was changed just now")
        file_moves.remove_original(at, content)


def discard_unfinished(path: bytes, name: str, contents: Container[str]) -> None:
    """Remove the unfinished file that a killed :func:`write` may have left, if its sha256 is among ``contents``."""
    with suppress(OSError, ChangingError), safe_path.open_parent(SafePath.of(path)) as at:
        part = FolderEntry(at.folder, _part_name(name))
        if safe_path.read_content(part).sha256.hex() in contents:
            os.unlink(part.name, dir_fd=part.folder)


def _part_name(name: str) -> bytes:
    return f".{name}.part".encode()


def _swap(part: FolderEntry, at: FolderEntry, content: Content) -> None:
    """Put the new file ``part`` in the place of the one that was read as ``content``.

    ``part`` then holds the old file; it is gone if the file system cannot exchange two files. Raises ChangingError,
    with the file at ``at`` in its place again, if that was not the one read.
    """
    _check_same(at, content)
    try:
        file_moves.exchange(part, at)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        os.rename(part.name, at.name, src_dir_fd=part.folder, dst_dir_fd=at.folder)
        return
    try:
        _check_same(part, content)
    except ChangingError:
        file_moves.exchange(part, at)
        raise


def _check_same(at: FolderEntry, content: Content) -> None:
    now = safe_path.stat_entry(at)  # renaming changes its ctime
    if now is None or safe_path.stat_key_without_ctime(now) != safe_path.stat_key_without_ctime(content.info):
        raise ChangingError("it was changed just now")


def _read(at: FolderEntry) -> bytes | None:
    if safe_path.stat_entry(at) is None:
        return None
    try:
        fd = safe_path.open_regular(at)
    except ChangingError as error:
        raise MediaError(SkipReason.NOT_A_FILE, str(error)) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise MediaError(SkipReason.NOT_A_FILE, "it is a link") from error
        raise
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise MediaError(SkipReason.TOO_MANY_BYTES, "it is too large")
    return data


@contextmanager
def _unfinished(part: FolderEntry) -> Iterator[Callable[[bytes, int | None], None]]:
    """Yield a function that writes the file ``part`` durably; ``part`` is removed if it is left over.

    A mode of None means the default mode of new files.
    """

    def write_all(data: bytes, mode: int | None) -> None:
        with os.fdopen(os.open(part.name, _NEW_FLAGS, _MODES, dir_fd=part.folder), "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())

    try:
        yield write_all
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part.name, dir_fd=part.folder)

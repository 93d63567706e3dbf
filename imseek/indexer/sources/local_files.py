"""Local files: their stat, their bytes, and why they are unavailable."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, fields, replace
from typing import BinaryIO, Final

from imseek.data.catalog.place_paths import is_url, join
from imseek.data.user_files import safe_path
from imseek.data.user_files.file_stat import FileStat
from imseek.data.user_files.safe_path import SafePath
from imseek.errors import MediaError, UnsafePathError
from imseek.indexer.sources.base import MISSING, Content, FoundImage, SidecarContent
from imseek.indexer.sources.filters import looks_like_picture
from imseek.indexer.sources.sidecar_files import (
    SidecarNames,
    names_in,
    settled_stat,
    sidecars_of,
    stat_sidecars,
)
from imseek.media.annotation_values import Annotations
from imseek.media.decode import DEFAULT_LIMITS
from imseek.media.sidecar import MAX_BYTES, Sidecar, read_sidecar
from imseek.types.pictures import SkipReason, display_path

#: Error numbers of a path that does not exist; any other error leaves that open.
GONE_ERRNOS: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
#: O_NONBLOCK keeps a pipe in the place of a file from blocking the reader for ever.
_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def container_place(root: bytes, container: bytes) -> bytes:
    """Return the place of an archive or table of the source at ``root``.

    Raises UnsafePathError for a URL in a local source, which only a catalog can contain.
    """
    if root and is_url(container) and not is_url(root):
        raise UnsafePathError(f"{display_path(container)} does not lie in {display_path(root)}")
    return join(root, container)


@dataclass(frozen=True, slots=True)
class FileOpener:
    """Opens regular files of the source at ``root`` for reading.

    A scan follows links to files. Without ``follow_links``, no link is followed on the way from the root to a file. The
    caller closes the descriptors.
    """

    root: bytes
    follow_links: bool = True

    def open(self, path: bytes) -> int:
        """Open the file at a path within the source; an empty path is the source itself.

        Raises UnsafePathError where the path leads out of the source, MediaError (``NOT_A_FILE``), and OSError: ELOOP
        or ENOTDIR for a link on the way that is not followed.
        """
        return self._open(SafePath(self.root, path)) if path else self.open_named(self.root)

    def open_named(self, full: bytes) -> int:
        """Open a file named by a list or a table row, wherever it lies; links may lead to its folder.

        Raises as :meth:`open`.
        """
        return self._open(SafePath.of(full))

    def _open(self, path: SafePath) -> int:
        if self.follow_links:
            fd = os.open(path.full, _OPEN_FLAGS)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
            raise _not_a_file_error()
        try:
            with safe_path.open_parent(path) as entry:
                return safe_path.open_regular(entry)
        except safe_path.ChangingError as error:
            raise _not_a_file_error() from error


def _not_a_file_error() -> MediaError:
    return MediaError(SkipReason.NOT_A_FILE, "neither a file nor a folder")


def trouble_at(path: bytes) -> str | None:
    """Return why a path is inaccessible (``MISSING`` if it does not exist), or None."""
    try:
        os.stat(path)
    except ValueError:  # a name with a NUL, which no file has
        return MISSING
    except OSError as error:
        return MISSING if error.errno in GONE_ERRNOS else str(error.strerror)
    return None


def is_empty(path: bytes) -> bool:
    """Tell whether a folder is empty, as where a disk is not mounted; False for anything but a folder."""
    try:
        with os.scandir(path) as listing:
            return next(listing, None) is None
    except OSError:
        return False


def file_stat(info: os.stat_result, checked_ns: int | None = None) -> FileStat:
    """Build the stat of a file whose content is read after ``checked_ns`` (wall clock; default: now)."""
    # Inodes may use all 64 bits, but the catalog's integers are signed.
    inode = info.st_ino & (2**63 - 1)
    checked_ns = time.time_ns() if checked_ns is None else checked_ns
    return FileStat(info.st_size, info.st_mtime_ns, info.st_ctime_ns, inode, checked_ns)


def find_file(path: bytes, full: bytes) -> FoundImage:
    """Return the file ``full`` as the picture ``path``. Raises MediaError (``VANISHED``, ``NOT_A_FILE``), OSError."""
    try:
        info = os.stat(full)
    except OSError as error:
        if error.errno in GONE_ERRNOS:
            raise MediaError(SkipReason.VANISHED, "it is not there any more") from error
        raise
    if not stat.S_ISREG(info.st_mode):
        raise _not_a_file_error()
    return FoundImage(path, file_stat(info))


def read_file(fd: int) -> Content:
    """Read the picture in an open file and close it. Raises OSError, and MediaError where it changed meanwhile.

    The stat is taken after reading but dated before: any change in between makes it differ from an earlier one, and too
    recent to be trusted later.
    """
    with os.fdopen(fd, "rb") as file:
        before, checked_ns = os.fstat(fd), time.time_ns()
        if before.st_size > DEFAULT_LIMITS.max_bytes:
            raise MediaError(SkipReason.TOO_MANY_BYTES, f"larger than {DEFAULT_LIMITS.max_bytes >> 20} MiB")
        data = file.read(before.st_size + 1)  # it may have grown, and be endless
        after = os.fstat(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise MediaError(SkipReason.CHANGED, "it changed while it was read")
    return Content(data, file_stat(after, checked_ns))


def check_file_allowed(full: bytes, folder: bytes) -> None:
    """Raise MediaError for a file outside ``folder`` whose name is not a picture's.

    A table from a stranger may name any file. It may name pictures; a key or password file is not even opened.
    """
    if looks_like_picture(full) and not os.path.islink(full):
        return
    real = os.path.realpath(full)
    if not looks_like_picture(real) and not _is_below(real, folder):
        raise MediaError(
            SkipReason.NOT_AN_IMAGE,
            "outside of the table's folder, only files that are named like pictures are read",
        )


def _is_below(real: bytes, folder: bytes) -> bool:
    return real.startswith(os.path.join(os.path.realpath(folder), b""))


def with_sidecars(picture: Content, image: FoundImage, full: bytes) -> Content:
    """Add metadata from the files beside the picture at ``full`` that its source does not state."""
    if not image.sidecars:
        return replace(picture, caption=image.caption, extra=image.extra or {})
    stat = settled_stat(image.sidecars)
    beside = _read_sidecars(image, full)
    extra = {**beside.extra, **(image.extra or {})}
    return replace(
        picture, caption=image.caption, extra=extra, beside=_unstated(beside.annotations, image), sidecar_stat=stat
    )


class SidecarFinder:
    """Finds the files beside pictures that are named one by one; lists each folder once."""

    def __init__(self) -> None:
        self._names: dict[bytes, SidecarNames] = {}

    def add(self, image: FoundImage, full: bytes) -> FoundImage:
        """Add the files beside the picture at ``full``."""
        folder = os.path.dirname(full)
        if folder not in self._names:
            self._names[folder] = names_in(folder)
        if not (beside := sidecars_of(full, self._names[folder])):
            return image
        return replace(image, sidecars=beside, sidecar_stat=stat_sidecars(beside))


def load_sidecars(image: FoundImage, full: bytes) -> SidecarContent:
    """Read the files beside the picture at ``full`` as :func:`with_sidecars` does, without the picture."""
    stat = settled_stat(image.sidecars)
    return SidecarContent(_unstated(_read_sidecars(image, full).annotations, image), stat)


def _read_sidecars(image: FoundImage, full: bytes) -> Sidecar:
    contents = {os.path.splitext(path)[1]: _read_sidecar_file(full, path) for path in image.sidecars}
    return read_sidecar(contents.get(b".txt"), contents.get(b".json"), contents.get(b".xmp"))


def _unstated(beside: Annotations, image: FoundImage) -> Annotations:
    """Leave out the annotations that the source states."""
    names = {*(image.extra or {}), *(() if image.caption is None else ("caption",))}
    nothing = Annotations()
    return replace(beside, **{f.name: getattr(nothing, f.name) for f in fields(beside) if f.name in names})


def open_binary(path: bytes) -> BinaryIO:
    """Open a regular, seekable file for reading. Raises MediaError (``NOT_A_FILE``), OSError."""
    return os.fdopen(FileOpener(path).open(b""), "rb")


def _read_sidecar_file(picture: bytes, name: bytes) -> bytes | None:
    """Read a small file beside a picture; None above ``MAX_BYTES``.

    Its text is stored with the picture. So a link is followed only to a file beside the link or beside the picture
    itself, as in a cache of the model hub, and not to a private file elsewhere.
    """
    if not _is_trusted_sidecar(name, picture):
        return None
    try:
        fd = os.open(name, _OPEN_FLAGS)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
            return None
        try:
            return file.read(MAX_BYTES)
        except OSError:
            return None


def _is_trusted_sidecar(name: bytes, picture: bytes) -> bool:
    """Tell whether a text is no link, or links to a file below its own folder or beside the picture."""
    if not os.path.islink(name):
        return True
    real = os.path.realpath(name)
    is_beside = os.path.dirname(real) == os.path.dirname(os.path.realpath(picture))
    return is_beside or _is_below(real, os.path.dirname(name))

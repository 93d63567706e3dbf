"""A folder tree (or one file) as a source: names and stats only, no file is opened."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from imseek.data import layout
from imseek.data.catalog import UNKNOWN_STAT, FileStat
from imseek.types import SkipReason

#: Endings that are taken for pictures. What such a file really holds is told from its content; formats that
#: need a codec we lack are listed too, so that they are skipped with a reason and not in silence.
IMAGE_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jfif .png .apng .webp .gif .tif .tiff .bmp .dib .avif .avifs .heic .heif .jxl "
    b".jp2 .j2k .jpx .ppm .pgm .pbm .pnm .tga .ico .qoi .heics .heifs .hif .svg "
    b".dng .nef .nrw .arw .cr2 .cr3 .crw .orf .rw2 .raf .pef .srw .3fr .mrw .x3f".split()
)
#: Folders of photo servers and tools that hold thumbnails or code, beside everything hidden.
EXCLUDED_FOLDERS = frozenset({b"@eaDir", b"#recycle", b"node_modules", b"__MACOSX", b"$RECYCLE.BIN"})


@dataclass(frozen=True, slots=True)
class Found:
    """A file that looks like a picture: its path within the source, and its stat."""

    path: bytes
    stat: FileStat


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A file or folder that cannot be looked at."""

    path: bytes
    reason: SkipReason
    message: str
    stat: FileStat = UNKNOWN_STAT


#: What the system says of a path that is not there; any other error leaves that open.
GONE = frozenset({errno.ENOENT, errno.ENOTDIR})
MISSING = "it is missing"


@dataclass(slots=True)
class Walk:
    """One pass over a source, or over what lies ``below`` a path in it; ``inside`` are other sources in it, which
    are passed over. After iteration, ``others`` counts files that do not look like pictures, and ``collections``
    are folders passed over because they are collections of ours."""

    root: bytes
    follow_symlinks: bool = False
    below: bytes = b""
    inside: frozenset[bytes] = frozenset()
    others: int = 0
    collections: list[bytes] = field(default_factory=list)

    def __iter__(self) -> Iterator[Found | Unreachable]:
        """In the order of the names, so that two passes over the same tree see the same order."""
        start = place_in(self.root, self.below)
        try:
            info = os.stat(start)
        except OSError as error:
            if error.errno not in GONE:
                yield Unreachable(self.below, SkipReason.UNREADABLE, str(error.strerror))
            return
        if stat.S_ISDIR(info.st_mode):
            yield from self._folder(self.below, frozenset())
        else:
            yield from self._file(self.below, info)

    def _folder(
        self, relative: bytes, ancestors: frozenset[tuple[int, int]]
    ) -> Iterator[Found | Unreachable]:
        full = place_in(self.root, relative)
        try:
            here = os.stat(full)
            with os.scandir(full) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Unreachable(relative, SkipReason.UNREADABLE, f"folder: {error.strerror}")
            return
        if layout.holds_collection({os.fsdecode(entry.name) for entry in entries}):
            self.collections.append(relative)
            return
        # Only a link can lead back to a folder that is being walked; the identity of each ancestor tells.
        ancestors |= {(here.st_dev, here.st_ino)}
        for entry in entries:
            path = os.path.join(relative, entry.name)
            if entry.name.startswith(b".") or path in self.inside:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in EXCLUDED_FOLDERS:
                        yield from self._folder(path, ancestors)
                elif entry.is_symlink():
                    yield from self._link(entry, path, ancestors)
                else:
                    yield from self._file(path, entry.stat(follow_symlinks=False))
            except OSError as error:
                yield Unreachable(path, SkipReason.UNREADABLE, str(error.strerror))

    def _link(
        self, entry: os.DirEntry[bytes], path: bytes, ancestors: frozenset[tuple[int, int]]
    ) -> Iterator[Found | Unreachable]:
        try:
            target = entry.stat()
        except FileNotFoundError:
            if _looks_like_picture(path):
                yield Unreachable(path, SkipReason.BROKEN_LINK, "the link leads nowhere")
            return
        except OSError as error:
            yield Unreachable(path, SkipReason.LINK_LOOP, f"link: {error.strerror}")
            return
        if not stat.S_ISDIR(target.st_mode):
            yield from self._file(path, target)
        elif self.follow_symlinks:
            if (target.st_dev, target.st_ino) in ancestors:
                yield Unreachable(path, SkipReason.LINK_LOOP, "the link leads back to a folder above it")
            else:
                yield from self._folder(path, ancestors)

    def _file(self, path: bytes, info: os.stat_result) -> Iterator[Found | Unreachable]:
        if not _looks_like_picture(path or self.root):
            self.others += 1
        elif stat.S_ISREG(info.st_mode):
            yield Found(path, file_stat(info))
        else:
            yield Unreachable(path, SkipReason.NOT_A_FILE, "neither a file nor a folder")


def place_in(root: bytes, path: bytes) -> bytes:
    """The absolute path of a place within a source; an empty path is the source itself."""
    return os.path.join(root, path) if path else root


def path_below(root: bytes, path: bytes) -> bytes:
    """The other way round: the place within the source that an absolute path below its root names."""
    return b"" if path == root else os.path.relpath(path, root)


def reaches(root: bytes, path: bytes, follow_symlinks: bool) -> bool:
    """Whether a walk from ``root`` would come to ``path`` below it: not through what is hidden, excluded, a link."""
    here = root
    for name in os.path.relpath(path, root).split(b"/"):
        if name == b".":
            continue
        here = os.path.join(here, name)
        if name.startswith(b".") or name in EXCLUDED_FOLDERS:
            return False
        if os.path.islink(here) and os.path.isdir(here) and not follow_symlinks:
            return False
    return True


def trouble_at(path: bytes) -> str | None:
    """Why a path cannot be looked at (``MISSING`` if it is not there), or None."""
    try:
        os.stat(path)
    except OSError as error:
        return MISSING if error.errno in GONE else str(error.strerror)
    return None


def file_stat(info: os.stat_result) -> FileStat:
    # An inode may use all 64 bits; the catalog's integers are signed.
    inode = info.st_ino & (2**63 - 1)
    return FileStat(info.st_size, info.st_mtime_ns, info.st_ctime_ns, inode, time.time_ns())


def _looks_like_picture(path: bytes) -> bool:
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES

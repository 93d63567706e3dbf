"""A folder tree, or a single file, as a source. Scanning reads names and stats and opens no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from imseek.data import layout
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.indexer.sources.base import (
    MISSING,
    Container,
    Content,
    FoundImage,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.filters import Filter, looks_like_picture
from imseek.indexer.sources.local_files import (
    GONE_ERRNOS,
    FileOpener,
    file_stat,
    load_sidecars,
    read_file,
    trouble_at,
    with_sidecars,
)
from imseek.indexer.sources.sidecar_files import SidecarNames, names_in, sidecars_of, stat_sidecars
from imseek.types.pictures import SkipReason, display_path

_QUARANTINE_NOTE: Final = "holds pictures that were put away: not scanned"


class Folder:
    """The pictures in a folder tree, or ``below`` a path in it, skipping the other sources ``inside``.

    ``looks`` tells by its path whether a file is relevant, and ``what`` names such files in notes; ``opener`` opens
    files.
    """

    threads = 0

    def __init__(
        self,
        root: bytes,
        *,
        choose: Filter | None = None,
        follow_symlinks: bool = False,
        below: bytes = b"",
        inside: frozenset[bytes] = frozenset(),
        looks: Callable[[bytes], bool] = looks_like_picture,
        what: str = "a picture",
        opener: FileOpener | None = None,
    ) -> None:
        self._root = root
        self._choose = Filter() if choose is None else choose
        self._follow_symlinks = follow_symlinks
        self._below = below
        self._inside = inside
        self._looks = looks
        self._what = what
        self._opener = FileOpener(root) if opener is None else opener
        self.notes: list[str] = []
        self._other_files = 0
        self._sidecars = SidecarNames()

    def trouble(self) -> str | None:
        return trouble_at(self._root)

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        """Yield entries sorted by name, so that two scans of the same tree give the same order."""
        yield from self._start()
        if self._other_files:
            files = "1 other file does" if self._other_files == 1 else f"{self._other_files:,} other files do"
            self.notes.append(f"{display_path(self._root)}: {files} not look like {self._what}")

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        return iter(())

    def load(self, image: FoundImage) -> Content:
        return with_sidecars(read_file(self._opener.open(image.path)), image, place_in(self._root, image.path))

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        return load_sidecars(image, place_in(self._root, image.path))

    def portable(self, image: FoundImage) -> FoundImage | Content:
        return image

    def find(self, path: bytes) -> FoundImage:
        return FoundImage(path, UNKNOWN_STAT)

    def is_gone(self, path: bytes) -> bool:
        """Tell whether a picture is gone, or now excluded by globs, which define what belongs to the source."""
        if self._choose.has_patterns and not self._choose.reaches(path):
            return True
        return trouble_at(place_in(self._root, path)) == MISSING

    def close(self) -> None:
        pass

    # -- walking ---------------------------------------------------------------------------------------

    def _start(self) -> Iterator[FoundImage | UnreachableEntry]:
        start = place_in(self._root, self._below)
        if (quarantine := quarantine_of(start)) is not None:
            self.notes.append(f"{display_path(quarantine)} {_QUARANTINE_NOTE}")
            return
        try:
            info = os.stat(start)
        except OSError as error:
            if error.errno not in GONE_ERRNOS:
                yield UnreachableEntry(self._below, SkipReason.UNREADABLE, str(error.strerror))
            return
        if stat.S_ISDIR(info.st_mode):
            yield from self._folder(self._below, frozenset())
        elif self._is_relevant(self._below):
            self._sidecars = names_in(os.path.dirname(start))
            yield self._file(self._below, info)

    def _folder(
        self, relative: bytes, ancestors: frozenset[tuple[int, int]]
    ) -> Iterator[FoundImage | UnreachableEntry]:
        full = place_in(self._root, relative)
        try:
            info = os.stat(full)
            with os.scandir(full) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield UnreachableEntry(relative, SkipReason.UNREADABLE, f"folder: {error.strerror}")
            return
        names = {os.fsdecode(entry.name) for entry in entries}
        if layout.holds_collection(names):
            self.notes.append(f"{display_path(full)} is a collection: not scanned")
            return
        if layout.is_quarantine(names):
            self.notes.append(f"{display_path(full)} {_QUARANTINE_NOTE}")
            return
        # Only links can lead back to a folder being walked; device and inode identify each ancestor.
        ancestors |= {(info.st_dev, info.st_ino)}
        sidecars = SidecarNames(entry.name for entry in entries)
        for entry in entries:
            self._sidecars = sidecars  # a subfolder has set its own
            path = os.path.join(relative, entry.name)
            if path in self._inside:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if self._choose.enters(path):
                        yield from self._folder(path, ancestors)
                elif entry.is_symlink():
                    yield from self._link(entry, path, ancestors)
                elif self._choose.takes(path) and self._is_relevant(path):
                    yield self._file(path, entry.stat(follow_symlinks=False))
            except OSError as error:
                yield UnreachableEntry(path, SkipReason.UNREADABLE, str(error.strerror))

    def _link(
        self, entry: os.DirEntry[bytes], path: bytes, ancestors: frozenset[tuple[int, int]]
    ) -> Iterator[FoundImage | UnreachableEntry]:
        is_chosen = self._choose.takes(path)
        try:
            target = entry.stat()
        except FileNotFoundError:
            if is_chosen and self._looks(path):
                yield UnreachableEntry(path, SkipReason.BROKEN_LINK, "the link leads nowhere")
            return
        except OSError as error:
            if is_chosen:
                yield UnreachableEntry(path, SkipReason.LINK_LOOP, f"link: {error.strerror}")
            return
        if not stat.S_ISDIR(target.st_mode):
            if is_chosen and self._is_relevant(path):
                yield self._file(path, target)
        elif self._follow_symlinks and self._choose.enters(path):
            if (target.st_dev, target.st_ino) in ancestors:
                yield UnreachableEntry(path, SkipReason.LINK_LOOP, "the link leads back to a folder above it")
            else:
                yield from self._folder(path, ancestors)

    def _is_relevant(self, path: bytes) -> bool:
        """Tell by its path whether a file is relevant. Others are counted, and cost no stat."""
        looks = self._looks(path or self._root)
        self._other_files += not looks and not path.endswith(b".xmp")
        return looks

    def _file(self, path: bytes, info: os.stat_result) -> FoundImage | UnreachableEntry:
        if not stat.S_ISREG(info.st_mode):
            return UnreachableEntry(path, SkipReason.NOT_A_FILE, "neither a file nor a folder")
        image = FoundImage(path, file_stat(info))
        if self._sidecars and (beside := sidecars_of(place_in(self._root, path), self._sidecars)):
            return replace(image, sidecars=beside, sidecar_stat=stat_sidecars(beside))
        return image


def quarantine_of(path: bytes) -> bytes | None:
    """Return the quarantine folder that ``path`` is or lies in, or None."""
    marker = os.fsencode(layout.QUARANTINE_MARKER)
    while not os.path.lexists(os.path.join(path, marker)):
        path, below = os.path.dirname(path), path
        if path == below:
            return None
    return path


def place_in(root: bytes, path: bytes) -> bytes:
    """Return the absolute path of a place within a source; an empty path is the source itself."""
    return os.path.join(root, path) if path else root


def path_below(root: bytes, path: bytes) -> bytes:
    """Return the place within a source of an absolute path below its root: the inverse of :func:`place_in`."""
    return b"" if path == root else os.path.relpath(path, root)


def reaches(root: bytes, path: bytes, follow_symlinks: bool) -> bool:
    """Tell whether a walk from ``root`` would reach ``path``; links to folders count only with ``follow_symlinks``."""
    current = root
    for name in os.path.relpath(path, root).split(b"/"):
        current = os.path.join(current, name)
        if os.path.islink(current) and os.path.isdir(current) and not follow_symlinks:
            return False
    return True

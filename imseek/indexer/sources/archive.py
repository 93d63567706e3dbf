"""Archives as a source: a zip or tar, or a folder of them such as WebDataset shards, on this disk or remote."""

from __future__ import annotations

import errno
import os
import re
import stat as modes
import threading
from collections.abc import Iterator
from dataclasses import replace

from imseek.data.catalog.place_paths import container_suffix, is_url, join, member_path, split
from imseek.data.user_files.file_stat import UNKNOWN_STAT, FileStat
from imseek.errors import MediaError, UnsafePathError
from imseek.indexer.sources import remote_files
from imseek.indexer.sources.archive_members import (
    MAX_BUFFERED_BYTES,
    Archive,
    Member,
    buffered_bytes,
    read_picture,
    read_text,
)
from imseek.indexer.sources.base import (
    MISSING,
    Container,
    Content,
    FoundImage,
    SidecarContent,
    UnreachableEntry,
)
from imseek.indexer.sources.detect import ZIPS, is_archive
from imseek.indexer.sources.filters import Filter, looks_like_picture
from imseek.indexer.sources.local_files import FileOpener, container_place, file_stat, trouble_at
from imseek.indexer.sources.member_search import Finder
from imseek.indexer.sources.prefetch import MemoryBudget, ReadAhead
from imseek.indexer.sources.tar_archive import Tar, TarStream
from imseek.indexer.sources.zip_archive import Zip
from imseek.media.sidecar import read_sidecar
from imseek.types.pictures import SkipReason, display_path

#: Pictures of a stream to read ahead.
_READ_AHEAD = 16
#: Names to list ahead where pictures are read later, in any order.
_LIST_AHEAD = 256
#: Pictures of a stream to keep behind, for threads that read out of order.
_KEEP_BEHIND = 64
#: Archives to keep open for later requests.
_MAX_OPEN_ARCHIVES = 4
_LEADING = re.compile(rb"^(\.?/)+")


class Archives:
    """The archives in a folder and below, or a single archive; ``below`` is one of them, or a folder of them.

    A picture's ``where`` is its open archive and its member there: an archive stays open as long as one of its pictures
    is needed.
    """

    threads = 0

    def __init__(
        self,
        root: bytes,
        *,
        choose: Filter | None = None,
        below: bytes = b"",
        opener: FileOpener | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        """Prepare the source. Once ``stop`` is set, ``expand`` raises Cancelled."""
        self._root = root
        self._opener = FileOpener(root) if opener is None else opener
        self._stop = stop
        self._choose = Filter() if choose is None else choose
        self._below = below
        self._finders: dict[bytes, tuple[FileStat, Finder]] = {}
        self._elsewhere: list[tuple[bytes, FileStat]] = []
        self._lock = threading.Lock()
        self.notes: list[str] = []

    def trouble(self) -> str | None:
        if not is_url(self._root):
            return trouble_at(self._root)
        self._elsewhere, missing, trouble = remote_files.try_list_files(self._root)
        if missing:
            subject = f"{len(missing)} of the files it names are" if len(missing) > 1 else "1 file it names is"
            first = display_path(missing[0])
            self.notes.append(f"{display_path(self._root)}: {subject} missing or cannot be reached ({first})")
        return trouble

    def scan(self) -> Iterator[FoundImage | Container | UnreachableEntry]:
        if not is_url(self._root):
            yield from self._walk(self._below)
            return
        for url, stat in self._elsewhere:
            if is_archive(url):
                if stat == UNKNOWN_STAT:
                    self.notes.append(f"{display_path(url)}: nothing tells whether it has changed: read every time")
                # A single archive is the source itself.
                yield Container(b"" if url == self._root else url, stat)

    def expand(self, container: Container) -> Iterator[FoundImage | UnreachableEntry]:
        """Yield the pictures, reading ahead in a thread: an archive may be long before its first picture."""
        ahead = _LIST_AHEAD if has_random_access(join(self._root, container.path)) else _READ_AHEAD
        yield from ReadAhead(self._found(container), ahead, self._stop)

    def _found(self, container: Container) -> Iterator[FoundImage]:
        archive = self._open(container.path)
        budget = MemoryBudget(MAX_BUFFERED_BYTES, self._stop)
        for member in archive.members(self._takes):
            budget.charge(member, buffered_bytes(member))
            yield FoundImage(member_path(container.path, member.name), container.stat, (archive, member))

    def load(self, image: FoundImage) -> Content:
        archive, member = self._reopen(image) if image.where is None else image.where
        texts = (read_text(archive, member, ending) for ending in (b".txt", b".json", b".xmp"))
        beside = read_sidecar(*texts)
        return Content(read_picture(archive, member), image.stat, extra=beside.extra, beside=beside.annotations)

    def load_sidecars(self, image: FoundImage) -> SidecarContent:
        raise NotImplementedError("a changed archive is read as a whole")

    def portable(self, image: FoundImage) -> FoundImage | Content:
        """Drop the open archive, which ``load`` then opens again; for a stream, return the picture itself."""
        anywhere = has_random_access(join(self._root, split(image.path)[0]))
        return replace(image, where=None) if anywhere else self.load(image)

    def find(self, path: bytes) -> FoundImage:
        container, name, _ = split(path)
        _, finder = self._finder(container)
        member = _find_member(finder, join(self._root, container), name)
        return FoundImage(path, UNKNOWN_STAT, (finder.archive, replace(member, beside={})))

    def _reopen(self, image: FoundImage) -> tuple[Archive, Member]:
        """Open the archive of ``image`` again. Raises MediaError if the archive has changed since the scan."""
        container, name, _ = split(image.path)
        place = join(self._root, container)
        with self._lock:
            entry = self._finders.get(container)
            if entry is None or not entry[0].same_file(image.stat):
                entry = self._finder(container)
            if not entry[0].same_file(image.stat):
                raise MediaError(SkipReason.CHANGED, "its archive changed while it was read")
            return entry[1].archive, _find_member(entry[1], place, name)

    def _finder(self, container: bytes) -> tuple[FileStat, Finder]:
        """Return the finder of an archive, reusing an earlier one unless the file has changed since."""
        place = join(self._root, container)
        stat = self._stat(container)
        entry = self._finders.pop(container, None)
        if entry is None or not entry[0].same_file(stat):
            window = None if has_random_access(place) else _KEEP_BEHIND
            entry = (stat, Finder(lambda: self._open(container), window))
        self._finders[container] = entry
        while len(self._finders) > _MAX_OPEN_ARCHIVES:
            self._finders.pop(next(iter(self._finders)))
        return entry

    def is_gone(self, path: bytes) -> bool:
        try:
            place = container_place(self._root, split(path)[0])
        except UnsafePathError:
            return False
        return remote_files.is_gone(place) if is_url(place) else trouble_at(place) == MISSING

    def close(self) -> None:
        self._finders.clear()

    def _stat(self, container: bytes) -> FileStat:
        """Return the stat of the file that would be opened. Raises as :meth:`_open`."""
        place = container_place(self._root, container)
        if is_url(place):
            return remote_files.stat(place)
        fd = self._opener.open(container)
        try:
            return file_stat(os.fstat(fd))
        finally:
            os.close(fd)

    def _open(self, container: bytes) -> Archive:
        """Open an archive. Raises OSError, UnsafePathError, MediaError where it is no archive, MissingExtraError.

        Reading a tar ends once the source should stop.
        """
        place = container_place(self._root, container)
        file = remote_files.open_binary(place) if is_url(place) else os.fdopen(self._opener.open(container), "rb")
        if container_suffix(place) in ZIPS:
            if not file.seekable():
                file.close()
                raise OSError(errno.ESPIPE, "its server does not send parts of files, which reading a zip takes")
            return Zip(file)
        return Tar(file, self._stop) if has_random_access(place) else TarStream(file, self._stop)

    def _takes(self, name: bytes) -> bool:
        # Tars of a folder name "a.jpg" as "./a.jpg" or "/a.jpg".
        return looks_like_picture(name) and self._choose.reaches(_LEADING.sub(b"", name))

    def _walk(self, relative: bytes) -> Iterator[Container | UnreachableEntry]:
        full = join(self._root, relative)
        try:
            if not os.path.isdir(full):
                yield Container(relative, stat_of(full))
                return
            with os.scandir(full) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield UnreachableEntry(relative, SkipReason.UNREADABLE, str(error.strerror))
            return
        for entry in entries:
            path = os.path.join(relative, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if self._choose.enters(path):
                    yield from self._walk(path)
            elif is_archive(entry.name) and self._choose.enters(path):
                try:
                    yield Container(path, stat_of(join(self._root, path)))
                except OSError as error:
                    yield UnreachableEntry(path, SkipReason.UNREADABLE, str(error.strerror))


def _find_member(finder: Finder, place: bytes, name: bytes) -> Member:
    """Find a member by name. Raises MediaError (``VANISHED``) where there is none."""
    member = finder.find(name)
    if member is None:
        message = f"{display_path(place)} holds no {display_path(name)} any more"
        raise MediaError(SkipReason.VANISHED, message)
    return member


def stat_of(place: bytes) -> FileStat:
    """Return the stat of a local or remote file. Raises OSError."""
    if is_url(place):
        return remote_files.stat(place)
    info = os.stat(place)
    if not modes.S_ISREG(info.st_mode):  # Opening a pipe would wait for ever.
        raise OSError(errno.EINVAL, "neither a file nor a folder")
    return file_stat(info)


def has_random_access(place: bytes) -> bool:
    """Tell whether members of an archive can be read in any order."""
    suffix = container_suffix(place)
    return suffix in ZIPS or (suffix == b".tar" and not is_url(place))

"""Tar files: those on disk are listed once and read at any position, streams are read once, in order."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from typing import IO, Final

from imseek.errors import MediaError
from imseek.indexer.sources.archive_members import (
    Member,
    NameFilter,
    is_valid_name,
    picture_members,
    sample_key,
    too_large_error,
)
from imseek.indexer.sources.decompression import StreamInput
from imseek.indexer.sources.sidecar_files import is_sidecar
from imseek.indexer.sources.tar_members import tar_members, translate_errors
from imseek.media.sidecar import MAX_BYTES
from imseek.progress import Cancelled
from imseek.types.pictures import SkipReason

#: The largest picture of a stream, since some are held in memory at once; also the most bytes of one sample.
MAX_STREAMED_BYTES: Final = 64 * 2**20
#: Most files of a sample in a stream: where more share a key, a text only applies to those near it.
_SAMPLE_FILES: Final = 64


class Tar:
    """An uncompressed tar on disk. Reads members by position, in any number of threads."""

    def __init__(self, file: IO[bytes], stop: threading.Event | None = None) -> None:
        self._fd = file.fileno()
        self._stop = stop
        weakref.finalize(self, file.close)

    def members(self, takes: NameFilter) -> Iterator[Member]:
        """Yield the pictures. Of members with the same name the last counts, as for an unpacker."""
        files: dict[bytes, tuple[int, int]] = {}
        broken: MediaError | None = None
        try:
            with translate_errors():
                file = _FileInput(self._fd, self._stop)
                for member in tar_members(file):
                    if member.size > file.left:
                        raise EOFError("it ends in a member")
                    if member.is_file and is_valid_name(member.name):
                        files[member.name] = (member.offset, member.size)
        except MediaError as error:
            broken = error
        yield from picture_members(files, takes)
        if broken is not None:
            raise broken

    def read(self, where: tuple[int, int], limit: int) -> bytes:
        offset, size = where
        if size > limit:
            raise too_large_error(limit)
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise MediaError(SkipReason.TRUNCATED, "the archive ends early")
        return data


class _FileInput:
    """A tar on disk; only its headers are read. Once ``stop`` is set, reading raises Cancelled."""

    def __init__(self, fd: int, stop: threading.Event | None) -> None:
        self._fd = fd
        self._stop = stop
        self._size = os.fstat(fd).st_size
        self.position = 0

    def read(self, size: int) -> bytes:
        if self._stop is not None and self._stop.is_set():
            raise Cancelled
        data = os.pread(self._fd, size, self.position)
        self.position += len(data)
        return data

    @property
    def packed(self) -> int:
        return self.position

    @property
    def left(self) -> int:
        return self._size - self.position

    def skip(self, size: int) -> None:
        if size > self.left:
            raise EOFError("it ends in a member")
        self.position += size


class TarStream:
    """A tar that can only be read from its start. A member's ``where`` is its bytes."""

    def __init__(self, file: IO[bytes], stop: threading.Event | None = None) -> None:
        self._file = file
        self._stop = stop

    def members(self, takes: NameFilter) -> Iterator[Member]:
        """Yield the pictures, each with the texts of the same name right before or after it, as in WebDataset.

        Of members with the same name the first counts. Closes the stream afterwards.
        """
        sample: dict[bytes, bytes | None] = {}
        key, sample_bytes = b"", 0
        broken: MediaError | None = None
        files = self._files(takes)
        while True:
            try:
                name, data = next(files)
            except StopIteration:
                break
            except MediaError as error:  # what came before is complete
                broken = error
                break
            size = len(data or b"")
            if (
                (own := sample_key(name)) != key
                or len(sample) >= _SAMPLE_FILES
                or sample_bytes + size > MAX_STREAMED_BYTES
            ):
                yield from picture_members(sample, takes)
                sample, key, sample_bytes = {}, own, 0
            sample[name] = data
            sample_bytes += size
        yield from picture_members(sample, takes)
        if broken is not None:
            raise broken

    def _files(self, takes: NameFilter) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield pictures and texts with their bytes, None for those that are too large."""
        names: set[bytes] = set()
        with self._file, translate_errors():
            stream = StreamInput(self._file, self._stop)
            for member in tar_members(stream):
                name = member.name
                if not member.is_file or not is_valid_name(name) or name in names:
                    continue
                names.add(name)
                limit = MAX_STREAMED_BYTES if takes(name) else MAX_BYTES if is_sidecar(name) else -1
                if member.size <= limit:
                    data = stream.read(member.size)
                    if len(data) < member.size:
                        raise EOFError("it ends in a member")
                    yield name, data
                elif limit >= 0:
                    yield name, None

    def read(self, where: bytes | None, limit: int) -> bytes:
        if where is None or len(where) > limit:
            raise too_large_error(min(limit, MAX_STREAMED_BYTES))
        return where

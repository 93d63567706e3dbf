"""Tar files: those on disk are listed once and read at any place, streams are read once, in order."""

from __future__ import annotations

import os
import tarfile
import weakref
from collections.abc import Iterator
from typing import IO, Final

from imseek.errors import MediaError
from imseek.indexer.sources.headers import Header, explained
from imseek.indexer.sources.members import (
    Member,
    Takes,
    can_be_named,
    is_text,
    key_of,
    pictures,
    too_large,
)
from imseek.media.sidecar import MAX_BYTES
from imseek.types import SkipReason

#: The largest picture of a stream, of which some are held in memory at once; also the most of one sample.
STREAMED_BYTES: Final = 64 * 2**20
#: Files of a sample in a stream: where more share a key, a text counts for those near it.
_SAMPLE_FILES: Final = 64


class Tar:
    """An uncompressed tar on disk. Members are read by position, in any number of threads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._fd = file.fileno()
        weakref.finalize(self, file.close)

    def members(self, takes: Takes) -> Iterator[Member]:
        """Of members with one name the last counts, as it does for whoever unpacks them."""
        files: dict[bytes, tuple[int, int]] = {}
        broken: MediaError | None = None
        try:
            with (
                explained(),
                os.fdopen(os.dup(self._fd), "rb") as file,
                tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as tar,
            ):
                file.seek(0)  # The descriptors share a position.
                end = os.fstat(self._fd).st_size
                while (info := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                    name = os.fsencode(info.name)
                    if info.isreg() and info.offset_data + info.size > end:
                        raise tarfile.ReadError("unexpected end of data")
                    if _is_file(info) and can_be_named(name):
                        files[name] = (info.offset_data, info.size)
        except MediaError as error:
            broken = error
        yield from pictures(files, takes)
        if broken is not None:
            raise broken

    def read(self, where: tuple[int, int], limit: int) -> bytes:
        offset, size = where
        if size > limit:
            raise too_large(limit)
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise MediaError(SkipReason.TRUNCATED, "the archive ends early")
        return data


class TarStream:
    """A tar that can only be read from its beginning. A member's ``where`` is the bytes themselves."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def members(self, takes: Takes) -> Iterator[Member]:
        """Texts belong to the picture of the same name right before or after them, as in WebDataset.

        Of members with one name the first counts. The stream is closed afterwards.
        """
        sample: dict[bytes, bytes | None] = {}
        key, held = b"", 0
        broken: MediaError | None = None
        files = self._files(takes)
        while True:
            try:
                name, data = next(files)
            except StopIteration:
                break
            except MediaError as error:  # What came before is whole.
                broken = error
                break
            size = len(data or b"")
            if (own := key_of(name)) != key or len(sample) >= _SAMPLE_FILES or held + size > STREAMED_BYTES:
                yield from pictures(sample, takes)
                sample, key, held = {}, own, 0
            sample[name] = data
            held += size
        yield from pictures(sample, takes)
        if broken is not None:
            raise broken

    def _files(self, takes: Takes) -> Iterator[tuple[bytes, bytes | None]]:
        """Pictures and texts with their bytes; None for those that are too large."""
        seen: set[bytes] = set()
        with (
            self._file,
            explained(),
            tarfile.open(fileobj=self._file, mode="r|*", tarinfo=Header) as tar,
        ):
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                name = os.fsencode(info.name)
                if not _is_file(info) or not can_be_named(name) or name in seen:
                    continue
                seen.add(name)
                limit = STREAMED_BYTES if takes(name) else MAX_BYTES if is_text(name) else -1
                if limit >= 0:
                    opened = tar.extractfile(info) if info.size <= limit else None
                    yield name, None if opened is None else opened.read()

    def read(self, where: bytes | None, limit: int) -> bytes:
        if where is None or len(where) > limit:
            raise too_large(min(limit, STREAMED_BYTES))
        return where


def _is_file(info: tarfile.TarInfo) -> bool:
    """Not a link, a device or a folder; nor a file with holes, which no camera writes."""
    return info.isreg() and info.sparse is None

"""Tar files: those on disk are listed once and read at any place, streams are read once, in order."""

from __future__ import annotations

import os
import tarfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from typing import IO, Any, Final

from imseek.errors import MediaError
from imseek.indexer.sources.members import BESIDE, Member, Takes, stem_and_ending, too_large
from imseek.media.sidecar import MAX_BYTES
from imseek.types import SkipReason

#: The largest picture of a stream, of which some are held in memory at once.
STREAMED_BYTES: Final = 64 * 2**20


class Tar:
    """An uncompressed tar on disk. Members are read by position, in any number of threads."""

    def __init__(self, path: bytes) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    def members(self, takes: Takes) -> Iterator[Member]:
        """Of members with one name the last counts, as it does for whoever unpacks them."""
        files: dict[bytes, tuple[int, int]] = {}
        with open(self._path, "rb") as file, _explained(), tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                if info.isreg() and info.sparse is None:
                    files[os.fsencode(info.name)] = (info.offset_data, info.size)
        texts: dict[bytes, dict[bytes, Any]] = {}
        for name, where in files.items():
            stem, ending = stem_and_ending(name)
            if ending in BESIDE:
                texts.setdefault(stem, {})[ending] = where
        for name, where in files.items():
            if takes(name):
                yield Member(name, where, texts.get(stem_and_ending(name)[0], {}))

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
        seen: set[bytes] = set()
        with self._file, _explained(), tarfile.open(fileobj=self._file, mode="r|*") as tar:
            group: list[tuple[bytes, Any]] = []
            stem: bytes | None = None
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                name = os.fsencode(info.name)
                if not info.isreg() or info.sparse is not None or name in seen:
                    continue
                seen.add(name)
                if (own := stem_and_ending(name)[0]) != stem:
                    yield from _pictures(group, takes)
                    group, stem = [], own
                wanted, limit = takes(name), STREAMED_BYTES
                if not wanted and stem_and_ending(name)[1] in BESIDE:
                    wanted, limit = True, MAX_BYTES
                if wanted:
                    opened = tar.extractfile(info)
                    data = None if opened is None or info.size > limit else opened.read()
                    group.append((name, data))
            yield from _pictures(group, takes)

    def read(self, where: bytes | None, limit: int) -> bytes:
        if where is None or len(where) > limit:
            raise too_large(min(limit, STREAMED_BYTES))
        return where


def _pictures(group: list[tuple[bytes, Any]], takes: Takes) -> Iterator[Member]:
    texts = {stem_and_ending(name)[1]: data for name, data in group if stem_and_ending(name)[1] in BESIDE}
    for name, data in group:
        if takes(name):
            yield Member(name, data, texts)


@contextmanager
def _explained() -> Iterator[None]:
    """Damage of a tar as MediaError."""
    try:
        yield
    except (tarfile.ReadError, EOFError) as error:
        raise MediaError(SkipReason.TRUNCATED, f"broken or cut tar: {error}") from error
    except (tarfile.TarError, zlib.error, LZMAError, ValueError) as error:
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise MediaError(SkipReason.CORRUPT, f"broken tar: {error}") from error

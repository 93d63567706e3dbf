"""The stream of a tar, compressed or not: read in linear time and bounded memory, and no further than is plausible."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import threading
from typing import IO, Any, Final, cast

from imseek.indexer.sources.archive_limits import check_skipped, check_unpacked

_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = b"BZh"
#: What a block of bzip2 begins with, and the end where there is none.
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")
_XZ: Final = (b"\xfd7zXZ", b"\x5d\x00\x00\x80")
#: Bytes of the longest of these.
_HEAD: Final = 10
#: Bytes that are unpacked at a time: so often does a reader hear that it should stop.
_CHUNK: Final = 256 * 2**10
#: Bytes that are read of the archive at a time.
_PACKED_CHUNK: Final = 64 * 2**10
#: Memory that unpacking xz may take: its dictionary, which `xz -9` makes of 64 MiB. It could ask for 4 GiB.
_XZ_MEMORY: Final = 512 * 2**20


class StreamInput:
    """Bytes of a tar from its beginning on. ``stop`` makes whoever reads raise InterruptedError.

    Raises MediaError where the archive unpacks to too much, and what :func:`tar_headers.explained` explains.
    """

    def __init__(self, file: IO[bytes], stop: threading.Event | None = None) -> None:
        self._packed = _Packed(file, stop)
        self._unpacked = _unpacked(self._packed)
        self.position = 0
        self._skipped = 0

    @property
    def packed(self) -> int:
        return self._packed.count

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end."""
        parts = []
        while size and (part := self._next(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over bytes that are of no use. Raises EOFError where fewer are left."""
        while size:
            part = self._next(size)
            if not part:
                raise EOFError("it ends in a member")
            size -= len(part)
            self._skipped += len(part)
            check_skipped(self._skipped, self._packed.count)

    def _next(self, most: int) -> bytes:
        self._packed.check_stop()
        part = self._unpacked.read(min(most, _CHUNK))
        self.position += len(part)
        check_unpacked(self.position, self._packed.count)
        return part


class _Packed(io.RawIOBase):
    """The archive's own bytes, counted. ``head`` are the first of them."""

    def __init__(self, file: IO[bytes], stop: threading.Event | None) -> None:
        self._file = file
        self._stop = stop
        self.head = self._rest = file.read(_HEAD)
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.check_stop()
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        data = data or self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise InterruptedError


def _unpacked(packed: _Packed) -> IO[bytes] | _Xz:
    """The stream unpacked as its first bytes say, a bounded part at a time. An ending may lie."""
    file = io.BufferedReader(packed, _PACKED_CHUNK)
    if packed.head.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if packed.head.startswith(_BZIP2) and packed.head[4:].startswith(_BZIP2_BLOCKS):
        return bz2.BZ2File(file)
    return _Xz(file) if packed.head.startswith(_XZ) else file


class _Xz:
    """Streams of xz or lzma, one after the other. `lzma.LZMAFile` takes no limit to its memory."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._stream.eof:
                # Zeros fill what follows a stream up to four bytes.
                data = (self._stream.unused_data or self._packed.read(_PACKED_CHUNK)).lstrip(b"\0")
                while not data and (more := self._packed.read(_PACKED_CHUNK)):
                    data = more.lstrip(b"\0")
                if not data:
                    return b""
                self._stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            elif self._stream.needs_input and not (data := self._packed.read(_PACKED_CHUNK)):
                raise EOFError("it ends in the middle")
            if part := self._stream.decompress(data, size):
                return part

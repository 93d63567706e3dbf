"""Read the stream of a tar, compressed or not, in linear time and bounded memory, up to the limits on expansion."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import threading
from typing import IO, Any, Final, cast

from imseek.indexer.sources.archive_limits import check_skipped, check_unpacked
from imseek.progress import Cancelled

_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = b"BZh"
#: Start of a bzip2 block, and of the end of a stream without blocks.
_BZIP2_BLOCKS: Final = (b"1AY&SY", b"\x17rE8P\x90")
_XZ: Final = (b"\xfd7zXZ", b"\x5d\x00\x00\x80")
#: Length of the longest of these signatures.
_HEAD: Final = 10
#: Bytes to decompress at a time, between checks of ``stop``.
_CHUNK: Final = 256 * 2**10
#: Bytes to read from the archive at a time.
_PACKED_CHUNK: Final = 64 * 2**10
#: Memory for xz: mainly its dictionary, 64 MiB with `xz -9`. A file could demand 4 GiB.
_XZ_MEMORY: Final = 512 * 2**20


class StreamInput:
    """The bytes of a tar from its start. Once ``stop`` is set, reading raises Cancelled.

    Raises MediaError where the archive expands too far, and the errors that :func:`tar_members.translate_errors`
    translates.
    """

    def __init__(self, file: IO[bytes], stop: threading.Event | None = None) -> None:
        self._packed = _CompressedFile(file, stop)
        self._unpacked = _decompress(self._packed)
        self.position = 0
        self._skipped = 0

    @property
    def packed(self) -> int:
        return self._packed.count

    def read(self, size: int) -> bytes:
        """Read ``size`` bytes, fewer only at the end."""
        parts = []
        while size and (part := self._next(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Skip bytes that are not needed. Raises EOFError where fewer are left."""
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


class _CompressedFile(io.RawIOBase):
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
            raise Cancelled


def _decompress(packed: _CompressedFile) -> IO[bytes] | _XzFile:
    """Open the decompressed stream, a bounded part at a time. Its first bytes decide, since file endings may lie."""
    file = io.BufferedReader(packed, _PACKED_CHUNK)
    if packed.head.startswith(_GZIP):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb"))
    if packed.head.startswith(_BZIP2) and packed.head[4:].startswith(_BZIP2_BLOCKS):
        return bz2.BZ2File(file)
    return _XzFile(file) if packed.head.startswith(_XZ) else file


class _XzFile:
    """Decompresses concatenated xz or lzma streams with bounded memory, which `lzma.LZMAFile` does not support."""

    def __init__(self, packed: IO[bytes]) -> None:
        self._packed = packed
        self._stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            data = b""
            if self._stream.eof:
                # Zeros pad a stream to four bytes.
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

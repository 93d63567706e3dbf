"""Pictures that are the same bytes with any version of any library."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from pathlib import Path

#: A caption, camera, lens, orientation 6, time with its zone, and coordinates, as Pillow wrote them once.
EXIF = base64.b64decode(
    "TU0AKgAAAAgABgEOAAIAAAAXAAAAVgEPAAIAAAAHAAAAbgEQAAIAAAAKAAAAdgESAAMAAAABAAYAAIdpAAQAAAABAAAAgIglAAQAAAABAAAA0gAA"
    "AABBIHJlZCBiYXJuIGJ5IHRoZSBsYWtlAABJbXNlZWsAAFBpbmhvbGUgMQAAA5ADAAIAAAAUAAAAqpARAAIAAAAHAAAAvqQ0AAIAAAAMAAAAxgAA"
    "AAAyMDI0OjA1OjA2IDA3OjA4OjA5ACswMjowMAAASG9sZSAwLjMgbW0AAAQAAQACAAAAAk4AAAAAAgAFAAAAAwAAAQgAAwACAAAAAkUAAAAABAAF"
    "AAAAAwAAASAAAAAAAAAAMAAAAAEAAAAeAAAAAQAAAAAAAAABAAAACQAAAAEAAAAPAAAAAQAAAAAAAAAB"
)


def draw(path: Path, seed: int, *, exif: bytes = b"") -> None:
    """Write a PNG of coloured noise."""
    chance = random.Random(seed)
    width, height = chance.randrange(8, 14), chance.randrange(8, 14)
    tint = [chance.randrange(128) for _ in range(3)]
    pixels = bytes(tint[n % 3] + value % 128 for n, value in enumerate(chance.randbytes(width * height * 3)))
    lines = b"".join(b"\0" + pixels[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    # One stored block: no compressor has a say.
    length = struct.pack("<HH", len(lines), len(lines) ^ 0xFFFF)
    data = b"\x78\x01\x01" + length + lines + struct.pack(">I", zlib.adler32(lines))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    if exif:
        chunks.insert(1, (b"eXIf", exif))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

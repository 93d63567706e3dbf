"""Camera raw files: distinguish them from TIFF, and find their largest embedded JPEG.

Sensor data is not developed: cameras store a preview that they developed themselves, mostly in full size. (LibRaw,
which could develop, is LGPL or CDDL: docs/decisions/0008-formats.md.) The preview is found by searching for JPEG
headers rather than by each maker's tags, so one search serves DNG, NEF, ARW, CR2, CR3, ORF, RW2, PEF, SRW, RAF and
future formats. Needs no Pillow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from imseek.errors import MediaError
from imseek.media.isobmff import boxes
from imseek.types.pictures import SkipReason

#: Canon's box inside ``moov`` with the camera's metadata.
_CANON_UUID: Final = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")

_SUBFILE_TYPE: Final = 254
_PHOTOMETRIC: Final = 262
_SUB_DIRECTORIES: Final = 330
_DNG_VERSION: Final = 50706
_SENSOR: Final = frozenset((32803, 34892))  # photometric interpretations: colour filter array, linear raw
_SIZES: Final = {3: 2, 4: 4, 13: 4}  # bytes of the types SHORT, LONG and IFD
_MAX_DIRECTORIES: Final = 32
_MAX_TAGS: Final = 512

_MAX_HEADERS: Final = 4096  # keeps a file full of JPEG headers from taking minutes
_MAX_SEGMENTS: Final = 64
_BASELINE: Final = frozenset((0xC0, 0xC1, 0xC2))  # the others of 0xC0 … 0xCF code sensor data, losslessly
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN: Final = 0xDA


def is_raw(data: bytes) -> bool:
    """Tell whether a file with TIFF's first bytes holds sensor data, or starts with a preview of it."""
    if data[8:10] == b"CR":  # Canon CR2 marks itself this way
        return True
    for number, tags in enumerate(_directories(data)):
        if _DNG_VERSION in tags or _SENSOR.intersection(tags.get(_PHOTOMETRIC, ())):
            return True
        if number == 0 and any(kind & 1 for kind in tags.get(_SUBFILE_TYPE, ())):
            return True
    return False


def largest_jpeg(data: bytes) -> bytes:
    """Return the embedded JPEG with the most pixels, and everything behind it in the file.

    Raises MediaError where there is none.
    """
    best, where = 0, -1
    at = data.find(b"\xff\xd8\xff")
    for _ in range(_MAX_HEADERS):
        if at < 0:
            break
        if (size := _jpeg_pixels(data, at)) > best:
            best, where = size, at
        at = data.find(b"\xff\xd8\xff", at + 2)
    if where < 0:
        message = "this camera raw file holds no JPEG preview, and sensor data is not developed"
        raise MediaError(SkipReason.MISSING_CODEC, message)
    return data[where:]


def canon_directories(data: bytes) -> dict[bytes, bytes]:
    """Return the TIFF directories of a CR3 by name: ``CMT1`` (main), ``CMT2`` (EXIF), ``CMT4`` (GPS)."""
    return {
        inner.kind: data[inner.start : inner.end]
        for movie in boxes(data)
        if movie.kind == b"moov"
        for canon in boxes(data, movie.start, movie.end)
        if canon.kind == b"uuid" and data[canon.start : canon.start + 16] == _CANON_UUID
        for inner in boxes(data, canon.start + 16, canon.end)
        if inner.kind.startswith(b"CMT")
    }


def _jpeg_pixels(data: bytes, at: int) -> int:
    """Return width times height of the 8-bit JPEG whose header starts at ``at``, or 0 where there is none."""
    pixels = 0
    at += 2
    for _ in range(_MAX_SEGMENTS):
        head = data[at : at + 10]
        if len(head) < 10 or head[0] != 0xFF:
            return 0
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _SCAN:
            return pixels
        if marker in _FRAMES:
            if marker not in _BASELINE or head[4] != 8:
                return 0
            pixels = int.from_bytes(head[5:7], "big") * int.from_bytes(head[7:9], "big")
        elif marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2:
            return 0
        at += 2 + length
    return 0


def _directories(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Yield the integer tags of each TIFF directory, chained or nested."""
    order: Literal["little", "big"] = "little" if data.startswith(b"I") else "big"
    if data[2:4] not in (b"*\x00", b"\x00*"):  # BigTIFF: no camera writes it
        return
    offsets, visited = [int.from_bytes(data[4:8], order)], set[int]()
    while offsets and len(visited) < _MAX_DIRECTORIES:
        start = offsets.pop(0)
        if start in visited or not 0 < start < len(data) - 2:
            continue
        visited.add(start)
        count = min(int.from_bytes(data[start : start + 2], order), _MAX_TAGS)
        end = start + 2 + 12 * count
        tags = {}
        for entry in range(start + 2, end, 12):
            tag = int.from_bytes(data[entry : entry + 2], order)
            if tag in (_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_DIRECTORIES):
                tags[tag] = _integers(data, entry, order)
            elif tag == _DNG_VERSION:
                tags[tag] = ()
        yield tags
        offsets += tags.get(_SUB_DIRECTORIES, ())
        offsets.append(int.from_bytes(data[end : end + 4], order))


def _integers(data: bytes, entry: int, order: Literal["little", "big"]) -> tuple[int, ...]:
    """Read the values of the tag whose 12-byte entry starts at ``entry``; empty where they are not integers."""
    size = _SIZES.get(int.from_bytes(data[entry + 2 : entry + 4], order), 0)
    count = min(int.from_bytes(data[entry + 4 : entry + 8], order), _MAX_DIRECTORIES)
    if size == 0:
        return ()
    at = entry + 8 if size * count <= 4 else int.from_bytes(data[entry + 8 : entry + 12], order)
    return tuple(int.from_bytes(data[i : i + size], order) for i in range(at, at + size * count, size))

"""A writer of HEIC for tests: no permissive package encodes HEVC, so pictures are stored in it sample by sample.

Every 16 x 16 block is an I_PCM coding unit (ITU-T H.265, 7.3.8.7): its samples stand in the stream as they are, 8 bits
each, 4:2:0, between a few bits of arithmetic code. Sides have to be multiples of 16.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

_BLOCK = 16
# rangeTabLps (table 9-46), the rows of the states that the context of part_mode passes through.
_RANGE_LPS = np.array(
    [
        *((128, 176, 208, 240), (128, 167, 197, 227), (128, 158, 187, 216), (123, 150, 178, 205)),
        *((116, 142, 169, 195), (111, 135, 160, 185), (105, 128, 152, 175), (100, 122, 144, 166)),
        *((95, 116, 137, 158), (90, 110, 130, 150), (85, 104, 123, 142), (81, 99, 117, 135)),
        *((77, 94, 111, 128), (73, 89, 105, 122), (69, 85, 100, 116), (66, 80, 95, 110)),
        *((62, 76, 90, 104), (59, 72, 86, 99), (56, 69, 81, 94), (53, 65, 77, 89)),
        *((51, 62, 73, 85), (48, 59, 69, 80), (46, 56, 66, 76), (43, 53, 63, 72)),
        *((41, 50, 59, 69), (39, 48, 56, 65), (37, 45, 54, 62), (35, 43, 51, 59)),
        *((33, 41, 48, 56), (32, 39, 46, 53), (30, 37, 43, 50), (29, 35, 41, 48)),
        *((27, 33, 39, 45), (26, 31, 37, 43), (24, 30, 35, 41), (23, 28, 33, 39)),
        *((22, 27, 32, 37), (21, 26, 30, 35), (20, 24, 29, 33), (19, 23, 27, 31)),
        *((18, 22, 26, 30), (17, 21, 25, 28), (16, 20, 23, 27), (15, 19, 22, 25)),
        *((14, 18, 21, 24), (14, 17, 20, 23), (13, 16, 19, 22), (12, 15, 18, 21)),
        *((12, 14, 17, 20), (11, 14, 16, 19), (11, 13, 15, 18), (10, 12, 15, 17)),
        *((10, 12, 14, 16), (9, 11, 13, 15), (9, 11, 12, 14), (8, 10, 12, 14)),
        *((8, 9, 11, 13), (7, 9, 11, 12), (7, 9, 10, 12), (7, 8, 10, 11)),
        *((6, 8, 9, 11), (6, 7, 9, 10), (6, 7, 8, 9), (2, 2, 2, 2)),
    ]
).tolist()


def heic(
    pictures: Image.Image | Sequence[Image.Image],
    *,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    icc: bytes | None = None,
    turns: int = 0,
    mirror: int | None = None,
) -> bytes:
    """A HEIC of one picture or several of the same size; metadata belong to the first, which is the primary one.

    ``turns`` are quarter turns to the left that a reader has to make (``irot``), ``mirror`` an axis (``imir``).
    """
    several = [pictures] if isinstance(pictures, Image.Image) else list(pictures)
    width, height = several[0].size
    slices = [_slice(picture) for picture in several]
    items: list[tuple[bytes, bytes, bytes]] = [
        (b"hvc1", b"", struct.pack(">I", len(coded)) + coded) for coded in slices
    ]
    if exif is not None:
        items.append((b"Exif", b"", struct.pack(">I", 6) + b"Exif\0\0" + exif))
    if xmp is not None:
        items.append((b"mime", b"application/rdf+xml\0", xmp))

    properties = [
        _box(b"hvcC", _configuration(width, height)),
        _full(b"ispe", struct.pack(">II", width, height)),
        _box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)),
    ]
    if icc is not None:
        properties.append(_box(b"colr", b"prof" + icc))
    if turns:
        properties.append(_box(b"irot", bytes([turns])))
    if mirror is not None:
        properties.append(_box(b"imir", bytes([mirror])))
    # The decoder's configuration comes first, and is marked as essential.
    used = bytes([len(properties), 0x81, *range(2, len(properties) + 1)])
    association = struct.pack(">I", len(several)) + b"".join(
        struct.pack(">H", number) + used for number in range(1, len(several) + 1)
    )

    entries = b"".join(
        _full(b"infe", struct.pack(">HH", number, 0) + kind + b"\0" + more, version=2)
        for number, (kind, more, _) in enumerate(items, 1)
    )
    about = range(len(several) + 1, len(items) + 1)
    references = b"".join(_box(b"cdsc", struct.pack(">HHH", number, 1, 1)) for number in about)

    def meta(start: int) -> bytes:
        places = b""
        for number, (_, _, content) in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, start, len(content))
            start += len(content)
        return _full(
            b"meta",
            _full(b"hdlr", struct.pack(">I4s12x", 0, b"pict") + b"\0")
            + _full(b"pitm", struct.pack(">H", 1))
            + _full(b"iinf", struct.pack(">H", len(items)) + entries)
            + (_full(b"iref", references) if references else b"")
            + _box(
                b"iprp",
                _box(b"ipco", b"".join(properties)) + _full(b"ipma", association),
            )
            + _full(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)) + places),
        )

    ftyp = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + _box(b"mdat", b"".join(content for _, _, content in items))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def _full(kind: bytes, content: bytes, version: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24) + content)


# --- HEVC ---------------------------------------------------------------------------------------------------


class _Bits:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def u(self, *fields: tuple[int, int]) -> _Bits:
        """Values and their numbers of bits."""
        for value, count in fields:
            self.bits += [value >> i & 1 for i in reversed(range(count))]
        return self

    def ue(self, *values: int) -> _Bits:
        for value in values:
            length = (value + 1).bit_length()
            self.u((0, length - 1), (value + 1, length))
        return self

    def aligned(self, *, stop: bool) -> bytes:
        bits = self.bits + [1] * stop
        bits += [0] * (-len(bits) % 8)
        return np.packbits(np.array(bits, np.uint8)).tobytes()


def _profile(bits: _Bits) -> _Bits:
    # Main profile, progressive frames, level 3.
    return bits.u((0, 3), (1, 5), (0x60000000, 32), (0b1001, 4), (0, 44), (90, 8))


def _nal(kind: int, payload: bytes) -> bytes:
    """With bytes that keep three zeros and start codes apart (7.3.1.1)."""
    guarded, zeros = bytearray([kind << 1, 1]), 0
    for byte in payload:
        if zeros >= 2 and byte <= 3:
            guarded.append(3)
            zeros = 0
        guarded.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(guarded)


def _configuration(width: int, height: int) -> bytes:
    video = _profile(_Bits().u((0, 4), (3, 2), (0, 6), (0, 3), (1, 1), (0xFFFF, 16)))
    video.u((1, 1)).ue(0, 0, 0).u((0, 6)).ue(0).u((0, 2))

    sequence = _profile(_Bits().u((0, 4), (0, 3), (1, 1)))
    sequence.ue(0, 1, width, height).u((0, 1)).ue(0, 0, 0).u((1, 1)).ue(0, 0, 0)
    sequence.ue(1, 0, 0, 2, 0, 0)  # coding blocks of 16, transforms of 4 to 16
    sequence.u((0, 3), (1, 1), (7, 4), (7, 4)).ue(1, 0).u((1, 1))  # I_PCM, 8 bits, not filtered
    sequence.ue(0).u((0, 5))

    picture = _Bits().ue(0, 0).u((0, 7)).ue(0, 0, 0).u((0, 3)).ue(0, 0)
    picture.u((0, 7), (1, 1), (0, 1), (1, 1), (0, 2)).ue(0).u((0, 2))  # no deblocking

    sets = ((32, video), (33, sequence), (34, picture))
    head = struct.pack(">BBIHIB", 1, 1, 0x60000000, 0x9000, 0, 90)
    arrays = b""
    for kind, bits in sets:
        unit = _nal(kind, bits.aligned(stop=True))
        arrays += struct.pack(">BHH", 0x80 | kind, 1, len(unit)) + unit
    return head + struct.pack(">HBBBBHB", 0xF000, 0xFC, 0xFD, 0xF8, 0xF8, 0, 0x0F) + bytes([len(sets)]) + arrays


class _Arithmetic:
    """The CABAC encoder (9.3.4.x), with the one context of ``part_mode``."""

    def __init__(self) -> None:
        self.state, self.likely = self._context(184, 26)

    @staticmethod
    def _context(initial: int, qp: int) -> tuple[int, int]:
        slope, offset = (initial >> 4) * 5 - 45, ((initial & 15) << 3) - 16
        state = min(max(1, ((slope * qp) >> 4) + offset), 126)
        return (state - 64, 1) if state > 63 else (63 - state, 0)

    def block(self, *, last_before: bool | None) -> bytes:
        """The bits around a block: whether the slice ended before it (None for the first), 2Nx2N, I_PCM."""
        self.low, self.range, self.waiting, self.first, self.out = 0, 510, 0, True, list[int]()
        if last_before is not None:
            self._terminate(last_before)
        if not last_before:
            self._decide(1)
            self._terminate(True)
        return np.packbits(np.array(self.out + [0] * (-len(self.out) % 8), np.uint8)).tobytes()

    def _decide(self, bit: int) -> None:
        lps = _RANGE_LPS[self.state][self.range >> 6 & 3]
        self.range -= lps
        assert bit == self.likely, "the context starts likely and stays so"
        self.state = min(self.state + 1, 62)
        self._renormalise()

    def _terminate(self, end: bool) -> None:
        self.range -= 2
        if end:
            self.low += self.range
            self.range = 2
            self._renormalise()
            self._put(self.low >> 9 & 1)
            rest = self.low >> 7 & 3 | 1
            self.out += [rest >> 1, rest & 1]
        else:
            self._renormalise()

    def _renormalise(self) -> None:
        while self.range < 256:
            if self.low < 256:
                self._put(0)
            elif self.low >= 512:
                self.low -= 512
                self._put(1)
            else:
                self.low -= 256
                self.waiting += 1
            self.range <<= 1
            self.low <<= 1

    def _put(self, bit: int) -> None:
        if self.first:
            self.first = False
        else:
            self.out.append(bit)
        self.out += [1 - bit] * self.waiting
        self.waiting = 0


def _slice(picture: Image.Image) -> bytes:
    planes = [_plane(picture, n) for n in range(3)]
    height, width = planes[0].shape
    assert width % _BLOCK == height % _BLOCK == 0
    payload = _Bits().u((1, 1), (0, 1)).ue(0, 2, 0).aligned(stop=True)
    coder, last = _Arithmetic(), None
    for top in range(0, height, _BLOCK):
        for left in range(0, width, _BLOCK):
            payload += coder.block(last_before=last)
            for plane, step in zip(planes, (1, 2, 2), strict=True):
                side = _BLOCK // step
                payload += plane[top // step : top // step + side, left // step : left // step + side].tobytes()
            last = False
    return _nal(19, payload + coder.block(last_before=True))


def _plane(picture: Image.Image, number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Luma as it is, chroma (full range) at half the size."""
    plane = picture.convert("YCbCr").getchannel(number)
    return np.asarray(plane if number == 0 else plane.reduce(2))

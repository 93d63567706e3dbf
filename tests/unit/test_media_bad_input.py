"""Whatever the bytes, the decoder answers with a picture or with a MediaError whose reason is right."""

from __future__ import annotations

import io
import random
import struct
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import BmpImagePlugin, Image, ImageFile

from imseek.errors import MediaError
from imseek.media import bounds, pillow
from imseek.media.decode import Limits, decode
from imseek.media.pillow import _quiet
from imseek.types.pictures import SkipReason

pytestmark = pytest.mark.slow

# Noise, so that files are long enough to be cut anywhere.
NOISE = Image.fromarray(np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def encode(name: str, image: Image.Image = NOISE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


FILES: dict[str, bytes] = {
    "jpeg": encode("JPEG"),
    "jpeg-progressive": encode("JPEG", progressive=True),
    "png": encode("PNG"),
    "webp": encode("WEBP"),
    "webp-lossless": encode("WEBP", lossless=True),
    "gif": encode("GIF"),
    "tiff": encode("TIFF"),
    "tiff-deflate": encode("TIFF", compression="tiff_adobe_deflate"),
    "bmp": encode("BMP"),
}


def reason(data: bytes, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        decode(data, **options)
    assert str(caught.value)
    return caught.value.reason


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG that claims to be of this size and holds no pixel."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *more)
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + body


# --- no picture ---------------------------------------------------------------------------------------------


def test_an_empty_file() -> None:
    assert reason(b"") == SkipReason.EMPTY_FILE


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"This is a shopping list, renamed holiday.jpg.\n",
        b"BMW and other makers of cars: a text that begins like a bitmap, and is none",
        b"<!DOCTYPE html><html><body><svg></svg></body></html>",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        bytes(1000),
    ],
    ids=["one-byte", "text", "bmw", "html", "pdf", "eps", "film", "sound", "zeros"],
)
def test_content_that_is_no_image(data: bytes) -> None:
    assert reason(data) == SkipReason.NOT_AN_IMAGE


# --- a picture that nothing here reads ----------------------------------------------------------------------


def dng() -> bytes:
    """A TIFF with the tag of a digital negative, which Pillow would take for a picture of 64 x 48."""
    return encode("TIFF", tiffinfo={50706: b"\x01\x04\x00\x00"})


def reduced_page() -> bytes:
    return encode("TIFF", tiffinfo={254: 1})


def twelve_bit_jpeg() -> bytes:
    start = FILES["jpeg"].index(b"\xff\xc0\x00\x11\x08")
    return FILES["jpeg"][: start + 4] + b"\x0c" + FILES["jpeg"][start + 5 :]


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(30), "JPEG 2000"),
        (b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "camera raw"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(30), "camera raw"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw"),
        (b"8BPS\x00\x01" + bytes(30), "PSD"),
        (dng(), "camera raw"),
        (reduced_page(), "camera raw"),
        (twelve_bit_jpeg(), "12-bit"),
        (encode("JPEG2000"), "JPEG 2000"),
        (encode("ICO"), "ICO"),
    ],
)
def test_a_format_without_a_decoder_is_named(data: bytes, named: str) -> None:
    with pytest.raises(MediaError, match=named) as caught:
        decode(data)
    assert caught.value.reason == SkipReason.MISSING_CODEC


# --- damaged ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_truncated_and_never_half_decoded(name: str, part: float) -> None:
    data = FILES[name]
    assert decode(data).pixels.shape == (48, 64, 3)
    assert reason(data[: int(len(data) * part)]) == SkipReason.TRUNCATED


def test_a_whole_file_with_wrong_bytes_is_corrupt() -> None:
    data = bytearray(FILES["png"])
    data[data.index(b"IDAT") + 40] ^= 0xFF
    assert reason(bytes(data)) == SkipReason.CORRUPT


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"\x00"])
def test_garbage_in_exif_does_not_cost_the_picture(exif: bytes) -> None:
    for name in ("JPEG", "PNG", "WEBP"):
        facts = decode(encode(name, exif=exif)).facts
        assert (facts.width, facts.height, facts.orientation) == (64, 48, 1)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with a few bytes flipped, overwritten, removed or inserted, and perhaps cut."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 2, 4, 16))):
        at = chance.randrange(max(1, min(len(changed), chance.choice((64, 512, 1 << 20)))))
        kind = chance.randrange(4)
        if kind == 0:
            changed[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            changed[at : at + 4] = bytes(chance.choice((0, 255)) for _ in range(4))
        elif kind == 2:
            del changed[at : at + chance.randrange(1, 40)]
        else:
            changed[at:at] = chance.randbytes(chance.randrange(1, 20))
    return bytes(changed[: chance.randrange(len(changed) + 1)] if chance.random() < 0.2 else changed)


# libtiff itself writes what it thinks of a deflated stream to standard error, so that one is left out.
@pytest.mark.parametrize("name", [name for name in FILES if name != "tiff-deflate"])
def test_of_mutated_files_nothing_but_a_media_error_comes_out(name: str, chance: random.Random) -> None:
    outcomes = set()
    for _ in range(60):
        try:
            decoded = decode(mutated(FILES[name], chance), min_side=chance.choice((None, 16)))
        except MediaError as error:
            outcomes.add(SkipReason(error.reason))
        else:
            assert decoded.pixels.ndim == 3
            assert decoded.pixels.dtype == np.uint8
    assert len(outcomes) >= 2  # the mutations do reach the decoder


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (OSError("broken data stream when reading image file"), SkipReason.CORRUPT),
        (SyntaxError("not a BMP file"), SkipReason.CORRUPT),
        (ValueError("tile cannot extend outside image"), SkipReason.CORRUPT),
        (struct.error("unpack requires a buffer of 2 bytes"), SkipReason.CORRUPT),
        (KeyError(42), SkipReason.CORRUPT),
        (AssertionError(), SkipReason.CORRUPT),
        (RecursionError("maximum recursion depth exceeded"), SkipReason.CORRUPT),
        (OSError("image file is truncated (3 bytes not processed)"), SkipReason.TRUNCATED),
        (MemoryError(), SkipReason.TOO_MANY_PIXELS),
        (Image.DecompressionBombError("too big"), SkipReason.TOO_MANY_PIXELS),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_pillow_raises_becomes_a_media_error(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: str
) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise raised

    monkeypatch.setattr(BmpImagePlugin.BmpImageFile, "load", load)
    assert reason(FILES["bmp"]) == expected


# --- too large ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        png(60_000, 60_000),
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02",
        FILES["bmp"][:18] + struct.pack("<ii", 60_000, 60_000) + FILES["bmp"][26:],
        FILES["tiff"].replace(struct.pack("<HHII", 256, 4, 1, 64), struct.pack("<HHII", 256, 4, 1, 2**30), 1),
        # The size in the frame header of a JPEG: height, then width.
        FILES["jpeg"].replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65500, 65500), 1),
    ],
    ids=["png", "gif", "bmp", "tiff", "jpeg"],
)
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(data: bytes) -> None:
    # Decoding would end with "truncated": none of these holds the pixels that it claims.
    assert data not in FILES.values()
    assert reason(data) == SkipReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("name", FILES)
def test_the_limit_of_pixels_is_exact(name: str) -> None:
    assert decode(FILES[name], limits=Limits(max_pixels=64 * 48)).facts.width == 64
    assert reason(FILES[name], limits=Limits(max_pixels=64 * 48 - 1)) == SkipReason.TOO_MANY_PIXELS


def test_the_limit_of_bytes_is_exact() -> None:
    data = FILES["png"]
    assert decode(data, limits=Limits(max_bytes=len(data))).facts.width == 64
    assert reason(data, limits=Limits(max_bytes=len(data) - 1)) == SkipReason.TOO_MANY_BYTES


def test_a_header_that_lies_within_the_limit_costs_an_error_and_not_the_process() -> None:
    assert reason(png(12_000, 12_000)) == SkipReason.TRUNCATED


@pytest.mark.parametrize("name", ["tiff", "webp", "gif"])
def test_the_guard_of_pillow_counts_too_and_its_warning_stays_inside(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 * 2 // 3)
    assert decode(FILES[name]).facts.width == 64  # above the limit of a warning, which would be an error here
    if name != "gif":  # which asks it only where a frame exceeds the canvas
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 3)
        assert reason(FILES[name]) == SkipReason.TOO_MANY_PIXELS


@pytest.mark.parametrize(("large", "together"), [(64 * 48 - 1, False), (64 * 48, True)])
def test_of_large_pictures_one_is_decoded_at_a_time(
    monkeypatch: pytest.MonkeyPatch, large: int, together: bool
) -> None:
    inside: list[int] = []
    most = 0

    def slow(stored: ImageFile.ImageFile, data: bytes, name: str) -> Any:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        time.sleep(0.02)
        inside.pop()
        return upright(stored, data, name)

    upright = pillow._load_upright
    monkeypatch.setattr(pillow, "_load_upright", slow)
    monkeypatch.setattr(bounds, "_LARGE", large)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(decode, [FILES["png"]] * 8))) == 8
    assert (most > 1) is together


def test_nothing_global_in_pillow_is_changed() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(Image.ID))
    for data in FILES.values():
        decode(data)
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(Image.ID)) == before
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# --- warnings and threads -----------------------------------------------------------------------------------


def invalid_animation() -> bytes:
    """A sound PNG whose animation is announced twice: Pillow warns, and reads it."""
    header = FILES["png"][:33]
    assert header.endswith(struct.pack(">I", zlib.crc32(header[12:29])))
    control = b"acTL" + struct.pack(">II", 0, 0)
    return header + struct.pack(">I", 8) + control + struct.pack(">I", zlib.crc32(control)) + FILES["png"][33:]


def test_pillow_would_warn_and_the_decoder_does_not() -> None:
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(io.BytesIO(invalid_animation())):
        pass
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert decode(invalid_animation()).pixels.shape == (48, 64, 3)
    assert seen == []


def test_warnings_of_others_pass_while_a_picture_is_decoded() -> None:
    with _quiet, pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_threads_decode_alike_silence_pillow_and_leave_the_filters_as_they_were() -> None:
    jobs = [*FILES.values(), invalid_animation()] * 20
    expected = [decode(data).pixels for data in jobs]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            decoded = list(pool.map(decode, jobs))
        assert list(warnings.filters) == before
    assert seen == []
    for one, other in zip(decoded, expected, strict=True):
        assert np.array_equal(one.pixels, other)


@pytest.mark.parametrize("order", [lambda enter: enter, lambda enter: reversed(enter)])
def test_no_entry_is_left_in_the_filters_even_if_others_swap_the_list(
    order: Callable[[list[Any]], Any],
) -> None:
    before = list(warnings.filters)
    other = warnings.catch_warnings()
    for context in order([_quiet, other]):
        context.__enter__()
    _quiet.__exit__(None, None, None)
    other.__exit__(None, None, None)
    with _quiet:
        assert len(warnings.filters) == len(before) + 1
    assert list(warnings.filters) == before

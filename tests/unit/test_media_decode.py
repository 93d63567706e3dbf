"""Every kind of picture that the decoder promises to read, down to the values of its pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from imseek.media.decode import decode
from imseek.media.phash import hamming_distance

LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("BMP", {}),
]
RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)
ORIENTATION = 274


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A real photograph, 451 x 300."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    with Image.open(Path(spec.origin).parent / "data" / "chelsea.png") as image:
        return image.convert("RGB")


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def tiff(values: bytes, *, width: int, height: int, bits: int, **more: tuple[int, int]) -> bytes:
    """A little-endian TIFF of one uncompressed grey channel, for what Pillow reads but does not write."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 277: 1, 278: height, 279: len(values)}
    tags |= dict(more.values())
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + values


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_a_lossless_photo_comes_out_pixel_for_pixel(photo: Image.Image, name: str, options: dict[str, Any]) -> None:
    decoded = decode(encode(photo, name, **options))
    assert np.array_equal(decoded.pixels, np.asarray(photo))
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.flags.writeable
    assert decoded.pixels.flags.c_contiguous
    facts = decoded.facts
    assert (facts.width, facts.height, facts.format, facts.mode) == (451, 300, name, "RGB")
    assert (facts.frames, facts.orientation, facts.taken_at, facts.caption) == (1, 1, None, None)


@pytest.mark.parametrize(
    "name",
    [
        "JPEG",
        "WEBP",
        pytest.param("AVIF", marks=pytest.mark.skipif("avif" not in features.modules, reason="no AVIF here")),
    ],
)
def test_a_lossy_photo_is_close_to_the_original_and_far_from_its_mirror_image(photo: Image.Image, name: str) -> None:
    pixels = decode(encode(photo, name, quality=90)).pixels.astype(int)
    original = np.asarray(photo).astype(int)
    assert np.abs(pixels - original).mean() < 5
    assert np.abs(pixels - original[:, ::-1]).mean() > 15


# --- transparency -------------------------------------------------------------------------------------------


def halves(mode: str, left: Any, right: Any) -> Image.Image:
    image = Image.new(mode, (8, 4), left)
    image.paste(right, (4, 0, 8, 4))
    return image


def half_transparent_palette() -> Image.Image:
    image = Image.new("P", (8, 4), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.paste(1, (4, 0, 8, 4))
    return image


GREY16 = np.array([[64 * 257] * 4 + [9] * 4], np.uint16)


@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        (encode(halves("RGBA", (*RED, 255), (0, 0, 0, 0)), "PNG"), RED, WHITE),
        (encode(halves("RGBA", (*RED, 255), (*RED, 128)), "PNG"), RED, (255, 127, 127)),
        (encode(halves("RGBA", (*RED, 255), (0, 0, 0, 0)), "WEBP", lossless=True), RED, WHITE),
        (encode(halves("RGBA", (*RED, 255), (0, 0, 0, 0)), "TIFF"), RED, WHITE),
        (encode(halves("LA", (64, 255), (0, 0)), "PNG"), (64, 64, 64), WHITE),
        (encode(halves("LA", (64, 255), (64, 0)), "TIFF"), (64, 64, 64), WHITE),
        (encode(half_transparent_palette(), "PNG"), RED, GREEN),
        (encode(half_transparent_palette(), "PNG", transparency=1), RED, WHITE),
        (encode(half_transparent_palette(), "PNG", transparency=b"\xff\x80"), RED, (127, 255, 127)),
        (encode(half_transparent_palette(), "GIF", transparency=1), RED, WHITE),
        (encode(halves("L", 64, 9), "PNG", transparency=9), (64, 64, 64), WHITE),
        (encode(halves("RGB", RED, GREEN), "PNG", transparency=GREEN), RED, WHITE),
        (encode(halves("1", 0, 1), "PNG", transparency=0), WHITE, WHITE),
        (encode(Image.fromarray(GREY16), "PNG", transparency=9), (64, 64, 64), WHITE),
    ],
    ids=[
        *("RGBA", "RGBA-half", "RGBA-webp", "RGBA-tiff", "LA", "LA-tiff", "P", "P-index", "P-bytes"),
        *("P-gif", "L-key", "RGB-key", "1-key", "I;16-key"),
    ],
)
def test_transparency_is_composited_over_white(
    data: bytes, left: tuple[int, int, int], right: tuple[int, int, int]
) -> None:
    pixels = decode(data).pixels.astype(int)
    assert np.abs(pixels[:, :4] - left).max() <= 1
    assert np.abs(pixels[:, 4:] - right).max() <= 1


def test_premultiplied_grey_is_undone_before_it_is_composited() -> None:
    data = encode(halves("LA", (64, 128), (0, 0)), "TIFF")
    extra_samples = struct.pack("<HHIHH", 338, 3, 1, 2, 0)
    assert data.count(extra_samples) == 1
    decoded = decode(data.replace(extra_samples, struct.pack("<HHIHH", 338, 3, 1, 1, 0)))
    assert decoded.facts.mode == "La"
    assert decoded.pixels[0, 0, 0] == pytest.approx(64 + 127, abs=1)  # grey times alpha, plus the white behind
    assert decoded.pixels[0, 7].tolist() == [255, 255, 255]


# --- depth and colour ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(name: str) -> None:
    pixels = decode(encode(halves("1", 0, 1), name)).pixels
    assert (pixels[:, :4] == 0).all()
    assert (pixels[:, 4:] == 255).all()


RAMP16 = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)


@pytest.mark.parametrize(
    "data",
    [
        encode(Image.fromarray(RAMP16), "PNG"),
        encode(Image.fromarray(RAMP16), "TIFF"),
        encode(Image.fromarray(RAMP16), "TIFF", compression="tiff_lzw"),
        encode(Image.fromarray(RAMP16.astype(">u2")), "TIFF"),
    ],
    ids=["png", "tiff", "tiff-lzw", "tiff-big-endian"],
)
def test_sixteen_bits_are_scaled_over_their_whole_range(data: bytes) -> None:
    assert np.array_equal(decode(data).pixels[..., 0], np.rint(RAMP16 / 257))


def test_twelve_bits_reach_from_black_to_white() -> None:
    # Two values of 12 bits in three bytes: 0x000 0xfff | 0x800 0x400.
    decoded = decode(tiff(bytes.fromhex("000fff800400"), width=2, height=2, bits=12))
    assert decoded.facts.mode == "I;16"
    assert decoded.pixels[..., 0].tolist() == [[0, 255], [128, 64]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.25], [0.5, 1.0]], np.float32), [[0, 64], [128, 255]]),
        (np.array([[0.5, 0.5]], np.float32), [[128, 128]]),
        (np.array([[-1000.0, 0.0], [1000.0, np.nan]], np.float32), [[0, 128], [255, 0]]),
        (np.array([[-3e38, 3e38], [0.0, np.inf]], np.float32), [[0, 255], [128, 255]]),
        (np.array([[np.nan, np.nan]], np.float32), [[0, 0]]),
        (np.array([[-5, 0], [5, 0]], np.int32), [[0, 128], [255, 128]]),
        (np.array([[0, 1_000_000]], np.int32), [[0, 255]]),
        (np.array([[7, 7]], np.int32), [[0, 0]]),
    ],
)
def test_floats_and_long_integers_are_stretched_and_not_clipped(
    values: np.ndarray[Any, Any], expected: list[list[int]]
) -> None:
    assert decode(encode(Image.fromarray(values), "TIFF")).pixels[..., 1].tolist() == expected


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_and_is_not_inverted(name: str) -> None:
    decoded = decode(encode(halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), name))
    assert decoded.facts.mode == "CMYK"
    assert np.abs(decoded.pixels[1, 1].astype(int) - RED).max() < 40
    assert np.abs(decoded.pixels[1, 6].astype(int) - WHITE).max() < 40


@pytest.mark.parametrize("mode", ["YCbCr", "LAB"])
def test_other_colour_spaces_become_rgb(photo: Image.Image, mode: str) -> None:
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        stored = ImageCms.profileToProfile(photo, srgb, lab, outputMode="LAB")
        assert stored is not None
    else:
        stored = photo.convert(mode)
    decoded = decode(encode(stored, "TIFF"))
    assert np.abs(decoded.pixels.astype(int) - np.asarray(photo)).mean() < 3


def profile(change: Callable[[bytes], bytes]) -> bytes:
    return change(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


def swap_red_and_green(icc: bytes) -> bytes:
    return icc.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)


def rename(icc: bytes) -> bytes:
    assert "sRGB".encode("utf-16-be") in icc
    return icc.replace("sRGB".encode("utf-16-be"), "Test".encode("utf-16-be"))


@pytest.mark.parametrize(
    ("icc", "expected"),
    [
        (profile(lambda icc: rename(swap_red_and_green(icc))), GREEN),
        (profile(rename), RED),
        (profile(lambda icc: icc), RED),
        (profile(lambda icc: rename(swap_red_and_green(icc))[:200]), RED),
        (profile(lambda icc: rename(icc).replace(b"RGB XYZ ", b"CMYKXYZ ")), RED),
        (b"garbage", RED),
    ],
    ids=["other-primaries", "same-primaries", "sRGB", "cut-short", "other-space", "garbage"],
)
@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_embedded_profile_is_converted_to_srgb_unless_it_is_broken(
    name: str, icc: bytes, expected: tuple[int, int, int]
) -> None:
    data = encode(Image.new("RGB", (16, 16), RED), name, icc_profile=icc)
    assert np.abs(decode(data).pixels[8, 8].astype(int) - expected).max() <= 6


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_another_colour_space_than_the_pixels_is_ignored(photo: Image.Image, mode: str) -> None:
    stored = photo.convert(mode)
    data = encode(stored, "TIFF", icc_profile=profile(lambda icc: rename(swap_red_and_green(icc))))
    assert np.array_equal(decode(data).pixels, np.asarray(stored.convert("RGB")))


# --- orientation --------------------------------------------------------------------------------------------

UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize(("name", "options"), [case for case in LOSSLESS if case[0] != "BMP"])
def test_orientation_is_applied_once(photo: Image.Image, name: str, options: dict[str, Any], orientation: int) -> None:
    decoded = decode(encode(photo, name, exif=with_orientation(orientation), **options))
    assert np.array_equal(decoded.pixels, UPRIGHT[orientation](np.asarray(photo)))
    assert decoded.facts.orientation == orientation
    assert (decoded.facts.height, decoded.facts.width) == decoded.pixels.shape[:2]


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation_of_a_jpeg_survives_reduced_decoding(photo: Image.Image, orientation: int) -> None:
    data = encode(photo, "JPEG", quality=95, exif=with_orientation(orientation))
    full, reduced = decode(data), decode(data, min_side=100)
    size = (300, 451) if orientation >= 5 else (451, 300)
    assert (full.facts.width, full.facts.height) == size
    assert (reduced.facts.width, reduced.facts.height) == size
    shrunk = Image.fromarray(full.pixels).resize(reduced.pixels.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(shrunk).astype(int) - reduced.pixels).mean() < 4


# --- frames -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken_and_all_are_counted(name: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name == "WEBP" else {}
    decoded = decode(encode(frames[0], name, save_all=True, append_images=frames[1:], **options))
    assert (decoded.pixels == RED).all()
    assert decoded.facts.frames == 3


def test_a_damaged_second_frame_does_not_cost_the_first() -> None:
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    descriptor = b"," + struct.pack("<HHHH", 0, 0, 64, 48)
    assert data.count(descriptor) == 3
    second = data.index(descriptor, data.index(descriptor) + 1)
    decoded = decode(data[: second + 4])
    assert (decoded.pixels == RED).all()
    assert decoded.facts.frames == 1


# --- reduced decoding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("min_side", [1, 7, 32, 75, 100, 149, 150, 151, 299, 300, 301, 5000])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_the_shorter_side_stays_between_min_side_and_twice_that(photo: Image.Image, name: str, min_side: int) -> None:
    decoded = decode(encode(photo, name), min_side=min_side)
    height, width, _ = decoded.pixels.shape
    assert min(min_side, 300) <= min(height, width) <= min(300, 2 * min_side)
    assert width / height == pytest.approx(451 / 300, rel=1 / min(height, width))
    assert (decoded.facts.width, decoded.facts.height) == (451, 300)


@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_a_reduced_picture_is_the_same_picture(photo: Image.Image, name: str) -> None:
    data = encode(photo, name)
    full, reduced = decode(data), decode(data, min_side=100)
    shrunk = Image.fromarray(full.pixels).resize(reduced.pixels.shape[1::-1], Image.Resampling.BOX)
    difference = np.abs(np.asarray(shrunk).astype(int) - reduced.pixels)
    assert difference.mean() < 4
    assert np.abs(np.asarray(shrunk)[::-1].astype(int) - reduced.pixels).mean() > 15  # upside down: not it
    assert hamming_distance(full.facts.phash, reduced.facts.phash) <= 4


def test_a_min_side_below_one_is_a_mistake_of_the_caller(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="min_side"):
        decode(encode(photo, "PNG"), min_side=0)

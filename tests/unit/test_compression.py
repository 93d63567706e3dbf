"""Traces of compression and enlargement, on real photographs and drawings."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imseek.media.compression_traces import earlier_jpeg_quality, is_enlarged, jpeg_quality
from imseek.types.arrays import Pixels


def jpeg(pixels: Pixels, quality: int, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, **options)
    return out.getvalue()


def decoded(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def resized(pixels: Pixels, scale: float, resampling: Image.Resampling = Image.Resampling.BICUBIC) -> Pixels:
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((round(width * scale), round(height * scale)), resampling))


def enlarged(pixels: Pixels, factor: float, quality: int = 101) -> bool:
    return is_enlarged(pixels, factor, lambda: quality)


@pytest.fixture(scope="module")
def pictures(photo_files: list[Path]) -> list[Pixels]:
    """Photographs as they are, some of which are JPEGs, none larger than 640 pixels."""
    found = []
    for path in photo_files:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((600, 600))
        found.append(np.asarray(picture))
    return found


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 85, 92, 95, 100])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_the_quality_a_file_states(pictures: list[Pixels], quality: int, options: dict[str, object]) -> None:
    found = jpeg_quality(jpeg(pictures[0], quality, **options))
    assert found is not None
    assert abs(found - quality) <= 1


def test_a_grey_file_and_one_with_a_profile(pictures: list[Pixels]) -> None:
    assert jpeg_quality(jpeg(pictures[0][..., 0], 60, icc_profile=bytes(70_000))) == 60


def test_fill_bytes_before_a_marker(pictures: list[Pixels]) -> None:
    data = jpeg(pictures[0], 60)
    end = data.index(b"\xff\xdb")
    filled = data[:end] + b"\xff" * 3 + data[end:]
    assert decoded(filled).shape == pictures[0].shape
    assert jpeg_quality(filled) == 60


@pytest.mark.parametrize("cut", [0, 2, 3, 4, 5, 20, 22, 40, 80])
def test_files_that_end_early_or_are_none(pictures: list[Pixels], cut: int) -> None:
    assert jpeg_quality(jpeg(pictures[0], 60)[:cut]) is None
    assert jpeg_quality(b"\xff" * cut) is None
    assert jpeg_quality(b"\xff\xd8\xff\xdb\x00\x00" * cut) is None
    assert jpeg_quality(bytes(range(cut))) is None


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 85])
@pytest.mark.parametrize("again", [None, 95])
def test_the_quality_that_pixels_had_before(pictures: list[Pixels], quality: int, again: int | None) -> None:
    """In a file without loss, and in a JPEG of a higher quality."""
    found = []
    for picture in pictures:
        saved = decoded(jpeg(picture, quality))
        found.append(earlier_jpeg_quality(saved if again is None else decoded(jpeg(saved, again))))
    known = [one for one in found if one is not None]
    assert len(known) >= len(pictures) - 1, "one of them is mostly black"
    assert all(quality - 4 <= one <= quality + 3 for one in known)


def test_pixels_without_such_a_past(pictures: list[Pixels]) -> None:
    for picture in pictures:
        assert earlier_jpeg_quality(picture) is None, "it was made smaller"
        assert earlier_jpeg_quality(decoded(jpeg(picture, 40))[3:, 5:]) is None, "its blocks lie elsewhere"
    assert earlier_jpeg_quality(np.full((400, 400, 3), 90, np.uint8)) is None
    assert earlier_jpeg_quality(np.zeros((5, 3, 3), np.uint8)) is None


@pytest.mark.parametrize("factor", [1.5, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("resampling", [Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])
def test_enlarged_pictures_have_no_detail_and_others_do(
    pictures: list[Pixels], factor: float, resampling: Image.Resampling
) -> None:
    for picture in pictures:
        assert not enlarged(picture, factor)
        large = resized(picture, factor, resampling)
        assert enlarged(large, factor)
        if factor >= 3:
            assert enlarged(decoded(jpeg(large, 90)), factor, 90)


@pytest.mark.parametrize("quality", [25, 60])
def test_low_quality_is_not_taken_for_detail(pictures: list[Pixels], quality: int) -> None:
    """What JPEG leaves at the edges of its blocks looks like detail."""
    for picture in pictures:
        assert not enlarged(decoded(jpeg(picture, quality)), 2.0, quality)
        for resampling in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
            large = decoded(jpeg(resized(picture, 2.0, resampling), quality))
            assert enlarged(large, 2.0, quality)


def test_a_flat_picture_and_a_tiny_one_are_not_enlarged() -> None:
    for shape in ((300, 300, 3), (1, 1, 3), (2, 400, 3), (4, 400, 3)):
        assert not enlarged(np.full(shape, 90, np.uint8), 2.0)


def test_a_small_factor_cannot_be_seen(pictures: list[Pixels]) -> None:
    assert not enlarged(resized(pictures[0], 1.2, Image.Resampling.BICUBIC), 1.2)

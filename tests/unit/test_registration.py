"""The pixel check on real photographs: copies that are found, and pictures that are told from each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from imseek.duplicates.pixels.luminance_cache import SIDE, LuminanceCache, to_luminance
from imseek.duplicates.pixels.orientations import INVERSE, ORIENTATIONS, turn
from imseek.duplicates.pixels.registration import (
    measure_at,
    register_inside,
    register_near,
    register_whole,
    swap_sides,
)
from imseek.duplicates.pixels.resampling import Luminance
from imseek.media import decode
from imseek.media.resize import resize

pytestmark = pytest.mark.slow

Pictures = dict[str, npt.NDArray[np.uint8]]


@pytest.fixture(scope="module")
def pictures(photo_files: list[Path]) -> Pictures:
    return {path.stem: decode(path.read_bytes()).pixels for path in photo_files}


def _look(pixels: npt.NDArray[np.uint8]) -> Luminance:
    return to_luminance(np.ascontiguousarray(pixels)).astype(np.float32)


@pytest.mark.parametrize("code", range(len(ORIENTATIONS)))
def test_a_turned_copy_lies_over_its_original(pictures: Pictures, code: int) -> None:
    for name, pixels in pictures.items():
        found = register_whole(_look(pixels), _look(turn(pixels, code)), code)
        assert found.orientation == code, name
        assert found.agreement > 0.93, name
        assert found.overlap > 0.97, name
        assert found.drift < 0.1, name


def test_a_thumbnail_agrees_as_far_as_it_can_show(pictures: Pictures) -> None:
    for name, pixels in pictures.items():
        found = register_whole(_look(pixels), _look(resize(pixels, (pixels.shape[0] // 8, pixels.shape[1] // 8))), 0)
        assert (found.orientation, found.agreement > 0.9) == (0, True), name
        assert found.pixels < SIDE, name


@pytest.mark.parametrize("code", [0, 5])
def test_a_fit_that_is_near_ends_where_a_search_does(pictures: Pictures, code: int) -> None:
    for name, pixels in pictures.items():
        whole, copy = _look(pixels), _look(turn(resize(pixels, (pixels.shape[0] // 3, pixels.shape[1] // 3)), code))
        found, near = register_whole(whole, copy, code), register_near(whole, copy, code, (1.01, -0.01, 0.99, 0.01))
        assert (near.orientation, near.pixels) == (found.orientation, found.pixels), name
        assert near.agreement == pytest.approx(found.agreement, abs=0.01), name
        assert near.drift == pytest.approx(found.drift, abs=0.05), name


@pytest.mark.parametrize("corner", [(0, 0), (0.3, 0.2), (0.1, 0.3)])
def test_a_crop_is_found_where_it_was_cut_out(pictures: Pictures, corner: tuple[float, float]) -> None:
    for name, pixels in pictures.items():
        height, width = pixels.shape[:2]
        top, left = round(corner[0] * height), round(corner[1] * width)
        cropped = pixels[top : top + round(0.7 * height), left : left + round(0.7 * width)]
        found = register_inside(_look(pixels), _look(cropped))
        assert found.agreement > 0.9, name
        assert found.overlap_a == pytest.approx(0.49, abs=0.03), name
        assert found.overlap_b > 0.95, name
        back = register_inside(_look(cropped), _look(pixels))
        assert back.agreement > 0.9, name
        assert back.overlap_b == pytest.approx(0.49, abs=0.03), name


def test_a_framed_copy_is_found_within_its_frame(pictures: Pictures) -> None:
    for name, pixels in pictures.items():
        edge = round(0.1 * max(pixels.shape))
        framed = np.pad(pixels, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
        found = register_inside(_look(pixels), _look(framed))
        assert found.agreement > 0.9, name
        assert found.overlap_b == pytest.approx(pixels[..., 0].size / framed[..., 0].size, abs=0.05), name


def test_different_pictures_do_not_agree(pictures: Pictures) -> None:
    looks = [_look(pixels) for pixels in pictures.values()]
    for n, first in enumerate(looks):
        for second in looks[:n]:
            assert register_whole(first, second, 0).agreement < 0.5
            assert register_inside(first, second).agreement < 0.6


def test_things_that_moved_have_drifted(pictures: Pictures) -> None:
    """Waves of two pixels in a picture 160 wide, as no scaling and shifting brings about."""
    for name, pixels in pictures.items():
        small = _look(pixels)
        rows, columns = np.mgrid[: small.shape[0], : small.shape[1]]
        moved = (columns + 2 * np.sin(rows / 8)).round().astype(int).clip(0, small.shape[1] - 1)
        assert register_whole(small, small[rows, moved], 0).drift > 0.5, name
        assert register_whole(small, small, 0).drift == pytest.approx(0, abs=0.01), name


def test_what_covers_a_quarter_of_a_picture_does_not_move_its_fit(pictures: Pictures) -> None:
    for name, pixels in pictures.items():
        covered = pixels.copy()
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        covered[-height:, -width:] = resize(pictures["rocket" if name != "rocket" else "coffee"], (height, width))
        found = register_near(_look(pixels), _look(covered), 0, (1.006, -0.005, 0.995, 0.004))
        assert found.fit is not None, name
        assert found.in_place > 0.2, name
        far = [
            found.fit.ty,
            found.fit.tx,
            found.fit.ty + 100 * (found.fit.sy - 1),
            found.fit.tx + 100 * (found.fit.sx - 1),
        ]
        assert max(map(abs, far)) < 0.2, name
        moved = measure_at(_look(pixels), _look(covered), 0, (1, 0.005, 1, 0.004))
        assert moved.in_place < 0.1, name


def test_a_small_overlap_does_not_prove_a_fit(pictures: Pictures) -> None:
    look = _look(pictures["coffee"])
    whole = register_whole(look, look, 0)
    assert whole.is_fixed
    assert not replace(whole, overlap_b=0.3).is_fixed
    assert not replace(whole, in_place=0.1).is_fixed


def test_stripes_in_common_are_no_agreement() -> None:
    """Lines of text at the same heights, of other words: as luminance they correlate."""
    rng = np.random.default_rng(0)
    lines = (np.arange(120) % 6 < 3)[:, None]
    first, second = (
        np.where(lines, 255 - 150 * (rng.random((120, 160)) < 0.7), 255).astype(np.float32) for _ in range(2)
    )
    found = register_whole(first, second, 0)
    assert found.correlation > 0.5
    assert found.agreement < 0.3


def test_blank_pictures_have_no_detail() -> None:
    white, grey = np.full((100, 80), 255, np.float32), np.full((90, 160), 128, np.float32)
    slope = np.linspace(0, 255, 160, dtype=np.float32)[None].repeat(120, axis=0)
    for first, second in ((white, grey), (white, white), (white, slope), (slope, slope.T)):
        for found in (
            register_whole(first, second, 0),
            register_inside(first, second),
            register_inside(second, first, fine=True),
        ):
            assert found.detail == 0
            assert found.agreement == 0


def test_tiny_pictures_are_compared() -> None:
    rng = np.random.default_rng(1)
    for shape in ((1, 1), (1, 40), (3, 5), (8, 8)):
        one = rng.uniform(0, 255, shape).astype(np.float32)
        for found in (
            register_whole(one, one, 0),
            register_inside(one, one),
            register_whole(one, np.full((50, 60), 9, np.float32), 0),
        ):
            assert 0 <= found.agreement <= 1


def test_which_comes_first_is_turned_around(pictures: Pictures) -> None:
    first = _look(pictures["coffee"])
    second = _look(turn(pictures["coffee"], 5)[20:, 40:])
    here, there = register_whole(first, second, 5), register_whole(second, first, INVERSE[5])
    assert swap_sides(here).orientation == there.orientation
    assert swap_sides(here).overlap_a == here.overlap_b


def test_looks_are_read_once_and_given_up_when_they_are_many(pictures: Pictures, photo_files: list[Path]) -> None:
    asked = []

    def read(position: int) -> bytes | None:
        asked.append(position)
        if position == 2:
            return b"no picture"
        return None if position == 3 else photo_files[position].read_bytes()

    looks = LuminanceCache(read, kept_bytes=60_000)
    first = looks(0)
    assert first is not None
    assert max(first.shape) == SIDE
    assert looks(0) is first
    assert asked == [0]
    assert looks(2) is None
    assert looks(3) is None
    for position in (1, 4, 5, 0):
        assert looks(position) is not None
    assert asked == [0, 2, 3, 1, 4, 5, 0]

"""Where one picture lies in another: the place, what was cut off, and what shows too little to lie anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.crops import crop_search
from imseek.duplicates.crops.crop_location import CropLocator, count_corner_squares
from imseek.duplicates.pixels.luminance_cache import to_luminance
from imseek.duplicates.pixels.resampling import Luminance, resize_luminance
from imseek.media import decode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def photos(photo_files: list[Path]) -> dict[str, Luminance]:
    pixels = {path.stem: decode(path.read_bytes()).pixels for path in photo_files}
    return {name: to_luminance(one, crop_search.WHOLE_SIDE).astype(np.float32) for name, one in pixels.items()}


def part_of(picture: Luminance, top: float, left: float, bottom: float, right: float, side: int = 160) -> Luminance:
    """That part of a picture, its longer side ``side``."""
    height, width = picture.shape
    part = picture[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
    shrink = side / max(part.shape)
    return resize_luminance(part, round(part.shape[0] * shrink), round(part.shape[1] * shrink))


@pytest.mark.parametrize("box", [(0.25, 0.3, 0.64, 0.69), (0.6, 0.05, 0.99, 0.44), (0.2, 0.2, 0.9, 0.9)])
@pytest.mark.parametrize("name", ["china", "astronaut", "motorcycle_left"])
def test_a_crop_is_found_where_it_was_cut_out(
    photos: dict[str, Luminance], name: str, box: tuple[float, float, float, float]
) -> None:
    found = crop_search.confirm(photos[name], part_of(photos[name], *box))
    assert found is not None
    at, laid = found
    assert (at.top, at.left, at.bottom, at.right) == pytest.approx(box, abs=0.025)
    assert laid.correlation > 0.97
    assert at.share == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), rel=0.15)


def test_other_pictures_are_not_in_it(photos: dict[str, Luminance]) -> None:
    parts = {name: part_of(one, 0.2, 0.2, 0.7, 0.7) for name, one in photos.items()}
    for whole, picture in photos.items():
        found = {name for name, part in parts.items() if crop_search.confirm(picture, part) is not None}
        assert found == {whole}


def test_in_the_cell_of_a_collage_its_sides_are_cut_off(photos: dict[str, Luminance]) -> None:
    """The square in the middle of a photograph of 3 : 2 is there, two thirds of it; the rest would be outside."""
    photo = photos["china"]
    height, width = photo.shape
    cell = resize_luminance(photo[:, (width - height) // 2 : (width + height) // 2], 140, 140)
    sheet = np.full((300, 300), 230, np.float32)
    sheet[10:150, 5:145] = cell
    found = crop_search.confirm(sheet, part_of(photo, 0, 0, 1, 1))
    assert found is not None
    at, laid = found
    assert not at.whole
    assert (at.top, at.left, at.bottom, at.right) == pytest.approx((10 / 300, 5 / 300, 0.5, 145 / 300), abs=0.03)
    assert 0.55 < laid.overlap_b < 0.75


def test_the_middle_stands_for_all_of_it_as_far_as_there_is_room() -> None:
    wide = np.zeros((100, 150), np.float32)
    at = CropLocator(np.random.default_rng(0).normal(128, 40, (64, 64)).astype(np.float32)).locate(wide)
    middle = type(at)(0.9, 0.4, 0.1, 0.6, 0.3, whole=False)
    all_of_it = middle.of_all(wide)
    assert (all_of_it.top, all_of_it.bottom, all_of_it.whole) == (0.4, 0.6, True)
    assert (all_of_it.left, all_of_it.right) == pytest.approx((0.05, 0.35))
    assert type(at)(0.9, 0.4, 0.0, 0.6, 0.2, whole=False).of_all(wide).left == 0


class TestCorners:
    def test_photographs_have_many_bright_or_dark(self, photos: dict[str, Luminance]) -> None:
        for name in ("china", "astronaut", "camera", "coffee"):
            part = part_of(photos[name], 0, 0, 1, 1)
            assert count_corner_squares(part) > 20
            assert count_corner_squares(part * np.float32(0.25)) > 10

    def test_an_edge_has_none_whichever_way_it_runs(self) -> None:
        y, x = np.mgrid[:120, :160].astype(np.float32)
        for angle in (0.0, 0.4, 1.0, 1.57):
            across = np.cos(angle) * (x - 80) + np.sin(angle) * (y - 60)
            edge = (200 / (1 + np.exp(-across))).astype(np.float32)
            assert count_corner_squares(edge) == 0

    def test_nothing_has_none(self) -> None:
        assert count_corner_squares(np.full((120, 160), 200, np.float32)) == 0
        assert count_corner_squares(np.full((5, 3), 200, np.float32)) == 0
        assert count_corner_squares(np.arange(160, dtype=np.float32)[None]) == 0, "a line has no corner"

    def test_a_strip_is_in_nothing_and_holds_nothing(self, photos: dict[str, Luminance]) -> None:
        strip = photos["china"][:9]
        for side in (1, 2, 9):
            assert crop_search.confirm(photos["china"], strip[:side]) is None
            assert crop_search.confirm(strip[:side], photos["china"]) is None
            assert CropLocator(strip[:side]).locate(photos["china"].T.copy()).correlation < 0.5

    def test_such_a_part_lies_nowhere(self, photos: dict[str, Luminance]) -> None:
        blank = np.full((120, 160), 200, np.float32)
        assert crop_search.confirm(blank, blank[:60, :80]) is None
        sky = part_of(photos["china"], 0.1, 0.5, 0.5, 0.9)
        assert count_corner_squares(sky) < crop_search.CropRules().corners
        assert crop_search.confirm(photos["china"], sky) is None

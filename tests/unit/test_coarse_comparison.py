"""Pairs of photographs compared as small squares, many at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.pixels.coarse_comparison import CoarsePictures, compare_inside, compare_whole
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn
from imseek.media import decode

NAMES = ("coffee", "chelsea", "rocket", "astronaut")


@pytest.fixture(scope="module")
def smalls(photo_files: list[Path]) -> list[SmallLuminance]:
    paths = {path.stem: path for path in photo_files}
    return [to_luminance(decode(paths[name].read_bytes()).pixels) for name in NAMES]


def test_copies_are_turned_and_agree_and_others_do_not(smalls: list[SmallLuminance]) -> None:
    turned = [turn(smalls[0], code) for code in range(len(ORIENTATIONS))]
    pictures = CoarsePictures.of([*turned, *smalls[1:]])
    found, correlation = compare_whole(pictures, np.zeros(11, np.int64), np.arange(11))
    assert found.orientation[:8].tolist() == list(range(8))
    assert correlation[:8].min() > 0.99
    assert np.minimum(found.correlation, found.agreement)[:8].min() > 0.95
    assert np.minimum(found.correlation, found.agreement)[8:].max() < 0.5


@pytest.mark.parametrize("swapped", [False, True])
def test_a_part_is_found_where_it_was_cut_out(smalls: list[SmallLuminance], swapped: bool) -> None:
    whole = smalls[0]
    height, width = whole.shape
    part = whole[height // 8 : height * 7 // 8, width // 4 :]
    pictures = CoarsePictures.of([part, whole] if swapped else [whole, part])
    found, correlation = compare_inside(pictures, np.array([0]), np.array([1]))
    sy, ty, sx, tx = found.fit[0].tolist()
    expected = (0.75, 1 / 8, 0.75, 1 / 4) if swapped else (4 / 3, -1 / 6, 4 / 3, -1 / 3)
    assert (sy, ty, sx, tx) == pytest.approx(expected, abs=0.03)
    assert found.overlap[0] == pytest.approx(9 / 16, abs=0.03)
    assert min(correlation[0], found.correlation[0], found.agreement[0]) > 0.8

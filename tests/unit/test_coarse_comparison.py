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
def test_a_part_is_found(smalls: list[SmallLuminance], swapped: bool) -> None:
    whole = smalls[0]
    height, width = whole.shape
    part = whole[height // 8 : height * 7 // 8, width // 4 :]
    pictures = CoarsePictures.of([part, whole] if swapped else [whole, part])
    found = compare_inside(pictures, np.array([0]), np.array([1]))
    assert min(found.correlation[0], found.agreement[0]) > 0.8


def test_no_part_of_another_picture_is_found(smalls: list[SmallLuminance]) -> None:
    pictures = CoarsePictures.of(smalls)
    found = compare_inside(pictures, np.zeros(3, np.int64), np.arange(1, 4))
    assert np.minimum(found.correlation, found.agreement).max() < 0.5

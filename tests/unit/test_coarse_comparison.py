"""Pairs of photographs compared as small squares, many at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.pixels.coarse_comparison import CoarsePictures, compare_closely, compare_inside, compare_whole
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
    pictures = CoarsePictures([*turned, *smalls[1:]])
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
    pictures = CoarsePictures([part, whole] if swapped else [whole, part])
    found, peak = compare_inside(pictures, np.array([0]), np.array([1]))
    assert peak[0] > 0.8
    assert min(found.correlation[0], found.agreement[0]) > 0.8


def test_no_part_of_another_picture_is_found(smalls: list[SmallLuminance]) -> None:
    pictures = CoarsePictures(smalls)
    found, _ = compare_inside(pictures, np.zeros(3, np.int64), np.arange(1, 4))
    assert np.minimum(found.correlation, found.agreement).max() < 0.5


@pytest.mark.parametrize("swapped", [False, True])
def test_a_closer_look_finds_the_edges_of_a_part(smalls: list[SmallLuminance], swapped: bool) -> None:
    whole = smalls[0]
    height, width = whole.shape
    part = whole[height // 8 : height * 7 // 8, width // 4 :]
    pictures = CoarsePictures([part, whole] if swapped else [whole, part])
    a, b = np.array([0]), np.array([1])
    found = compare_closely(pictures, a, b, compare_inside(pictures, a, b)[0])
    assert found.likeness[0] > 0.9
    assert found.shared[0] == pytest.approx(part.size / whole.size, abs=0.02)
    assert bool(found.swapped[0]) == swapped
    # From shares of the whole picture's sides to the part's.
    assert found.fit[0] == pytest.approx([4 / 3, -1 / 6, 4 / 3, -1 / 3], abs=0.02)


def test_a_closer_look_tells_other_pictures(smalls: list[SmallLuminance]) -> None:
    pictures = CoarsePictures(smalls)
    a, b = np.zeros(3, np.int64), np.arange(1, 4)
    assert compare_closely(pictures, a, b, compare_whole(pictures, a, b)[0]).likeness.max() < 0.3
    assert compare_closely(pictures, a, b, compare_inside(pictures, a, b)[0]).likeness.max() < 0.3


def test_many_pairs_give_what_each_gives_alone(smalls: list[SmallLuminance]) -> None:
    pictures = CoarsePictures(smalls)
    a, b = (side.reshape(-1) for side in np.meshgrid(*[np.arange(len(smalls))] * 2))
    a, b = np.tile(a, 6), np.tile(b, 6)
    together = compare_closely(pictures, a, b, compare_whole(pictures, a, b)[0])
    for n in range(16):
        row = slice(n, n + 1)
        alone = compare_closely(pictures, a[row], b[row], compare_whole(pictures, a[row], b[row])[0])
        assert together.likeness[n::16] == pytest.approx(np.repeat(alone.likeness, 6), abs=1e-3)


def test_parts_of_many_shapes_are_found_together_where_each_is_found_alone(smalls: list[SmallLuminance]) -> None:
    parts = [
        smalls[0][rows, columns] for rows in (slice(0, 80), slice(20, 95)) for columns in (slice(0, 90), slice(40, 160))
    ]
    pictures = CoarsePictures([*smalls, *parts])
    a, b = np.array([0, 0, 0, 0, 4, 6, 1, 2]), np.array([4, 5, 6, 7, 0, 0, 7, 3])
    together, peaks = compare_inside(pictures, a, b)
    assert peaks[:6].min() > 0.85
    assert peaks[6:].max() < 0.8
    for n in range(len(a)):
        alone, peak = compare_inside(pictures, a[n : n + 1], b[n : n + 1])
        assert peaks[n] == pytest.approx(peak[0], abs=1e-4)
        assert together.fit[n] == pytest.approx(alone.fit[0], abs=1e-3)
        assert together.swapped[n] == alone.swapped[0]
    none = np.empty(0, np.int64)
    assert len(compare_inside(pictures, none, none)[1]) == 0


def test_proportions_decide_between_turns_that_look_alike() -> None:
    rows, columns = np.mgrid[:60, :100]
    bright = 255 * np.exp(-((rows - 29.5) ** 2 / 300 + (columns - 49.5) ** 2 / 800))
    wide = bright.round().astype(np.uint8)
    found, _ = compare_whole(CoarsePictures([wide, wide, wide.T]), np.zeros(2, np.int64), np.array([1, 2]))
    assert found.orientation.tolist() == [0, 4]

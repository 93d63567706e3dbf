"""Windows around what a detector took for text."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.ocr.text_windows import WINDOW, ProbabilityMap, choose_windows


def seen(*lines: tuple[int, int, int, int, float], shape: tuple[int, int] = (240, 320)) -> ProbabilityMap:
    """A map with cores of lines: top, left, height, width and probability of each."""
    probabilities = np.full(shape, 0.01, np.float32)
    for top, left, height, width, probability in lines:
        probabilities[top : top + height, left : left + width] = probability
    return probabilities


def test_a_window_is_around_the_likeliest_pixel_first() -> None:
    first, second = choose_windows(seen((40, 30, 4, 20, 0.98), (200, 250, 4, 20, 0.99)), 2.0, 0.97)
    for (top, left, height, width), (y, x) in ((first, (202, 260)), (second, (42, 40))):
        assert (height, width) == (WINDOW[0] // 2, WINDOW[1] // 2)
        assert top <= y < top + height
        assert left <= x < left + width


@pytest.mark.parametrize("corner", [(0, 0), (0, 319), (239, 0), (239, 319)])
def test_a_window_stays_within_the_map(corner: tuple[int, int]) -> None:
    ((top, left, height, width),) = choose_windows(seen((*corner, 1, 1, 0.99)), 2.0, 0.97)
    assert 0 <= top <= corner[0] < top + height <= 240
    assert 0 <= left <= corner[1] < left + width <= 320


def test_what_is_less_likely_gets_no_window_and_no_more_than_three_do() -> None:
    assert not list(choose_windows(seen((40, 30, 4, 20, 0.96)), 2.0, 0.97))
    spots = [(y, x, 2, 8, 0.99) for y in range(10, 240, 100) for x in range(10, 320, 150)]
    assert len(list(choose_windows(seen(*spots), 2.0, 0.97))) == 3


@pytest.mark.parametrize("core", [(100, 10, 4, 100, 0.99), (100, 10, 100, 4, 0.99)])
def test_a_long_line_is_no_large_one(core: tuple[int, int, int, int, float]) -> None:
    for _, _, height, width in choose_windows(seen(core), 2.0, 0.97):
        assert (height, width) == (80, 128)


def test_a_window_of_large_letters_is_larger_and_no_larger_than_the_map() -> None:
    _, _, height, width = next(choose_windows(seen((80, 60, 40, 200, 0.99)), 2.0, 0.97))
    assert height >= 1.5 * 2.6 * 40 - 1
    assert width > 200
    assert list(choose_windows(seen((0, 0, 240, 320, 0.99)), 2.0, 0.97)) == [(0, 0, 240, 320)]


def test_a_map_smaller_than_a_window() -> None:
    assert list(choose_windows(seen((5, 5, 2, 9, 0.99), shape=(32, 32)), 1.0, 0.97)) == [(0, 0, 32, 32)]

"""One photograph resampled at the pixels of another, and searched for inside it: against plain arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.pixels.luminance_cache import to_luminance
from imseek.duplicates.pixels.registration import find_inside
from imseek.duplicates.pixels.resampling import Fit, Luminance, cut_overlap, find_overlap, resize_luminance
from imseek.duplicates.pixels.resampling import sample_overlap as sample
from imseek.duplicates.pixels.template_search import CorrelationSearch
from imseek.media import decode


@pytest.fixture(scope="module")
def coffee(photo_files: list[Path]) -> Luminance:
    path = next(path for path in photo_files if path.stem == "coffee")
    return to_luminance(decode(path.read_bytes()).pixels).astype(np.float32)


@pytest.mark.parametrize("step", [1, 2])
def test_a_sample_is_part_of_the_whole_with_its_slopes(coffee: Luminance, step: int) -> None:
    small = resize_luminance(coffee, 80, 100)
    fit = Fit(coffee.shape[0] / 80 * 1.02, -3.0, coffee.shape[1] / 100 * 0.97, 2.0)
    shared = find_overlap(small, coffee, fit)
    first, second = cut_overlap(small, coffee, shared, fit)
    inner = slice(1, -1, step), slice(1, -1, step)
    slopes = np.gradient(second)
    for found, wanted in zip(sample(small, coffee, shared, fit, step), (first, second, *slopes), strict=True):
        np.testing.assert_allclose(found, wanted[inner], atol=0.01)


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.02, 3.7])
def test_a_resampled_pixel_is_the_mean_of_those_around_it_by_a_triangle(coffee: Luminance, scale: float) -> None:
    grid = np.zeros((40, 50), np.float32)
    fit = Fit(scale, -1.3, scale * 1.1, 0.7)
    shared = find_overlap(grid, coffee, fit)
    _, resampled = cut_overlap(grid, coffee, shared, fit)

    def weights(place: int, count: int, scale: float, shift: float) -> Luminance:
        centre = scale * (place + 0.5) + shift - 0.5
        triangle = np.maximum(0, 1 - np.abs(np.arange(count) - centre) / max(scale, 1))
        return np.asarray(triangle / triangle.sum(), np.float32)

    height, width = coffee.shape
    for row, column in ((0, 0), (0, shared.width - 1), (shared.height - 1, 0), (shared.height // 2, shared.width // 3)):
        down = weights(shared.top + row, height, fit.sy, fit.ty)
        right = weights(shared.left + column, width, fit.sx, fit.tx)
        assert resampled[row, column] == pytest.approx(float(down @ coffee @ right), abs=0.01)


def test_the_peak_is_the_greatest_correlation_of_all_windows(coffee: Luminance) -> None:
    part = coffee[20:70, 30:95]
    small = resize_luminance(coffee, 45, 60)
    sizes = [(20, 26), (33, 41)]
    for (height, width), peak in zip(sizes, CorrelationSearch(small, 3.0).peaks(part, sizes), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(small, (height, width)).reshape(-1, height * width)
        template = resize_luminance(part, height, width).reshape(-1)
        found = [np.corrcoef(window, template)[0, 1] for window in windows]
        assert peak.correlation == pytest.approx(max(found), abs=1e-4)
        assert peak.top * (60 - width + 1) + peak.left == int(np.argmax(found))


def test_the_fine_grid_is_left_out_where_the_coarse_one_finds_the_part(coffee: Luminance) -> None:
    (found,) = find_inside(coffee, coffee[10:80, 20:130], fine=True)
    assert found.agreement > 0.95
    # Stripes with random marks on them, as lines of text: the coarse grid says nothing.
    rng = np.random.default_rng(3)
    rows = (np.arange(120) % 3 == 0)[:, None]
    first, second = (np.where(rows & (rng.random((120, 160)) < 0.5), 0, 255).astype(np.float32) for _ in range(2))
    assert len(list(find_inside(first, second, fine=True))) == 2

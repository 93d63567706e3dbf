"""Quality measures of a picture's luminance: brightness, contrast, share of edges, and blur."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from imseek.types.pictures import Luma

#: Longer side in pixels of the measured picture: the size of a small print or thumbnail. So a 12-megapixel photograph
#: counts as blurred if that is visible without enlarging it.
SIDE: Final = 256
#: Luminance, 0 … 255: dark up to DARK, burnt out from BRIGHT.
DARK: Final = 25
BRIGHT: Final = 250
#: Levels per pixel: a steeper slope is an edge.
EDGE: Final = 8
#: Without a slope of at least this, the width of edges is undefined.
_MIN_SLOPE: Final = 2
#: Upper bound of the width of edges in pixels.
_MAX_WIDTH: Final = 5
#: Rows at a time: arrays of this size come from the heap, larger ones from the system, page by page.
_BAND_ROWS: Final = 96


def measure(luminance: Image.Image) -> Luma:
    """Measure a picture of mode L, of any size, as :class:`imseek.types.Luma`. Thread-safe.

    The width of edges comes from the energy of the Laplacian (J. L. Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy: a comparative study", 2000) over that of the gradient, so that neither contrast nor flat
    areas count. Each pixel is weighted by its squared gradient: the strongest edges decide. The Laplacian energy of the
    flattest parts is noise, N, and is subtracted: blur = ½ √(Σ|∇Y|⁴ / Σ((ΔY)² − N)|∇Y|²), at most 5. For a step edge
    blurred by a Gaussian it equals that Gaussian's σ.
    """
    small = _reduce(luminance)
    histogram = np.array(small.histogram(), np.int64)
    count = int(histogram.sum())
    levels = np.arange(256)
    mean = float(histogram @ levels) / count
    deviation = float(np.sqrt(histogram @ np.square(levels - mean) / count))
    edges, blur = _measure_edges(np.asarray(small))
    return Luma(
        mean=round(mean / 255, 4),
        sd=round(deviation / 255, 4),
        dark=round(int(histogram[: DARK + 1].sum()) / count, 4),
        bright=round(int(histogram[BRIGHT:].sum()) / count, 4),
        edges=round(edges, 4),
        blur=None if blur is None else round(blur, 3),
    )


def _reduce(luminance: Image.Image) -> Image.Image:
    """Reduce the picture to a longer side of ``SIDE`` pixels; smaller pictures stay as they are."""
    width, height = luminance.size
    if max(width, height) <= SIDE:
        return luminance
    shrink = SIDE / max(width, height)
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    # Antialiased, since Pillow's filters grow with the factor; averaging whole blocks first is faster.
    return luminance.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _measure_edges(levels: npt.NDArray[np.uint8]) -> tuple[float, float | None]:
    """Return the share of the (h, w) pixels that lie on edges, and the width of edges (None without edges)."""
    height, width = levels.shape
    if min(height, width) < 3:
        return 0.0, None
    on_edges, steepest, fourth, curved = 0, 0.0, 0.0, 0.0
    for top in range(0, height - 2, _BAND_ROWS):
        count, *energies = _sum_energies(levels[top : top + _BAND_ROWS + 2].astype(np.int16))
        on_edges += count
        steepest = max(steepest, energies[0])
        fourth += energies[1]
        curved += energies[2]
    edges = on_edges / ((height - 2) * (width - 2))
    if steepest < 4 * _MIN_SLOPE**2:
        return edges, None
    return edges, 0.25 * (fourth / max(curved, fourth / (4 * _MAX_WIDTH) ** 2)) ** 0.5


def _sum_energies(y: npt.NDArray[np.int16]) -> tuple[int, float, float, float]:
    """Count edge pixels; of 4|∇Y|² return the maximum, the sum of squares, and the sum of products with (ΔY)² − N."""
    left, middle, right = y[1:-1, :-2], y[1:-1, 1:-1], y[1:-1, 2:]
    above, below = y[:-2, 1:-1], y[2:, 1:-1]
    # float32 from here on, in place: this runs for every indexed picture.
    steep = (right - left).astype(np.float32)
    down = (below - above).astype(np.float32)
    curve = (4 * middle - above - below - left - right).astype(np.float32)
    steep *= steep
    down *= down
    steep += down
    curve *= curve
    some = steep[::2, ::2]  # enough to estimate the noise
    flat = some <= some.mean() / 2
    curve -= curve[::2, ::2][flat].mean() if flat.any() else 0
    curve *= steep
    count = int(np.count_nonzero(steep > 4 * EDGE**2))
    maximum = float(steep.max())
    steep *= steep
    return count, maximum, float(steep.sum()), float(curve.sum())

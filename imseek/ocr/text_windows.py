"""Choose windows around what a detector took for text in a small copy, for a closer look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

ProbabilityMap: TypeAlias = npt.NDArray[np.float32]
"""The detector's probability (h, w) that a pixel is text."""

#: Height and width of a window in pixels of the picture that lines are found in, multiples of the detector's stride.
WINDOW: Final = (160, 256)
_COUNT: Final = 3
#: The detector marks only the core of a line: how many times as high the line is, and the least value in a core.
_LINE_BY_CORE: Final = 2.6
_CORE: Final = 0.3
#: Least height of a window in lines; a window of large letters is examined in a smaller copy.
_LINES: Final = 1.5


def choose_windows(text_map: ProbabilityMap, zoom: float, lowest: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield top, left, height and width of at most 3 windows around the likeliest pixels, in pixels of ``text_map``.

    ``zoom`` is how much larger the picture is that lines are found in. Pixels below ``lowest`` get no window.
    """
    rest = text_map.copy()
    for _ in range(_COUNT):
        y, x = (int(at) for at in np.unravel_index(rest.argmax(), rest.shape))
        if rest[y, x] < lowest:
            return
        line = _LINE_BY_CORE * min(_core_length(text_map[:, x], y), _core_length(text_map[y], x))
        scale = max(1.0 / zoom, line * _LINES / WINDOW[0])
        height, width = (min(most, round(side * scale)) for most, side in zip(text_map.shape, WINDOW, strict=True))
        top = min(max(0, y - height // 2), text_map.shape[0] - height)
        left = min(max(0, x - width // 2), text_map.shape[1] - width)
        rest[top : top + height, left : left + width] = 0.0
        yield top, left, height, width


def _core_length(values: ProbabilityMap, at: int) -> int:
    """Return how many values in a row around ``at`` are text."""
    ends = np.flatnonzero(values <= _CORE)
    after = int(np.searchsorted(ends, at))
    start = ends[after - 1] if after else -1
    end = ends[after] if after < len(ends) else len(values)
    return int(end - start) - 1

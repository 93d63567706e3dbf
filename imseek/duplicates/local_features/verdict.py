"""How sure it is that one picture shows in another that it was laid over: a logistic model of the alignment.

A second model decides on pairs that the first does not believe: by what differs, which may be text or a sticker that
lies over a copy. ``bench/copies_fit.py`` fits the weights of both, on pairs of half A of bench/copies.py that the
comparison of whole pictures does not decide; docs/log.md has the figures.
"""

from __future__ import annotations

import math
from typing import Final

from imseek.duplicates.local_features.alignment import Alignment
from imseek.duplicates.local_features.overlay import Overlay

#: Weights of :func:`copy_features`, and the constant.
WEIGHTS: Final = (
    *(0.193, 0.106, 0.418, -0.041, 1.639, 3.266, -0.243, 0.41, -0.524, 0.545),
    *(0.08, 1.365, 0.197, -0.34, -0.216, -0.519, 0.527, 0.095, 0.04, 0.11),
    *(-0.324, 3.915, -0.099, -0.234, 0.832, 0.363, -0.666, -0.524, 0.065),
)
CONSTANT: Final = -10.086
#: Pairs of which it is less sure are none: from here on, nine in ten were right on half A, by cross-validation.
LEAST_CONFIDENCE: Final = 0.53

#: Weights of :func:`overlay_features`, and the constant.
OVERLAY_WEIGHTS: Final = (
    *(-0.14, -2.13, -0.235, -4.044, 0.279, -8.226, -1.069),
    *(-1.04, -0.27, 2.995, -0.477, -6.057, 0.212, 0.4),
)
OVERLAY_CONSTANT: Final = 4.712
#: The same of the second: .82 of what only it shows were right, .87 of what both show.
LEAST_OVERLAY_CONFIDENCE: Final = 0.6
#: Of pairs of which the first model is less sure, what differs is not looked at.
LEAST_WORTH: Final = 0.02


def copy_confidence(laid: Alignment) -> float:
    """Return the probability that one picture is a copy of the other or of a part of it."""
    return _probability(CONSTANT, WEIGHTS, copy_features(laid))


def overlay_confidence(laid: Alignment, overlay: Overlay) -> float:
    """Return the probability that the pictures are so related and differ by what lies over one of them."""
    return _probability(OVERLAY_CONSTANT, OVERLAY_WEIGHTS, overlay_features(laid, overlay))


def _probability(constant: float, weights: tuple[float, ...], features: tuple[float, ...]) -> float:
    score = constant + sum(weight * value for weight, value in zip(weights, features, strict=True))
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, score))))


def copy_features(laid: Alignment) -> tuple[float, ...]:
    """Return what tells copies from pictures that only share something."""
    return (
        math.log1p(laid.inliers),
        math.log1p(laid.places),
        laid.tight,
        laid.fine,
        laid.ratio,
        laid.covered,
        laid.covered_whole,
        math.log(laid.agreeing + 0.01),
        laid.agreement,
        laid.hull_agreement,
        math.log(laid.hull + 0.01),
        laid.median,
        laid.low,
        laid.clear,
        laid.grain,
        math.log(laid.lacking + 0.005),
        math.log(laid.added + 0.005),
        math.log(laid.differing + 0.01),
        math.log(laid.moved + 0.1),
        math.log(laid.moved_most + 0.1),
        math.log(laid.largest + 0.01),
        float(laid.places_differing == 0),
        float(laid.places_differing),
        math.log(laid.place + 0.003),
        laid.one_sided,
        math.log1p(laid.hue),
        laid.scale,
        float(laid.freedom),
        math.log1p(laid.contrast),
    )


def overlay_features(laid: Alignment, overlay: Overlay) -> tuple[float, ...]:
    """Return what tells copies with something over them from pictures that show another thing."""
    return (
        math.log(overlay.largest + 0.002),
        math.log(overlay.limit),
        math.log1p(overlay.strange_beneath),
        overlay.strange_beneath_share,
        math.log1p(overlay.strange_over),
        overlay.edges_beneath,
        overlay.common,
        overlay.flat,
        math.log1p(overlay.worst),
        overlay.worst_share,
        math.log(overlay.contrast),
        float(overlay.largest == 0),
        math.log1p(laid.places),
        math.log1p(laid.hue),
    )

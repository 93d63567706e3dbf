"""Probability that one picture shows in another, by a logistic model of their alignment.

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
#: Below this confidence there is no pair; from here on, nine in ten were right on half A, by cross-validation.
LEAST_CONFIDENCE: Final = 0.53

#: Weights of :func:`overlay_features`, and the constant.
OVERLAY_WEIGHTS: Final = (
    *(-0.14, -2.13, -0.235, -4.044, 0.279, -8.226, -1.069),
    *(-1.04, -0.27, 2.995, -0.477, -6.057, 0.212, 0.4),
)
OVERLAY_CONSTANT: Final = 4.712
#: The same for the second model: .82 of what only it shows were right, .87 of what both show.
LEAST_OVERLAY_CONFIDENCE: Final = 0.6
#: If the first model is less sure of a pair, what differs is not looked at.
LEAST_WORTH: Final = 0.02


def copy_confidence(alignment: Alignment) -> float:
    """Return the probability that one picture is a copy of the other or of a part of it."""
    return _probability(CONSTANT, WEIGHTS, copy_features(alignment))


def overlay_confidence(alignment: Alignment, overlay: Overlay) -> float:
    """Return the probability that the pictures are so related and differ by what lies over one of them."""
    return _probability(OVERLAY_CONSTANT, OVERLAY_WEIGHTS, overlay_features(alignment, overlay))


def _probability(constant: float, weights: tuple[float, ...], features: tuple[float, ...]) -> float:
    score = constant + sum(weight * value for weight, value in zip(weights, features, strict=True))
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, score))))


def copy_features(alignment: Alignment) -> tuple[float, ...]:
    """Return what tells copies from pictures that only share something."""
    return (
        math.log1p(alignment.inliers),
        math.log1p(alignment.places),
        alignment.tight,
        alignment.fine,
        alignment.ratio,
        alignment.covered,
        alignment.covered_whole,
        math.log(alignment.agreeing + 0.01),
        alignment.agreement,
        alignment.hull_agreement,
        math.log(alignment.hull + 0.01),
        alignment.median,
        alignment.low,
        alignment.clear,
        alignment.grain,
        math.log(alignment.lacking + 0.005),
        math.log(alignment.added + 0.005),
        math.log(alignment.differing + 0.01),
        math.log(alignment.moved + 0.1),
        math.log(alignment.moved_most + 0.1),
        math.log(alignment.largest + 0.01),
        float(alignment.places_differing == 0),
        float(alignment.places_differing),
        math.log(alignment.place + 0.003),
        alignment.one_sided,
        math.log1p(alignment.hue),
        alignment.scale,
        float(alignment.freedom),
        math.log1p(alignment.contrast),
    )


def overlay_features(alignment: Alignment, overlay: Overlay) -> tuple[float, ...]:
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
        math.log1p(alignment.places),
        math.log1p(alignment.hue),
    )

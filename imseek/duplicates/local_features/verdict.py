"""How sure it is that one picture shows in another that it was laid over: a logistic model of the alignment.

Weights were fitted to half A of bench/copies.py by ``bench/copies_fit.py``; docs/log.md has the figures.
"""

from __future__ import annotations

import math
from typing import Final

from imseek.duplicates.local_features.alignment import Alignment

#: Weights of :func:`copy_features`, and the constant.
WEIGHTS: Final = (
    *(0.239, -0.039, 1.121, 1.955, -0.398, 0.241, 0.233, 0.369, -1.768, -0.818),
    *(0.233, 1.742, -0.169, 0.682, -0.744, -0.295, 0.366, -0.016, -0.19, 0.144),
    *(-0.618, 2.281, -0.307, -0.426, 0.379, 0.245, 0.524, -0.475, 0.726),
)
CONSTANT: Final = -10.23
#: Pairs of which it is less sure are none: from here on, nine in ten were right on half A, by cross-validation.
LEAST_CONFIDENCE: Final = 0.71


def copy_confidence(laid: Alignment) -> float:
    """Return the probability that one picture is a copy of the other or of a part of it."""
    score = CONSTANT + sum(weight * value for weight, value in zip(WEIGHTS, copy_features(laid), strict=True))
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

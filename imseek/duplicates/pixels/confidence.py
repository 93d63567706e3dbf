"""Confidence that pictures of kind *same* are the same, by a logistic model of what the comparison found.

Agreement says little once a pair has passed the thresholds. What tells are tiles that have moved, as in the next shot
of a smooth scene, and a turned drawing on a plain ground: b and d, 6 and 9 are each other's mirror images.

``bench/edited.py --half A --fit`` fits the weights, on half A and by five-fold cross-validation.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.registration import Registration

#: Weights of the features of :func:`same_features`, and the constant.
SAME_WEIGHTS: Final = (-0.339, -4.145, -0.618, -2.48)
SAME_CONSTANT: Final = 4.449
#: Share of pairs called *edited* on half A that differ in places.
EDITED_CONFIDENCE: Final = 0.99
#: Levels between neighbouring pixels of a plain ground.
_PLAIN: Final = 3
#: The drift counts up to this multiple of the limit.
_MAX_DRIFT: Final = 3.0


def same_confidence(registration: Registration, most_drift: float, plain: float) -> float:
    """Return the probability that two pictures are the same, by how they lie over each other; ``most_drift`` is the
    limit of how far tiles may have moved, in pixels, ``plain`` the mean of their :func:`plain_share`, which only counts
    if one is turned."""
    features = same_features(registration, most_drift, plain)
    score = SAME_CONSTANT + sum(weight * value for weight, value in zip(SAME_WEIGHTS, features, strict=True))
    return 1 / (1 + math.exp(-score))


def same_features(registration: Registration, most_drift: float, plain: float) -> tuple[float, ...]:
    """Return disagreement (logarithm), drift as a share of the limit, whether one is turned, and if so, how much of
    them is plain."""
    is_turned = registration.orientation > 0
    return (
        math.log(1.02 - registration.agreement),
        min(_MAX_DRIFT, registration.drift / most_drift),
        float(is_turned),
        plain if is_turned else 0.0,
    )


def plain_share(picture: SmallLuminance) -> float:
    """Return the share of a picture that is plain ground."""
    levels = picture.astype(np.int16)
    across, down = np.abs(np.diff(levels, axis=1))[1:], np.abs(np.diff(levels, axis=0))[:, 1:]
    return float(((across < _PLAIN) & (down < _PLAIN)).mean()) if across.size else 0.0

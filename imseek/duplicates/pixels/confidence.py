"""Confidence that pictures of kind *same* are the same, and that *edited* ones differ in places, by logistic models of
what the comparison found.

Agreement says little about *same* pairs once they have passed the thresholds. What tells are tiles that have moved, as
in the next shot of a smooth scene, and a turned drawing on a plain ground: b and d, 6 and 9 are each other's mirror
images. *Edited* pairs are uncertain where the pictures agree everywhere, but were laid over each other badly: then
edges differ, and nothing was added.

``bench/edited.py --half A --every 1 --fit`` fits the weights, on half A and by five-fold cross-validation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.registration import Registration

#: Weights of the features of :func:`same_features`, and the constant.
SAME_WEIGHTS: Final = (-0.929, -3.338, -0.181, -2.411)
SAME_CONSTANT: Final = 3.025
#: Weights of the features of :func:`edited_features`, and the constant.
EDITED_WEIGHTS: Final = (4.031, -2.875, 7.013)
EDITED_CONSTANT: Final = 9.975
#: Levels between neighbouring pixels of a plain ground.
_PLAIN: Final = 3
#: The drift counts up to this multiple of the limit.
_MAX_DRIFT: Final = 3.0
#: Smaller disagreements of *edited* pairs count as this one: half A has three of them.
_LEAST_DISAGREEMENT: Final = 0.035


def same_confidence(registration: Registration, most_drift: float, plain: float) -> float:
    """Return the probability that two pictures are the same, by how they lie over each other; ``most_drift`` is the
    limit of how far tiles may have moved, in pixels, ``plain`` the mean of their :func:`plain_share`, which only counts
    if one is turned."""
    return _logistic(SAME_CONSTANT, SAME_WEIGHTS, same_features(registration, most_drift, plain))


def edited_confidence(registration: Registration, most_drift: float) -> float:
    """Return the probability that two pictures do differ in the places that were found, by how they lie over each
    other; ``most_drift`` is the limit of how far tiles may have moved, in pixels."""
    return _logistic(EDITED_CONSTANT, EDITED_WEIGHTS, edited_features(registration, most_drift))


def _logistic(constant: float, weights: Sequence[float], features: Sequence[float]) -> float:
    return 1 / (1 + math.exp(-constant - sum(weight * value for weight, value in zip(weights, features, strict=True))))


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


def edited_features(registration: Registration, most_drift: float) -> tuple[float, ...]:
    """Return disagreement (logarithm), drift as a share of the limit, and the share of tiles in place."""
    disagreement = max(_LEAST_DISAGREEMENT, 1.02 - registration.agreement)
    return math.log(disagreement), min(_MAX_DRIFT, registration.drift / most_drift), registration.in_place


def plain_share(picture: SmallLuminance) -> float:
    """Return the share of a picture that is plain ground."""
    levels = picture.astype(np.int16)
    across, down = np.abs(np.diff(levels, axis=1))[1:], np.abs(np.diff(levels, axis=0))[:, 1:]
    return float(((across < _PLAIN) & (down < _PLAIN)).mean()) if across.size else 0.0

"""Calibrate logits by one temperature, fitted on held-out images (Guo et al. 2017).

With one class per image: softmax(logits / T); with several: sigmoid(logits / T) for each class.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.metrics.classification import expected_calibration_error
from imseek.probes.labels import Targets

#: Log bounds of the temperature, relative to the spread of the logits.
_SPAN: Final = (-6.0, 4.0)

Numbers = npt.NDArray[Any]


def probabilities(logits: Numbers, temperature: float, several: bool) -> npt.NDArray[np.float32]:
    """Turn (m, classes) logits into (m, classes) float32 probabilities."""
    scaled = np.asarray(logits, np.float64) / temperature
    if several:
        positive = 1 / (1 + np.exp(-np.abs(scaled)))
        return np.where(scaled >= 0, positive, 1 - positive).astype(np.float32)
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    shares: npt.NDArray[np.float32] = (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def losses(logits: Numbers, targets: Targets, temperature: float) -> npt.NDArray[np.float64]:
    """Negative log-likelihood of each image (n,); with several classes per image, the mean over classes."""
    scaled = np.asarray(logits, np.float64) / temperature
    if targets.ndim == 2:
        mean_losses: npt.NDArray[np.float64] = np.logaddexp(0, np.where(targets, -scaled, scaled)).mean(axis=1)
        return mean_losses
    scaled -= scaled.max(axis=1, keepdims=True)
    own_logits = np.take_along_axis(scaled, targets[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.exp(scaled).sum(axis=1)) - own_logits)


def temperature_of(logits: Numbers, targets: Targets, weights: Numbers | None = None) -> float:
    """Fit the temperature that maximises the weighted likelihood; 1 where nothing was held out.

    As in Platt 1999, true labels count as such in n + 1 of n + 2 cases, so that a few correct images do not force
    probabilities of 1.
    """
    from scipy.optimize import minimize_scalar

    if not len(logits):
        return 1.0
    # The median: near-copies of a key have logits of another order of magnitude.
    typical = np.abs(logits) if targets.ndim == 2 else np.ptp(logits, axis=1)
    spread = float(np.median(typical)) or 1.0
    doubt = 2 / (len(logits) + 2)

    def loss(exponent: float) -> float:
        temperature = spread * float(np.exp(exponent))
        likely = (1 - doubt) * losses(logits, targets, temperature)
        return float(np.average(likely + doubt * _uniform_losses(logits, targets, temperature), weights=weights))

    optimum = minimize_scalar(loss, bounds=_SPAN, method="bounded", options={"xatol": 1e-3})
    return spread * float(np.exp(optimum.x))


def _uniform_losses(logits: Numbers, targets: Targets, temperature: float) -> Numbers:
    """Mean loss (n,) if all classes, or yes and no, were equally likely."""
    scaled = np.asarray(logits, np.float64) / temperature
    if targets.ndim == 2:
        return np.asarray((np.logaddexp(0, scaled) - scaled / 2).mean(axis=1))
    top = scaled.max(axis=1)
    return np.asarray(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - scaled.mean(axis=1))


def correctness(logits: Numbers, targets: Targets) -> npt.NDArray[np.float64]:
    """1 where the class is right (n,); with several classes per image, the share of right answers."""
    if targets.ndim == 2:
        return np.asarray(((logits > 0) == targets).mean(axis=1))
    return np.asarray(logits.argmax(axis=1) == targets, np.float64)


def calibration_error(chances: Numbers, targets: Targets) -> float:
    """Expected calibration error of the most probable class; with several per image, of each yes/no answer."""
    if targets.ndim == 2:
        certainty = np.maximum(chances, 1 - chances).ravel()
        return expected_calibration_error(certainty, ((chances > 0.5) == targets).ravel())
    return expected_calibration_error(chances.max(axis=1), chances.argmax(axis=1) == targets)

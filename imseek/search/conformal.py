"""End a list so that it loses a promised share of the relevant images at most, by conformal risk control.

For calibration queries the relevant images are known. A list that ends at a threshold loses, for each query, the share
of its relevant images that are below. The threshold is the highest at which n / (n + 1) times the mean loss over n
queries, plus 1 / (n + 1), is at most the promise. Then the expected loss of the next query is at most the promise,
whatever the scores mean, as long as it comes from where the calibration queries came from; it is at least the promise
less 2 / (n + 1) (Angelopoulos, Bates, Fisch, Lei and Schuster, *Conformal Risk Control*, ICLR 2024, theorems 1 and 2).
Li and others use the same for image retrieval (*RCIR*, 2024).

Relevance is measured on a scale that queries share: the log-odds by which :mod:`imseek.search.score_fusion` orders a
list. The choice of the scale does not touch the promise; it decides how long lists are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

#: With fewer queries the loss may stay two points and more below the promise, and differs much between calibrations.
MIN_QUERIES: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class LossCurve:
    """What lists of calibration queries lose, by the threshold at which they end.

    ``relevance`` (m,) ascends: that of each relevant image of each of ``queries`` queries, minus infinity for one that
    no list has. ``weights`` (m,): the share of its query's relevant images that each is, divided by ``queries``.
    """

    queries: int
    relevance: Float64
    weights: Float64

    @classmethod
    def of(cls, relevance: Sequence[Float64]) -> LossCurve:
        """Build the curve from the relevance of each query's relevant images, at least one."""
        shares = [np.full(len(one), 1 / (len(one) * len(relevance))) for one in relevance]
        values, weights = np.concatenate([np.empty(0), *relevance]), np.concatenate([np.empty(0), *shares])
        order = np.argsort(values, kind="stable")
        return cls(len(relevance), values[order], weights[order])

    @property
    def is_sound(self) -> bool:
        """Whether the arrays are as described, wherever they come from."""
        shapes_fit = self.relevance.ndim == 1 and self.relevance.shape == self.weights.shape
        if not shapes_fit or np.isnan(self.relevance).any():
            return False
        return bool((self.relevance[1:] >= self.relevance[:-1]).all() and (self.weights > 0).all())

    def loss(self, threshold: float) -> float:
        """Return the mean share of relevant images below a threshold."""
        return float(self.weights[: np.searchsorted(self.relevance, threshold)].sum())

    def threshold(self, promise: float) -> float | None:
        """Return the highest threshold that keeps a promise in (0, 1), or None if none does."""
        allowed = (promise * (self.queries + 1) - 1) / self.queries if self.queries else -1.0
        if allowed < 0:
            return None
        # The loss at the threshold relevance[k] is that of the images strictly below it.
        losses = np.concatenate([[0.0], np.cumsum(self.weights)])
        count = int(np.searchsorted(losses, allowed + 1e-12, side="right")) - 1
        if count >= len(self.relevance):
            return math.inf
        highest = float(self.relevance[count])
        return highest if highest > -math.inf else None

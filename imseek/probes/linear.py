"""The linear probe: logistic regression on frozen vectors (Radford et al. 2021, section 3.2).

Vectors are centred, then divided by one number, their root mean square length, so that a strength of the L2 penalty
means the same for every encoder. Both steps are folded back into weights and bias.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from imseek.probes.labels import Targets
from imseek.probes.results import ProbeMethod
from imseek.types.arrays import Float32

#: Candidate strengths, strongest first: λ of mean loss + λ/2·‖w‖².
STRENGTHS: Final = tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(0, -6.1, -0.5))
_ITERATIONS: Final = 1000
#: Logit of a class without training images.
_NEVER_LOGIT: Final = -30.0


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A linear probe for unit rows: ``weights`` (classes, dim) float32, ``bias`` (classes,) float32."""

    weights: Float32
    bias: Float32

    name: ClassVar[ProbeMethod] = "linear"

    def logits(self, rows: Float32) -> Float32:
        """Compute logits: (m, dim) unit rows → (m, classes) float32."""
        logits: Float32 = rows @ self.weights.T + self.bias
        return logits

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> Linear:
        return cls(arrays["weights"], arrays["bias"])


def fit(
    rows: Float32, targets: Targets, classes: int, strengths: Sequence[float], *, even: bool = False
) -> Iterator[Linear]:
    """Yield a probe for each strength, from (n, dim) unit rows. Deterministic.

    ``even``: classes are weighted equally whatever their size. With several classes per image, each has its own
    regression against the rest.
    """
    centre = rows.mean(axis=0, dtype=np.float64)
    centred = rows - centre
    scale = float(np.sqrt(np.mean(np.einsum("nd,nd->n", centred, centred)))) or 1.0
    centred /= scale
    rotated, back = _rotate(centred)
    single = targets.ndim == 1
    problems = [targets] if single else list(targets.T.astype(np.int64))
    models = [_new_regression(even and single) for _ in problems]
    for strength in strengths:
        parts = [_solve(model, rotated, one, strength) for model, one in zip(models, problems, strict=True)]
        if single:
            class_numbers, (weights, bias) = parts[0]
        else:
            class_numbers = np.arange(classes)
            positives = [_positive_solution(one) for one in parts]
            weights = np.concatenate([one for one, _ in positives])
            bias = np.array([one for _, one in positives])
        full_weights = np.zeros((classes, rows.shape[1]))
        full_bias = np.full(classes, _NEVER_LOGIT)
        full_weights[class_numbers] = weights @ back / scale
        full_bias[class_numbers] = bias - full_weights[class_numbers] @ centre
        yield Linear(full_weights.astype(np.float32), full_bias.astype(np.float32))


_Solution = tuple[npt.NDArray[Any], tuple[npt.NDArray[Any], npt.NDArray[Any]]]


def _rotate(rows: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Rotate fewer rows than dimensions into their span: coordinates (n, k), and its axes (k, dim).

    The penalty is invariant under rotation, and so is the solution.
    """
    n, dim = rows.shape
    if n >= dim:
        return rows, np.eye(dim)
    axes, upper = np.linalg.qr(rows.T.astype(np.float64))
    return np.ascontiguousarray(upper.T), axes.T


def _new_regression(even: bool) -> Any:
    from sklearn.linear_model import LogisticRegression

    # Each strength starts from the solution of the one before, which is close.
    return LogisticRegression(warm_start=True, max_iter=_ITERATIONS, class_weight="balanced" if even else None)


def _solve(model: Any, rows: npt.NDArray[Any], target: npt.NDArray[Any], strength: float) -> _Solution:
    from sklearn.exceptions import ConvergenceWarning

    values = np.unique(target)
    if len(values) == 1:
        return values, (np.zeros((1, rows.shape[1])), np.zeros(1))
    model.set_params(C=1 / (strength * len(rows)))
    with warnings.catch_warnings():
        # Without full convergence it classifies equally well: the penalty is nearly zero there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, target)
    weights, bias = model.coef_, model.intercept_
    if len(values) == 2:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    return values, (weights, bias)


def _positive_solution(part: _Solution) -> tuple[npt.NDArray[Any], float]:
    """Weights (1, k) and bias of yes against no."""
    values, (weights, bias) = part
    if len(values) == 2:
        return weights[1:] - weights[:1], float(bias[1] - bias[0])
    return weights, _NEVER_LOGIT if values[0] == 0 else -_NEVER_LOGIT

"""UMAP (McInnes, Healy & Melville 2018) on precomputed neighbours, with NumPy.

umap-learn compiles its loops when they are first used: 30 seconds on a new machine, five in each process. Here, all
edges are moved at once in each epoch, by Adam, as the batch mode of uwot (Melville 2020) does. Results are as
trustworthy (docs/log.md), and do not depend on the number of threads.

The start is principal components in place of eigenvectors of the graph: that preserves large distances (Kobak &
Linderman 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import MissingExtraError
from imseek.progress import Task
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Float64 = npt.NDArray[np.float64]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

PHASE: Final = "laying out"
#: Extent of the initial coordinates, and noise added so that no two coincide (as in umap-learn).
_EXTENT: Final = 10.0
_NOISE: Final = 1e-4
#: Bisection steps, and the minimum σ as a share of a mean distance, as in umap-learn.
_STEPS: Final = 64
_MIN_SIGMA_SHARE: Final = 1e-3
#: Random points that push a point away, for each edge.
_REPULSION: Final = 5.0
#: The largest move that one of them asks for in a coordinate.
_MAX_FORCE: Final = 4.0
#: Up to this many points take more epochs, and more of those random points, of less weight each.
_FEW_POINTS: Final = 10_000
#: Adam (Kingma & Ba 2015): the first step, which falls to zero, and the decay of both means.
_STEP: Final = 0.5
_DECAY: Final = (0.5, 0.9)


def check_installed() -> None:
    """Raise MissingExtraError where SciPy is missing."""
    try:
        import scipy.sparse  # noqa: F401 - only whether it is there
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "scipy":
            raise
        raise MissingExtraError("UMAP", "explore") from error


def fit_layout(
    positions: Int32 | Int64, distances: Float32, start: Float32, min_dist: float, seed: int, task: Task
) -> Float32:
    """Compute a layout (n, d) from the neighbours (n, k) of each point, without itself, starting at ``start`` (n, d).

    ``positions`` are the neighbours' row numbers, ``distances`` ascend in each row; n is at least 2. The same input and
    seed give the same layout on the same machine. Raises Cancelled, MissingExtraError.
    """
    check_installed()
    few = len(positions) <= _FEW_POINTS
    graph = fuzzy_graph(positions, distances)
    return _optimise(
        graph,
        _initial_positions(start, seed),
        curve(min_dist),
        epochs=500 if few else 200,
        negatives=10 if few else 5,
        random=np.random.default_rng(seed),
        task=task,
    )


def fuzzy_graph(positions: Int32 | Int64, distances: Float32) -> csr_matrix:
    """Weigh the edges between neighbours (section 3.1): symmetric, (n, n), with weights in (0, 1].

    Each point's distances are measured from its nearest neighbour and scaled so that the weights add up to log₂(k + 1);
    an edge has the probability that at least one of its ends has it.
    """
    from scipy.sparse import csr_matrix

    n, k = positions.shape
    d = distances.astype(np.float64)
    nearest = np.where(d > 0, d, np.inf).min(axis=1, keepdims=True)
    nearest[np.isinf(nearest)] = 0
    beyond = np.maximum(d - nearest, 0)
    mean = np.where(nearest > 0, d.mean(axis=1, keepdims=True), d.mean())
    weights = np.exp(-beyond / find_sigmas(beyond, np.log2(k + 1), mean))
    directed = csr_matrix((weights.ravel(), positions.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    reverse = directed.T.tocsr()
    return (directed + reverse - directed.multiply(reverse)).tocsr()


def find_sigmas(distances: Float64, total: float, mean: Float64) -> Float64:
    """Find the scale σ (n, 1) of each row of ``distances`` (n, k) by which its weights exp(-d/σ) add up to ``total``.

    It is found by bisection, and at least a small share of ``mean`` (n, 1), as in umap-learn.
    """
    low, high, sigma = np.zeros_like(mean), np.full_like(mean, np.inf), np.ones_like(mean)
    for _ in range(_STEPS):
        above = np.exp(-distances / sigma).sum(axis=1, keepdims=True) > total
        low, high = np.where(above, low, sigma), np.where(above, sigma, high)
        sigma = np.where(np.isinf(high), 2 * sigma, (low + high) / 2)
    least: Float64 = np.maximum(_MIN_SIGMA_SHARE * mean, 1e-12)
    return np.maximum(sigma, least)


def curve(min_dist: float) -> tuple[float, float]:
    """Fit a and b of 1 / (1 + a x^2b), the weight of an edge of length x on the layout (section 3.2).

    It is to be 1 up to ``min_dist``, from 0 to 1, and then to fall as exp(``min_dist`` - x).
    """
    from scipy.optimize import curve_fit

    x = np.linspace(0, 3, 300)
    (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, np.exp(-np.maximum(x - min_dist, 0)))
    return float(a), float(b)


def _initial_positions(start: Float32, seed: int) -> Float32:
    size = float(np.abs(start).max(initial=0.0))
    scaled = start * (_EXTENT / size) if size > 0 else start
    noise = np.random.default_rng(seed).normal(scale=_NOISE * _EXTENT, size=start.shape)
    return (scaled + noise).astype(np.float32)


def _optimise(
    graph: Any,
    y: Float32,
    ab: tuple[float, float],
    *,
    epochs: int,
    negatives: int,
    random: np.random.Generator,
    task: Task,
) -> Float32:
    """Move the points ``y`` (n, d) so that edges are short and other pairs apart. Raises Cancelled."""
    a, b = ab
    graph.data[graph.data < graph.data.max() / epochs] = 0  # as umap-learn: they would hardly count
    graph.eliminate_zeros()
    n = len(y)
    tail, first = graph.indices, graph.indptr[:-1]  # No row is empty: a nearest neighbour has the weight 1.
    head = np.repeat(np.arange(n), np.diff(graph.indptr))
    # Both directions of an edge move both of its ends.
    attraction = (-4 * a * b * graph.data).astype(np.float32)
    degrees = np.add.reduceat(graph.data, first).astype(np.float32)
    repulsion = (_REPULSION / negatives * degrees)[:, np.newaxis]
    mean, square = np.zeros_like(y), np.zeros_like(y)
    keep_mean, keep_square = _DECAY
    for epoch in range(epochs):
        task.step(PHASE, epoch, epochs)
        along = y[head] - y[tail]
        apart = np.maximum(np.einsum("ed,ed->e", along, along), np.float32(1e-12))
        power = apart ** np.float32(b - 1)
        pull = attraction * power / (1 + a * power * apart)
        force = np.add.reduceat(pull[:, np.newaxis] * along, first, axis=0)

        away = y[:, np.newaxis] - y[random.integers(0, n, (n, negatives))]
        apart = np.einsum("nmd,nmd->nm", away, away)
        push = 2 * b / ((1e-3 + apart) * (1 + a * apart ** np.float32(b)))
        pushes = np.clip(push[:, :, np.newaxis] * away, -_MAX_FORCE, _MAX_FORCE)
        force += repulsion * pushes.sum(axis=1)

        mean += (1 - keep_mean) * (force - mean)
        square += (1 - keep_square) * (force**2 - square)
        unbiased = mean / (1 - keep_mean ** (epoch + 1))
        size = np.sqrt(square / (1 - keep_square ** (epoch + 1))) + 1e-7
        y = (y + _STEP * (1 - epoch / epochs) * unbiased / size).astype(np.float32, copy=False)
    task.step(PHASE, epochs, epochs)
    return y

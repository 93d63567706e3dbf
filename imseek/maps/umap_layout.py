"""UMAP (McInnes, Healy & Melville 2018) on precomputed neighbours.

umap-learn builds the graph and optimises the layout. It receives neighbours from the vector index, and principal
components as the start. That preserves large distances (Kobak & Linderman 2021), needs no eigenvectors of the graph,
and is reproducible.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from imseek.errors import MissingExtraError
from imseek.maps.neighbours import Int32
from imseek.progress import Task
from imseek.types.arrays import Float32

PHASE: Final = "laying out"
#: Extent of the initial coordinates, and noise added so that no two coincide (as in umap-learn).
_EXTENT: Final = 10.0
_NOISE: Final = 1e-4


def import_umap() -> Any:
    """Import umap-learn. Raises MissingExtraError."""
    try:
        with warnings.catch_warnings():
            # A warning about an unused part, for everybody without TensorFlow.
            warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
            import umap
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "umap":
            raise
        raise MissingExtraError("UMAP", "explore") from error
    return umap


def fit_layout(
    positions: Int32, distances: Float32, start: Float32, min_dist: float, seed: int, task: Task
) -> Float32:
    """Compute a layout (n, 2) from the neighbours (n, k) of each image, without itself, starting at ``start`` (n, 2).

    The same input and seed give the same map on the same machine. Raises Cancelled, MissingExtraError.
    """
    umap = import_umap()
    n, k = positions.shape
    own = np.arange(n, dtype=np.int32)[:, np.newaxis]
    neighbours = np.concatenate([own, positions], axis=1)
    apart = np.concatenate([np.zeros((n, 1), np.float32), distances], axis=1)
    model = umap.UMAP(
        n_neighbors=k + 1,
        min_dist=min_dist,
        metric="cosine",
        init=_initial_positions(start, seed),
        random_state=seed,
        n_jobs=1,  # With a seed, umap-learn uses one thread anyway, and would warn.
        precomputed_knn=(neighbours, apart),
        force_approximation_algorithm=True,  # Else precomputed neighbours are ignored below 4,096 images.
        tqdm_kwds={
            "disable": False,
            "file": _TqdmProgress(task),
            "bar_format": "{n} {total}",
            "leave": False,
        },
    )
    # With precomputed neighbours, only the number of vectors matters.
    with warnings.catch_warnings():
        # No later transform is needed.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        found: Float32 = np.asarray(model.fit_transform(start), np.float32)
    return found


def _initial_positions(start: Float32, seed: int) -> Float32:
    """Scale the start and add noise."""
    size = float(np.abs(start).max(initial=0.0))
    scaled = start * (_EXTENT / size) if size > 0 else start
    shaken = np.random.default_rng(seed).normal(scale=_NOISE * _EXTENT, size=start.shape)
    return (scaled + shaken).astype(np.float32)


class _TqdmProgress:
    """Receives tqdm's output, the only way to learn that umap-learn has finished an epoch."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._ended = False

    def write(self, text: str) -> None:
        """Report the progress in a line from tqdm. Raises Cancelled."""
        done, _, total = text.strip("\r\n ").partition(" ")
        if done.isdecimal() and total.strip().isdecimal():
            self._task.report(PHASE, int(done), int(total))
        if not self._ended and self._task.is_cancelled:
            self._ended = True  # tqdm writes once more when it closes.
            self._task.check()

    def flush(self) -> None:
        """Do nothing; tqdm requires it."""

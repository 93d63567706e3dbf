"""UMAP (McInnes, Healy & Melville 2018) of neighbours that are known already.

umap-learn draws the graph and lays it out. It is given the neighbours, which the vector index finds, and where to
begin, which the principal components say: that keeps large distances meaningful (Kobak & Linderman 2021), needs no
eigenvectors of the graph, and is the same each time.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import numpy as np

from imseek.errors import MissingExtraError
from imseek.explore.maps.map_progress import Stages
from imseek.explore.maps.neighbours import Int32
from imseek.types import Float32

PHASE: Final = "laying out"
#: How large the first coordinates are, and how much they are shaken so that no two coincide (as umap-learn does it).
_EXTENT: Final = 10.0
_NOISE: Final = 1e-4


def load() -> Any:
    """The package. Raises MissingExtraError."""
    try:
        with warnings.catch_warnings():
            # Said of a part that is not used here, to everybody who has no TensorFlow.
            warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
            import umap
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "umap":
            raise
        raise MissingExtraError("UMAP", "explore") from error
    return umap


def laid_out(
    positions: Int32, distances: Float32, start: Float32, min_dist: float, seed: int, stages: Stages
) -> Float32:
    """(n, 2): a layout by the neighbours (n, k) of each image, itself left out, beginning with ``start`` (n, 2).

    The same input and seed give the same map on the same machine. Raises Stopped, MissingExtraError.
    """
    umap = load()
    n, k = positions.shape
    own = np.arange(n, dtype=np.int32)[:, np.newaxis]
    neighbours = np.concatenate([own, positions], axis=1)
    apart = np.concatenate([np.zeros((n, 1), np.float32), distances], axis=1)
    model = umap.UMAP(
        n_neighbors=k + 1,
        min_dist=min_dist,
        metric="cosine",
        init=_first(start, seed),
        random_state=seed,
        n_jobs=1,  # With a seed umap-learn uses one in any case, and would warn.
        precomputed_knn=(neighbours, apart),
        force_approximation_algorithm=True,  # Else neighbours that are given do not count among fewer than 4,096.
        tqdm_kwds={"disable": False, "file": _Told(stages), "bar_format": "{n} {total}", "leave": False},
    )
    # The vectors themselves are not asked for where neighbours are known: only how many there are.
    with warnings.catch_warnings():
        # It is not to transform anything.
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)
        found: Float32 = np.asarray(model.fit_transform(start), np.float32)
    return found


def _first(start: Float32, seed: int) -> Float32:
    size = float(np.abs(start).max(initial=0.0))
    scaled = start * (_EXTENT / size) if size > 0 else start
    shaken = np.random.default_rng(seed).normal(scale=_NOISE * _EXTENT, size=start.shape)
    return (scaled + shaken).astype(np.float32)


class _Told:
    """Takes what tqdm would show, which is the one thing that umap-learn tells of an epoch that has ended."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._ended = False

    def write(self, text: str) -> None:
        done, _, total = text.strip("\r\n ").partition(" ")
        if done.isdecimal() and total.strip().isdecimal():
            self._stages.tell(PHASE, int(done), int(total))
        if not self._ended and self._stages.stopped:
            self._ended = True  # tqdm writes once more while it is closed.
            self._stages.check()

    def flush(self) -> None:
        """There is nothing to flush."""

"""Nearest neighbours among millions of small descriptors that live in memory only, such as those of local features."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from imseek.data.vectors import require_faiss
from imseek.data.vectors.faiss_threads import at_most_threads
from imseek.data.vectors.kmeans import Labels
from imseek.types.arrays import Float32

#: Minimum rows for an inverted file, rows for each of its lists, maximum lists, and lists to probe.
_FEW: Final = 20_000
_ROWS_OF_LIST: Final = 160
_MAX_LISTS: Final = 2048
_PROBES: Final = 8
#: Rows for each list that its centre is found from.
_TRAINING: Final = 48


def _count_lists(count: int) -> int:
    return min(_MAX_LISTS, count // _ROWS_OF_LIST)


def sample_step(count: int) -> int:
    """Return the step n: an index of ``count`` rows is trained with every n-th of them."""
    return max(1, math.ceil(count / (_TRAINING * max(1, _count_lists(count)))))


class DescriptorIndex:
    """Index of unit rows (n, dim) float32, stored as one byte a number. Raises MissingExtraError."""

    def __init__(self, sample: Float32, count: int) -> None:
        """``count`` rows are to be added, of which ``sample`` has each n-th, by :func:`sample_step`."""
        require_faiss()
        import faiss

        factory = "SQ8" if count < _FEW else f"IVF{_count_lists(count)},SQ8"
        self._index: Any = faiss.index_factory(sample.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        if len(sample):
            with at_most_threads(1):
                self._index.train(np.ascontiguousarray(sample))
        if count >= _FEW:
            self._index.nprobe = _PROBES

    def add(self, rows: Float32) -> None:
        with at_most_threads(1):
            self._index.add(np.ascontiguousarray(rows))

    def search(self, queries: Float32, count: int) -> tuple[Labels, Float32]:
        """Return the rows nearest to each of m queries, (m, count), −1 where there are fewer, and their cosines."""
        with at_most_threads(1):
            cosines, rows = self._index.search(np.ascontiguousarray(queries, np.float32), count)
        return rows, np.clip(cosines, -1, 1)

"""The index of a small collection: NumPy for a few queries, FAISS for many.

Importing FAISS takes a cold search 40 ms, and its first scan wakes a thread per processor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from imseek.data.vectors.base import Ids, IdSet, Matches, Segment, VectorIndex
from imseek.data.vectors.numpy_index import MemoryIndex
from imseek.types.arrays import Float32

#: The most numbers that NumPy scans for each query: 2,048 rows of width 512 take 3 ms.
MAX_NUMBERS: Final = 1 << 20
#: From this many queries on, FAISS is faster, its import included.
_MANY_QUERIES: Final = 16


def is_small(segments: Sequence[Segment], dim: int) -> bool:
    """Whether NumPy finds the nearest of these rows before FAISS is loaded."""
    return sum(len(segment.rows) for segment in segments) * dim <= MAX_NUMBERS


class SmallIndex(MemoryIndex):
    """An exact index over few rows. All exact indexes give the same answers.

    ``open_faiss`` opens a FAISS index over the same rows. It is called at most once.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        dim: int,
        open_faiss: Callable[[], VectorIndex],
        *,
        like: object = None,
    ) -> None:
        super().__init__(segments, dim, like=like)
        self._open_faiss = open_faiss
        self._faiss: VectorIndex | None = None
        self._lock = threading.Lock()

    def search(
        self,
        queries: Float32,
        k: int,
        *,
        allowed: IdSet | Ids | None = None,
        text: bool = False,
        exact: bool = False,
    ) -> list[Matches]:
        if len(queries) < _MANY_QUERIES:
            return super().search(queries, k, allowed=allowed, text=text, exact=exact)
        return self._with_faiss().search(queries, k, allowed=allowed, text=text, exact=exact)

    def _with_faiss(self) -> VectorIndex:
        with self._lock:
            if self._faiss is None:
                self._faiss = self._open_faiss()
            return self._faiss

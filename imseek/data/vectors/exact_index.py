"""Exact indexes: their base class, which tracks segments and validates queries, and those that scan with NumPy.

A small collection is scanned with NumPy for a few queries, and with FAISS for many: importing FAISS takes a cold search
40 ms, and its first scan wakes a thread per processor.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from imseek.data.vectors.base import Bools, Ids, IdSet, Matches, Segment, VectorIndex
from imseek.data.vectors.scores import blocks, cosines, row_norms, top_k, unit_queries
from imseek.errors import CorruptCollectionError, QueryError
from imseek.types.arrays import Float32

#: The most numbers that NumPy scans for each query: 2,048 rows of width 512 take 3 ms.
MAX_NUMBERS: Final = 1 << 20
#: From this many queries on, FAISS is faster, its import included.
_MANY_QUERIES: Final = 16


@dataclass(frozen=True, slots=True, eq=False)
class SegmentData:
    """A segment with the norms (n,) of its rows, unless they are too many to store."""

    segment: Segment
    norms: Float32 | None


P = TypeVar("P", bound=SegmentData)


@dataclass(frozen=True, slots=True, eq=False)
class SearchScope(Generic[P]):
    """The ``count`` > 0 rows of one part, marked in ``mask`` (n,), that one search may return."""

    part: P
    mask: Bools
    count: int


def segment_norms(segment: Segment) -> Float32:
    """Return the norms (n,) of the rows of a segment, which are read block by block."""
    norms = np.empty(len(segment.rows), np.float32)
    for block in blocks(*segment.rows.shape):
        norms[block] = row_norms(segment.rows[block].astype(np.float32))
    return norms


class ExactIndex(ABC, Generic[P]):
    """A :class:`~imseek.data.vectors.base.VectorIndex` with one part per segment.

    Arguments and errors are those of :func:`imseek.data.vectors.open_index`.
    """

    exact = True

    def __init__(self, segments: Sequence[Segment], dim: int, *, previous: object = None) -> None:
        self._dim = dim
        # Compare arrays by identity, which is safe: every part of ``like`` keeps its own alive.
        parts = {id(p.segment.rows): p for p in previous._parts} if isinstance(previous, type(self)) else {}
        self._parts: tuple[P, ...] = tuple(self._part(s, parts.get(id(s.rows))) for s in segments)
        self._scopes: WeakKeyDictionary[IdSet, tuple[SearchScope[P], ...]] = WeakKeyDictionary()
        self._everything: tuple[SearchScope[P], ...] | None = None
        self._live = sum(int(np.count_nonzero(segment.searchable())) for segment in segments)

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(part.segment for part in self._parts)

    def __len__(self) -> int:
        return self._live

    def count(self, allowed: IdSet) -> int:
        return sum(scope.count for scope in self.search_scopes(allowed))

    def search_scopes(self, allowed: IdSet | None) -> tuple[SearchScope[P], ...]:
        """Return the scopes to search, computed once for all rows, and for a set of ids, which is used repeatedly."""
        cached = self._everything if allowed is None else self._scopes.get(allowed)
        if cached is not None:
            return cached
        scopes = []
        for part in self._parts:
            mask = part.segment.searchable(allowed)
            if count := int(np.count_nonzero(mask)):
                scopes.append(SearchScope(part, mask, count))
        all_scopes = tuple(scopes)
        if allowed is None:
            self._everything = all_scopes
        else:
            self._scopes[allowed] = all_scopes
        return all_scopes

    def search(
        self,
        queries: Float32,
        k: int,
        *,
        allowed: IdSet | Ids | None = None,
        text: bool = False,
        exact: bool = False,
    ) -> list[Matches]:
        del text, exact  # Make no difference to an exact index.
        queries = unit_queries(queries, self._dim)
        if k < 1:
            raise QueryError(f"k must be at least 1, not {k}")
        if allowed is not None and not isinstance(allowed, IdSet):
            allowed = IdSet(allowed)
        scopes = self.search_scopes(allowed)
        k = min(k, sum(scope.count for scope in scopes))
        if k == 0:
            empty = Matches(np.empty(0, np.int64), np.empty(0, np.float32))
            return [empty] * len(queries)
        return self._best(queries, k, scopes)

    def _part(self, segment: Segment, previous: P | None) -> P:
        if segment.rows.shape[1] != self._dim:
            raise CorruptCollectionError(f"vectors of width {segment.rows.shape[1]}, not {self._dim}")
        part = self._load(segment) if previous is None else replace(previous, segment=segment)
        if part.norms is not None and (broken := segment.searchable() & ~np.isfinite(part.norms)).any():
            image_id = int(segment.ids[broken][0])
            raise CorruptCollectionError(f"the vector of image {image_id} holds NaN or infinity")
        return part

    @abstractmethod
    def _load(self, segment: Segment) -> P:
        """Build the data of this kind for a segment."""

    @abstractmethod
    def _best(self, queries: Float32, k: int, scopes: Sequence[SearchScope[P]]) -> list[Matches]:
        """Return the exact top ``k`` of every query; the scopes have at least ``k`` rows together."""


class MemoryIndex(ExactIndex[SegmentData]):
    """The reference index, with NumPy only: scores every row in place, a block at a time; nothing is optimised.

    Memory: 5 bytes per vector (its norm, and whether it is live) besides the segments, and a few MiB during a search.
    """

    def _load(self, segment: Segment) -> SegmentData:
        return SegmentData(segment, segment_norms(segment))

    def _best(self, queries: Float32, k: int, scopes: Sequence[SearchScope[SegmentData]]) -> list[Matches]:
        best = [Matches(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        for scope in scopes:
            segment, norms = scope.part.segment, scope.part.norms
            assert norms is not None
            numbers = np.flatnonzero(scope.mask)
            for block in blocks(len(numbers), self.dim):
                part = numbers[block]
                rows, ids = segment.rows[part].astype(np.float32), segment.ids[part]
                for i, query in enumerate(queries):
                    scores = np.concatenate([best[i].scores, cosines(query, rows, norms[part])])
                    best[i] = top_k(np.concatenate([best[i].ids, ids]), scores, k)
        return best


def is_small(segments: Sequence[Segment], dim: int) -> bool:
    """Whether NumPy finds the nearest of these rows in less time than loading FAISS takes."""
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
        previous: object = None,
    ) -> None:
        super().__init__(segments, dim, previous=previous)
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

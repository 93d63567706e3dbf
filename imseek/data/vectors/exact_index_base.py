"""The base class of exact indexes: tracks segments and validates queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from imseek.data.vectors.base import Bools, Ids, IdSet, Matches, Segment
from imseek.data.vectors.scores import blocks, row_norms, unit_queries
from imseek.errors import CorruptCollectionError, QueryError
from imseek.types.arrays import Float32


@dataclass(frozen=True, slots=True, eq=False)
class SegmentData:
    """A segment with the norms (n,) of its rows, unless they are too many to store."""

    segment: Segment
    norms: Float32 | None

    def norms_of(self, at: Ids) -> Float32:
        """Return the norms of the rows ``at``, in the shape of ``at``."""
        if self.norms is not None:
            return self.norms[at]
        rows = self.segment.rows[at.reshape(-1)].astype(np.float32)
        return row_norms(rows).reshape(at.shape)


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

    def __init__(self, segments: Sequence[Segment], dim: int, *, like: object = None) -> None:
        self._dim = dim
        # Compare arrays by identity, which is safe: every part of ``like`` keeps its own alive.
        held = {id(p.segment.rows): p for p in like._parts} if isinstance(like, type(self)) else {}
        self._parts: tuple[P, ...] = tuple(self._part(s, held.get(id(s.rows))) for s in segments)
        self._known: WeakKeyDictionary[IdSet, tuple[SearchScope[P], ...]] = WeakKeyDictionary()
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
        """Return the scopes to search; for a set of ids, which is used again and again, they are computed once."""
        if allowed is not None and (held := self._known.get(allowed)) is not None:
            return held
        scopes = []
        for part in self._parts:
            mask = part.segment.searchable(allowed)
            if count := int(np.count_nonzero(mask)):
                scopes.append(SearchScope(part, mask, count))
        if allowed is not None:
            self._known[allowed] = tuple(scopes)
        return tuple(scopes)

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
            nothing = Matches(np.empty(0, np.int64), np.empty(0, np.float32))
            return [nothing] * len(queries)
        return self._best(queries, k, scopes)

    def _part(self, segment: Segment, held: P | None) -> P:
        if segment.rows.shape[1] != self._dim:
            raise CorruptCollectionError(f"vectors of width {segment.rows.shape[1]}, not {self._dim}")
        part = self._load(segment) if held is None else replace(held, segment=segment)
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

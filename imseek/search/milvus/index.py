"""Find the nearest rows of a space in Milvus, with the same scores as every other index.

Milvus ranks by its own cosines, which may differ from ours in the last bits, and does not define the order of ties.
So it is asked for some extra rows with their vectors, which are scored like all others. The answer is final once its
last score is clearly above the lowest score from Milvus, because then no other row can belong to it. Until then,
which requires many equal rows, more are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from imseek.data.milvus import layout
from imseek.data.milvus.client import MAX_ROWS, Client
from imseek.data.vectors import Matches
from imseek.data.vectors.scores import cosines, row_norms, top_k, unit_queries
from imseek.errors import QueryError
from imseek.search.milvus.reader import PublishedReader
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.unique_numbers import unique_numbers

#: Extra rows to fetch: at least this many, or one in eight.
_MIN_EXTRA: Final = 6
_GROWTH: Final = 4
#: Maximum difference between cosines from Milvus and ours.
_COSINE_TOLERANCE: Final = 4e-6
#: Floats in one response: 64 MiB of float32.
_MAX_FLOATS: Final = 1 << 24
#: Queries per request.
_QUERIES_PER_REQUEST: Final = 256


@dataclass(slots=True, eq=False)
class Condition:
    """The images that satisfy a Milvus expression. ``counts`` caches their number by the collection's own filter."""

    filter: str
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        raise TypeError("an index counts what a condition allows")


class PublishedIndex:
    """An exact index: the field is indexed as FLAT. Thread-safe."""

    def __init__(self, reader: PublishedReader, space: SpaceInfo) -> None:
        self._reader = reader
        self._client: Client = reader.client
        self._rows = reader.record.rows
        self._space = space
        self._caption_filter = f"{layout.has_caption_field(space)} == true" if space.modality == "text" else ""
        self._count = reader.record.spoken.get(space.space_id, reader.record.images)

    exact: Final = True

    @property
    def deepest(self) -> int:
        """The maximum number of rows per search; see :func:`imseek.search.backend.max_search_depth`."""
        return MAX_ROWS

    def __len__(self) -> int:
        return self._count

    def count(self, allowed: Any) -> int:
        assert isinstance(allowed, Condition)
        if self._caption_filter not in allowed.counts:
            allowed.counts[self._caption_filter] = self._client.count(self._rows, self._filter(allowed))
        return allowed.counts[self._caption_filter]

    def search(
        self, queries: Float32, k: int, *, allowed: Any = None, text: bool = False, exact: bool = False
    ) -> list[Matches]:
        """See :class:`imseek.data.vectors.VectorIndex`. Raises QueryError for more rows than Milvus returns."""
        queries = unit_queries(queries, self._space.dim)
        if k < 1:
            raise QueryError("at least one row must be asked for")
        if allowed is not None and not isinstance(allowed, Condition):
            return self._score(queries, k, np.asarray(allowed, np.int64))
        if min(k, len(self)) > MAX_ROWS:
            raise QueryError(
                f"Milvus gives at most the best {MAX_ROWS:,}, and {k:,} are needed here",
                hint="a filter or a smaller limit; the collection itself has no such end",
            )
        where = self._filter(allowed)
        results: list[Matches | None] = [None] * len(queries)
        pending = list(range(len(queries)))
        fetch = min(MAX_ROWS, max(1, len(self)), k + max(_MIN_EXTRA, k // 8))
        while pending:
            unsettled = []
            step = max(1, min(_QUERIES_PER_REQUEST, _MAX_FLOATS // (fetch * self._space.dim)))
            for start in range(0, len(pending), step):
                batch = pending[start : start + step]
                answers = self._client.search(
                    self._rows, layout.vector_field(self._space), queries[batch], fetch, where
                )
                for at, (ids, milvus_scores, rows) in zip(batch, answers, strict=True):
                    matches = top_k(ids, cosines(queries[at], rows, row_norms(rows)), k)
                    is_complete = len(ids) < fetch or fetch >= min(MAX_ROWS, len(self))
                    if is_complete or (
                        len(matches) == k and matches.scores[-1] > milvus_scores.min() + _COSINE_TOLERANCE
                    ):
                        results[at] = matches
                    else:
                        unsettled.append(at)
            pending, fetch = unsettled, min(MAX_ROWS, len(self), fetch * _GROWTH)
        return [one for one in results if one is not None]

    def _score(self, queries: Float32, k: int, ids: Any) -> list[Matches]:
        """Return the best ``k`` of the given ids for each query."""
        rows_by_id = self._reader.known_vectors(unique_numbers(ids).tolist(), self._space)
        present_ids = np.array(sorted(rows_by_id), np.int64)
        rows = np.array([rows_by_id[i] for i in present_ids.tolist()], np.float32).reshape(-1, self._space.dim)
        norms = row_norms(rows)
        return [top_k(present_ids, cosines(query, rows, norms), k) for query in queries]

    def _filter(self, allowed: Condition | None) -> str:
        parts = [one for one in (self._caption_filter, "" if allowed is None else allowed.filter) if one]
        return " and ".join(f"({one})" for one in parts)

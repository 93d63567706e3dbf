"""Retrieval metrics: the rank of each query's first relevant item, and its average precision.

*R@k* is the share of queries with a relevant item among the first k, as in CLIP_benchmark, even where a query has
several (the five captions of an image). *Average precision* is the mean, over a query's relevant items, of the
precision at each; with one relevant item it is 1 / rank.

A score is the float64 dot product of unit rows, rounded to float32. It therefore does not depend on blocking, and equal
vectors have equal scores. In a tie, irrelevant items come first: a tie is never a success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

Ints = npt.NDArray[np.int64]

#: Queries and items per block: 64 MiB of scores.
QUESTION_BATCH: Final = 1024
ITEM_BATCH: Final = 8192


class Rows(Protocol):
    """(n, dim) unit float32 rows, not necessarily in memory, such as :class:`imseek.analysis.space_vectors.Vectors`."""

    def __len__(self) -> int: ...

    def blocks(self, size: int = ...) -> Iterator[tuple[slice, Float32]]: ...

    def at(self, positions: Ints) -> Float32: ...


class ArrayRows:
    """Rows held in memory."""

    def __init__(self, rows: Float32) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def blocks(self, size: int = ITEM_BATCH) -> Iterator[tuple[slice, Float32]]:
        for start in range(0, len(self._rows), size):
            part = slice(start, min(start + size, len(self._rows)))
            yield part, self._rows[part]

    def at(self, positions: Ints) -> Float32:
        rows: Float32 = self._rows[positions]
        return rows


class SelectedRows:
    """A selection of rows in its own order: those that ``get`` returns for ``keys`` (n,)."""

    def __init__(self, get: Callable[[Ints], Float32], keys: Ints) -> None:
        self._get = get
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def blocks(self, size: int = ITEM_BATCH) -> Iterator[tuple[slice, Float32]]:
        for start in range(0, len(self._keys), size):
            part = slice(start, min(start + size, len(self._keys)))
            yield part, self._get(self._keys[part])

    def at(self, positions: Ints) -> Float32:
        return self._get(self._keys[positions])


@dataclass(frozen=True, slots=True, eq=False)
class RelevantItems:
    """Relevant items of each query: ``items[starts[q]:starts[q + 1]]`` for query q."""

    starts: Ints
    items: Ints

    @classmethod
    def of(cls, questions: npt.ArrayLike, items: npt.ArrayLike, count: int) -> RelevantItems:
        """Build from (p,) queries and (p,) items, both positions, of ``count`` queries; repeated pairs count once.

        Raises ValueError where a query has no relevant item, or a position is out of range.
        """
        pairs = np.stack([np.asarray(questions, np.int64), np.asarray(items, np.int64)], axis=1)
        pairs = np.unique(pairs.reshape(-1, 2), axis=0)
        if len(pairs) and (pairs.min() < 0 or pairs[-1, 0] >= count):
            raise ValueError("a pair of a question or an item that is not there")
        counts = np.bincount(pairs[:, 0], minlength=count)
        if not counts.all():
            raise ValueError("a question without a right item")
        return cls(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), np.ascontiguousarray(pairs[:, 1]))

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """Ranks of each query.

    ``first`` (n,) int64 is the rank of its best relevant item, from 1; ``precision`` (n,) float64 its average
    precision. ``items`` is the number of items ranked.
    """

    first: Ints
    precision: npt.NDArray[np.float64]
    items: int

    def hits(self, k: int) -> npt.NDArray[np.float64]:
        """1 where a relevant item is among the first ``k``, else 0 (n,). The mean is R@k."""
        return (self.first <= k).astype(np.float64)


def rank_items(
    questions: Rows | Float32,
    items: Rows | Float32,
    relevant: RelevantItems,
    *,
    task: Task = SILENT,
) -> Ranks:
    """Rank all items for each query.

    Memory: 64 MiB of scores, and the rows of the relevant items of one block of queries. Raises ValueError for
    pairs that do not fit, Cancelled.
    """
    query_rows = ArrayRows(questions) if isinstance(questions, np.ndarray) else questions
    item_rows = ArrayRows(items) if isinstance(items, np.ndarray) else items
    if len(relevant) != len(query_rows) or (len(relevant.items) and relevant.items.max() >= len(item_rows)):
        raise ValueError("a pair of a question or an item that is not there")
    first, precision = np.zeros(len(query_rows), np.int64), np.zeros(len(query_rows))
    for part, rows in query_rows.blocks(QUESTION_BATCH):
        task.check()
        starts = relevant.starts[part.start : part.stop + 1]
        block_relevant = relevant.items[starts[0] : starts[-1]]
        first[part], precision[part] = _rank_block(rows, item_rows, block_relevant, starts - starts[0])
        task.report("ranks", part.stop, len(query_rows))
    return Ranks(first, precision, len(item_rows))


def scores(a: Float32, b: Float32) -> Float32:
    """All scores of (n, dim) and (m, dim) unit rows → (n, m), as defined above."""
    products: Float32 = (a.astype(np.float64) @ b.T.astype(np.float64)).astype(np.float32)
    return products


def pair_scores(a: Float32, b: Float32) -> Float32:
    """Row-wise scores of (n, dim) and (n, dim) unit rows → (n,)."""
    products: Float32 = np.einsum("nd,nd->n", a, b, dtype=np.float64, casting="safe").astype(np.float32)
    return products


def _rank_block(rows: Float32, item_rows: Rows, relevant: Ints, starts: Ints) -> tuple[Any, Any]:
    """Ranks and average precisions of queries whose relevant items are ``relevant[starts[q]:starts[q + 1]]``."""
    counts = np.diff(starts)
    owner = np.repeat(np.arange(len(rows)), counts)
    relevant_scores = np.concatenate(
        [
            pair_scores(rows[owner[at : at + ITEM_BATCH]], item_rows.at(relevant[at : at + ITEM_BATCH]))
            for at in range(0, len(relevant), ITEM_BATCH)
        ]
    )
    order = np.lexsort((-relevant_scores, owner))  # best first within each query
    relevant_scores, place = relevant_scores[order], np.arange(len(relevant)) - starts[owner] + 1
    reach_counts = np.zeros(len(relevant), np.int64)
    for _, block in item_rows.blocks(ITEM_BATCH):
        block_scores = scores(rows, block)
        for nth in range(int(counts.max())):
            has = np.flatnonzero(counts > nth)
            at = starts[has] + nth
            row_scores = block_scores if len(has) == len(rows) else block_scores[has]
            reach_counts[at] += (row_scores >= relevant_scores[at, None]).sum(axis=1)
    # Items that reach the score of a relevant item, minus the relevant ones among them, are irrelevant and come before
    # it.
    ahead = np.maximum(reach_counts - _count_reaching(relevant_scores, starts, counts), 0)
    precision = np.add.reduceat(place / (place + ahead), starts[:-1]) / counts
    return 1 + ahead[starts[:-1]], precision


def _count_reaching(relevant_scores: Float32, starts: Ints, counts: Ints) -> Ints:
    """Count, for each relevant item (p,), those of the same query with at least its score.

    ``relevant_scores`` descends within each query.
    """
    total = len(relevant_scores)
    last = np.ones(total, bool)  # last of a run of equal scores
    last[:-1] = relevant_scores[:-1] != relevant_scores[1:]
    last[starts[1:] - 1] = True
    ends = np.flatnonzero(last)
    until = ends[np.searchsorted(ends, np.arange(total))]
    return until - np.repeat(starts[:-1], counts) + 1

"""Search several snapshots as one, each over different images of the same space.

A growing collection gets new parts beside its existing ones. Parts that share lists and codes probe the same lists,
which are looked up once: together they propose the same candidates as one index of all of them. Candidates from parts
with lists of their own are merged by their scores by codes, which are close enough to the exact scores that decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import faiss
import numpy as np

from imseek.data.vectors.faiss_snapshot import Candidates, NearestLists, Snapshot
from imseek.data.vectors.index_metadata import (
    Bits,
    CoveredIds,
    IndexFolder,
    IndexMetadata,
    damaged_index_error,
    part_folders,
    read_index_metadata,
)
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.data.vectors.gpu import Placement

#: Factor and number of candidates requested from a part at first beyond its share; one that has more is searched again.
_SPARE = (2.0, 16)


def open_snapshot(folder: IndexFolder) -> Snapshot:
    """Map the files of a snapshot of one or several parts. Cheap: lists are read when they are probed.

    Raises FileNotFoundError where one is gone, CorruptCollectionError where one is damaged.
    """
    facts = read_index_metadata(folder)
    if not facts.parts:
        return Snapshot.open(folder)
    snapshot = ShardedSnapshot([Snapshot.open(part) for part in part_folders(folder, facts)], facts)
    if any(part.facts.dim != facts.dim for part in snapshot.parts) or len(snapshot.covered) != facts.rows:
        raise damaged_index_error(folder, f"its parts do not add up to {facts.rows:,} images")
    return snapshot


class ShardedSnapshot(Snapshot):
    """A snapshot of one or more parts. ``facts`` has the search parameters and the recall of all of them together."""

    def __init__(self, parts: Sequence[Snapshot], facts: IndexMetadata) -> None:
        super().__init__(
            parts[0].index, CoveredIds.of_all([part.covered for part in parts]), facts, parts[0].centre_codes
        )
        self._parts = tuple(parts)
        self.filters = all(part.filters for part in parts)
        self.widest = max(part.widest for part in parts)
        names = [part.facts.layout or name for part, name in zip(parts, facts.parts, strict=True)]
        self._layouts = tuple(names)
        self._threads = min(len(parts), faiss.omp_get_max_threads())
        # Threads start with the first search that needs them, and end with this object.
        self._pool = ThreadPoolExecutor(self._threads, "parts of an index")

    @property
    def parts(self) -> tuple[Snapshot, ...]:
        return self._parts

    def with_metadata(self, facts: IndexMetadata) -> ShardedSnapshot:
        return ShardedSnapshot(self.parts, facts)

    def candidates(
        self,
        queries: Float32,
        count: int,
        probe: int,
        allowed: Bits | None,
        *,
        placement: Placement | None = None,
        share: float = 1.0,
        reach: float | None = None,
        lists: NearestLists | None = None,
    ) -> Candidates:
        """Return the ``count`` rows of all parts that rank first by their codes, as :meth:`Snapshot.candidates`."""
        if count < 1 or not len(queries):
            return Candidates.none(len(queries))
        probes = [self._probe(part, probe) for part in self.parts]
        nearest: dict[str, NearestLists | None] = {}
        if placement is None:
            for part, layout, part_probe in zip(self.parts, self._layouts, probes, strict=True):
                if layout not in nearest:
                    is_known = lists is not None and part is self.parts[0] and part_probe == probe
                    nearest[layout] = lists if is_known else part.nearest_lists(queries, part_probe, reach)

        def search(
            n: int, batch: Float32, count: int, selection: slice | np.ndarray[tuple[int], np.dtype[np.int64]]
        ) -> Candidates:
            near = nearest.get(self._layouts[n])
            return self.parts[n].candidates(
                batch, min(count, self.parts[n].facts.rows), probes[n], allowed, placement=placement, share=share,
                lists=None if near is None else near.of(selection),
            )  # fmt: skip

        first = min(count, math.ceil(_SPARE[0] * count / len(self.parts)) + _SPARE[1])
        proposals = self._each(lambda n: search(n, queries, first, slice(None)), len(queries))
        best = _merge_candidates(proposals, count)
        if first == count:
            return best
        # If all candidates of a part are among the best, it may have more of them.
        least = best.scores[:, -1] if best.ids.shape[1] == count else np.full(len(queries), -np.inf)
        for n, best_of_part in enumerate(proposals[:]):
            if best_of_part.ids.shape[1] < first:  # The part has no more.
                continue
            unfinished = np.flatnonzero((best_of_part.ids[:, -1] >= 0) & (best_of_part.scores[:, -1] >= least))
            if unfinished.size:
                proposals.append(_scatter(search(n, queries[unfinished], count, unfinished), unfinished, len(queries)))
                best_of_part.ids[unfinished] = -1
        return _merge_candidates(proposals, count) if len(proposals) > len(self.parts) else best

    def _probe(self, part: Snapshot, probe: int) -> int:
        """Return the ``probe`` for a part: the same share of its lists as ``probe`` is of the part with most lists."""
        return probe if part.widest == self.widest else max(1, math.ceil(probe * part.widest / self.widest))

    def _each(self, search: Callable[[int], Candidates], queries: int) -> list[Candidates]:
        """Query every part. FAISS divides many queries among threads; for few queries, each thread handles whole
        parts."""
        if self._threads < 2 or queries >= self._threads:
            return [search(n) for n in range(len(self.parts))]
        return list(self._pool.map(search, range(len(self.parts))))


def _merge_candidates(proposals: Sequence[Candidates], count: int) -> Candidates:
    """Merge candidates from several parts into the ``count`` best."""
    scores = np.concatenate([candidates.scores for candidates in proposals], axis=1)
    ids = np.concatenate([candidates.ids for candidates in proposals], axis=1)
    scores = np.where(ids >= 0, scores, -np.inf)
    if scores.shape[1] > count:
        first = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        scores, ids = np.take_along_axis(scores, first, 1), np.take_along_axis(ids, first, 1)
    order = np.argsort(-scores, axis=1, kind="stable")
    return Candidates(np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1))


def _scatter(candidates: Candidates, numbers: np.ndarray[tuple[int], np.dtype[np.int64]], queries: int) -> Candidates:
    """Expand candidates for the queries ``numbers`` to all ``queries``, with nothing for the others."""
    scores = np.full((queries, candidates.scores.shape[1]), -np.inf, np.float32)
    ids = np.full(scores.shape, -1, np.int64)
    scores[numbers], ids[numbers] = candidates.scores, candidates.ids
    return Candidates(scores, ids)

"""The reference index: NumPy only, every score computed, nothing approximated or optimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imseek.data.vectors.base import Matches, Segment
from imseek.data.vectors.exact_index_base import ExactIndex, SearchScope, SegmentData, segment_norms
from imseek.data.vectors.scores import blocks, cosines, top_k
from imseek.types.arrays import Float32


class MemoryIndex(ExactIndex[SegmentData]):
    """An exact index that scores the rows in place, a block at a time.

    Memory: 4 bytes per vector (its norm) besides the segments, and a few MiB during a search.
    """

    def _load(self, segment: Segment) -> SegmentData:
        return SegmentData(segment, segment_norms(segment))

    def _best(self, queries: Float32, k: int, scopes: Sequence[SearchScope[SegmentData]]) -> list[Matches]:
        best = [Matches(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        for scope in scopes:
            segment = scope.part.segment
            searched = np.flatnonzero(scope.mask)
            for block in blocks(len(searched), self.dim):
                at = searched[block]
                rows, ids = segment.rows[at].astype(np.float32), segment.ids[at]
                norms = scope.part.norms_of(at)
                for i, query in enumerate(queries):
                    scores = np.concatenate([best[i].scores, cosines(query, rows, norms)])
                    best[i] = top_k(np.concatenate([best[i].ids, ids]), scores, k)
        return best

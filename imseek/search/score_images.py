"""Scores given images for a query, whatever their rank."""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors import IdSet
from imseek.data.vectors.base import Ids
from imseek.data.vectors.range_search import StoredRows
from imseek.data.vectors.scores import row_norms, scores_of
from imseek.search.prepared import PreparedQuery
from imseek.types.arrays import Float32

_BLOCK: Final = 8192


def score_images(asked: PreparedQuery, reader: Reader, ids: Ids) -> Float32:
    """Return (n,) float32 scores in the order of ``ids`` (n,): cosines, or their weighted mean over several spaces.

    The score is NaN for an image that is not live, has no vector, or does not satisfy the query's condition.
    """
    total = np.zeros(len(ids), np.float32)
    for space, unit, share in zip(asked.spaces, asked.composed.units, asked.composed.shares, strict=True):
        rows = StoredRows(reader.segments(space.space_id), space.dim)
        for start in range(0, len(ids), _BLOCK):
            part = ids[start : start + _BLOCK]
            there, stored = rows.of(part)
            wide = stored.astype(np.float32)
            found = np.full(len(part), np.nan, np.float32)
            found[np.isin(part, there)] = scores_of(wide @ unit, row_norms(wide))
            total[start : start + _BLOCK] += np.float32(share) * found
        rows.release()
    if asked.allowed is not None:
        assert isinstance(asked.allowed, IdSet)
        total[~asked.allowed.marks(ids)] = np.nan
    return total

"""A query after some of its answers were marked: more like these, less like those.

Rocchio's way (*Relevance feedback in information retrieval*, 1971): a weighted sum of the query, the mean of the
wanted and, taken away, the mean of the unwanted. Vectors of pictures share a large common part, which says "a picture"
and which vectors of words do not have, so that what marked pictures have in particular would drown in it. Therefore
the means are taken relative to the mean of the collection and scaled to length 1 before they are added. The weights
were chosen on half A of the stamps: docs/decisions/0014-feedback.md.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError, UsageError
from imseek.types import Float32

Float64: TypeAlias = npt.NDArray[np.float64]

#: Weight of the wanted, beside a query of weight 1.
MORE: Final = 3.0
#: Weight of the unwanted, as a share of the length of query and wanted together: the best answers and the unwanted
#: among them are much alike, so that more would take away what was asked for.
LESS: Final = 0.1
#: A mean of marked images shorter than this has no direction.
_NOTHING: Final = 1e-3


def refine(
    query: npt.NDArray[np.floating[Any]],
    more: Float32,
    less: Float32,
    mean: npt.NDArray[np.floating[Any]] | None = None,
) -> Float64:
    """(dim,) float64 of norm 1: the query (dim,), of norm 1, after marks.

    ``more`` (a, dim) and ``less`` (b, dim) are unit rows of stored images; a or b or both may be 0. ``mean`` (dim,) is
    the mean of the collection's rows, or of a sample of them, not normalised; without it the marks count as they are.
    In a collection of several spaces each is refined for itself.

    Raises UsageError for other shapes, QueryError for a query that is zero or not finite. By their weights, marks
    cannot cancel a query out.
    """
    vector = query.astype(np.float64)
    if vector.ndim != 1 or any(rows.ndim != 2 or rows.shape[1:] != vector.shape for rows in (more, less)):
        raise UsageError(
            f"a query (dim,) and marks (n, dim), not {query.shape}, {more.shape} and {less.shape}"
        )
    if mean is not None and mean.shape != vector.shape:
        raise UsageError(f"a mean of shape {mean.shape} for a query of shape {query.shape}")
    vector = _unit(vector)
    vector = vector + MORE * _direction(more, mean)
    vector = vector - LESS * np.linalg.norm(vector) * _direction(less, mean)
    return _unit(vector)


def _direction(rows: Float32, mean: npt.NDArray[np.floating[Any]] | None) -> Float64:
    """(dim,) of norm 1: where the mean of the rows lies, seen from ``mean``; zeros where that is nowhere."""
    if not len(rows):
        return np.zeros(rows.shape[1])
    centre: Float64 = rows.mean(axis=0, dtype=np.float64)
    if mean is not None:
        centre = centre - mean
    length = np.linalg.norm(centre)
    return centre / length if length > _NOTHING else np.zeros_like(centre)


def _unit(vector: Float64) -> Float64:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-6:
        raise QueryError("the query has no direction: its vector is zero or not finite")
    unit: Float64 = vector / length
    return unit

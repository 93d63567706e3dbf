"""Relevance feedback: move a query towards images marked as right and away from those marked as wrong.

Rocchio's method (*Relevance feedback in information retrieval*, 1971): a weighted sum of the query and the mean of
the wanted images, minus the mean of the unwanted ones. Image vectors share a large common component that text vectors
lack; it would drown what is specific to the marked images. The means are therefore taken relative to the collection's
mean and scaled to length 1 before they are added. The weights were tuned on half A of the stamps:
docs/decisions/0014-feedback.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError, UsageError
from imseek.types.arrays import Float32

if TYPE_CHECKING:
    from imseek.search.prepared_query import PreparedQuery

Float64: TypeAlias = npt.NDArray[np.float64]

#: Weight of the wanted images, relative to a query of weight 1.
MORE: Final = 3.0
#: Weight of the unwanted images, as a share of the length of query and wanted together. The best results and the
#: unwanted images among them are similar, so a larger weight would remove what the user asked for.
LESS: Final = 0.1
#: A mean of marked images shorter than this has no direction.
_MIN_LENGTH: Final = 1e-3


def refine_query(prepared: PreparedQuery) -> PreparedQuery:
    """Refine the query's vector in each space by its marks, ``more`` and ``less``.

    Raises ImageNotFoundError if a marked image does not exist, QueryError if the refined query is zero.
    """
    more = prepared.rows(np.array(prepared.query.more, np.int64))
    less = prepared.rows(np.array(prepared.query.less, np.int64))
    vectors = prepared.query_vectors
    units = []
    for unit, liked, disliked, rows in zip(vectors.units, more, less, prepared.samples(), strict=True):
        mean = rows.mean(axis=0, dtype=np.float64) if len(rows) else None
        units.append(refine(unit, liked, disliked, mean).astype(np.float32))
    return replace(prepared, query_vectors=replace(vectors, units=tuple(units)))


def refine(
    query: npt.NDArray[np.floating[Any]],
    more: Float32,
    less: Float32,
    mean: npt.NDArray[np.floating[Any]] | None = None,
) -> Float64:
    """Return the refined query (dim,) float64 with norm 1, from a query (dim,) of norm 1 and marked images.

    ``more`` (a, dim) and ``less`` (b, dim) are unit rows of stored images; a and b may be 0. ``mean`` (dim,) is the
    mean of the collection's rows or of a sample, not normalised; without it the marks are used uncentred. With
    several spaces, refine each separately.

    Raises UsageError for other shapes, QueryError if the query is zero or not finite. The weights ensure that marks
    cannot cancel a query out.
    """
    vector = query.astype(np.float64)
    if vector.ndim != 1 or any(rows.ndim != 2 or rows.shape[1:] != vector.shape for rows in (more, less)):
        raise UsageError(f"a query (dim,) and marks (n, dim), not {query.shape}, {more.shape} and {less.shape}")
    if mean is not None and mean.shape != vector.shape:
        raise UsageError(f"a mean of shape {mean.shape} for a query of shape {query.shape}")
    vector = _unit(vector)
    vector = vector + MORE * _direction(more, mean)
    vector = vector - LESS * np.linalg.norm(vector) * _direction(less, mean)
    return _unit(vector)


def _direction(rows: Float32, mean: npt.NDArray[np.floating[Any]] | None) -> Float64:
    """Return the unit vector (dim,) from ``mean`` to the mean of the rows; zeros if that has no direction."""
    if not len(rows):
        return np.zeros(rows.shape[1])
    centre: Float64 = rows.mean(axis=0, dtype=np.float64)
    if mean is not None:
        centre = centre - mean
    length = np.linalg.norm(centre)
    return centre / length if length > _MIN_LENGTH else np.zeros_like(centre)


def _unit(vector: Float64) -> Float64:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-6:
        raise QueryError("the query has no direction: its vector is zero or not finite")
    unit: Float64 = vector / length
    return unit

"""Define the score of a row and the order of results, for every kind of index.

The score of a row is its cosine to the query: the float32 dot product of the unit query with the stored float16 row,
over the norm of that row (rounding to float16 moves it off 1), clipped to [-1, 1]; 0 for a row of zeros. Rows are
ordered by score, descending, then by image id, ascending.

Equal rows must get equal scores wherever they lie, or ties would not be ties. BLAS does not guarantee that (its result
depends on the row's position in the matrix); NumPy's sum along contiguous rows does: each row is summed alone,
pairwise, in an order that depends on its length only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from imseek.data.vectors.base import Float16, Ids, Matches
from imseek.errors import QueryError
from imseek.types.arrays import Float32

# How far the norm of a unit query may be from 1: a stored float16 row passes, an unnormalised vector does not.
UNIT_TOLERANCE = 1e-3


def unit_queries(queries: Float32, dim: int) -> Float32:
    """Return ``queries`` as C-contiguous float32 (q, dim). Raises QueryError unless each is finite and of norm 1."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dim:
        raise QueryError(f"queries have the shape {queries.shape}, not (any, {dim})")
    if not np.isfinite(queries).all():
        raise QueryError("a query vector holds NaN or infinity")
    if (abs(row_norms(queries) - 1) > UNIT_TOLERANCE).any():
        raise QueryError("a query vector is not of norm 1")
    return queries


def row_norms(rows: Float32) -> Float32:
    """Return the Euclidean norms (m,) of float32 rows (m, dim)."""
    norms = np.empty(len(rows), np.float32)
    for block in blocks(*rows.shape):
        norms[block] = np.sqrt((rows[block] * rows[block]).sum(axis=1))
    return norms


def unit_rows(rows: Float16 | Float32) -> Float32:
    """Normalise stored rows (m, dim) to float32 rows of norm 1; rows of zeros stay."""
    units = rows.astype(np.float32)
    norms = row_norms(units)[:, np.newaxis]
    return np.divide(units, norms, out=units, where=norms > 0)


def cosines(query: Float32, rows: Float32, norms: Float32) -> Float32:
    """Return the scores (m,) of float32 ``rows`` (m, dim), given their :func:`row_norms`, for one unit query (dim,)."""
    return scores_of((rows * query).sum(axis=1), norms)


def scores_of(dots: Float32, norms: Float32) -> Float32:
    """Return the scores of rows with these float32 dot products and norms, which have the same shape."""
    return np.clip(np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0), -1, 1)


def zero_rows(rows: Float16) -> Ids:
    """Return the numbers, ascending, of the float16 ``rows`` (n, dim) that are all zeros."""
    bits = rows.view(np.uint16)  # Comparing integers is several times faster.
    numbers = [block.start + np.flatnonzero(~bits[block].any(axis=1)) for block in blocks(*rows.shape)]
    return np.concatenate([np.empty(0, np.int64), *numbers])


def top_k(ids: Ids, scores: Float32, k: int) -> Matches:
    """Return the ``k`` best of the given rows, or all where there are fewer."""
    if len(ids) > k:
        kth = np.partition(scores, len(ids) - k)[len(ids) - k]
        is_best = scores >= kth  # Includes every row that ties with the k-th: ids decide among them.
        ids, scores = ids[is_best], scores[is_best]
    order = np.lexsort((ids, -scores))[:k]
    return Matches(ids[order], scores[order])


def largest(products: Float32, count: int) -> Ids:
    """Return the columns (n, count) of the largest numbers in each row of ``products`` (n, m), the largest first."""
    rest = products.shape[1] - count
    columns = np.argpartition(products, rest, axis=1)[:, rest:] if rest else np.argsort(products, axis=1)
    order = np.argsort(-np.take_along_axis(products, columns, 1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, 1)


def blocks(count: int, dim: int, elements: int = 1 << 18) -> Iterator[slice]:
    """Return slices that divide ``count`` rows into blocks of about ``elements`` numbers (1 MiB of float32)."""
    step = max(1, elements // max(1, dim))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))

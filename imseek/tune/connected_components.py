"""Connected components of a graph."""

from __future__ import annotations

import numpy as np

from imseek.data.vectors.base import Ids


def connected_components(n: int, edges: Ids) -> Ids:
    """Return the component of each node (n,), counted from 0, for ``edges`` (e, 2)."""
    parent = list(range(n))

    def top(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for a, b in edges.tolist():
        parent[max(top(a), top(b))] = min(top(a), top(b))
    found: Ids = np.unique([top(one) for one in range(n)], return_inverse=True)[1].astype(np.int64)
    return found

"""Sets that are joined pair by pair, beside SciPy's connected components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.analysis.disjoint_sets import DisjointSets

NODES = st.integers(0, 15)


@given(st.lists(st.tuples(NODES, NODES)))
def test_roots_are_shared_where_a_chain_of_pairs_leads(pairs: list[tuple[int, int]]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    sets = DisjointSets()
    joined = sum(sets.join(a, b) for a, b in pairs)
    edges = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = sparse.coo_array((np.ones(len(pairs)), (edges[0], edges[1])), shape=(16, 16))
    count, labels = sparse.csgraph.connected_components(graph, directed=False)
    roots = np.array([sets.root(node) for node in range(16)])
    assert joined == 16 - count
    assert ((roots[:, np.newaxis] == roots) == (labels[:, np.newaxis] == labels)).all()
    assert (labels[roots] == labels).all()


def test_the_second_root_remains() -> None:
    sets = DisjointSets()
    assert 3 not in sets
    assert sets.join(3, 8)
    assert 3 in sets
    assert sets.join(8, 5)
    assert not sets.join(3, 5)
    assert {sets.root(member) for member in (3, 5, 8)} == {5}

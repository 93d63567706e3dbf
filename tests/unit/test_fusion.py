"""Fusion over several spaces: the exact top k of the weighted mean, whatever the spaces make of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from imseek.data.vectors import IdSet, Matches, Segment, VectorIndex, open_index
from imseek.data.vectors.scores import top_k
from imseek.search.retrieve import SpaceQuery, search_spaces
from imseek.types.arrays import Float32

DIMS = (24, 16, 40)


def unit(rows: np.ndarray) -> Float32:
    found: Float32 = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return found


def segments(rows: Float32, dead: Sequence[int] = (), cut: int = 1) -> list[Segment]:
    """Rows of ids 0, 1 … in ``cut`` shards; ``dead`` are ids."""
    found = []
    for ids in np.array_split(np.arange(len(rows)), cut):
        mine = np.flatnonzero(np.isin(ids, dead)).astype(np.uint32)
        found.append(Segment(ids, rows[ids].astype(np.float16), mine))
    return found


def by_definition(parts: Sequence[SpaceQuery], k: int) -> Matches:
    """Every image scored in every space, in the order of ids, added up in float64."""
    total = np.float64(0)
    for part in parts:
        (every,) = part.index.search(part.query[None], len(part.index))
        order = np.argsort(every.ids)
        total = total + part.share * every.scores[order].astype(np.float64)
    return top_k(every.ids[order], np.clip(total, -1, 1).astype(np.float32), k)


def assert_exact(parts: Sequence[SpaceQuery], k: int) -> Matches:
    expected, found = by_definition(parts, k), search_spaces(parts, k)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
    return found


class Counting:
    """An index that counts the lists it was asked for."""

    def __init__(self, index: VectorIndex) -> None:
        self._index = index
        self.lists: list[int] = []

    def __len__(self) -> int:
        return len(self._index)

    def search(
        self,
        queries: Float32,
        k: int,
        *,
        allowed: np.ndarray | None = None,
        text: bool = False,
        exact: bool = False,
    ) -> list[Matches]:
        if allowed is None:
            self.lists.append(k)
        return self._index.search(queries, k, allowed=allowed, text=text, exact=exact)


@pytest.mark.parametrize("kind", ["memory", "faiss"])
@pytest.mark.parametrize(("count", "spaces", "k"), [(1, 2, 1), (50, 2, 10), (3000, 2, 10), (3000, 3, 25)])
def test_as_by_definition(kind: str, count: int, spaces: int, k: int) -> None:
    random = np.random.default_rng(count + spaces)
    shares = random.dirichlet(np.ones(spaces))
    parts = []
    for dim, share in zip(DIMS, shares, strict=False):
        rows = unit(random.standard_normal((count, dim)))
        index = open_index(kind, segments(rows, dead=range(7, count, 5), cut=3), dim)
        parts.append(SpaceQuery(index, unit(random.standard_normal(dim)), float(share)))
    found = assert_exact(parts, k)
    assert not {*found.ids.tolist()} & {*range(7, count, 5)}


def test_an_image_that_leads_in_no_space_can_be_the_best() -> None:
    """Two lists of the best, put together, would miss it: it is the hundredth in both."""
    count, angle = 2000, np.linspace(0.1, 1.4, 2000)
    first = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    second = first[::-1]
    between = unit(np.array([[np.cos(0.6), np.sin(0.6)]]))
    query = np.array([1, 0], np.float32)
    parts = [
        SpaceQuery(open_index("faiss", segments(np.concatenate([rows, between])), 2), query, 0.5)
        for rows in (first, second)
    ]
    (lead_a, lead_b) = (part.index.search(query[None], 500)[0].ids.tolist() for part in parts)
    assert count not in {*lead_a, *lead_b}
    assert assert_exact(parts, 3).ids[0] == count


def test_lists_grow_only_as_far_as_the_proof_needs() -> None:
    random = np.random.default_rng(0)
    rows = unit(random.standard_normal((5000, 24)))
    query = unit(rows[17] + 0.05 * random.standard_normal(24))

    def lists(other: Float32) -> list[list[int]]:
        counted = [Counting(open_index("faiss", segments(r), 24)) for r in (rows, other)]
        assert_exact([SpaceQuery(index, query, 0.5) for index in counted], 10)  # type: ignore[arg-type]
        return [index.lists[1:] for index in counted]  # the first was of the definition

    assert lists(unit(rows + 0.01)) == [[144], [144]]
    assert lists(-rows) == [[144, 1152, 9216], [144, 1152, 9216]]


@pytest.mark.parametrize("kind", ["memory", "faiss"])
def test_equal_scores_come_in_the_order_of_ids_also_at_the_border(kind: str) -> None:
    random = np.random.default_rng(1)
    queries = [unit(random.standard_normal(dim)) for dim in DIMS[:2]]
    parts = []
    for query, dim in zip(queries, DIMS, strict=False):
        rows = unit(random.standard_normal((400, dim)))
        rows[100:300] = rows[100]
        rows[250] = rows[350] = query
        parts.append(SpaceQuery(open_index(kind, segments(rows, cut=4), dim), query, 0.5))
    found = assert_exact(parts, 300)
    assert found.ids[:2].tolist() == [250, 350]
    copies = [i for i in found.ids.tolist() if 100 <= i < 300 and i != 250]
    assert copies == sorted(copies)
    for k in range(1, 20):
        assert search_spaces(parts, k).ids.tolist() == found.ids[:k].tolist()


def test_fewer_images_than_asked_for_and_none() -> None:
    random = np.random.default_rng(2)
    for count in (3, 0):
        parts = [
            SpaceQuery(
                open_index("faiss", segments(unit(random.standard_normal((count, d)))), d),
                unit(np.ones(d)),
                0.5,
            )
            for d in DIMS[:2]
        ]
        assert len(search_spaces(parts, 50)) == count


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_is_allowed(exact: bool) -> None:
    rng = np.random.default_rng(2)
    parts = [
        SpaceQuery(open_index("faiss", segments(unit(rng.standard_normal((50, d)))), d), unit(np.ones(d)), 0.5)
        for d in DIMS[:2]
    ]
    for ids in ([], [1000]):
        found = search_spaces(parts, 3, exact, allowed=IdSet(ids))
        assert (found.ids.tolist(), found.scores.tolist()) == ([], [])


def test_one_space_is_searched_as_ever() -> None:
    random = np.random.default_rng(3)
    index = open_index("faiss", segments(unit(random.standard_normal((100, 24)))), 24)
    query = unit(random.standard_normal(24))
    (expected,) = index.search(query[None], 10)
    found = search_spaces([SpaceQuery(index, query, 1.0)], 10)
    assert (found.ids.tolist(), found.scores.tolist()) == (expected.ids.tolist(), expected.scores.tolist())

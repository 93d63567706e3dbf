"""Range search through the lists of an index: what comparing each row with each finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from approximating import joined_of, snapshot_of
from snapshotting import clustered, collection_of

from imseek.data.reader import Reader
from imseek.data.vectors import IdSet, Segment, VectorIndex, open_index, range_search
from imseek.data.vectors.range_search import RangeMatches, RangeSearch, StoredRows

LISTS = 64


@pytest.fixture
def segments(tmp_path: Path) -> tuple[Segment, ...]:
    """6,000 rows, of which each of 400 has a copy."""
    vectors = clustered(6000, 5)
    copies = vectors[:400] + np.random.default_rng(6).normal(0, 0.03, (400, 64)).astype(np.float32)
    vectors[3000:3400] = copies / np.linalg.norm(copies, axis=1, keepdims=True)
    return tuple(Reader(collection_of(tmp_path / "collection", vectors)).segments(0))


def index_of(segments: tuple[Segment, ...], *, parts: int = 1, upto: int = 1 << 31) -> VectorIndex:
    factory = f"IVF{LISTS},SQ8"
    snapshot = (
        snapshot_of(segments, 64, factory=factory, upto=upto)
        if parts == 1
        else joined_of(segments, 64, parts, factory=factory, upto=upto)
    )
    return open_index("faiss", segments, 64, snapshot=snapshot)


def as_set(matches: RangeMatches) -> set[tuple[int, int]]:
    found = list(zip(matches.query.tolist(), matches.ids.tolist(), strict=True))
    assert len(set(found)) == len(found), "a match was found twice"
    return set(found)


def by_comparing(index: VectorIndex, ids: np.ndarray, least: float, allowed: IdSet, last: int) -> set[tuple[int, int]]:
    rows = StoredRows(index.segments, index.dim)
    units = rows.of(ids)[1].astype(np.float32)
    others = allowed.ids[allowed.ids <= last]
    other_ids, others_rows = rows.of(others)
    other_units = others_rows.astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    other_units /= np.linalg.norm(other_units, axis=1, keepdims=True)
    query, column = np.nonzero(units @ other_units.T >= least)
    return set(zip(query.tolist(), other_ids[column].tolist(), strict=True))


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("sizes", [(32_768, 4096, 2048), (500, 7, 16)], ids=["all at once", "in pieces"])
def test_comparing_all_lists_is_exact(
    segments: tuple[Segment, ...], parts: int, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a filter, an upper bound of ids, and rows that the index does not cover."""
    monkeypatch.setattr(range_search, "MAX_PROBE", LISTS)
    monkeypatch.setattr(range_search.RangeSearch, "_probe", None)
    for name, size in zip(("_LIST_ROWS", "_PIECE_ROWS", "_QUERY_BLOCK"), sizes, strict=True):
        monkeypatch.setattr(range_search, name, size)
    ids = np.concatenate([segment.ids for segment in segments])
    index = index_of(segments, parts=parts, upto=int(ids[5000]))
    allowed = IdSet(ids[ids % 5 != 0])
    queries = ids[2500:5500]
    rows = StoredRows(index.segments, index.dim).of(queries)[1]
    search = RangeSearch(index, allowed)
    for last in (int(ids[-1]), int(ids[3200])):
        wanted = by_comparing(index, queries, 0.9, allowed, last)
        assert len(wanted) > 500
        assert as_set(search.near(rows, 0.9, 1000, last)) == wanted
    assert as_set(search.near(rows, 0.9, 1000)) == by_comparing(index, queries, 0.9, allowed, int(ids[-1]))


@pytest.mark.parametrize("parts", [1, 3])
def test_the_nearest_lists_have_nearly_all_copies(segments: tuple[Segment, ...], parts: int) -> None:
    ids = np.concatenate([segment.ids for segment in segments])
    index = index_of(segments, parts=parts)
    rows = StoredRows(index.segments, index.dim).of(ids)[1]
    found = as_set(RangeSearch(index, IdSet(ids)).near(rows, 0.9, 1000))
    wanted = by_comparing(index, ids, 0.9, IdSet(ids), int(ids[-1]))
    assert found <= wanted
    assert len(found) >= 0.995 * len(wanted)


def test_stored_rows_need_not_be_of_norm_1(segments: tuple[Segment, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of other programs can be off."""
    monkeypatch.setattr(range_search, "MAX_PROBE", LISTS)
    shorter = tuple(Segment(s.ids, (0.95 * s.rows).astype(np.float16), s.dead) for s in segments)
    ids = np.concatenate([segment.ids for segment in shorter])
    index = index_of(shorter)
    rows = StoredRows(index.segments, index.dim).of(ids)[1]
    found = as_set(RangeSearch(index, IdSet(ids)).near(rows, 0.9, 1000))
    assert found == by_comparing(index, ids, 0.9, IdSet(ids), int(ids[-1]))


def test_few_queries_are_compared_with_codes(segments: tuple[Segment, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """They find the same, and need not stop at an upper bound of ids."""
    monkeypatch.setattr(range_search.RangeSearch, "_compare_lists", None)
    ids = np.concatenate([segment.ids for segment in segments])
    index = index_of(segments)
    queries = ids[3000:3008]
    rows = StoredRows(index.segments, index.dim).of(queries)[1]
    search = RangeSearch(index, IdSet(ids))
    for last in (int(ids[-1]), int(ids[3004]), int(ids[1000])):
        assert as_set(search.near(rows, 0.95, 1000, last)) >= by_comparing(index, queries, 0.95, IdSet(ids), last)
    assert as_set(search.near(rows, 0.95, 1000)) == by_comparing(index, queries, 0.95, IdSet(ids), int(ids[-1]))


def test_a_query_keeps_its_nearest_and_says_so(segments: tuple[Segment, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_search, "MAX_PROBE", LISTS)
    ids = np.concatenate([segment.ids for segment in segments])
    index = index_of(segments)
    rows = StoredRows(index.segments, index.dim).of(ids[:300])[1]
    search = RangeSearch(index, IdSet(ids))
    every, few = search.near(rows, 0.5, 6000), search.near(rows, 0.5, 3)
    counts = np.bincount(every.query, minlength=300)
    assert few.cut.tolist() == (counts > 3).tolist()
    assert few.cut.any()
    for query in range(300):
        cosines = np.sort(every.cosines[every.query == query])[::-1][:3]
        assert np.sort(few.cosines[few.query == query])[::-1].tolist() == cosines.tolist()


@pytest.mark.parametrize("kind", ["SQ8", "OPQ32"])
@pytest.mark.parametrize("probe", [1, 3, 16, 64, 100])
def test_pairs_have_at_least_the_nearest_lists(segments: tuple[Segment, ...], probe: int, kind: str) -> None:
    snapshot = snapshot_of(
        segments, 64, factory=f"OPQ32,IVF{LISTS},PQ32x4fs" if kind == "OPQ32" else f"IVF{LISTS},{kind}"
    )
    queries = clustered(40, 7)
    wanted = snapshot.nearest_lists(queries, probe)
    assert wanted is not None
    query, number = snapshot.query_list_pairs(queries, probe)
    for n, nearest in enumerate(wanted.numbers.tolist()):
        assert set(nearest) <= set(number[query == n].tolist())
    assert len(query) <= 2 * wanted.numbers.size
    assert sum(len(snapshot.ids_of_list(n)) for n in range(LISTS)) == snapshot.facts.rows

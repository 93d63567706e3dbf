"""Sets of ids, bitmaps of them, and where their rows lie, beside plain Python on the same ids."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from imseek.data.files import durable_files
from imseek.data.vectors import base, build, index_metadata, mmap_residency, row_locations, scores
from imseek.data.vectors.base import IdSet, Matches, Segment
from imseek.data.vectors.index_metadata import (
    CoveredIds,
    IndexMetadata,
    SearchEffort,
    TuningResult,
    pack_bits,
)
from imseek.data.vectors.mmap_residency import ResidencyLimiter
from imseek.data.vectors.row_locations import RowLocations
from imseek.errors import QueryError

#: Ids that lie close together, far apart, and none.
SETS: dict[str, list[int]] = {
    "none": [],
    "zero": [0],
    "all": list(range(20)),
    "dense": [1, 3, 4, 8, 15, 16, 23],
    "sparse": [0, 7, 8, 1_000, 100_000],
    "one far": [10**7],
}


def int64(values: list[int]) -> base.Ids:
    return np.array(values, np.int64)


def asked_of(ids: list[int]) -> list[int]:
    """Ids in the set, beside them, far away, in no order, and some twice."""
    near = {i + d for i in ids for d in (-8, -1, 0, 1, 8)}
    found = [*near, -1, 5, 10**9, *ids]
    random.Random(1).shuffle(found)
    return found


@pytest.mark.parametrize("name", SETS)
def test_which_ids_are_in_a_set(name: str) -> None:
    ids = SETS[name]
    made = IdSet([*reversed(ids), *ids[:2]])
    assert (made.ids.tolist(), len(made)) == (ids, len(ids))
    for _ in range(2):  # The second time by the table that was made.
        asked = asked_of(ids)
        assert made.marks(int64(asked)).tolist() == [one in ids for one in asked]
    assert made.marks(int64([])).tolist() == []


def test_a_set_of_ids_below_zero_has_no_table() -> None:
    assert IdSet([-3, 2]).marks(int64([-3, -1, 2, 0])).tolist() == [True, False, True, False]


@pytest.mark.parametrize("name", SETS)
def test_ids_as_a_bitmap(name: str) -> None:
    ids = SETS[name]
    size = max(ids, default=0) + 1
    for beyond in (0, 1, 7, 8, 100):
        marks = pack_bits(int64(ids), size + beyond)
        assert (marks.dtype, len(marks)) == (np.uint8, -(-(size + beyond) // 8))
        made = CoveredIds(marks)
        assert (len(made), made.ids().tolist()) == (len(ids), ids)
        asked = asked_of(ids)
        assert made.has(int64(asked)).tolist() == [one in ids for one in asked]
        assert CoveredIds(made.bitmap_of(int64(asked))).ids().tolist() == ids
        assert CoveredIds(made.bitmap_of(int64([5, 6]))).ids().tolist() == [one for one in (5, 6) if one in ids]
    if ids:
        assert pack_bits(int64(ids), size)[ids[-1] >> 3] >> (ids[-1] & 7) == 1, "the first is the lowest bit"


@pytest.mark.parametrize("one", SETS)
@pytest.mark.parametrize("other", SETS)
def test_two_bitmaps(one: str, other: str) -> None:
    a, b = (CoveredIds(pack_bits(int64(SETS[name]), max(SETS[name], default=0) + 1)) for name in (one, other))
    assert a.both(b.marks) == b.both(a.marks) == len(set(SETS[one]) & set(SETS[other]))
    assert CoveredIds.of_all([a, b]).ids().tolist() == sorted({*SETS[one], *SETS[other]})
    assert (a.ids().tolist(), b.ids().tolist()) == (SETS[one], SETS[other])


def test_of_no_bitmaps_there_is_an_empty_one() -> None:
    assert (len(CoveredIds.of_all([])), CoveredIds.of_all([]).ids().tolist()) == (0, [])


def test_bits_are_counted_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_metadata, "_PIECE", 3)
    assert index_metadata.count_bits(np.array([1, 3, 7, 15, 31, 63, 127, 255], np.uint8)) == 36


# -- rows -------------------------------------------------------------------------------------------------------


def segment(ids: list[int], dead: list[int]) -> Segment:
    rows = np.array([[i % 1000, n] for n, i in enumerate(ids)], np.float16).reshape(-1, 2)
    return Segment(int64(ids), rows, int64(dead))


SEGMENTS: dict[str, list[tuple[list[int], list[int]]]] = {
    "none": [],
    "empty": [([], [])],
    "one": [([0, 2, 5], [1])],
    "several": [([0, 2, 5, 9], [1]), ([], []), ([1, 3, 10, 11], [0, 3]), ([12], [])],
    "sparse": [([0, 2, 10**7], [1]), ([5, 10**8, 10**9], [0]), ([], [])],
    "below zero": [([-5, 3], []), ([4, 7], [0])],
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_where_rows_lie(name: str) -> None:
    """Those of live images, in the order that was asked for, however often."""
    segments = [segment(*one) for one in SEGMENTS[name]]
    live = {
        int(i): one.rows[n].tolist() for one in segments for n, i in enumerate(one.ids) if n not in one.dead.tolist()
    }
    found = RowLocations(segments, [one.searchable() for one in segments], 2, ResidencyLimiter([], 0))
    every = [int(i) for one in segments for i in one.ids]
    for asked in (asked_of(every), every, [], [*every, *every[::-1]]):
        ids, rows = found.rows(int64(asked))
        assert ids.tolist() == [one for one in asked if one in live]
        assert (rows.dtype, rows.tolist()) == (np.float16, [live[one] for one in asked if one in live])


def test_which_rows_can_be_searched() -> None:
    one = segment([2, 3, 5, 8], [1])
    assert one.searchable().tolist() == [True, False, True, True]
    assert one.searchable(IdSet([3, 5, 9])).tolist() == [False, False, True, False]


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600])
def test_rows_of_a_map_are_read_whatever_may_stay_in_memory(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each few hundred it is seen how much there is; where that is too much, all files are released."""
    rows, other = np.arange(1400, dtype=np.float16).reshape(-1, 2), np.zeros((1, 2), np.float16)
    at = int64([(7 * n) % 700 for n in range(count)])
    released: list[Any] = []
    monkeypatch.setattr(mmap_residency, "release", released.append)
    for resident, files in ((100, []), (101, [rows, other])):
        released.clear()
        monkeypatch.setattr(mmap_residency, "resident_file_bytes", lambda resident=resident: resident)
        limiter = ResidencyLimiter([rows, other], 100)
        found = np.empty((count, 2), np.float16)
        limiter.gather_rows(rows, at, found)
        assert found.tolist() == rows[at].tolist()
        looks = count // 256
        assert [id(one) for one in released] == [id(one) for one in files] * looks
    limiter = ResidencyLimiter([rows], 100)
    released.clear()
    for _ in range(3):
        limiter.gather_rows(rows, int64([0] * 100), np.empty((100, 2), np.float16))
    assert len(released) == 1, "small reads add up"


# -- scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 25])
def test_rows_are_divided_into_blocks(count: int) -> None:
    found = list(scores.blocks(count, 3, elements=30))
    assert [n for one in found for n in range(one.start, one.stop)] == list(range(count))
    assert all(one.stop - one.start == 10 for one in found[:-1])
    assert [one.stop - one.start for one in scores.blocks(3, 100, elements=30)] == [1, 1, 1]
    assert [one.stop for one in scores.blocks(3, 0, elements=30)] == [3]


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 9])
def test_the_best_are_by_score_and_then_by_id(k: int) -> None:
    ids, values = int64([9, 3, 7, 1, 5, 2]), np.array([0.5, 1, 0.5, 0.5, -1, 1], np.float32)
    found = scores.top_k(ids, values, k)
    best = sorted(zip((-values).tolist(), ids.tolist(), strict=True))[:k]
    assert isinstance(found, Matches)
    assert (found.ids.tolist(), (-found.scores).tolist()) == ([i for _, i in best], [s for s, _ in best])
    assert len(found) == min(k, 6)


def test_a_score_is_a_cosine() -> None:
    rows = np.array([[3, 4], [0, 0], [-6, -8], [1e-3, 0]], np.float16)
    wide, query = rows.astype(np.float32), np.array([0.6, 0.8], np.float32)
    norms = scores.row_norms(wide)
    assert norms.tolist() == pytest.approx([5, 0, 10, 1e-3], rel=1e-3)
    assert scores.cosines(query, wide, norms).tolist() == pytest.approx([1, 0, -1, 0.6], rel=1e-6)
    assert scores.scores_of(np.array([2, -2], np.float32), np.ones(2, np.float32)).tolist() == [1, -1]
    unit = scores.unit_rows(rows)
    assert unit.dtype == np.float32
    assert unit.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 0, -0.6, -0.8, 1, 0], rel=1e-6)
    assert rows.tolist()[0] == [3, 4]
    assert scores.zero_rows(rows).tolist() == [1]
    assert scores.zero_rows(np.zeros((0, 2), np.float16)).tolist() == []


@pytest.mark.parametrize(
    ("queries", "said"),
    [
        ([1, 0], "shape"),
        ([[1, 0, 0]], "shape"),
        ([[float("nan"), 0]], "NaN"),
        ([[float("inf"), 0]], "infinity"),
        ([[1, 0], [0.99, 0]], "norm"),
        ([[1.01, 0]], "norm"),
    ],
)
def test_a_query_is_a_vector_of_norm_one(queries: Any, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        scores.unit_queries(np.array(queries, np.float32), 2)


def test_queries_become_what_all_kinds_of_index_take() -> None:
    found = scores.unit_queries(np.array([[1.0005, 0], [0, -1]]).T.copy().T, 2)  # type: ignore[arg-type]
    assert (found.dtype, found.flags.c_contiguous, found.shape) == (np.float32, True, (2, 2))


# -- what is known of an approximate index ---------------------------------------------------------------------


def test_for_more_results_more_is_looked_at() -> None:
    effort = SearchEffort(8, 40, 0.5)
    assert effort.scale_to(1) == effort.scale_to(16) == effort
    assert effort.scale_to(40) == SearchEffort(12, 120, 0.5)
    assert SearchEffort(0, 0).scale_to(160) == SearchEffort(0, 160, None)
    reaching = SearchEffort(8, 40, 0.5, 0.1)
    assert reaching.scale_to(10) == reaching
    assert reaching.scale_to(40) == SearchEffort(12, 120, 0.5), "further results lie in other clusters"


def test_where_a_filter_lets_little_through_more_lists_are_looked_at() -> None:
    tuning = TuningResult(SearchEffort(4, 40, 0.1), 0.95, 100, ((0.1, 16), (0.01, 8), (0.001, 64)))
    for share, probe in ((1.0, 4), (0.1, 16), (0.01, 16), (0.001, 64), (0.0001, 64), (0.0, 64)):
        assert tuning.effort_for(share) == SearchEffort(probe, 40, 0.1), share
    assert tuning.effort_for(0.1**0.5).probe == 8
    assert tuning.effort_for(0.1**2.5).probe == 32
    assert tuning.effort_for(2.0).probe == 4
    reaching = replace(tuning, effort=replace(tuning.effort, reach=0.2))
    assert reaching.effort_for(0.1) == SearchEffort(16, 40, 0.1), "a reach is tuned without filters"
    assert TuningResult(SearchEffort(0, 4), 1, 1, ((0.5, 0), (0.1, 0))).effort_for(0.3).probe == 0


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        ("Flat", True), ("SQfp16", True), ("IVF64,Flat", True), ("IVF64,SQ8", True), ("IDMap2,Flat", True),
        ("OPQ16_64,IVF256,PQ16", True), ("IVF64,PQ16x8np", True), ("CAGRA32", True), ("CAGRA", True),
        ("IVF64,PQ16x4fs", False), ("HNSW32", False), ("IVF64_HNSW32,Flat", False), ("xFlat", False),
        ("Flatx", False), ("", False),
    ],
)  # fmt: skip
def test_which_kinds_gpus_can_search(factory: str, expected: bool) -> None:
    assert index_metadata.runs_on_gpu(factory) is expected


def facts(**members: Any) -> IndexMetadata:
    tuned = TuningResult(SearchEffort(4, 40, 0.25), 0.9, 100, ((0.1, 16), (0.01, 32)))
    plain = TuningResult(SearchEffort(4, 40), 1.0, 0)
    known: dict[str, Any] = {
        "factory": "IVF4,SQ8", "dim": 64, "rows": 100, "trained": 50, "imbalance": 1.5, "lo": 0.99, "hi": 1.01,
        "target": 0.9, "memory": 1 << 20, "built": "2026-01-01T00:00:00+00:00", "seconds": 1.25, "image": tuned,
        "text": plain, "texts": "captions", "sizes": {index_metadata.INDEX_FILE: 7, index_metadata.TRUTH_FILE: 0},
        "parts": ("4", "4.1"), "layout": "3",
    }  # fmt: skip
    return IndexMetadata(**{**known, **members})


def test_what_is_known_of_an_index_is_written_and_read() -> None:
    assert IndexMetadata.read(facts().seal()) == facts()
    own = facts(parts=(), layout="", sizes={}, rows=0)
    assert IndexMetadata.read(own.seal()) == own
    assert b'"parts"' not in own.seal()
    assert b'"layout"' not in own.seal()
    assert b'"reach"' not in own.seal(), "earlier versions know no reach"
    reaching = facts(text=TuningResult(SearchEffort(4, 40, None, 0.125), 1.0, 0))
    assert IndexMetadata.read(reaching.seal()) == reaching


LIES: list[tuple[str, Any]] = [
    *(("factory", value) for value in (1, None)),
    *(("dim", value) for value in (0, (1 << 16) + 1, "64", True)),
    *((name, value) for name in ("rows", "trained", "memory") for value in (-1, 1.5, None)),
    *((name, value) for name in ("imbalance", "lo", "hi", "seconds") for value in (-0.1, "1", None)),
    *(("target", value) for value in (-0.1, 1.1, None)),
    *(("built", value) for value in ("yesterday", 1)),
    *((name, value) for name in ("image", "text") for value in ([], {}, None)),
    ("texts", 1),
    *(("sizes", value) for value in ([], {"../x": 1}, {index_metadata.INDEX_FILE: -1})),
    *(("parts", value) for value in ("4", ["../4"], ["4.1.1"], [""], [None], ["x"])),
    *(("layout", value) for value in ("../3", 3, "3/4")),
    ("more", 1),
]
INNER_LIES: list[dict[str, Any]] = [
    {"recall": -0.1}, {"recall": 1.1}, {"queries": -1}, {"filtered": {}}, {"filtered": [0.1]},
    {"filtered": [[0.1]]}, {"filtered": [[0.1, 2, 3]]}, {"filtered": [[-0.1, 2]]}, {"filtered": [[1.1, 2]]},
    {"filtered": [[0.1, -2]]}, {"filtered": [[0.1, 2.5]]}, {"filtered": [[0.1, (1 << 31) + 1]]},
    {"effort": []}, {"effort": {"probe": 1}}, {"effort": {"probe": -1, "rescore": 1}},
    {"effort": {"probe": 1, "rescore": -1}}, {"effort": {"probe": (1 << 31) + 1, "rescore": 1}},
    {"effort": {"probe": 1, "rescore": (1 << 31) + 1}}, {"effort": {"probe": 1, "rescore": 1, "slack": -1}},
    {"effort": {"probe": 1, "rescore": 1, "reach": -0.1}}, {"effort": {"probe": 1, "rescore": 1, "more": 1}},
    {"more": 1},
]  # fmt: skip


@pytest.mark.parametrize("n", range(len(LIES)))
def test_what_nobody_writes_of_an_index_is_refused(n: int) -> None:
    name, value = LIES[n]
    document = {**asdict(facts()), name: value}
    with pytest.raises(ValueError, match=f"{name}|a part|unknown member|is missing|out of range"):
        IndexMetadata.read(durable_files.add_checksum(document))


@pytest.mark.parametrize("of", ["image", "text"])
@pytest.mark.parametrize("n", range(len(INNER_LIES)))
def test_nor_of_how_it_is_searched(of: str, n: int) -> None:
    document = asdict(facts())
    document[of].update(INNER_LIES[n])
    with pytest.raises(ValueError, match=r"^(image|text|filtered|effort|probe|rescore|slack|reach|recall|queries)"):
        IndexMetadata.read(durable_files.add_checksum(document))


def test_rows_far_apart_are_not_given_a_table() -> None:
    """Its memory would be that of the largest id."""
    one = segment([0, 10**9], [])
    made = RowLocations([one], [one.searchable()], 2, ResidencyLimiter([], 0))
    assert made._table is None
    dense = segment([0, row_locations._SPREAD], [])
    assert RowLocations([dense], [dense.searchable()], 2, ResidencyLimiter([], 0))._table is not None


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_rows_of_small_segments_come_together_in_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_BLOCK", size)
    rng = np.random.default_rng(size)
    segments, start = [], 0
    for count in (4, 0, 1, 9, 2):
        rows = rng.standard_normal((count, 6)).astype(np.float16)
        segments.append(Segment(np.arange(start, start + count), rows, np.flatnonzero(rng.random(count) < 0.3)))
        start += count
    live = build.LiveRows(segments)
    pieces = [(ids, rows.copy()) for ids, rows in live.blocks()]
    assert [len(ids) for ids, _ in pieces[:-1]] == [min(size, len(live))] * (len(pieces) - 1)
    expected_ids, expected = live.take(np.arange(len(live)))
    assert np.array_equal(np.concatenate([ids for ids, _ in pieces]), expected_ids)
    assert np.array_equal(np.concatenate([rows for _, rows in pieces]), expected)
    assert list(build.LiveRows([]).blocks()) == []

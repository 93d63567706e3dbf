"""How the effort of an approximate index is found, and when an earlier one stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from approximating import snapshot_of

from imseek.data.vectors import Segment, tuning
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult
from imseek.data.vectors.tuning import QuerySet

pytestmark = pytest.mark.slow

STEPS = tuning._probe_steps(4096)


@pytest.mark.parametrize("least", [0, *STEPS[:6], 30, 31, 32, 500, STEPS[-2] + 1, 4096, 4097])
def test_the_first_step_that_is_enough_is_found_by_few_trials(least: int) -> None:
    tried: list[int] = []

    def is_enough(step: int) -> bool:
        tried.append(step)
        return step >= least

    position = tuning._first_enough(STEPS, is_enough)
    assert position == next((n for n, step in enumerate(STEPS) if step >= least), len(STEPS))
    assert len(tried) <= len(STEPS) // tuning._STRIDE + 3
    assert max(tried) <= max(2 * least, STEPS[0]), "what takes longest is not tried in vain"


@pytest.fixture(scope="module")
def rows() -> LiveRows:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((40, 32))[rng.integers(0, 40, 4_000)] + 1.6 * rng.standard_normal((4_000, 32))
    units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    return LiveRows([Segment(np.arange(4_000), units, np.empty(0, np.int64))])


@pytest.fixture(scope="module")
def queries(rows: LiveRows) -> QuerySet:
    own = tuning.stored_row_queries(rows, np.arange(0, 4_000, 20))
    (known,) = tuning.find_neighbours([own], rows)
    return known


@pytest.fixture(scope="module")
def snapshot(rows: LiveRows) -> Snapshot:
    return snapshot_of(rows.segments, 32, factory="IVF64,PQ16x4")


def test_the_effort_found_reaches_the_target_and_fewer_lists_do_not(snapshot: Snapshot, queries: QuerySet) -> None:
    first = queries.half(second=False)
    result = tuning.tune_effort(snapshot, queries, 0.95, np.arange(4_000))
    assert 1 < result.effort.probe < 64
    assert tuning._reaches(snapshot, first, result.effort, 0.95)
    fewer = SearchEffort(result.effort.probe // 3, 10_240)
    assert not tuning._reaches(snapshot, first, fewer, 0.95)


def test_where_neighbours_lie_in_few_lists_fewer_are_probed(rows: LiveRows) -> None:
    """Half of the queries lie in dense clusters of their own, half in between."""
    rng = np.random.default_rng(5)
    dense = np.repeat(rng.standard_normal((40, 32)), 50, axis=0) + 0.05 * rng.standard_normal((2_000, 32))
    vectors = np.concatenate([dense, rng.standard_normal((2_000, 32))])
    units = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    mixed = LiveRows([Segment(np.arange(4_000), units, np.empty(0, np.int64))])
    (queries,) = tuning.find_neighbours([tuning.stored_row_queries(mixed, np.arange(0, 4_000, 10))], mixed)
    snapshot = snapshot_of(mixed.segments, 32, factory="IVF64,PQ16x4")
    effort = tuning.tune_effort(snapshot, queries, 0.95, np.arange(4_000)).effort
    assert effort.reach is not None
    lists = snapshot.nearest_lists(queries.queries, effort.probe, effort.reach)
    assert lists is not None
    probed = np.count_nonzero(lists.numbers >= 0, axis=1)
    assert probed[:200].mean() < 0.5 * effort.probe, "of dense clusters"
    assert probed.mean() <= 0.9 * effort.probe
    second = queries.half(second=True)
    found, without = (tuning._shares(snapshot, second, one).mean() for one in (effort, replace(effort, reach=None)))
    assert found > without - 0.01


def test_a_kind_without_lists_has_no_reach(rows: LiveRows, queries: QuerySet) -> None:
    graph = snapshot_of(rows.segments, 32, factory="HNSW16")
    assert tuning.tune_effort(graph, queries, 0.9, np.arange(4_000)).effort.reach is None


def test_an_effort_that_is_still_enough_stays(snapshot: Snapshot, queries: QuerySet) -> None:
    before = TuningResult(SearchEffort(60, 2_560, None), 0.97, 100, ((0.1, 64), (0.02, 64)))
    result = tuning.tune_effort(snapshot, queries, 0.95, np.arange(4_000), before)
    assert result == replace(before, recall=0.0, queries=0)


def test_of_an_effort_that_is_no_longer_enough_no_fewer_lists_are_tried(
    snapshot: Snapshot, queries: QuerySet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    search = Snapshot.candidates

    def note(self: Snapshot, queries: object, count: int, probe: int, *more: object, **others: object) -> object:
        tried.append(probe)
        return search(self, queries, count, probe, *more, **others)  # type: ignore[arg-type]

    few = TuningResult(SearchEffort(4, 20, None), 0.97, 100)
    monkeypatch.setattr(Snapshot, "candidates", note)
    monkeypatch.setattr(tuning, "_time_probes", lambda snapshot, queries: float)
    result = tuning.tune_effort(snapshot, queries, 0.95, np.arange(4_000), few)
    assert min(tried) == 4
    assert tuning._reaches(snapshot, queries.half(second=False), result.effort, 0.95)


def test_without_queries_the_most_is_done(snapshot: Snapshot, queries: QuerySet) -> None:
    none = QuerySet(queries.queries[:0], queries.own[:0])
    before = TuningResult(SearchEffort(4, 20, None), 0.97, 100)
    for previous in (None, before):
        effort = tuning.tune_effort(snapshot, none, 0.95, np.arange(4_000), previous).effort
        assert (effort.probe, effort.slack) == (64, None)

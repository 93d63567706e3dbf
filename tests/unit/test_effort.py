"""Which candidates an approximate index scores again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from approximating import snapshot_of

from imseek.data.files.durable_files import add_checksum, strip_checksum
from imseek.data.vectors import IdSet, Segment, snapshot_index
from imseek.data.vectors.faiss_snapshot import Candidates
from imseek.data.vectors.index_metadata import IndexMetadata, SearchEffort, TuningResult
from imseek.data.vectors.snapshot_index import SnapshotIndex

pytestmark = pytest.mark.slow

SCORES = np.array([[0.9, 0.8, 0.75, 0.5], [0.9, -3.4e38, -3.4e38, -3.4e38]], np.float32)
IDS = np.array([[7, 3, 9, 1], [4, -1, -1, -1]])


def test_those_far_below_the_kth_are_left_out() -> None:
    candidates = Candidates(SCORES, IDS)
    assert candidates.near(2, 0.06).tolist() == [[7, 3, 9, -1], [4, -1, -1, -1]]
    assert candidates.near(1, 0.06).tolist() == [[7, -1, -1, -1], [4, -1, -1, -1]]
    assert candidates.near(2, None) is candidates.ids
    assert candidates.near(9, 0.0) is candidates.ids  # fewer than k: none is far below the k-th


def test_a_deeper_search_measures_from_its_own_end() -> None:
    assert SearchEffort(4, 40, 0.02).scale_to(1000).slack == 0.02
    assert TuningResult(SearchEffort(4, 40, 0.02), 1.0, 0, ((0.1, 16),)).effort_for(0.05) == SearchEffort(16, 40, 0.02)


def test_only_what_is_near_by_its_codes_is_scored() -> None:
    """Codes of one bit per number rank badly: with little slack the best is lost, with much it is found."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query = rows[:1] + 0.6 * rng.standard_normal((1, 64)).astype(np.float32) / 8
    query /= np.linalg.norm(query)
    segment = Segment(np.arange(500), rows.astype(np.float16), np.empty(0, np.int64))
    best = set(np.argsort(-(rows @ query[0]))[:10].tolist())
    found = {}
    for slack in (0.0, 0.5, None):
        tuned = TuningResult(SearchEffort(1, 500, slack), 1.0, 0)
        index = SnapshotIndex([segment], 64, snapshot_of([segment], 64, factory="PQ16x4", tuned=tuned))
        found[slack] = set(index.search(query.astype(np.float32), 10)[0].ids.tolist())
    assert found[None] == best == found[0.5]
    assert len(found[0.0] & best) < 10


def test_the_dead_do_not_count_as_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that cannot be told which ids are alive draws the dead too; what is near to these is not enough."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.argsort(-(rows @ rows[0]))
    whole = Segment(np.arange(500), rows.astype(np.float16), np.empty(0, np.int64))
    tuned = TuningResult(SearchEffort(0, 500, 0.0), 1.0, 0)
    snapshot = snapshot_of([whole], 64, factory="PQ32x4fs", tuned=tuned)
    assert not snapshot.filters
    later = Segment(whole.ids, whole.rows, np.sort(order[:30]))
    index = SnapshotIndex([later], 64, snapshot)
    monkeypatch.setattr(index, "_scan", lambda *_: pytest.fail("all rows were read"))
    (found,) = index.search(rows[:1], 10)
    assert found.ids.tolist() == order[30:40].tolist()


def test_a_filter_that_knows_the_query_is_told_from_a_random_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hits rank far further among all images than a random filter would have them, more lists are read."""
    monkeypatch.setattr(snapshot_index, "MAX_SCORED_IDS", 10)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((6000, 16)) + 2 * rng.standard_normal((60, 16))[rng.integers(0, 60, 6000)]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    segment = Segment(np.arange(6000), rows.astype(np.float16), np.empty(0, np.int64))
    tuned = TuningResult(SearchEffort(16, 10, None), 1.0, 0)
    index = SnapshotIndex([segment], 16, snapshot_of([segment], 16, factory="IVF64,Flat", tuned=tuned))
    searched: list[int] = []
    probe = index._probe
    monkeypatch.setattr(index, "_probe", lambda *given: searched.append(len(given[0])) or probe(*given))
    near = np.argsort(-(rows @ rows[0]))[:600]
    shares = {}
    for name, chosen in (("random", rng.choice(6000, 600, replace=False)), ("alike", near)):
        allowed, right, queries = IdSet(chosen), 0, rows[1:200]
        searched.clear()
        for query, matches in zip(queries, index.search(queries, 10, allowed=allowed), strict=True):
            best = allowed.ids[np.argsort(-(rows[allowed.ids] @ query))[:10]]
            right += len(np.intersect1d(matches.ids, best))
        assert searched[0] == len(queries)
        shares[name] = searched[1] / len(queries) if len(searched) > 1 else 0
        assert right > 9.6 * len(queries), name
    assert shares["random"] < 0.1 < shares["alike"] < 0.9


def test_facts_are_read_as_written_and_without_slack() -> None:
    segment = Segment(np.arange(4), np.eye(4, dtype=np.float16), np.empty(0, np.int64))
    facts = snapshot_of([segment], 4).facts
    with_slack = replace(facts, image=TuningResult(SearchEffort(3, 40, 0.015), 0.99, 10))
    assert IndexMetadata.read(with_slack.seal()) == with_slack
    document = strip_checksum(with_slack.seal())
    del document["image"]["effort"]["slack"]  # as written before there was any
    assert IndexMetadata.read(add_checksum(document)).image.effort == SearchEffort(3, 40, None)

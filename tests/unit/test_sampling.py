"""Samples, against the greedy choices written out."""

from __future__ import annotations

import numpy as np
import pytest
from holding import Held, blobs
from hypothesis import given
from hypothesis import strategies as st

from imseek.analysis.unique_vectors import find_unique_vectors
from imseek.clusters import representative_sample
from imseek.progress import Task

QUIET = Task()


def radius(rows: np.ndarray, chosen: np.ndarray) -> float:
    return float((1 - (rows @ rows[chosen].T).max(axis=1)).max())


@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([4, 7, 4096]))
def test_each_is_the_farthest_from_those_before(seed: int, count: int, pool: int) -> None:
    random = np.random.default_rng(seed)
    held = Held(random.normal(size=(60, 6)))
    before, representative_sample._CANDIDATES = representative_sample._CANDIDATES, pool
    try:
        at, scores = representative_sample.k_centre(held, find_unique_vectors(held, QUIET), count, seed, QUIET)
    finally:
        representative_sample._CANDIDATES = before
    assert len(set(at.tolist())) == count
    assert scores[0] == 0
    for n in range(1, count):
        near = 1 - (held.rows @ held.rows[at[:n]].T).max(axis=1)
        assert near[at[n]] == pytest.approx(near.max(), abs=1e-5)
        assert scores[n] == pytest.approx(near.max(), abs=1e-5)


def test_every_group_is_in_a_small_sample() -> None:
    rows, kinds = blobs([200, 3, 3, 3])
    held = Held(rows)
    at, _ = representative_sample.k_centre(held, find_unique_vectors(held, QUIET), 4, 0, QUIET)
    assert sorted(kinds[at].tolist()) == [0, 1, 2, 3]


def test_it_ends_where_all_that_is_left_are_copies() -> None:
    held = Held(np.repeat(np.eye(3), 5, axis=0))
    differ = find_unique_vectors(held, QUIET)
    at, _ = representative_sample.k_centre(held, differ, 3, 1, QUIET)
    assert sorted(at.tolist()) == [0, 5, 10]


def naive_facility(rows: np.ndarray, count: int) -> list[int]:
    cosines = rows @ rows.T
    chosen: list[int] = []
    for _ in range(count):
        best = cosines[chosen].max(axis=0) if chosen else np.full(len(rows), -1, np.float32)
        gains = [
            -1.0 if n in chosen else float(np.maximum(cosines[n] - best, 0).sum(dtype=np.float64))
            for n in range(len(rows))
        ]
        chosen.append(int(np.argmax(gains)))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_facility_location_is_the_greedy_choice(seed: int) -> None:
    held = Held(np.random.default_rng(seed).normal(size=(50, 8)))
    at, scores = representative_sample.facility_location(held, find_unique_vectors(held, QUIET), 12, seed, QUIET)
    assert at.tolist() == naive_facility(held.rows, 12)
    assert scores[0] == 0
    assert (scores[1:] > 0).all()


def test_facility_of_more_images_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(representative_sample, "MAX_FACILITY", 40)
    rows, kinds = blobs([60, 60, 60])
    held = Held(rows)
    at, _ = representative_sample.facility_location(held, find_unique_vectors(held, QUIET), 3, 0, QUIET)
    assert sorted(kinds[at].tolist()) == [0, 1, 2]


def test_coverage_is_that_of_all_images() -> None:
    held = Held(np.random.default_rng(1).normal(size=(30, 5)))
    chosen = np.array([3, 17])
    weights, farthest, mean = representative_sample.coverage(held, chosen, QUIET)
    cosines = held.rows @ held.rows[chosen].T
    assert weights.tolist() == np.bincount(cosines.argmax(axis=1)).tolist()
    assert farthest == pytest.approx(radius(held.rows, chosen), abs=1e-6)
    assert mean == pytest.approx(float((1 - cosines.max(axis=1)).mean()), abs=1e-6)
    assert representative_sample.coverage(held, chosen[:0], QUIET) == (pytest.approx([]), None, None)

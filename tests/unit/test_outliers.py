"""Distances to neighbours and local outlier factors, against scikit-learn; copies, zeros, ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from holding import Held
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from imseek.analysis.unique_vectors import find_unique_vectors, hash_rows
from imseek.clusters import outlier_scores
from imseek.clusters.outlier_scores import NeighbourGraph
from imseek.progress import Task


def graph(rows: np.ndarray, k: int) -> NeighbourGraph:
    found = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows).kneighbors()
    return NeighbourGraph(found[1].astype(np.int64), found[0].astype(np.float32))


@pytest.fixture
def rows() -> np.ndarray:
    random = np.random.default_rng(2)
    dense, sparse = random.normal(3, 0.3, (60, 8)), random.normal(-2, 1.5, (40, 8))
    return np.concatenate([dense, sparse])


def test_mean_distance_is_that_of_the_neighbours(rows: np.ndarray) -> None:
    found = NearestNeighbors(n_neighbors=5, metric="cosine", algorithm="brute").fit(rows).kneighbors()[0]
    assert np.allclose(outlier_scores.mean_distances(graph(rows, 5)), found.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_local_outlier_factor_is_that_of_scikit_learn(rows: np.ndarray, k: int) -> None:
    peer = LocalOutlierFactor(n_neighbors=k, metric="cosine", algorithm="brute").fit(rows)
    mine = outlier_scores.local_outlier_factors(graph(rows, k))
    assert np.allclose(mine, -peer.negative_outlier_factor_, rtol=1e-3)


def test_who_has_no_neighbour_comes_first() -> None:
    near = np.array([[1, -1], [0, -1], [-1, -1]])
    distance = np.where(near >= 0, np.float32(0.1), np.float32(np.nan))
    lonely = NeighbourGraph(near, distance)
    assert outlier_scores.mean_distances(lonely).tolist() == pytest.approx([0.1, 0.1, 2.0])
    factors = outlier_scores.local_outlier_factors(lonely)
    assert factors[:2].tolist() == pytest.approx([1, 1])
    assert factors.argmax() == 2


def test_equal_vectors_do_not_divide_by_zero() -> None:
    same = NeighbourGraph(np.array([[1], [0], [0]]), np.zeros((3, 1), np.float32))
    assert outlier_scores.local_outlier_factors(same).tolist() == [1, 1, 1]


def test_isolation_sets_apart_what_is_odd() -> None:
    random = np.random.default_rng(0)
    held = Held(np.concatenate([random.normal(1, 0.1, (80, 6)), [[-1, -1, 1, -1, -1, 1]]]))
    scores = outlier_scores.isolation_scores(held, find_unique_vectors(held, Task()), 0, Task())
    assert scores.argmax() == 80
    assert 0 < scores.min() < scores.max() < 1


def test_copies_are_one_and_rows_of_zeros_none() -> None:
    held = Held(np.array([[1, 0], [0, 0], [0, 1], [1, 0], [0, 1], [1, 1]]))
    found = find_unique_vectors(held, Task())
    assert found.first.tolist() == [0, 2, 5]
    assert found.group.tolist() == [0, -1, 1, 0, 1, 2]
    assert found.copies().tolist() == [1, 1, 0]


def test_marks_tell_rows_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(3000, 5)).astype(np.float32)
    assert len(np.unique(hash_rows(rows))) == 3000
    swapped = rows[:, ::-1].copy()
    assert not (hash_rows(rows) == hash_rows(swapped)).any()
    assert hash_rows(np.array([[0.0, 1.0]], np.float32)) == hash_rows(np.array([[-0.0, 1.0]], np.float32))


def test_the_end_can_be_asked_for() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedError):
        find_unique_vectors(Held(np.eye(3)), Task(stop=stop))

"""Nearest of all to all by products of blocks, beside what an index says of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imseek.analysis import knn_graph
from imseek.analysis.space_vectors import Vectors
from imseek.data.vectors import open_index
from imseek.data.vectors.base import Segment
from imseek.dataset import lacking_images as covering


def made(n: int, seed: int, zeros: int = 0) -> tuple[Any, Any]:
    """Vectors of two shards, with dead rows, rows of zeros and copies among them, and their index."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 24)) + 2 * rng.normal(size=(5, 24))[rng.integers(0, 5, n)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if n > 20:
        rows[10:18] = rows[9]
    rows[:zeros] = 0
    stored, half, ids = rows.astype(np.float16), n // 2, 3 * np.arange(n)
    none = np.empty(0, np.int64)
    segments = [
        Segment(ids[:half], stored[:half], none),
        Segment(ids[half:], stored[half:], np.arange(n - half)[-3:-1]),
    ]
    space = SimpleNamespace(space_id=1, dim=24, encoder="made")
    reader: Any = SimpleNamespace(segments=lambda _: segments, current=SimpleNamespace(space=space))
    return Vectors(reader), open_index("memory", segments, 24)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn_graph, "_BLOCK", 64)


class TestWithin:
    @pytest.mark.parametrize(("n", "zeros"), [(300, 0), (129, 2), (5, 0), (4, 1), (3, 0)])
    def test_as_an_index_finds_them(self, n: int, zeros: int) -> None:
        vectors, index = made(n, 1, zeros)
        told: list[int] = []
        around, cosines = knn_graph.knn_within(vectors, 6, told.append)
        expected, scores = covering.SetNeighbours(vectors, index).nearest(vectors.of(vectors.ids), 6, vectors.ids)
        np.testing.assert_allclose(cosines, scores, atol=2e-3 * 1e-3)
        same = around == expected
        assert same.mean() > 0.95  # Of what is equally near, rounding decides.
        near = np.take_along_axis(vectors.of(vectors.ids) @ vectors.of(vectors.ids).T, np.maximum(around, 0), 1)
        np.testing.assert_allclose(near[around >= 0], cosines[around >= 0], atol=1e-6)
        assert told[-1] == len(vectors)
        assert told == sorted(told)

    def test_copies_are_equally_near_from_either_side(self) -> None:
        vectors, _ = made(100, 2)
        around, cosines = knn_graph.knn_within(vectors, 6, lambda _: None)
        assert len(set(cosines[9:18, :6].ravel().tolist())) == 1
        assert (around != np.arange(len(vectors))[:, np.newaxis]).all()

    def test_it_can_be_stopped(self) -> None:
        def stop(done: int) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            knn_graph.knn_within(made(100, 2)[0], 6, stop)


@pytest.mark.parametrize(("n", "m"), [(150, 200), (1, 90), (90, 0)])
def test_between_as_an_index_finds_them(n: int, m: int) -> None:
    (a, index_a), (b, index_b) = made(n, 3), made(m, 4, 1 if m else 0)
    found = knn_graph.knn_between(a, b, 1, lambda _: None)
    for one, (mine, theirs, index) in zip(found, ((a, b, index_b), (b, a, index_a)), strict=True):
        expected = covering.SetNeighbours(theirs, index).nearest(mine.of(mine.ids), 1)
        np.testing.assert_allclose(one[1], expected[1], atol=2e-6)
        assert (one[0] == expected[0]).mean() > 0.95 if len(mine) else one[0].shape == (0, 1)


@pytest.mark.parametrize("zeros", [0, 3])
def test_what_is_strange_is_the_same_either_way(zeros: int) -> None:
    (a, index_a), (b, index_b) = made(260, 5, zeros), made(330, 6)
    said = []
    for at_once in (False, True):
        mine, theirs = covering.SetNeighbours(a, index_a), covering.SetNeighbours(b, index_b)
        nearest = None
        if at_once:
            mine.learn(lambda _: None)
            theirs.learn(lambda _: None)
            found = knn_graph.knn_between(a, b, 1, lambda _: None)[0]
            nearest = found[0][:, 0], found[1][:, 0]
        strange = covering.strangeness_to(mine, theirs, np.arange(len(a)), lambda _: False, nearest)
        assert strange is not None
        said.append((*strange, covering.threshold(theirs)))
    np.testing.assert_allclose(said[0][0], said[1][0], atol=1e-5)
    np.testing.assert_allclose(said[0][1], said[1][1], atol=2e-6)
    assert said[0][2] == pytest.approx(said[1][2], abs=1e-5)

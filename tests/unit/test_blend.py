"""Several terms become one direction: the order of z-scores, and one term left alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from imseek.data.vectors.base import Segment
from imseek.search.query_vectors import fuse_terms
from imseek.search.row_sample import sample_rows

DIM = 24


def rows_of(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Unit rows around a common mean, as pictures are."""
    rows = np.random.default_rng(seed).normal(size=(count, DIM)) * np.linspace(0.2, 2, DIM) + 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def unit(seed: int) -> npt.NDArray[np.float64]:
    vector = np.random.default_rng(seed).normal(size=DIM)
    return vector / np.linalg.norm(vector)


def test_the_order_is_that_of_standardised_scores_added_up() -> None:
    rows, units, weights = (
        rows_of(300),
        [unit(1), unit(2), rows_of(1, seed=3)[0].astype(np.float64)],
        [1.0, -0.5, 2.0],
    )
    direction, _ = fuse_terms(units, weights, rows)
    total = np.zeros(len(rows))
    for one, weight in zip(units, weights, strict=True):
        scores = rows.astype(np.float64) @ one
        total += weight * (scores - scores.mean()) / scores.std()
    assert np.argsort(rows.astype(np.float64) @ direction).tolist() == np.argsort(total).tolist()
    plain = np.array(weights) @ np.stack(units)
    assert np.argsort(rows @ plain).tolist() != np.argsort(total).tolist()


def test_the_length_is_that_of_the_plain_sum() -> None:
    units, weights = [unit(1), unit(2)], [0.5, -0.25]
    for rows in (rows_of(100), rows_of(5)):
        _, length = fuse_terms(units, weights, rows)
        assert length == pytest.approx(np.linalg.norm(0.5 * units[0] - 0.25 * units[1]))


@pytest.mark.parametrize("rows", [rows_of(100), np.empty((0, DIM), np.float32)], ids=["rows", "none"])
def test_one_term_is_left_as_it_is(rows: npt.NDArray[np.float32]) -> None:
    direction, length = fuse_terms([unit(1)], [0.5], rows)
    np.testing.assert_array_equal(direction, 0.5 * unit(1))
    assert length == pytest.approx(0.5)


def test_few_rows_or_equal_ones_tell_nothing_and_terms_are_added_up() -> None:
    plain = unit(1) + 0.5 * unit(2)
    for rows in (rows_of(31), np.repeat(rows_of(1), 100, axis=0), np.empty((0, DIM), np.float32)):
        np.testing.assert_allclose(fuse_terms([unit(1), unit(2)], [1.0, 0.5], rows)[0], plain, atol=1e-12)
    assert not np.allclose(fuse_terms([unit(1), unit(2)], [1.0, 0.5], rows_of(32))[0], plain, atol=1e-3)


def test_terms_that_cancel_out_leave_nothing() -> None:
    a, b = unit(1), unit(2)
    c = (a + b) / np.linalg.norm(a + b)
    direction, length = fuse_terms([a, b, c], [1.0, 1.0, -float(np.linalg.norm(a + b))], rows_of(100))
    assert (direction.tolist(), length) == ([0.0] * DIM, 0.0)


def test_a_term_that_tells_no_images_apart_does_not_take_over() -> None:
    """Its cosines are all 0: what they spread is rounding."""
    rows = rows_of(200)
    rows[:, 0] = 0
    direction, _ = fuse_terms([np.eye(DIM)[0], unit(2)], [1.0, 1.0], rows)
    assert direction[0] == pytest.approx(10 + unit(2)[0])


def segments_of(*counts: int) -> list[Segment]:
    found, start = [], 0
    for n, count in enumerate(counts):
        rows = np.full((count, DIM), n, np.float16)
        rows[:, 0] = np.arange(count)
        found.append(Segment(np.arange(start, start + count, dtype=np.int64), rows, np.empty(0, np.int64)))
        start += count
    return found


def test_all_rows_of_a_small_collection() -> None:
    sample = sample_rows(segments_of(10, 0, 30))
    assert sample.dtype == np.float32
    assert sample[:, :2].tolist() == [[i, 0] for i in range(10)] + [[i, 2] for i in range(30)]


def test_the_dead_are_left_out() -> None:
    (one,) = segments_of(20)
    dead = Segment(one.ids, one.rows, np.array([3, 19]))
    assert sample_rows([dead])[:, 0].tolist() == [i for i in range(20) if i not in (3, 19)]


def test_of_a_large_one_evenly_spread_runs_and_no_more_than_asked() -> None:
    sample = sample_rows(segments_of(3000, 1000, 5001), most=1024)
    assert 800 <= len(sample) <= 1024
    by_shard = np.bincount(sample[:, 1].astype(int))
    assert np.abs(by_shard / len(sample) - np.array([3000, 1000, 5001]) / 9001).max() < 0.05
    np.testing.assert_array_equal(sample, sample_rows(segments_of(3000, 1000, 5001), most=1024))


def test_a_collection_without_shards() -> None:
    assert sample_rows([]).shape == (0, 0)

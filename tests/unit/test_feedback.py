"""Marked answers: where the query moves, and where it stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.encoders.input_checks import unit_rows
from imseek.errors import QueryError, UsageError
from imseek.search.feedback import LESS, MORE, refine
from imseek.types.arrays import Float32

NONE = np.zeros((0, 3), np.float32)
X, Y, Z = np.eye(3, dtype=np.float32)


def rows(seed: int, count: int, dim: int = 8) -> Float32:
    return unit_rows(np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32))


def test_without_marks_the_query_stays() -> None:
    refined = refine(X, NONE, NONE, mean=Z)
    assert refined.dtype == np.float64
    assert refined.tolist() == [1, 0, 0]


def test_the_wanted_pull_and_the_unwanted_push() -> None:
    expected = np.array([1, MORE, -LESS * np.hypot(1, MORE)])
    np.testing.assert_allclose(refine(X, Y[None], Z[None]), expected / np.linalg.norm(expected), atol=1e-7)


def test_many_marks_weigh_as_much_as_one() -> None:
    np.testing.assert_allclose(refine(X, np.stack([Y, Y, Y]), NONE), refine(X, Y[None], NONE), atol=1e-7)


def test_what_all_images_share_does_not_count() -> None:
    """Marked images lie far along Z, as all do: only what sets them apart moves the query."""
    common = 3 * Z
    marked = unit_rows((common + 0.5 * Y)[None])
    mean = common / np.linalg.norm(common + 0.5 * Y)
    refined = refine(X, marked, NONE, mean)
    np.testing.assert_allclose(refined, np.array([1, MORE, 0]) / np.hypot(1, MORE), atol=1e-6)
    assert refine(X, marked, NONE)[2] > 0.8


def test_images_in_the_middle_of_the_collection_say_nothing() -> None:
    np.testing.assert_allclose(refine(X, Y[None], NONE, mean=Y), X, atol=1e-7)


def test_the_order_of_images_follows_the_marks() -> None:
    images = unit_rows(np.array([[1, 1, 0], [1, 0, 1], [1, 0.2, 0.9]], np.float32))
    scores = images @ refine(X, images[:1], images[1:2], images.mean(axis=0))
    assert scores.argsort()[::-1].tolist() == [0, 2, 1]


@pytest.mark.parametrize("query", [np.zeros(3), np.array([np.nan, 0, 0]), np.array([np.inf, 0, 0])])
def test_a_query_without_direction(query: np.ndarray) -> None:
    with pytest.raises(QueryError, match="no direction"):
        refine(query, NONE, Y[None])


def test_opposite_marks_never_cancel_the_query_out() -> None:
    assert refine(X, -X[None], NONE).tolist() == [-1, 0, 0]  # the marks outweigh it
    assert refine(X, NONE, X[None]).tolist() == [1, 0, 0]  # and here they do not


def test_shapes_must_fit() -> None:
    with pytest.raises(UsageError, match="marks"):
        refine(X, np.zeros((2, 4), np.float32), NONE)
    with pytest.raises(UsageError, match="marks"):
        refine(X, X, NONE)
    with pytest.raises(UsageError, match="mean"):
        refine(X, X[None], NONE, mean=np.zeros(4))


@given(st.integers(0, 99), st.integers(0, 4), st.integers(0, 4), st.booleans())
def test_a_query_of_norm_one_that_leans_to_the_wanted(seed: int, wanted: int, unwanted: int, centred: bool) -> None:
    query, more, less = rows(seed, 1)[0], rows(seed + 100, wanted), rows(seed + 200, unwanted)
    mean = rows(seed + 300, 50).mean(axis=0) if centred else None
    refined = refine(query, more, less, mean)
    assert refined.shape == query.shape
    assert np.linalg.norm(refined) == pytest.approx(1, abs=1e-9)
    if wanted and not unwanted:
        direction = more.mean(axis=0) - (0 if mean is None else mean)
        assert refined @ direction >= query @ direction - 1e-6
    if unwanted and not wanted:
        direction = less.mean(axis=0) - (0 if mean is None else mean)
        assert refined @ direction <= query @ direction + 1e-6
    shuffled = np.random.default_rng(seed).permutation(more)
    np.testing.assert_allclose(refine(query, shuffled, less, mean), refined, atol=1e-6)

"""Marginal relevance, against the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.diversity import diverse


def naive(scores: np.ndarray, vectors: np.ndarray, diversity: float) -> list[int]:
    """Carbonell and Goldstein's formula, one candidate at a time."""
    lo, hi = float(scores.min()), float(scores.max())
    taken: list[int] = []
    left = list(range(len(scores)))
    while left:
        best, best_value = left[0], -np.inf
        for i in left:
            relevance = (float(scores[i]) - lo) / (hi - lo) if hi > lo else 1.0
            value = relevance
            if taken:
                similarity = max(float((vectors[i] * vectors[j]).sum()) for j in taken)
                value = (1 - diversity) * relevance - diversity * similarity
            if value > best_value:
                best, best_value = i, value
        taken.append(best)
        left.remove(best)
    return taken


@given(st.integers(1, 25), st.integers(0, 2**31), st.floats(0, 1, allow_subnormal=False), st.booleans())
def test_as_by_definition(count: int, seed: int, diversity: float, copies: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, 8)).astype(np.float32)
    if copies:
        vectors = vectors[random.integers(0, max(1, count // 3), count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(random.integers(0, 10, count).astype(np.float32) / 10)[::-1]
    assert diverse(scores, vectors, diversity).tolist() == naive(scores, vectors, diversity)


def test_none_keeps_the_order_and_all_takes_the_least_alike() -> None:
    angles = np.array([0.0, 0.01, 0.02, 1.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    assert diverse(scores, vectors, 0.0).tolist() == [0, 1, 2, 3]
    assert diverse(scores, vectors, 1.0).tolist()[:2] == [0, 3]


def test_copies_come_last_once_diversity_counts() -> None:
    """Three copies of the best lead by score; with diversity each different picture comes before the second copy."""
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 2, 3]]
    scores = np.array([0.30, 0.30, 0.30, 0.29, 0.28, 0.27], np.float32)
    assert diverse(scores, vectors, 0.6).tolist() == [0, 3, 4, 5, 1, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_few(count: int) -> None:
    assert diverse(np.ones(count, np.float32), np.ones((count, 3), np.float32), 0.5).tolist() == [
        *range(count)
    ]

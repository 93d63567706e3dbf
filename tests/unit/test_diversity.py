"""Marginal relevance, against the definition written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.search.diversity import rank_by_mmr


def deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    found = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return found if found > 1e-5 else 1.0


def naive(scores: np.ndarray, vectors: np.ndarray, diversity: float) -> list[int]:
    """Carbonell and Goldstein's formula, one candidate at a time."""
    count = len(scores)
    wide = vectors.astype(np.float64)
    cosine = [[round(float(a @ b), 6) for b in wide] for a in wide]
    pairs = [cosine[i][j] for i in range(count) for j in range(i + 1, count)]
    alike, spread = deviation(pairs or [0.0]), deviation([float(score) for score in scores])
    taken: list[int] = []
    left = list(range(count))
    while left:
        best, best_value = left[0], -np.inf
        for i in left:
            value = float(scores[i]) / spread
            if taken:
                similarity = max(cosine[i][j] for j in taken) / alike
                value = (1 - diversity) * value - diversity * similarity
            if value > best_value + 1e-9:
                best, best_value = i, value
        taken.append(best)
        left.remove(best)
    return taken


def near_tied(scores: np.ndarray, vectors: np.ndarray, diversity: float, order: list[int], other: list[int]) -> bool:
    """Whether two orders part where the formula gives both the same but for rounding."""
    n = next(n for n, (a, b) in enumerate(zip(order, other, strict=True)) if a != b)
    count, wide = len(scores), vectors.astype(np.float64)
    cosine = np.round(wide @ wide.T, 6)
    alike = deviation(cosine[np.triu_indices(count, 1)].tolist())
    spread = deviation([float(score) for score in scores])

    def value(i: int) -> float:
        similarity = max(cosine[i, j] for j in order[:n])
        return float((1 - diversity) * scores[i] / spread - diversity * similarity / alike)

    return abs(value(order[n]) - value(other[n])) < 1e-8


@given(st.integers(1, 25), st.integers(0, 2**31), st.floats(0, 1, allow_subnormal=False), st.booleans())
def test_as_by_definition(count: int, seed: int, diversity: float, copies: bool) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, 8)).astype(np.float32)
    if copies:
        vectors = vectors[random.integers(0, max(1, count // 3), count)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = np.sort(random.integers(0, 10, count).astype(np.float32) / 10)[::-1]
    found, expected = rank_by_mmr(scores, vectors, diversity).tolist(), naive(scores, vectors, diversity)
    assert found == expected or near_tied(scores, vectors, diversity, found, expected)


def test_none_keeps_the_order_and_all_takes_the_least_alike() -> None:
    angles = np.array([0.0, 0.01, 0.02, 1.5])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    assert rank_by_mmr(scores, vectors, 0.0).tolist() == [0, 1, 2, 3]
    assert rank_by_mmr(scores, vectors, 1.0).tolist()[:2] == [0, 3]


def test_copies_come_last_once_diversity_counts() -> None:
    """Three copies of the best lead by score; with diversity each different picture comes before the second copy."""
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 2, 3]]
    scores = np.array([0.30, 0.30, 0.30, 0.29, 0.28, 0.27], np.float32)
    assert rank_by_mmr(scores, vectors, 0.6).tolist() == [0, 3, 4, 5, 1, 2]


@pytest.mark.parametrize("count", [0, 1])
def test_few(count: int) -> None:
    assert rank_by_mmr(np.ones(count, np.float32), np.ones((count, 3), np.float32), 0.5).tolist() == [*range(count)]

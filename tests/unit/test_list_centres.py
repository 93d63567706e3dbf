"""Centres of lists: as good by either algorithm, the same each time, and stopped on request."""

from __future__ import annotations

import threading

import faiss
import numpy as np
import pytest

from imseek.data.vectors import list_centres
from imseek.data.vectors.list_centres import train_centres
from imseek.types.arrays import Float32


def rows_of(count: int, dim: int, classes: int) -> Float32:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((classes, dim))[rng.integers(classes, size=count)] + 0.8 * rng.standard_normal(
        (count, dim)
    )
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def similarity(rows: Float32, centres: Float32) -> float:
    return float((rows @ centres.T).max(axis=1).mean())


@pytest.mark.skipif(not hasattr(faiss, "SuperKMeans"), reason="FAISS is too old for SuperKMeans")
def test_many_centres_are_as_good_as_lloyds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(12_000, 64, 700)
    shares: list[float] = []
    many = train_centres(rows, 512, shares.append)
    assert many.shape == (512, 64)
    assert np.allclose(np.linalg.norm(many, axis=1), 1, atol=1e-5)
    assert shares[-1] == 1
    assert np.array_equal(many, train_centres(rows, 512, shares.append))
    monkeypatch.setattr(list_centres, "_MANY", 1000)
    shares.clear()
    lloyd = train_centres(rows, 512, shares.append)
    assert shares == [n / list_centres.ITERATIONS for n in range(1, list_centres.ITERATIONS + 1)]
    assert similarity(rows, many) > similarity(rows, lloyd) - 0.005


def test_many_centres_of_few_numbers() -> None:
    """SuperKMeans needs at least 32."""
    assert train_centres(rows_of(2000, 16, 700), 512, lambda share: None).shape == (512, 16)


class StopError(Exception):
    pass


@pytest.mark.parametrize("count", [16, 1024])
def test_training_stops_on_request_and_faiss_goes_on(count: int) -> None:
    rows = rows_of(30_000, 256, 30_000)
    calls: list[float] = []

    def tell(share: float) -> None:
        calls.append(share)
        if len(calls) == 2:
            raise StopError

    with pytest.raises(StopError):
        train_centres(rows, count, tell)
    assert len(calls) == 2
    for thread in threading.enumerate():
        if thread.name == "k-means":
            thread.join(5)
            assert not thread.is_alive()
    assert train_centres(rows[:2000], 8, calls.append).shape == (8, 256)
    assert faiss.knn(rows[:5], rows[:100], 1)[1].shape == (5, 1)

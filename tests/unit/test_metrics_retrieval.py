"""Ranks, R@k and average precision: against a plain loop over all pairs, and by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from imseek.metrics import retrieval
from imseek.metrics.retrieval import RelevantItems, rank_items
from imseek.progress import Cancelled, Task


def _unit(generator: np.random.Generator, n: int, dim: int) -> np.ndarray:
    rows = generator.standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _plain(texts: np.ndarray, items: np.ndarray, pairs: list[tuple[int, int]]) -> tuple[list[int], list[float]]:
    """The definition, one question after the other: sort by score, of equal scores the wrong ones first."""
    first, precision = [], []
    for q, row in enumerate(texts):
        good = {item for question, item in pairs if question == q}
        score = [float(np.float32(row.astype(float) @ other.astype(float))) for other in items]
        order = sorted(range(len(items)), key=lambda item: (-score[item], item in good))
        places = [n + 1 for n, item in enumerate(order) if item in good]
        first.append(places[0])
        precision.append(sum((n + 1) / place for n, place in enumerate(places)) / len(places))
    return first, precision


@pytest.mark.parametrize("several", [False, True])
def test_equals_the_definition_whatever_the_blocks(several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    texts, items = _unit(generator, 47, 6), _unit(generator, 31, 6)
    items[7] = items[3]  # a tie
    items[20] = -items[20]
    pairs = [(q, int(generator.integers(31))) for q in range(47)]
    if several:
        pairs += [(q, int(generator.integers(31))) for q in range(0, 47, 3) for _ in range(5)]
        pairs.append(pairs[0])  # twice: counts once
    right = RelevantItems.of([q for q, _ in pairs], [item for _, item in pairs], 47)
    first, precision = _plain(texts, items, pairs)
    for questions, many in ((1024, 8192), (10, 4), (1, 1)):
        monkeypatch.setattr(retrieval, "QUESTION_BATCH", questions)
        monkeypatch.setattr(retrieval, "ITEM_BATCH", many)
        found = rank_items(texts, items, right)
        assert found.first.tolist() == first
        assert np.allclose(found.precision, precision, rtol=0, atol=1e-12)


def test_a_tie_counts_against_the_question() -> None:
    texts = np.array([[1, 0], [1, 0]], np.float32)
    items = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    found = rank_items(texts, items, RelevantItems.of([0, 1, 1], [1, 0, 1], 2))
    assert found.first.tolist() == [2, 1]  # the second question has both of the equal items
    assert found.precision.tolist() == [0.5, 1.0]
    assert found.hits(1).tolist() == [0, 1]
    assert found.hits(2).tolist() == [1, 1]


def test_several_right_items_by_hand() -> None:
    text = np.array([[1, 0]], np.float32)
    angles = np.array([0.1, 0.2, 0.3, 0.4])
    items = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = rank_items(text, items, RelevantItems.of([0, 0], [1, 3], 1))
    assert found.first.tolist() == [2]
    assert found.precision == pytest.approx([(1 / 2 + 2 / 4) / 2])


def test_rows_need_not_be_in_memory() -> None:
    generator = np.random.default_rng(5)
    texts, items = _unit(generator, 9, 4), _unit(generator, 12, 4)
    right = RelevantItems.of(range(9), generator.integers(0, 12, 9), 9)

    class Disk(retrieval.ArrayRows):
        seen = 0

        def blocks(self, size: int = 5) -> Iterator[tuple[slice, np.ndarray]]:
            for part, rows in super().blocks(5):
                self.seen = max(self.seen, len(rows))
                yield part, rows

    disk = Disk(items)
    assert rank_items(texts, disk, right).first.tolist() == rank_items(texts, items, right).first.tolist()
    assert disk.seen == 5


def test_what_cannot_be_ranked() -> None:
    with pytest.raises(ValueError, match="without a right item"):
        RelevantItems.of([0], [0], 2)
    with pytest.raises(ValueError, match="not there"):
        RelevantItems.of([0, 1], [0, -1], 2)
    with pytest.raises(ValueError, match="not there"):
        rank_items(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), RelevantItems.of([0, 1], [0, 2], 2))


def test_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "QUESTION_BATCH", 2)
    stop = threading.Event()

    class Stopping(retrieval.ArrayRows):
        def blocks(self, size: int = 2) -> Iterator[tuple[slice, np.ndarray]]:
            for part, rows in super().blocks(size):
                if part.start == 2:
                    stop.set()
                yield part, rows

    rows = np.eye(4, dtype=np.float32)
    told = []
    task = Task(lambda now: told.append((now.done, now.total)), stop)
    with pytest.raises(Cancelled):
        rank_items(Stopping(rows), rows, RelevantItems.of(range(4), range(4), 4), task=task)
    assert told == [(2, 4)]

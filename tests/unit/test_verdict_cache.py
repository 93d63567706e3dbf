"""Candidates of several runs are compared together, and their verdicts are cached by run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.part_cache import PartCache
from imseek.duplicates.pixels import classify as classify_module
from imseek.duplicates.pixels.classify import ClassifiedPairs
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.pair_judge import Positions
from imseek.duplicates.pixels.verdict import DEFAULTS, SAME
from imseek.duplicates.pixels.verdict_cache import OnPairs, classify_cached
from imseek.progress import Progress, Task

Load = Callable[[int], SmallLuminance | None]

#: Of each four pictures, the first two are alike; their ids are in a run of their own.
_RUNS = 5


@pytest.fixture(scope="module")
def pictures() -> dict[int, SmallLuminance]:
    rng = np.random.default_rng(0)
    looks: dict[int, SmallLuminance] = {}
    for n in range(4 * _RUNS):
        small = rng.integers(0, 256, (6, 8)).astype(np.uint8)
        looks[n] = looks[n - 1] if n % 4 == 1 else np.kron(small, np.ones((12, 12), np.uint8))
    return looks


def _classify(root: Path, load: Load, task: Task | None = None, on_pairs: OnPairs | None = None) -> ClassifiedPairs:
    a = np.repeat(np.arange(0, 4 * _RUNS, 4), 2)
    b = a + np.tile([1, 2], _RUNS)
    hashes = np.random.default_rng(1).integers(0, 256, (4 * _RUNS, 32)).astype(np.uint8)
    return classify_cached(
        a,
        b,
        np.tile(np.array([0, 8], np.uint8), _RUNS),
        np.zeros(len(a), np.uint8),
        np.tile(np.array([0.97, 0.85], np.float32), _RUNS),
        load,
        DEFAULTS,
        a // 4 * 1024 + a % 4,
        (hashes[a], hashes[b]),
        PartCache(root, "looks"),
        task or Task(),
        on_pairs=on_pairs,
    )


def _refuse(position: int) -> SmallLuminance | None:
    raise AssertionError(position)


def test_runs_are_compared_together_and_cached_apart(tmp_path: Path, pictures: dict[int, SmallLuminance]) -> None:
    batches: list[tuple[list[int], list[int]]] = []

    def add(_pairs: ClassifiedPairs, a: Positions, b: Positions) -> None:
        batches.append((a.tolist(), b.tolist()))

    found = _classify(tmp_path, pictures.get, on_pairs=add)
    assert (found.a.tolist(), found.b.tolist()) == ([0, 4, 8, 12, 16], [1, 5, 9, 13, 17])
    assert set(found.kind.tolist()) == {SAME}
    assert (found.looked, found.done, found.interrupted) == (10, 10, False)
    # Those known before, which are none, and one batch.
    assert [len(a) for a, _ in batches] == [0, 10]
    assert len([*tmp_path.rglob("looked-*.npz")]) == _RUNS
    again = _classify(tmp_path, _refuse)
    assert np.array_equal(again.kind, found.kind)
    assert np.array_equal(again.confidence, found.confidence)
    assert again.looked == 0


def test_a_stopped_call_resumes(
    tmp_path: Path, pictures: dict[int, SmallLuminance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify_module, "_FIRST_BATCH", 3)
    monkeypatch.setattr(classify_module, "_BATCH", 3)
    stop = threading.Event()

    def progress(now: Progress) -> None:
        if now.done:
            stop.set()

    first = _classify(tmp_path, pictures.get, Task(progress, stop, interval=0))
    assert first.interrupted
    # One run is complete, and another begun.
    assert len([*tmp_path.rglob("looked-*.npz")]) == 2
    seen: set[int] = set()

    def load(position: int) -> SmallLuminance | None:
        seen.add(position)
        return pictures.get(position)

    rest = _classify(tmp_path, load)
    assert rest.looked == 7
    assert len(rest.a) == _RUNS
    assert not seen & {0, 1, 2}


def test_a_run_with_an_unreadable_picture_is_not_cached(tmp_path: Path, pictures: dict[int, SmallLuminance]) -> None:
    found = _classify(tmp_path, lambda position: None if position == 6 else pictures[position])
    assert (found.looked, found.unread) == (9, 1)
    assert len([*tmp_path.rglob("looked-*.npz")]) == _RUNS - 1
    assert (
        _classify(tmp_path, lambda position: pictures[position] if 4 <= position < 8 else _refuse(position)).looked == 2
    )

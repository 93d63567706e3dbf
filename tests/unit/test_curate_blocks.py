"""Whatever is kept of earlier times: each pair of blocks is compared at least once as they are now."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.data.files.array_cache import Arrays
from imseek.duplicates.candidates import block_pairs
from imseek.duplicates.candidates.block_pairs import Block, process_blocks
from imseek.duplicates.part_cache import PartCache
from imseek.progress import Progress, Task

PAIRS = (np.int64, np.int64)


class Comparing:
    """Members are ids with a mark; what is found of a block are all pairs with whom it was compared."""

    def __init__(self, kept: PartCache, other: str = "") -> None:
        self.kept, self.other = kept, other
        self.done: list[tuple[int, ...]] = []

    def run(self, members: dict[int, int], task: Task | None = None) -> set[tuple[int, int]]:
        """Pairs of marks that were compared; marks are never used for two members."""
        ids = np.array(sorted(members), np.int64)
        marks = np.array([members[i] for i in ids.tolist()], np.int64)

        def work(block: Block) -> Arrays:
            self.done.append(tuple(ids[block.start : block.stop].tolist()))
            mine, all_of_them = marks[block.start : block.stop], marks[: block.upto]
            return np.repeat(mine, len(all_of_them)), np.tile(all_of_them, len(mine))

        each = process_blocks(
            "test",
            "testing",
            ids,
            [marks],
            self.other,
            work,
            PAIRS,
            self.kept,
            task or Task(None, None),
        )
        return {(int(a), int(b)) for found in each for a, b in zip(*found, strict=True)}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_pairs, "_BLOCK_BITS", 2)


def test_blocks_are_runs_of_ids(tmp_path: Path) -> None:
    comparing = Comparing(PartCache(tmp_path, "x"))
    pairs = comparing.run({1: 10, 3: 11, 4: 12, 9: 13, 11: 14})
    assert comparing.done == [(1, 3), (4,), (9, 11)]
    assert (14, 10) in pairs
    assert (10, 14) not in pairs, "once is enough"


def test_after_a_stop_only_the_rest_is_done(tmp_path: Path) -> None:
    members = {n: n for n in range(20)}
    comparing, stop = Comparing(PartCache(tmp_path, "x")), threading.Event()
    told: list[int] = []

    def progress(now: Progress) -> None:
        told.append(now.done)
        if now.done == 12:
            stop.set()

    with pytest.raises(InterruptedError):
        comparing.run(members, Task(progress, stop, interval=0))
    assert comparing.done == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)]
    assert told == [0, 4, 8, 12]
    again = Comparing(PartCache(tmp_path, "x"))
    pairs = again.run(members)
    assert again.done == [(12, 13, 14, 15), (16, 17, 18, 19)]
    assert {frozenset(p) for p in pairs} == {frozenset((a, b)) for a in members for b in members}


def test_another_side_is_another_comparison(tmp_path: Path) -> None:
    members = {n: n for n in range(8)}
    for other, wanted in (("them", 2), ("them", 0), ("them and one more", 2)):
        comparing = Comparing(PartCache(tmp_path, "x"), other)
        pairs = comparing.run(members)
        assert len(comparing.done) == wanted
        assert len(pairs) == 64, "with all of the other side"


@settings(max_examples=examples(80))
@given(st.data())
def test_however_it_changes_and_stops(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Members come, go, are exchanged and come back; runs are stopped anywhere. In the end no pair is missing."""
    root = tmp_path_factory.mktemp("kept")
    members: dict[int, int] = {}
    gone: dict[int, int] = {}
    for _ in range(data.draw(st.integers(1, 6), label="times")):
        for _ in range(data.draw(st.integers(0, 5), label="changes")):
            at = data.draw(st.integers(0, 19), label="id")
            if at in members and data.draw(st.booleans(), label="goes"):
                gone[at] = members.pop(at)
            elif at in gone and at not in members and data.draw(st.booleans(), label="comes back"):
                members[at] = gone.pop(at)
            else:
                members[at] = data.draw(st.integers(0, 10**9), label="mark")
        stop = threading.Event()
        limit = data.draw(st.integers(0, 24), label="stopped at")

        def progress(now: Progress, limit: int = limit, stop: threading.Event = stop) -> None:
            if now.done >= limit:
                stop.set()

        with suppress(InterruptedError):
            Comparing(PartCache(root, "x")).run(members, Task(progress, stop, interval=0))
    pairs = {frozenset(pair) for pair in Comparing(PartCache(root, "x")).run(members)}
    marks = list(members.values())
    assert {frozenset((a, b)) for a in marks for b in marks} <= pairs

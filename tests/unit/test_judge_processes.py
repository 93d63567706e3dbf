"""Pairs are judged alike in this process and in children, also where children cannot be started or are killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.pixels import classify as classify_module
from imseek.duplicates.pixels.classify import classify, judging
from imseek.duplicates.pixels.judge_processes import JudgeProcesses
from imseek.duplicates.pixels.luminance_cache import SmallLuminance, to_luminance
from imseek.duplicates.pixels.pair_judge import judge_pairs
from imseek.duplicates.pixels.verdict import DEFAULTS, SAME, Verdict
from imseek.media import decode


@pytest.fixture(scope="module")
def pictures(photo_files: list[Path]) -> dict[int, SmallLuminance]:
    """A photograph, a part of it, and others."""
    small = [to_luminance(decode(path.read_bytes()).pixels) for path in photo_files[:3]]
    return dict(enumerate([small[0], small[0][4:, 6:], *small[1:]]))


@pytest.fixture
def processes() -> Iterator[JudgeProcesses]:
    """One child."""
    judging = JudgeProcesses(1)
    yield judging
    judging.close()


def _judge(processes: JudgeProcesses, pictures: dict[int, SmallLuminance]) -> list[Verdict]:
    a, b = np.array([0, 0, 2]), np.array([1, 2, 3])
    near = np.array([4, 30, 40], np.uint8), np.array([0.98, 0.85, 0.7], np.float32)
    verdicts = processes.judge(judge_pairs, pictures, a, b, *near, DEFAULTS)
    assert verdicts == judge_pairs(pictures, a, b, *near, DEFAULTS)
    return verdicts


def test_a_child_judges_as_this_process_does_until_it_is_closed(
    processes: JudgeProcesses, pictures: dict[int, SmallLuminance]
) -> None:
    assert [verdict.kind for verdict in _judge(processes, pictures)] == [SAME, 0, 0]
    _judge(processes, pictures)
    child = processes._children[0].process
    assert child.poll() is None
    processes.close()
    assert child.poll() is not None


def test_where_a_child_is_killed_or_cannot_be_started_this_process_judges(
    processes: JudgeProcesses, pictures: dict[int, SmallLuminance], monkeypatch: pytest.MonkeyPatch
) -> None:
    _judge(processes, pictures)
    child = processes._children[0].process
    child.kill()
    child.wait()
    _judge(processes, pictures)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    _judge(JudgeProcesses(1), pictures)


@pytest.mark.parametrize("said", ["Building", "cno_such_module", "hello"])
@pytest.mark.parametrize("exits", [False, True])
def test_what_a_child_prints_while_it_starts_is_no_answer(
    pictures: dict[int, SmallLuminance], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, exits: bool
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nprintf '{said}\\nx\\n'\n" + ("" if exits else f'exec {sys.executable} "$@"\n'))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    processes = JudgeProcesses(1)
    try:
        _judge(processes, pictures)
        assert processes._broken is exits
    finally:
        processes.close()


def test_many_candidates_are_judged_by_children(
    pictures: dict[int, SmallLuminance], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify_module, "_BATCH", 2)
    monkeypatch.setattr(classify_module, "_THREADS", 2)
    a, b = np.array([0, 0, 0, 1, 1, 2] * 2), np.array([1, 2, 3, 2, 3, 3] * 2)
    near = np.full(12, 8, np.uint8), np.zeros(12, np.uint8), np.full(12, 0.9, np.float32)
    with judging(12) as alone, judging(100_000) as children:
        assert alone is judge_pairs
        assert children is not judge_pairs
        found = [classify(a, b, *near, pictures.get, judge=judge) for judge in (alone, children)]
    for name in ("a", "b", "kind", "confidence", "agreement"):
        assert np.array_equal(getattr(found[0], name), getattr(found[1], name)), name


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, []), (20, [20]), (32, [32]), (100, [32, 64, 4]), (1100, [32, 64, 128, 256, 256, 256, 108])],
)
def test_the_first_batches_are_small(count: int, sizes: list[int]) -> None:
    batches = classify_module._cut_batches(count, None)
    assert [batch.stop - batch.start for batch in batches] == sizes
    assert [batch.start for batch in batches] == [0, *(batch.stop for batch in batches[:-1])][: len(batches)]

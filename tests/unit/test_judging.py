"""Judgements of contents, brought to pairs of images."""

from __future__ import annotations

import numpy as np
import pytest

from imseek.duplicates.grouping.apply_judgements import PairJudgements, match_judgements
from imseek.duplicates.results import DuplicatePair
from imseek.duplicates.unique_contents import UniqueContents, group_by_content
from imseek.types.duplicate_judgements import Judgement

ONE, TWO, THREE, GONE = (bytes([n]) * 32 for n in (1, 2, 3, 4))


@pytest.fixture
def contents() -> UniqueContents:
    """Images 10 and 12 of one content, 11 and 13 of others; the second begins as a fourth that is not here does."""
    hashes = np.frombuffer(ONE + TWO + ONE + THREE, np.uint8).reshape(4, 32)
    return group_by_content(np.array([10, 11, 12, 13]), hashes, np.arange(1, 5, dtype=np.uint64))


def said(a: bytes, b: bytes, verdict: str) -> Judgement:
    return Judgement(*sorted((a.hex(), b.hex())), verdict, "person", "2026-03-01T12:00:00+00:00")  # type: ignore[arg-type]


def test_contents_become_their_first_images(contents: UniqueContents) -> None:
    found = match_judgements([said(ONE, TWO, "same"), said(THREE, ONE, "different"), said(GONE, ONE, "same")], contents)
    assert found == PairJudgements(frozenset({frozenset({10, 11})}), frozenset({frozenset({10, 13})}))


def test_hashes_that_only_begin_alike(contents: UniqueContents) -> None:
    other = TWO[:8] + bytes(24)
    assert match_judgements([said(other, ONE, "same")], contents) == PairJudgements()


def test_nothing_was_said_and_nothing_is_there(contents: UniqueContents) -> None:
    assert match_judgements([], contents) == PairJudgements()
    empty = group_by_content(np.empty(0, np.int64), np.empty((0, 32), np.uint8), np.empty(0, np.uint64))
    assert match_judgements([said(ONE, TWO, "same")], empty) == PairJudgements()


class TestSettled:
    PAIRS = (
        DuplicatePair(10, 11, "scene", 0.5, cosine=0.96, distance=20),
        DuplicatePair(10, 13, "same", 0.99),
        DuplicatePair(11, 13, "same", 0.9),
    )
    JUDGED = PairJudgements(frozenset({frozenset({10, 11}), frozenset({14, 15})}), frozenset({frozenset({13, 10})}))

    def test_different_ones_are_left_out_and_the_same_are_certain(self) -> None:
        kept, left_out = self.JUDGED.resolve(self.PAIRS, ("same", "scene"))
        assert left_out == 1
        assert kept == [
            DuplicatePair(10, 11, "same", 1.0, cosine=0.96, distance=20, judged=True),
            self.PAIRS[2],
            DuplicatePair(14, 15, "same", 1.0, judged=True),
        ]

    def test_where_the_same_are_not_looked_for(self) -> None:
        kept, left_out = self.JUDGED.resolve(self.PAIRS[:2], ("scene",))
        assert (kept, left_out) == ([self.PAIRS[0]], 1)

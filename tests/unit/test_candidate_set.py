"""Sets of candidates: the parts that are taken of them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from imseek.data.vectors import Matches
from imseek.search.candidate_set import CandidateSet


def candidates(count: int) -> CandidateSet:
    scores = np.linspace(0.9, 0.1, count).astype(np.float32)
    matches = Matches(np.arange(count, dtype=np.int64) * 3, scores)
    made = CandidateSet.of(matches, words=np.arange(count) / 2, shares=np.arange(count) / 4)
    return replace(made, others=tuple((n,) for n in range(count)), irrelevant=4, lost=0.25)


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (2, 5), (0, 5), (4, 9), (5, 6), (9, 12), (0, 0)])
def test_neighbouring_candidates_are_those_at_their_positions(start: int, stop: int) -> None:
    made = candidates(5)
    part, expected = made.take(slice(start, stop)), made.take(range(5)[start:stop])
    for field in fields(part):
        values = getattr(part, field.name), getattr(expected, field.name)
        np.testing.assert_equal(*values, err_msg=field.name)
    assert len(part) == len(range(5)[start:stop])

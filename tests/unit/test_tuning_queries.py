"""Queries that an approximate index is tuned and measured with: their true neighbours, and what share is found."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from imseek.data.vectors import tuning
from imseek.data.vectors.base import Matches
from imseek.data.vectors.faiss_snapshot import Candidates
from imseek.data.vectors.index_metadata import SearchEffort
from imseek.data.vectors.tuning import QuerySet, normalise


class Rows:
    """Stored rows with ids 100, 101, …, in blocks; those of ``zeros`` have no direction."""

    def __init__(self, count: int, dim: int = 6, step: int = 7, zeros: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(5)
        self.vectors = tuning.normalise(rng.standard_normal((count, dim))).astype(np.float16)
        self.vectors[list(zeros)] = 0
        self.ids = np.arange(100, 100 + count)
        self.step = step

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(self.ids), self.step):
            yield self.ids[start : start + self.step], self.vectors[start : start + self.step].astype(np.float32)

    def take(self, numbers: Any) -> tuple[Any, Any]:
        return self.ids[numbers], self.vectors[numbers].astype(np.float32)

    def ranked(self, query: Any, own: int = -1) -> list[tuple[int, float]]:
        """All rows but one, the nearest first, by plain cosines."""
        wide = self.vectors.astype(np.float64)
        norms = np.linalg.norm(wide, axis=1)
        scores = (wide @ np.asarray(query, np.float64)) / np.where(norms > 0, norms, 1)
        pairs = [(int(i), float(s)) for i, s in zip(self.ids, scores, strict=True) if i != own]
        return sorted(pairs, key=lambda one: (-one[1], one[0]))


@pytest.mark.parametrize(("rows", "expected"), [(0, 0), (3, 0), (4, 1), (100, 25), (1600, 400), (5000, 1000)])
def test_at_most_a_quarter_of_the_rows_asks(rows: int, expected: int) -> None:
    found = tuning.query_rows(rows).tolist()
    assert (len(found), found) == (expected, sorted(set(found)))
    assert all(0 <= one < rows for one in found)
    assert found == tuning.query_rows(rows).tolist(), "the same in every build"


def test_stored_rows_that_ask_have_norm_one() -> None:
    rows = Rows(10, zeros=(2, 5))
    asked = tuning.stored_row_queries(rows, np.array([1, 2, 5, 7]))  # type: ignore[arg-type]
    assert asked.own.tolist() == [101, 107]
    assert np.linalg.norm(asked.queries, axis=1) == pytest.approx([1, 1], abs=1e-6)
    assert (asked.queries * rows.vectors[[1, 7]]).sum(axis=1) == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize("depth", [3, 10, 200])
@pytest.mark.parametrize("step", [1, 7, 100])
def test_neighbours_are_the_nearest_of_all_rows(depth: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one pass, for queries of both kinds, each without its own row."""
    monkeypatch.setattr(tuning, "TRUTH_DEPTH", depth)
    rows = Rows(90, step=step, zeros=(4,))
    own = tuning.stored_row_queries(rows, np.array([0, 3, 60]))  # type: ignore[arg-type]
    made = tuning.text_like_queries(own.queries)
    free = QuerySet(made, np.full(len(made), -1))
    for asked, found in zip((own, free), tuning.find_neighbours([own, free], rows), strict=True):  # type: ignore[arg-type]
        assert found.queries is asked.queries
        for query, one, truth, scores in zip(found.queries, found.own, found.truth, found.scores, strict=True):
            ranked = rows.ranked(query, int(one))
            # Of the depth, the query's own row has taken one place.
            count = min(depth - (one >= 0), len(ranked))
            assert truth.tolist()[:count] == [i for i, _ in ranked[:count]]
            assert scores.tolist()[:count] == pytest.approx([s for _, s in ranked[:count]], abs=1e-6)
            assert len(truth) <= depth


def test_equal_neighbours_are_in_the_order_of_their_ids() -> None:
    asked = QuerySet(np.zeros((1, 2), np.float32), np.array([7]))
    best = [(np.array([9, 3, 7, 5]), np.array([0.5, 0.5, 1.0, 0.9]))]
    found = tuning.with_neighbours(asked, best)
    assert found.truth[0].tolist() == [5, 3, 9]
    assert found.scores[0].tolist() == [0.9, 0.5, 0.5]


def query_set() -> QuerySet:
    truth = tuple(np.array([10 * n + 1, 10 * n + 2, 10 * n + 3]) for n in range(5))
    scores = tuple(np.array([0.9, 0.8, 0.7]) - n / 100 for n in range(5))
    return QuerySet(np.arange(10, dtype=np.float32).reshape(5, 2), np.arange(5), truth, scores)


def test_one_half_is_to_tune_with_and_the_other_to_measure_with() -> None:
    asked = query_set()
    for second, numbers in ((False, [0, 2, 4]), (True, [1, 3])):
        half = asked.half(second)
        assert half.own.tolist() == numbers
        assert half.queries.tolist() == asked.queries[numbers].tolist()
        assert [one.tolist() for one in half.truth] == [asked.truth[n].tolist() for n in numbers]
        assert [one.tolist() for one in half.scores] == [asked.scores[n].tolist() for n in numbers]


def test_within_a_filter_there_are_fewer_neighbours() -> None:
    asked = query_set()
    within = asked.within(np.array([2, 3, 11, 50]))
    assert [one.tolist() for one in within.truth] == [[2, 3], [11], [], [], []]
    assert [one.tolist() for one in within.scores[:2]] == [[0.8, 0.7], pytest.approx([0.89])]
    assert within.own is asked.own


def pictures(count: int = 300, dim: int = 96, spread: Any = 1.0) -> Any:
    drawn = np.random.default_rng(3).standard_normal((count, dim)) * spread + 0.3
    return tuning.normalise(drawn).astype(np.float32)


def test_queries_that_are_like_texts_lie_across_a_gap() -> None:
    """Nearer to their picture than to others, far from all of them, and near each other."""
    stored = pictures()
    made = tuning.text_like_queries(stored)
    assert (made.dtype, made.shape) == (np.float32, stored.shape)
    assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(300), abs=1e-5)
    cosines = made @ stored.T
    own = np.diagonal(cosines).mean()
    others = (cosines.sum() - np.trace(cosines)) / (300 * 299)
    assert 0.15 < own < 0.3
    assert 0.02 < others < 0.2
    among = made @ made.T
    assert (among.sum() - 300) / (300 * 299) == pytest.approx(0.7, abs=0.05)
    assert tuning.text_like_queries(stored).tolist() == made.tolist()
    assert tuning.text_like_queries(stored, 1).tolist() != made.tolist()
    assert tuning.text_like_queries(stored[:0]).shape == (0, 96)


def test_what_texts_say_lies_where_pictures_differ() -> None:
    """But more evenly than the pictures: axes with a tenth of the spread have a third of the noise."""
    spread = np.where(np.arange(96) < 48, 1.0, 0.1)
    spread[-1] = 0.001
    stored = pictures(2000, spread=spread)
    made = tuning.text_like_queries(stored)
    wide, narrow = made[:, :48].std(axis=0).mean(), made[:, 48:95].std(axis=0).mean()
    assert 2 < wide / narrow < 5
    assert made[:, -1].std() < narrow / 2


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_pictures_make_queries_too(count: int) -> None:
    same = np.repeat(pictures(1), count, axis=0)
    for stored in (pictures(count), same):
        made = tuning.text_like_queries(stored)
        assert made.shape == stored.shape
        assert np.isfinite(made).all()
        assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(count), abs=1e-5)


# -- recall -----------------------------------------------------------------------------------------------------


def test_what_is_found_of_the_nearest() -> None:
    asked = query_set()
    drawn = [
        np.array([1, 2, 3, -1]), np.array([99, 12, 98, 11]), np.array([-1, -1, -1, -1]),
        np.array([33, 32, 31, 30]), np.array([41, 0, 0, 0]),
    ]  # fmt: skip
    hits = tuning._hits(drawn, asked, 2)
    assert [row[row < 4].tolist() for row in hits.positions] == [[0, 1], [1, 3], [], [1, 2], [0]]
    assert hits.totals.tolist() == [2] * 5
    assert hits.shares().mean() == pytest.approx((1 + 1 + 0 + 1 + 0.5) / 5)
    for first, found in ((0, 0), (1, 0.5 + 0.5), (2, 1 + 0.5 + 0.5 + 0.5), (3, 1 + 0.5 + 1 + 0.5), (4, 3.5)):
        assert hits.shares(np.full(5, first)).mean() == pytest.approx(found / 5), first
    nothing = QuerySet(np.zeros((0, 2), np.float32), np.empty(0, np.int64))
    assert tuning._hits([], nothing, 2).shares().tolist() == [1.0]


def test_recall_exceeds_the_target_by_its_standard_error() -> None:
    shares = np.array([1.0] * 90 + [0.9] * 10)  # 0.99, known to ± 0.003
    assert not tuning._is_enough(shares, 0.99, 0.0)
    assert tuning._is_enough(shares, 0.9869, 0.99)
    assert not tuning._is_enough(shares, 0.9871, 0.99)
    assert not tuning._is_enough(shares, 0.9, 0.991)  # too much of what the lists hold is lost by rescoring
    assert tuning._is_enough(np.ones(1), 1.0, 1.0)


def test_the_cheapest_rescoring_finds_what_it_is_said_to_find() -> None:
    """The effort that is chosen, applied as a search applies it, finds the target of the nearest."""
    rng = np.random.default_rng(2)
    rows = normalise(rng.standard_normal((3000, 24))).astype(np.float32)
    asked = normalise(rng.standard_normal((60, 24))).astype(np.float32)
    exact = asked @ rows.T
    codes = exact + rng.normal(0, 0.02, exact.shape).astype(np.float32)
    order, nearest = np.argsort(-codes, axis=1)[:, :1500], np.argsort(-exact, axis=1)[:, :100]
    drawn = Candidates(np.take_along_axis(codes, order, 1), order)
    queries = QuerySet(asked, np.full(60, -1), tuple(nearest), tuple(np.take_along_axis(exact, nearest, 1)))
    scored, effort = tuning._cheapest_rescoring(drawn, queries, 0.95, 7) or pytest.fail("no effort is enough")
    near = drawn.near(10, effort.slack)[:, : effort.rescore]
    found = [len(set(a) & set(b[:10])) / 10 for a, b in zip(near.tolist(), nearest.tolist(), strict=True)]
    assert effort.probe == 7
    assert np.mean(found) >= 0.95 + np.std(found) / np.sqrt(60)
    assert np.mean(found) >= 1 - 0.05 * 0.05
    assert scored == pytest.approx(np.count_nonzero(near >= 0) / 60)
    assert tuning._cheapest_rescoring(Candidates(drawn.scores[:, :5], order[:, :5]), queries, 0.95, 7) is None


def test_copies_can_take_each_other_s_place() -> None:
    """One that scores as the last of the nearest is as good, and no more than all can be found."""
    asked = QuerySet(
        np.zeros((2, 2), np.float32),
        np.array([-1, -1]),
        (np.array([1, 2, 3, 4]), np.array([], np.int64)),
        (np.array([0.9, 0.8, 0.8 - 5e-7, 0.8 - 1e-5]), np.array([])),
    )
    drawn = [np.array([4, 3, 2, 1]), np.array([1])]
    hits = tuning._hits(drawn, asked, 2)
    assert (hits.positions[0].tolist(), hits.totals.tolist()) == ([1, 2, 3], [2, 0])
    assert hits.shares().tolist() == [1], "a query without neighbours does not count"
    hits = tuning._hits(drawn, asked, 9)
    assert (hits.positions[0].tolist(), hits.totals.tolist()) == ([0, 1, 2, 3], [4, 0])


def test_a_picture_that_asks_does_not_find_itself() -> None:
    ids = np.arange(12)
    matches = Matches(ids, np.linspace(1, 0, 12, dtype=np.float32))
    assert tuning._without_own(matches, 3).tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]
    assert tuning._without_own(matches, -1).tolist() == list(range(10))


@pytest.mark.parametrize("most", [1, 3, 4, 5, 64, 4096])
def test_numbers_of_lists_that_are_tried(most: int) -> None:
    steps = tuning._probe_steps(most)
    assert steps[-1] == most
    assert steps == sorted(set(steps))
    assert steps[0] <= max(4, most // 400)
    assert all(b <= b_next <= b * 1.5 + 1 for b, b_next in itertools.pairwise(steps))
    assert most < 5 or steps[0] >= 3


class Drawn:
    """Candidates of one query in order, and how far below the tenth each scores by its codes."""

    def __init__(self, ids: list[list[int]], below: list[list[float]]) -> None:
        self.ids, self.below = np.array(ids), np.array(below)

    def near(self, k: int, slack: float | None) -> Any:
        assert k == tuning.RECALL_K
        return self.ids if slack is None else np.where(self.below <= slack, self.ids, -1)


def test_no_more_candidates_are_scored_again_than_the_recall_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their number first, then by how far below the tenth they may lie."""
    truth = np.arange(10)
    asked = QuerySet(np.zeros((1, 2), np.float32), np.array([-1]), (truth,), (np.linspace(1, 0.9, 10),))
    # The ten are among the first thirty candidates, the last of them 0.035 below the tenth by its codes.
    ids = [*range(9), *range(100, 120), 9, *range(200, 270)]
    below = [0.0] * 9 + [0.03] * 20 + [0.035] + [0.5] * 70
    drawn = Drawn([ids], [below])
    assert tuning._cheapest_rescoring(drawn, asked, 1.0, 8) == (30.0, SearchEffort(8, 40, 0.2))  # type: ignore[arg-type]
    # Lower recall is for lists that are not probed: what is in those that are is not lost.
    assert tuning._cheapest_rescoring(drawn, asked, 0.9, 8) == (30.0, SearchEffort(8, 40, 0.2))  # type: ignore[arg-type]
    monkeypatch.setattr(tuning, "_MOST_LOST", 1.0)
    assert tuning._cheapest_rescoring(drawn, asked, 0.9, 8) == (9.0, SearchEffort(8, 20, 0.025))  # type: ignore[arg-type]
    missing = Drawn([[*range(9), *range(100, 191)]], [[0.0] * 100])
    assert tuning._cheapest_rescoring(missing, asked, 0.95, 8) is None  # type: ignore[arg-type]

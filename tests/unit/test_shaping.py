"""The stages between a ranking and a page: each alone, and pages that hold every hit once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.vectors import Matches
from imseek.errors import QueryError
from imseek.search import diversity, ranking_stages
from imseek.search.candidate_set import CandidateSet
from imseek.search.query import Query, Term
from imseek.search.query_options import GroupBy
from imseek.search.ranking_stages import CandidatePage, check_query, cut_page, group_positions, needs_all_candidates

QUERY = Query((Term(text="red"),), limit=3)


@dataclass
class Told:
    """Facts by image id."""

    rows: dict[int, list[float]]
    phash: dict[int, int]
    taken: dict[int, str]
    groups: dict[int, Hashable]

    def vectors(self, pool: CandidateSet) -> Any:
        return np.array([self.rows[i] for i in pool.ids.tolist()], np.float32).reshape(
            len(pool), -1 if len(pool) else 2
        )

    def hashes(self, pool: CandidateSet) -> Any:
        return np.array([self.phash.get(i, 0) for i in pool.ids.tolist()], np.uint64)

    def dates(self, pool: CandidateSet) -> list[str | None]:
        return [self.taken.get(i) for i in pool.ids.tolist()]

    def keys(self, pool: CandidateSet, by: GroupBy) -> Sequence[Hashable]:
        return [self.groups.get(i) for i in pool.ids.tolist()]


NOTHING = Told({}, {}, {}, {})


def pool(*scores: float) -> CandidateSet:
    """Ids from 10 on."""
    return CandidateSet.of(Matches(np.arange(10, 10 + len(scores)), np.array(scores, np.float32)))


def ids(shaped: CandidatePage) -> list[int]:
    found: list[int] = shaped.candidates.ids.tolist()
    return found


def test_a_plain_page_and_whether_there_is_another() -> None:
    candidates = pool(0.9, 0.8, 0.7, 0.6)
    assert ids(cut_page(candidates, QUERY, NOTHING, 0)) == [10, 11, 12]
    assert cut_page(candidates, QUERY, NOTHING, 0).following == 3
    last = cut_page(candidates, QUERY, NOTHING, 3)
    assert (ids(last), last.following) == ([13], None)
    beyond = cut_page(candidates, QUERY, NOTHING, 10**18)
    assert (ids(beyond), beyond.following) == ([], None)


def cut_after(count: int) -> Any:
    """A cutoff that keeps the first ``count``."""

    def cut(pool: CandidateSet, query: Query, context: Any) -> CandidateSet:
        return replace(pool.take(range(min(count, len(pool)))), irrelevant=max(0, len(pool) - count))

    return cut


def reverse(pool: CandidateSet, query: Query, context: Any) -> CandidateSet:
    """A correction for hubs that turns the order around."""
    return pool.sort_by(-pool.scores)


def sifted(pool: CandidateSet, query: Query, told: Told = NOTHING, keep: int = 0) -> CandidateSet:
    """What the stages leave; those that look at a collection are replaced."""
    runs = {"end_list": cut_after(keep), "move_back_hubs": reverse}
    stages = [replace(stage, run=runs.get(stage.run.__name__, stage.run)) for stage in ranking_stages.COLLECTION_STAGES]
    return ranking_stages.run_stages(stages, pool, query, told)  # type: ignore[misc] # facts of no collection


def test_min_score_is_the_lowest_that_stays() -> None:
    candidates = pool(0.9, 0.5, 0.4999, 0.1)
    assert sifted(candidates, replace(QUERY, min_score=0.5)).ids.tolist() == [10, 11]
    assert sifted(candidates, replace(QUERY, min_score=1.0)).ids.tolist() == []
    assert sifted(candidates, QUERY).ids.tolist() == [10, 11, 12, 13]


def test_min_score_is_compared_as_scores_are_stored() -> None:
    """0.3 is below the float32 nearest to it, and 0.7 above: hits of these scores must stay all the same."""
    for score in (0.3, 0.7):
        assert sifted(pool(float(np.float32(score))), replace(QUERY, min_score=score)).ids.tolist() == [10]


def test_the_cutoff_counts_before_the_minimum_score() -> None:
    query = replace(QUERY, cutoff="auto", min_score=0.8)
    kept = sifted(pool(0.9, 0.8, 0.7, 0.6), query, keep=3)
    assert (kept.ids.tolist(), kept.irrelevant) == ([10, 11], 1)
    assert sifted(pool(0.9, 0.8), QUERY).irrelevant == 0


def test_hubs_change_the_order_and_no_score() -> None:
    kept = sifted(pool(0.9, 0.8, 0.7), replace(QUERY, hubness=True, min_score=0.75))
    assert (kept.ids.tolist(), kept.scores.tolist()) == ([11, 10], np.array([0.8, 0.9], np.float32).tolist())


def test_collapsed_hits_know_whom_they_stand_for() -> None:
    told = replace(NOTHING, rows={10: [1, 0], 11: [0, 1], 12: [1, 0], 13: [0, 1], 14: [1, 0]})
    kept = sifted(pool(0.9, 0.8, 0.7, 0.6, 0.5), replace(QUERY, collapse=True), told)
    assert kept.ids.tolist() == [10, 11]
    assert kept.others == ((12, 14), (13,))
    assert kept.scores.tolist() == np.array([0.9, 0.8], np.float32).tolist()


def test_what_is_cut_is_no_duplicate() -> None:
    told = replace(NOTHING, rows={10: [1, 0], 11: [1, 0], 12: [1, 0]})
    kept = sifted(pool(0.9, 0.6, 0.1), replace(QUERY, collapse=True, min_score=0.5), told)
    assert kept.others == ((11,),)
    kept = sifted(pool(0.9, 0.6, 0.1), replace(QUERY, collapse=True, cutoff="auto"), told, keep=1)
    assert kept.others == ((),)


class TestDate:
    TOLD = replace(NOTHING, taken={10: "2020", 11: "2024", 13: "2024", 14: "2022"})
    POOL = pool(0.9, 0.8, 0.7, 0.6, 0.5)

    def test_the_hits_of_a_page(self) -> None:
        query = replace(QUERY, sort="date")
        assert not needs_all_candidates(query)
        assert ids(cut_page(self.POOL, query, self.TOLD, 0)) == [11, 10, 12]
        assert ids(cut_page(self.POOL, query, self.TOLD, 3)) == [13, 14]

    def test_all_that_is_relevant_where_the_query_says_what_is(self) -> None:
        query = replace(QUERY, sort="date", min_score=0.5)
        assert needs_all_candidates(query)
        assert ids(cut_page(self.POOL, query, self.TOLD, 0)) == [11, 13, 14]
        assert ids(cut_page(self.POOL, query, self.TOLD, 3)) == [10, 12]

    def test_not_with_diversity(self) -> None:
        with pytest.raises(QueryError, match="date"):
            check_query(replace(QUERY, sort="date", diversity=0.1))


class TestGroups:
    TOLD = replace(NOTHING, groups={10: "b", 11: "a", 12: "b", 13: None, 14: "b", 15: "c"})
    POOL = pool(0.9, 0.8, 0.7, 0.6, 0.5, 0.4)

    def test_in_the_order_of_their_best(self) -> None:
        shaped = cut_page(self.POOL, replace(QUERY, group_by="folder", per_group=2), self.TOLD, 0)
        assert [(one.key, one.positions) for one in shaped.groups] == [
            ("b", (0, 1)),
            ("a", (2,)),
            (None, (3,)),
        ]
        assert (ids(shaped), shaped.following) == ([10, 12, 11, 13], 3)
        assert [one.size for one in shaped.groups] == [3, 1, 1]

    def test_the_limit_counts_groups(self) -> None:
        shaped = cut_page(self.POOL, replace(QUERY, group_by="folder", per_group=2), self.TOLD, 3)
        assert ([one.key for one in shaped.groups], ids(shaped), shaped.following) == (["c"], [15], None)

    def test_by_date_within_groups(self) -> None:
        told = replace(self.TOLD, taken={10: "2001", 14: "2009", 12: "2005"})
        query = replace(QUERY, group_by="folder", per_group=2, sort="date")
        assert ids(cut_page(self.POOL, query, told, 0)) == [12, 10, 11, 13]
        relevant = replace(query, min_score=0.0)
        assert ids(cut_page(self.POOL, relevant, told, 0)) == [14, 12, 11, 13]

    @given(st.lists(st.sampled_from("abcde"), max_size=30))
    def test_every_position_is_in_one_group(self, keys: list[str]) -> None:
        groups = group_positions(keys)
        assert sorted(i for positions in groups.values() for i in positions) == [*range(len(keys))]
        firsts = [positions[0] for positions in groups.values()]
        assert firsts == sorted(firsts)
        assert all(keys[i] == key for key, positions in groups.items() for i in positions)


@given(
    st.integers(0, 40),
    st.integers(1, 9),
    st.integers(0, 2**31),
    st.sampled_from(["plain", "mmr", "date", "groups"]),
)
def test_pages_hold_every_hit_once(count: int, limit: int, seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    scores = np.sort(random.integers(0, 5, count) / 5)[::-1]
    candidates = pool(*scores)
    told = Told(
        {i: list(np.eye(4)[random.integers(4)]) for i in candidates.ids.tolist()},
        {},
        {i: str(random.integers(2000, 2005)) for i in candidates.ids.tolist() if random.random() < 0.7},
        {i: int(random.integers(6)) for i in candidates.ids.tolist()},
    )
    more: dict[str, Any] = {
        "plain": {},
        "mmr": {"diversity": 0.5},
        "date": {"sort": "date", "min_score": -1.0},
        "groups": {"group_by": "day", "per_group": 1000},
    }[kind]
    query, offset, shown = replace(QUERY, limit=limit, **more), 0, []
    while True:
        page = cut_page(candidates, query, told, offset)
        shown += ids(page)
        if page.following is None:
            break
        assert page.following > offset
        offset = page.following
    assert sorted(shown) == candidates.ids.tolist()


def test_diversity_leaves_what_is_far_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "MAX_DIVERSIFIED", 3)
    told = replace(NOTHING, rows={10: [1, 0], 11: [1, 0], 12: [0, 1], 13: [0, 1], 14: [-1, 0]})
    query = replace(QUERY, limit=5, diversity=0.9)
    assert ids(cut_page(pool(0.9, 0.8, 0.7, 0.6, 0.5), query, told, 0)) == [10, 12, 11, 13, 14]

"""Components of pairs that are complete before all candidates are compared."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.duplicates.grouping.finished_components import Component, IncrementalGroups
from imseek.duplicates.grouping.groups import group_pairs
from imseek.duplicates.results import DuplicatePair


def pair(a: int, b: int) -> DuplicatePair:
    return DuplicatePair(a, b, "same", 0.5 + 0.001 * (a * 7 % 13 + b))


def contents(components: Iterable[Component]) -> list[list[int]]:
    return sorted(sorted(one.contents) for one in components)


def test_a_component_is_complete_once_nothing_is_left_to_compare() -> None:
    found = IncrementalGroups([], [])
    found.begin([0, 2, 0, 4, 1, 3])
    found.add([pair(0, 2)], [0, 2])
    assert found.take() == []
    found.add([pair(1, 3)], [1, 3])
    assert contents(found.take()) == [[1, 3]]
    found.add([], [0, 4])
    assert contents(found.take()) == [[0, 2]]
    assert found.take() == []


def test_copies_without_candidates_are_complete_at_once() -> None:
    found = IncrementalGroups([5, 9], [])
    found.begin([9, 12])
    assert contents(found.take()) == [[5]]
    found.add([pair(9, 12)], [9, 12])
    assert contents(found.take()) == [[9, 12]]


def test_pictures_judged_the_same_wait_for_each_other() -> None:
    found = IncrementalGroups([1], [frozenset((1, 7))])
    found.begin([7, 8])
    assert found.take() == []
    found.add([], [7, 8])
    assert contents(found.take()) == [[1, 7]]


@settings(max_examples=examples(100))
@given(st.integers(2, 14), st.floats(0, 1), st.floats(0, 1), st.integers(0, 10**6))
def test_groups_of_components_are_the_groups_of_all(count: int, density: float, share: float, seed: int) -> None:
    chance = random.Random(seed)
    candidates = [both for both in combinations(range(count), 2) if chance.random() < density]
    related = {both for both in combinations(range(count), 2) if chance.random() < share}
    pairs = {both: pair(*both) for both in candidates if both in related}
    copies = {n: [n, n + 100] for n in range(count) if chance.random() < 0.3}

    def confirm(a: int, b: int) -> DuplicatePair | None:
        return pair(a, b) if (a, b) in related and (a, b) not in pairs else None

    found = IncrementalGroups(copies, [])
    found.begin(end for both in candidates for end in both)
    groups = []

    def take() -> None:
        for one in found.take():
            alike = {content: copies[content] for content in one.contents if content in copies}
            groups.extend(group_pairs(one.pairs, alike, confirm).groups)

    take()
    chance.shuffle(candidates)
    for start in range(0, len(candidates), 3):
        batch = candidates[start : start + 3]
        found.add([pairs[both] for both in batch if both in pairs], [end for both in batch for end in both])
        take()
    whole = group_pairs(pairs.values(), copies, confirm).groups
    assert sorted(groups, key=lambda group: group.members) == list(whole)

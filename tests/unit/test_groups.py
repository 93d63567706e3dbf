"""Groups of duplicates: no chains, nothing lost, whatever order the pairs come in."""

from __future__ import annotations

import random
import threading
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.duplicates.grouping.content_nodes import BESIDE
from imseek.duplicates.grouping.groups import Group, Grouping, Reach, group_pairs
from imseek.duplicates.results import Box, Difference, DuplicateKind, DuplicatePair
from imseek.progress import Task


def pair(a: int, b: int, kind: DuplicateKind = "same", confidence: float = 0.9, **facts: object) -> DuplicatePair:
    return DuplicatePair(a, b, kind, confidence, **facts)  # type: ignore[arg-type]


def nothing(a: int, b: int) -> None:
    return None


def never(a: int, b: int) -> None:
    raise AssertionError(f"asked of {a} and {b}")


def members(grouping: Grouping) -> list[tuple[int, ...]]:
    return [group.members for group in grouping.groups]


def both(a: int, b: int) -> frozenset[int]:
    return frozenset((a, b))


# -- small cases ---------------------------------------------------------------------------------------------


def test_a_chain_is_cut_at_its_weakest_link() -> None:
    weak, strong = pair(1, 2, confidence=0.8), pair(2, 3, confidence=0.95)
    found = group_pairs([weak, strong], {}, nothing)
    assert found.groups == (Group("same", (2, 3)),)
    assert [(s.pair, s.lacking, s.reason) for s in found.splits] == [(weak, (1, 3), "no pair")]


def test_a_lacking_pair_is_asked_for_once() -> None:
    asked = []

    def confirm(a: int, b: int) -> DuplicatePair:
        asked.append((a, b))
        return pair(a, b, cosine=0.5)

    found = group_pairs([pair(1, 2), pair(2, 3)], {}, confirm)
    assert (members(found), asked, found.questions) == ([(1, 2, 3)], [(1, 3)], 1)
    assert found.pair(3, 1) == pair(1, 3, cosine=0.5)


def test_copies_go_where_their_content_goes() -> None:
    copies = {2: [2, 7], 9: [8, 9], 20: [21]}
    found = group_pairs([pair(1, 7), pair(4, 5)], copies, never)
    assert found.groups == (
        Group("same", (1, 2, 7)),
        Group("same", (4, 5)),
        Group("exact", (8, 9)),
        Group("exact", (20, 21)),
    )
    assert found.pair(7, 2) == pair(2, 7, "exact", 1.0, cosine=1.0, distance=0, correlation=1.0)
    assert found.pair(2, 1) == pair(1, 2)


def test_a_pair_seen_from_a_copy_is_turned_the_other_way() -> None:
    """Image 9 has the content of image 1; beside 5, it is the second one."""
    found = group_pairs([pair(1, 5, orientation="rotated 90")], {1: [1, 9]}, never)
    assert found.pair(1, 5) == pair(1, 5, orientation="rotated 90")
    assert found.pair(5, 9) == pair(5, 9, orientation="rotated 270")
    said = pair(1, 5, orientation="rotated 90", judged=True)
    found = group_pairs([said], {1: [1, 9]}, never)
    assert found.pair(9, 5) == pair(5, 9, orientation="rotated 270", judged=True)


def test_scene_groups_are_made_of_whole_groups_of_the_same() -> None:
    """The surer pair of kind scene does not take 2 away from 1."""
    given = [pair(1, 2, confidence=0.6), pair(2, 3, "scene", 0.99), pair(1, 3, "scene", 0.7)]
    assert group_pairs(given, {}, never).groups == (Group("scene", (1, 2, 3)),)
    found = group_pairs(given[:2], {}, nothing)
    assert found.groups == (Group("same", (1, 2)),)
    assert [(s.pair, s.lacking, s.reason) for s in found.splits] == [(given[1], (1, 3), "no pair")]


def test_a_scene_does_not_stand_in_for_the_same() -> None:
    given = [pair(1, 2), pair(2, 3)]
    found = group_pairs(given, {}, lambda a, b: pair(a, b, "scene"))
    assert found.groups == (Group("same", (1, 2)),), "nobody has asked for scenes"
    found = group_pairs([*given, pair(4, 5, "scene")], {}, lambda a, b: pair(a, b, "scene"))
    assert found.groups == (Group("scene", (1, 2, 3)), Group("scene", (4, 5)))


def test_pictures_inside_others_are_pairs_beside_the_groups() -> None:
    tiles = [pair(1, 9, "inside"), pair(2, 9, "inside", 0.8), pair(3, 9, "inside", 0.7)]
    found = group_pairs([*tiles, pair(2, 3)], {9: [9, 10]}, never)
    assert found.groups == (
        Group("same", (2, 3)),
        Group("exact", (9, 10)),
        Group("inside", (1, 9)),
        Group("inside", (2, 9)),
    )
    assert [(s.pair, s.lacking, s.reason) for s in found.splits] == [(tiles[2], (2, 9), "shown")]
    assert group_pairs([tiles[0]], {}, never, [both(1, 9)]).groups == ()


def test_a_picture_inside_another_is_asked_about_before_they_are_apart() -> None:
    given = [pair(1, 2), pair(2, 3), pair(1, 3, "inside", 0.96)]
    found = group_pairs(given, {}, lambda a, b: pair(a, b))
    assert found.groups == (Group("same", (1, 2, 3)),)
    found = group_pairs(given, {}, nothing)
    assert found.groups == (Group("same", (1, 2)), Group("inside", (1, 3)))


def test_no_scene_joins_what_is_only_inside() -> None:
    given = [pair(1, 2, "scene"), pair(2, 3, "scene", 0.8), pair(1, 3, "inside", 0.75)]
    found = group_pairs(given, {}, nothing)
    assert found.groups == (Group("scene", (1, 2)), Group("inside", (1, 3)))


def test_edited_pictures_are_shown_beside_the_groups() -> None:
    """Three of which each two are edited copies are one group; a fourth that is one of a single picture is another."""
    edits = [pair(1, 2, "edited"), pair(2, 3, "edited", 0.8), pair(1, 3, "edited", 0.7), pair(3, 5, "edited", 0.6)]
    found = group_pairs(edits, {}, never)
    assert found.groups == (Group("edited", (1, 2, 3)), Group("edited", (3, 5)))
    assert found.splits[-1].reason == "shown"
    assert found.pair(1, 3) == edits[2]
    assert group_pairs(edits[:1], {}, never, [both(1, 2)]).groups == ()


def test_between_two_groups_one_edited_pair_is_shown() -> None:
    given = [pair(1, 2), pair(8, 9), pair(1, 8, "edited", 0.9), pair(2, 8, "edited", 0.8), pair(2, 9, "inside", 0.99)]
    found = group_pairs(given, {}, nothing)
    assert found.groups == (Group("same", (1, 2)), Group("same", (8, 9)), Group("edited", (1, 8)))
    assert [(s.pair, s.lacking, s.reason) for s in found.splits] == [
        (given[3], (1, 8), "shown"),
        (given[4], (1, 8), "shown"),
    ]


def test_a_pair_seen_from_a_copy_has_its_places_the_other_way() -> None:
    here, there = Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.6, 0.1, 0.1)
    found = group_pairs([pair(1, 5, "edited", differences=(Difference(here, there),))], {1: [1, 9]}, never)
    seen = found.pair(5, 9)
    assert seen is not None
    assert seen.differences == (Difference(there, here),)


# -- judgements ----------------------------------------------------------------------------------------------


def test_what_was_called_different_is_apart_also_through_a_third() -> None:
    given = [pair(1, 2, confidence=0.99), pair(2, 3), pair(1, 3)]
    found = group_pairs(given, {3: [3, 30]}, never, [both(30, 1)])
    assert found.groups == (Group("same", (1, 2)), Group("exact", (3, 30)))
    assert {(s.pair, s.lacking, s.reason) for s in found.splits} == {
        (given[1], (1, 3), "different"),
        (given[2], (1, 3), "different"),
    }


def test_what_was_called_the_same_is_like_whatever_one_of_them_is_like() -> None:
    """A person has joined 1 and 2: that must not break up 2 and 3."""
    given = [
        pair(1, 2, confidence=1.0, judged=True),
        pair(2, 3),
        pair(4, 5, judged=True),
        pair(5, 6, judged=True),
    ]
    found = group_pairs(given, {}, never)
    assert found.groups == (Group("same", (1, 2, 3)), Group("same", (4, 5, 6)))
    assert found.pair(1, 2) == given[0]
    assert found.pair(6, 4) == pair(4, 6, confidence=1.0, judged=True)
    assert found.pair(1, 3) == pair(1, 3)


def test_of_a_contradiction_the_difference_holds() -> None:
    given = [pair(1, 2, judged=True), pair(2, 3, judged=True), pair(4, 5)]
    found = group_pairs(given, {}, never, [both(1, 3)])
    assert members(found) == [(1, 2), (4, 5)]
    assert [(s.pair, s.reason) for s in found.splits] == [(given[1], "different")]


def test_the_same_bytes_cannot_be_different() -> None:
    assert members(group_pairs([], {1: [1, 2]}, never, [both(1, 2)])) == [(1, 2)]


def test_what_was_called_the_same_may_have_an_edited_and_a_looser_pair_with_a_third() -> None:
    given = [pair(1, 2, confidence=1.0, judged=True), pair(1, 3, "edited"), pair(2, 3, "scene")]
    found = group_pairs(given, {}, never)
    assert found.groups == (Group("same", (1, 2)), Group("edited", (1, 3)))
    assert [(s.pair, s.lacking, s.reason) for s in found.splits] == [(given[2], (1, 3), "shown")]


# -- properties ----------------------------------------------------------------------------------------------

IMAGES = 12


@st.composite
def cases(
    draw: st.DrawFn,
) -> tuple[list[DuplicatePair], dict[int, list[int]], dict[object, str], list[frozenset[int]]]:
    """Pairs, copies, what a callback would say of others, judgements. Contents are 0 … 11, copies 100 …"""
    ids = st.integers(0, IMAGES - 1)
    ends = st.tuples(ids, ids).filter(lambda two: two[0] < two[1])
    copies = {
        i: [i, *(100 + 10 * i + n for n in range(count))]
        for i, count in draw(st.dictionaries(ids, st.integers(1, 2), max_size=3)).items()
    }
    chosen = draw(st.lists(ends, max_size=30, unique=True))
    given = []
    for a, b in chosen:
        kind: DuplicateKind = draw(st.sampled_from(["same", "same", "scene", "inside", "edited"]))
        judged = kind == "same" and draw(st.integers(0, 9)) == 0
        given.append(pair(a, b, kind, draw(st.sampled_from([0.7, 0.8, 0.9])), judged=judged))
    others = {
        both(a, b): draw(st.sampled_from(["same", "scene", "edited", ""]))
        for a, b in draw(st.lists(ends, max_size=40, unique=True))
    }
    different = [both(a, b) for a, b in draw(st.lists(ends, max_size=4, unique=True))]
    return given, copies, others, different


def confirming(others: dict[object, str], asked: list[frozenset[int]]) -> object:
    def confirm(a: int, b: int) -> DuplicatePair | None:
        assert a < b
        assert both(a, b) not in asked, "asked twice"
        asked.append(both(a, b))
        kind = others.get(both(a, b))
        return pair(a, b, kind, 0.75) if kind else None  # type: ignore[arg-type]

    return confirm


@pytest.mark.slow
@settings(max_examples=examples(300))
@given_by(cases(), st.randoms(use_true_random=False), st.sampled_from([0, 1, 64]))
def test_what_is_promised(case, chance, ask) -> None:  # type: ignore[no-untyped-def]
    given, copies, others, different = case
    asked: list[frozenset[int]] = []
    found = group_pairs(given, copies, confirming(others, asked), different, ask=ask)  # type: ignore[arg-type]

    # Whatever the order.
    again = list(given)
    chance.shuffle(again)
    turned = {images[-1]: images[::-1] for _, images in sorted(copies.items(), reverse=True)}
    other = group_pairs(again, turned, confirming(others, []), different[::-1], ask=ask)  # type: ignore[arg-type]
    assert (other.groups, other.splits, other.questions) == (found.groups, found.splits, found.questions)

    content = {i: one for one, images in copies.items() for i in images}
    disjoint = [group for group in found.groups if group.kind not in BESIDE]
    everyone = [i for group in disjoint for i in group.members]
    assert len(everyone) == len(set(everyone)), "an image is in one group"
    for images in copies.values():
        assert sum(set(images) <= set(group.members) for group in disjoint) == 1
    told = {both(p.a, p.b): p for p in given}
    linking = {ends: p for ends, p in told.items() if p.kind != "inside"}
    same = _closure([(p.a, p.b) for p in given if p.judged])
    for group in found.groups:
        contents = sorted({content.get(i, i) for i in group.members})
        for a, b in combinations(contents, 2):
            assert both(a, b) not in different
            # Of those that a person has called the same, one speaks for all.
            alike = [both(x, y) for x, y in product(same.get(a, {a}), same.get(b, {b})) if x != y]
            kinds = {told[t].kind for t in alike if t in (told if group.kind in BESIDE else linking)} | {
                others[t] for t in alike if t in asked and others.get(t)
            }  # type: ignore[index]
            assert kinds or b in same.get(a, ()), f"{a} and {b} are no pair"
            if group.kind == "same" and b not in same.get(a, ()):
                assert "same" in kinds
        if len(contents) == 1:
            assert group.kind == "exact"
    # Nobody was asked what is known.
    assert not set(asked) & (linking.keys() | set(different))

    # Nothing is lost.
    group_of = {i: n for n, group in enumerate(disjoint) for i in group.members}
    split = {both(s.pair.a, s.pair.b): s for s in found.splits}
    for ends, p in told.items():
        if ends in split:
            lack, reason = both(*split[ends].lacking), split[ends].reason
            if reason == "different":
                assert lack in different
            elif reason == "no pair":
                assert lack not in told or told[lack].kind != "same"
                assert lack in asked or lack in told
            elif reason == "shown":
                assert any(lack <= set(group.members) for group in found.groups if group.kind in BESIDE)
            else:
                assert reason == "too many"
                assert lack not in linking
                assert ask < 64
        elif p.kind in BESIDE and any({p.a, p.b} <= set(group.members) for group in found.groups):
            continue
        else:
            assert group_of[p.a] == group_of[p.b]


def _closure(links: list[tuple[int, int]]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for a, b in links:
        joined = found.get(a, {a}) | found.get(b, {b})
        found.update(dict.fromkeys(joined, joined))
    return found


@pytest.mark.slow
@settings(max_examples=examples(150))
@given_by(cases())
def test_it_is_complete_linkage(case) -> None:  # type: ignore[no-untyped-def]
    """As the plain way to do it: each two groups compared whenever a pair comes, nothing remembered."""
    given, _, others, different = case
    told = {both(p.a, p.b): p.kind for p in given if p.kind != "inside"}
    known = told | {ends: kind for ends, kind in others.items() if kind and ends not in told}
    plain = [p for p in given if p.kind not in BESIDE and not p.judged]
    groups = {i: {i} for i in range(IMAGES)}
    for loose in (False, True):
        wanted = {"same", "scene", *BESIDE} if loose else {"same"}
        if loose and not any(p.kind == "scene" for p in plain):
            break
        for p in sorted(plain, key=lambda p: (p.kind, -p.confidence, p.a, p.b)):
            one, other = groups[p.a], groups[p.b]
            cross = [both(a, b) for a, b in product(one, other)]
            if p.kind in wanted and all(known.get(ends) in wanted and ends not in different for ends in cross):
                groups.update(dict.fromkeys(one | other, one | other))
    unjudged = [p for p in given if not p.judged]
    told_unjudged = {both(p.a, p.b) for p in unjudged if p.kind != "inside"}
    others = {ends: kind for ends, kind in (told | others).items() if ends not in told_unjudged}
    found = group_pairs(unjudged, {}, confirming(others, []), different)  # type: ignore[arg-type]
    expected = sorted({tuple(sorted(group)) for group in groups.values() if len(group) > 1})
    assert [group.members for group in found.groups if group.kind not in BESIDE] == expected


# -- large groups --------------------------------------------------------------------------------------------

MOST, LEAST = 16, 0.9


def test_in_large_groups_nearness_stands_in_for_questions() -> None:
    """Hashes and vectors around five centres, few pairs given: each two of a group are within the limits all the same,
    though only a small part was looked at."""
    chance = np.random.default_rng(5)
    count = 600
    centre = np.arange(count) % 5
    flips = chance.random((count, 64)) < chance.choice([0.02, 0.06, 0.2], size=(count, 1), p=[0.6, 0.3, 0.1])
    bits = (chance.random((5, 64)) < 0.5)[centre] ^ flips
    vectors = chance.normal(size=(5, 64))[centre] + chance.normal(size=(count, 64)) * chance.choice(
        [0.1, 0.3], (count, 1)
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def confirm(a: int, b: int) -> DuplicatePair | None:
        apart, cosine = int((bits[a] ^ bits[b]).sum()), float(vectors[a] @ vectors[b])
        return (
            pair(a, b, confidence=cosine, cosine=cosine, distance=apart) if apart <= MOST and cosine >= LEAST else None
        )

    ends = {tuple(sorted(chance.choice(count, 2, replace=False).tolist())) for _ in range(6 * count)}
    given = [found for a, b in sorted(ends) if (found := confirm(a, b))]
    # Of each centre one that most are near to, as a search would find.
    given += [found for hub in range(5) for i in range(5, count) if (found := confirm(hub, i)) and (hub, i) not in ends]
    found = group_pairs(given, {}, confirm, reach={"same": Reach(MOST, LEAST)}, ask=8)
    groups = [np.array(group.members) for group in found.groups]
    assert max(map(len, groups)) > 40
    looked_at = 0
    for group in groups:
        for a, b in combinations(group.tolist(), 2):
            assert confirm(a, b), f"{a} and {b}"
            related = found.pair(a, b)
            looked_at += related is not None and related.cosine is not None
    assert looked_at < 0.75 * sum(len(group) * (len(group) - 1) / 2 for group in groups)
    assert found.questions < 8 * count


@pytest.mark.slow
def test_a_hundred_thousand_of_one_are_a_group_after_few_questions() -> None:
    """All are pairs of the first, as a search puts equal hashes together."""

    def confirm(a: int, b: int) -> DuplicatePair:
        return pair(a, b, cosine=0.99, distance=2)

    given = [confirm(0, i) for i in range(1, 20_001)]
    found = group_pairs(given, {}, confirm, reach={"same": Reach(MOST, LEAST)})
    assert members(found) == [tuple(range(20_001))]
    assert found.questions == 64 * 65 // 2, "all cross pairs, until there are more than sixty-four to ask for"
    # A member that lies further out is not taken for near.
    outer = pair(0, 20_001, confidence=0.5, cosine=0.91, distance=14)
    found = group_pairs([*given, outer], {}, confirm, reach={"same": Reach(MOST, LEAST)})
    assert members(found) == [tuple(range(20_001))]
    assert [(s.pair, s.reason) for s in found.splits] == [(outer, "too many")]


def test_without_a_reach_nobody_is_taken_for_near() -> None:
    given = [pair(0, i, cosine=0.99, distance=0) for i in range(1, 200)]
    found = group_pairs(given, {}, lambda a, b: pair(a, b))
    assert members(found) == [tuple(range(66))]
    assert {s.reason for s in found.splits} == {"too many"}
    assert len(found.splits) == 199 - 65


@pytest.mark.parametrize(
    ("facts", "near"),
    [
        ({"distance": 8, "cosine": 0.98}, True),
        ({"distance": 9, "cosine": 0.98}, False),
        ({"distance": 8, "cosine": 0.97}, False),  # cos(arccos(0.9) / 2) = 0.9747
        ({"distance": 8}, False),
        ({"cosine": 0.98}, False),
    ],
)
def test_reach_is_half_of_the_distance_and_of_the_angle(facts: dict[str, float], near: bool) -> None:
    assert Reach(MOST, LEAST).holds(pair(1, 2, **facts)) is near


def test_a_chain_of_a_thousand_is_no_group() -> None:
    """Each is like its neighbours and those next to them, as in a slow pan."""

    def confirm(a: int, b: int) -> DuplicatePair | None:
        return pair(a, b, cosine=0.95, distance=5 * (b - a)) if b - a <= 2 else None

    given = [pair(i, i + 1, cosine=0.95, distance=5) for i in range(1000)]
    chance = random.Random(3)
    chance.shuffle(given)
    found = group_pairs(given, {}, confirm, reach={"same": Reach(MOST, LEAST)})
    assert all(group.members[-1] - group.members[0] <= 2 for group in found.groups)
    assert sum(len(group.members) for group in found.groups) >= 999


@settings(max_examples=examples(200))
@given_by(
    st.lists(st.integers(0, 2**12 - 1), min_size=2, max_size=24, unique=True),
    st.sampled_from([0, 1, 2, 5]),
    st.integers(0, 2**32 - 1),
)
def test_whatever_follows_from_a_third_is_true(codes: list[int], ask: int, seed: int) -> None:
    """Images are codes of 12 bits, pairs those within 4; few are given, and hardly any may be asked for."""

    def confirm(a: int, b: int) -> DuplicatePair | None:
        apart = (codes[a] ^ codes[b]).bit_count()
        return pair(a, b, confidence=1 - apart / 20, distance=apart, cosine=1.0) if apart <= 4 else None

    chance = random.Random(seed)
    ends = [two for two in combinations(range(len(codes)), 2) if chance.random() < 0.4]
    given = [found for a, b in ends if (found := confirm(a, b))]
    found = group_pairs(given, {}, confirm, reach={"same": Reach(distance=4, cosine=0.5)}, ask=ask)
    for group in found.groups:
        for a, b in combinations(group.members, 2):
            assert (codes[a] ^ codes[b]).bit_count() <= 4
            related = found.pair(a, b)
            assert related is not None
            assert (related.a, related.b, related.kind) == (a, b, "same")


def test_of_two_that_nobody_compared_it_is_said_what_follows() -> None:
    given = [pair(0, i, confidence=0.9 if i > 1 else 0.8, cosine=0.99, distance=0) for i in range(1, 9)]
    found = group_pairs(given, {}, never, reach={"same": Reach(MOST, LEAST)}, ask=0)
    assert members(found) == [tuple(range(9))]
    follows = found.pair(1, 8)
    assert follows is not None
    assert follows == pair(1, 8, confidence=pytest.approx(0.7))  # type: ignore[arg-type]
    assert found.pair(0, 8) == given[-1]
    assert found.pair(1, 99) is None
    assert found.pair(98, 99) is None


def test_stopped_it_asks_no_more_and_keeps_what_it_has() -> None:
    stop = threading.Event()
    told = []

    def confirm(a: int, b: int) -> DuplicatePair:
        stop.set()
        return pair(a, b)

    given = [pair(1, 2), pair(2, 3), pair(3, 4), pair(7, 8)]
    found = group_pairs(given, {}, confirm, task=Task(lambda now: told.append((now.done, now.total)), stop))
    assert (members(found), found.questions, found.interrupted) == ([(1, 2, 3), (7, 8)], 1, True)
    assert told == [(0, 4)]
    assert group_pairs(given, {}, nothing).interrupted is False

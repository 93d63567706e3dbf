"""Decisions about groups of duplicates, without a page."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from imseek.duplicates.results import Duplicate, DuplicateGroup, DuplicateKind, DuplicatePair, DuplicateReport
from imseek.types.pictures import Place
from imseek.ui.web.pages.duplicates import group_data
from imseek.ui.web.pages.duplicates.decisions import (
    CHOSEN,
    Act,
    Key,
    State,
    apply_decisions,
    decide,
    from_json,
    key_of,
    next_open,
    remaining_group,
    states,
    tally,
    to_json,
    token,
)

pytestmark = pytest.mark.slow

UUID = "0123456789abcdef"


def image(n: int, content: str | None = None, *, protected: bool = False, size: int = 100) -> Duplicate:
    digits = (content or f"{n:x}") * 64
    place = Place(1, f"/photos/{n}.jpg".encode(), f"file:///photos/{n}.jpg")
    return Duplicate(UUID, n, place, digits[:64], 40, 30, size + n, "JPEG", protected=protected)


def group(*members: Duplicate, kind: DuplicateKind = "same") -> DuplicateGroup:
    return DuplicateGroup(kind, members, "most pixels")


def report(*groups: DuplicateGroup) -> DuplicateReport:
    return DuplicateReport(UUID, 1, 9, groups)


def pair(a: str, b: str) -> tuple[str, str]:
    return a * 64, b * 64


def tokens(*ids: int) -> list[str]:
    return [token(image(n)) for n in ids]


def theirs(n: int) -> Duplicate:
    """An image of another collection."""
    return replace(image(n), collection="fedcba9876543210")


THREE = group(image(1), image(2), image(3))
COPIES = group(image(4, "c"), image(5, "c"), kind="exact")
INSIDE = group(image(6), image(7), kind="inside")
SCENE = group(image(8), image(9), kind="scene")
EDITED = replace(group(image(10), image(11), kind="edited"), edited_stay=True)


class TestDecide:
    def test_keeping_one_says_that_each_two_are_the_same(self) -> None:
        said = decide(THREE, State(), "keep", tokens(2))
        assert said.verdicts == {pair("1", "2"): "same", pair("1", "3"): "same", pair("2", "3"): "same"}
        assert said.images == (f"{UUID[:8]}:2:{'2' * 16}",)
        assert said.before is None

    @pytest.mark.parametrize("of", [COPIES, SCENE])
    def test_copies_and_scenes_need_no_judgement(self, of: DuplicateGroup) -> None:
        assert decide(of, State(), "keep", [token(of.keeper)]).verdicts == {}

    def test_no_duplicates(self) -> None:
        assert decide(THREE, State(), "different", tokens(2)).verdicts == {
            pair("1", "2"): "different",
            pair("1", "3"): "different",
            pair("2", "3"): "different",
        }
        assert decide(COPIES, State(), "different", []).verdicts == {}

    def test_one_that_does_not_belong_takes_its_copies_with_it(self) -> None:
        of = group(image(1), image(2, "a"), image(3, "a"), image(4))
        said = decide(of, State(), "apart", [token(of.members[2])])
        assert said.verdicts == {pair("1", "a"): "different", pair("4", "a"): "different"}
        left = remaining_group(of, states([said])[key_of(of)])
        assert [member.image_id for member in left.members] == [1, 4]
        assert left.reason == "most pixels"

    def test_without_its_keeper_a_group_has_the_next_one(self) -> None:
        left = remaining_group(THREE, states([decide(THREE, State(), "apart", tokens(1))])[key_of(THREE)])
        assert [member.image_id for member in left.members] == [2, 3]
        assert left.reason != "most pixels"

    @pytest.mark.parametrize(
        ("of", "act", "images", "why"),
        [
            (THREE, "keep", [], "could be kept"),
            (THREE, "keep", tokens(99), "could be kept"),
            (INSIDE, "keep", tokens(6), "could be kept"),
            (THREE, "apart", [], "nothing is left"),
            (THREE, "apart", tokens(1, 2, 3), "nothing is left"),
            (COPIES, "apart", [token(COPIES.keeper)], "same bytes"),
        ],
    )
    def test_what_makes_no_decision(self, of: DuplicateGroup, act: Act, images: list[str], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            decide(of, State(), act, images)


class TestOrder:
    def test_the_last_decision_holds(self) -> None:
        said = [decide(THREE, State(), "later", []), decide(THREE, State(), "keep", tokens(3))]
        assert states(said)[key_of(THREE)].act == "keep"
        assert states(said[:1])[key_of(THREE)].act == "later"

    def test_those_for_later_come_last(self) -> None:
        groups = [THREE, COPIES, SCENE]
        decided: dict[Key, State] = {}
        assert next_open(groups, decided, 1) == 1
        decided[key_of(COPIES)] = State("later")
        assert next_open(groups, decided, 1) == 2
        decided[key_of(SCENE)] = State("different")
        assert next_open(groups, decided, 2) == 0
        decided[key_of(THREE)] = State("keep", (THREE.keeper.content_hash,))
        assert next_open(groups, decided, 0) == 1
        decided[key_of(COPIES)] = State("different")
        assert next_open(groups, decided, 0) is None

    def test_another_content_is_another_question(self) -> None:
        decided = states([decide(THREE, State(), "different", [])])
        changed = group(image(1), image(2), image(3, "f"))
        assert next_open([changed], decided, 0) == 0

    def test_what_is_written_is_read(self) -> None:
        said = [decide(THREE, State(), "keep", tokens(1)), decide(COPIES, State(), "later", [])]
        said[0].before = {pair("1", "2"): "different", pair("1", "3"): None}
        assert from_json(json.loads(json.dumps(to_json(said)))) == said

    @pytest.mark.parametrize(
        "stored",
        [
            [{}],
            [{"group": [], "act": "delete", "images": [], "wanted": [], "before": None}],
            [{"group": [], "act": "keep", "images": [], "wanted": [["a", "b", "equal"]], "before": None}],
            7,
        ],
    )
    def test_what_was_not_written_is_refused(self, stored: object) -> None:
        with pytest.raises((ValueError, KeyError, TypeError)):
            from_json(stored)


class TestChosen:
    def test_only_what_was_decided(self) -> None:
        decided = states([decide(THREE, State(), "keep", tokens(2)), decide(COPIES, State(), "different", [])])
        (made,) = apply_decisions(report(THREE, COPIES, SCENE), decided).groups
        assert [member.image_id for member in made.members] == [2, 1, 3]
        assert made.reason == CHOSEN

    def test_of_several_that_stay_none_goes(self) -> None:
        decided = states([decide(THREE, State(), "keep", tokens(1, 3))])
        (made,) = apply_decisions(report(THREE), decided).groups
        assert [member.image_id for member in made.members] == [1, 2]

    def test_where_all_stay_there_is_nothing_to_do(self) -> None:
        assert apply_decisions(report(THREE), states([decide(THREE, State(), "keep", tokens(1, 2, 3))])).groups == ()

    def test_suggestions_are_taken_by_kind_but_for_later_and_parts(self) -> None:
        decided = states([decide(SCENE, State(), "later", [])])
        made = apply_decisions(report(COPIES, THREE, INSIDE, SCENE), decided, ("exact", "inside", "scene"))
        assert made.groups == (COPIES,)

    def test_edited_pictures_go_only_where_one_says_so(self) -> None:
        assert EDITED.surplus == ()
        assert tally(report(EDITED), {}).surplus == 0
        assert apply_decisions(report(EDITED), {}, ("exact", "same")).groups == ()
        (by_kind,) = apply_decisions(report(EDITED), {}, ("edited",)).groups
        said = decide(EDITED, State(), "keep", [token(EDITED.keeper)])
        (by_hand,) = apply_decisions(report(EDITED), states([said])).groups
        assert [one.image_id for one in by_kind.surplus] == [one.image_id for one in by_hand.surplus] == [11]
        assert said.verdicts == {}, "edited pictures are not the same because one is enough"

    def test_suggestions_that_are_hardly_sure_wait_for_a_decision(self) -> None:
        sure, unsure = (replace(image(n), pair=DuplicatePair(1, n, "same", said)) for n, said in ((2, 0.95), (3, 0.79)))
        of = group(image(1), sure, unsure)
        (made,) = apply_decisions(report(of), {}, ("same",)).groups
        assert made.others == (sure,)
        assert apply_decisions(report(group(image(1), unsure)), {}, ("same",)).groups == ()
        (made,) = apply_decisions(report(of), states([decide(of, State(), "keep", tokens(1))])).groups
        assert made.others == (sure, unsure)

    def test_what_another_collection_has_stays_whatever_is_kept(self) -> None:
        of = group(theirs(1), image(1, "a"), image(2, "a"))
        (made,) = apply_decisions(report(of), states([decide(of, State(), "keep", [token(of.keeper)])])).groups
        assert [(one.collection == UUID, one.image_id) for one in made.members] == [
            (False, 1),
            (True, 1),
            (True, 2),
        ]
        (made,) = apply_decisions(report(of), states([decide(of, State(), "keep", [token(of.members[1])])])).groups
        assert made.keeper == of.keeper
        assert [one.image_id for one in made.others] == [2]
        with pytest.raises(ValueError, match="nothing is left"):
            decide(of, State(), "apart", [token(of.keeper)])

    def test_tally(self) -> None:
        decided = states([decide(THREE, State(), "keep", tokens(2)), decide(SCENE, State(), "later", [])])
        found = tally(report(COPIES, THREE, SCENE), decided)
        assert (found.groups, found.settled, found.later, found.left) == (3, 1, 1, 1)
        assert (found.surplus, found.bytes) == (2, 101 + 103)


class TestShown:
    def test_what_differs_from_the_suggested_one_is_told(self) -> None:
        of = group(image(1, size=100), image(2, size=5000))
        first, second = group_data.group_data({UUID: "photos"}.get, of, State())
        assert not any(fact["differs"] for fact in first["facts"])
        assert [fact["name"] for fact in second["facts"] if fact["differs"]] == ["size", "name"]
        assert (first["mark"], second["mark"]) == ("suggested", "")
        assert first["whole"] == "/pictures/photos/images/1"

    def test_pictures_of_two_collections_say_which(self) -> None:
        found = group_data.group_data(
            {UUID: "card", "fedcba9876543210": "disk"}.get, group(theirs(1), image(1)), State()
        )
        assert [one["facts"][-1]["value"] for one in found] == ["disk", "card"]
        assert [one["src"].split("/")[2] for one in found] == ["disk", "card"]
        assert [one["id"] for one in found] == [0, 1]

    def test_what_is_protected_says_so_and_of_parts_none_is_suggested(self) -> None:
        of = group(image(1), image(2, protected=True))
        assert [one["mark"] for one in group_data.group_data({}.get, of, State())] == [
            "suggested",
            "protected",
        ]
        assert [one["mark"] for one in group_data.group_data({}.get, INSIDE, State())] == ["", ""]

    def test_what_was_decided_is_shown(self) -> None:
        state = states([decide(THREE, State(), "keep", tokens(2))])[key_of(THREE)]
        assert [one["mark"] for one in group_data.group_data({}.get, THREE, state)] == ["", "stays", ""]
        assert group_data.describe_decision(THREE, state) == "Keep 2.jpg"

    @pytest.mark.parametrize(
        ("turn", "ids", "matrix"),
        [
            ("", (1, 2), None),
            ("rotated 90", (1, 2), (0, -1, 1, 0)),  # Back: 270.
            ("rotated 90", (2, 1), (0, 1, -1, 0)),
            ("mirrored", (1, 2), (-1, 0, 0, 1)),
        ],
    )
    def test_turned_pictures_are_turned_back(
        self, turn: str, ids: tuple[int, int], matrix: tuple[int, ...] | None
    ) -> None:
        kept, other = map(image, ids)
        found = DuplicatePair(1, 2, "same", 0.9, orientation=turn)
        other = Duplicate(*(getattr(other, name) for name in other.__slots__[:9]), pair=found)
        assert group_data.group_data({}.get, group(kept, other), State())[1]["turn"] == matrix

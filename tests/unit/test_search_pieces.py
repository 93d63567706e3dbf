"""The box, the chips, and what each change of them asks for."""

from __future__ import annotations

import pytest

from imseek.errors import QueryError
from imseek.ui.web.asked import Asked, Part
from imseek.ui.web.components.chips import Chip
from imseek.ui.web.pages.search import pieces

pytestmark = pytest.mark.slow

DOG, BEACH = Part("words", "a dog"), Part("words", "beach", 2.0)
SNOW, CAT = Part("words", "snow", 1.0, True), Part("image", "5")


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [
        ((), "a dog", (DOG,)),
        ((DOG,), "2:beach", (BEACH,)),
        ((CAT, DOG, SNOW), "2:beach", (CAT, BEACH, SNOW)),
        ((CAT,), "a dog", (DOG, CAT)),
        ((DOG, SNOW), "", (SNOW,)),
        ((CAT,), " ", (CAT,)),
        ((DOG,), "-snow", (DOG, SNOW)),
        ((DOG,), "id:5", (DOG, CAT)),
        ((DOG, BEACH), "beach", (Part("words", "beach"),)),
    ],
)
def test_enter_in_the_box(before: tuple[Part, ...], text: str, after: tuple[Part, ...]) -> None:
    asked = Asked(before, where=("year > 2020",), page="abc")
    found = pieces.submitted(asked, text)
    assert found.parts == after
    assert found.where == ("year > 2020",)
    assert found.page is None or found == asked


def test_what_stands_in_the_box_is_typed_again() -> None:
    assert pieces.in_box(Asked()) == ""
    for part in (DOG, BEACH, Part("words", "16:9"), Part("words", "-1:x", 3.0)):
        asked = Asked((CAT, SNOW, part))
        assert pieces.boxed(asked) == 2
        if not part.what.startswith("-"):
            assert pieces.submitted(asked, pieces.in_box(asked)) == asked


def test_more_words() -> None:
    assert pieces.added(Asked((DOG,)), "2:beach", unwanted=False).parts == (DOG, BEACH)
    assert pieces.added(Asked((DOG,)), "snow", unwanted=True).parts == (DOG, SNOW)
    assert pieces.added(Asked((DOG,)), " ", unwanted=True).parts == (DOG,)
    with pytest.raises(QueryError):
        pieces.added(Asked((DOG,)), "0:snow", unwanted=True)


def test_chips_say_what_is_asked() -> None:
    stored = {5: pieces.Picture("cat.png", "/5"), 7: pieces.Picture("seven.png", "/7")}
    assert pieces.chips(Asked((DOG,)), stored, str.upper) == ()
    mine = Part("upload", "0a" * 32)
    shown = pieces.chips(Asked((DOG, SNOW, CAT, mine), ("format IN ('PNG')",), (7,), (9,)), stored, str.upper)
    assert [(one.id, one.says, one.text, one.src, one.tone, one.weight) for one in shown] == [
        ("part-0", "find", "a dog", "", "", 1.0),
        ("part-1", "not", "snow", "", "unwanted", 1.0),
        ("part-2", "like", "cat.png", "/5", "", 1.0),
        ("part-3", "like", "your picture", "0A" * 32, "", 1.0),
        ("more-7", "more like", "seven.png", "/7", "", None),
        ("less-9", "less like", "picture 9, which is not here", "", "unwanted", None),
        ("where-0", "only", "format: PNG", "", "", None),
    ]
    (alone,) = pieces.chips(Asked((BEACH,)), stored, str.upper)
    assert isinstance(alone, Chip)
    assert (alone.text, alone.weight) == ("beach", None)


ALL = Asked((DOG, SNOW), ("a > 1", "b > 2"), (7,), (9,), page="abc")


@pytest.mark.parametrize(
    ("chip", "what", "value", "after"),
    [
        ("part-0", "weight", 2, ALL.but(parts=(Part("words", "a dog", 2.0), SNOW))),
        ("part-1", "flip", None, ALL.but(parts=(DOG, Part("words", "snow")))),
        ("part-1", "remove", None, ALL.but(parts=(DOG,))),
        ("where-1", "remove", None, ALL.but(where=("a > 1",))),
        ("more-7", "remove", None, ALL.but(more=())),
        ("more-7", "flip", None, ALL.but(more=(), less=(9, 7))),
        ("less-9", "remove", None, ALL.but(less=())),
        ("less-9", "flip", None, ALL.but(more=(7, 9), less=())),
        ("part-5", "remove", None, ALL),
        ("part-0", "weight", float("nan"), ALL),
        ("part-0", "weight", "2", ALL),
        ("where-1", "flip", None, ALL),
        ("more-8", "remove", None, ALL),
        ("nonsense", "remove", None, ALL),
    ],
)
def test_a_chip_is_changed(chip: str, what: str, value: object, after: Asked) -> None:
    assert pieces.changed(ALL, chip, what, value) == after


def test_searches_that_differ_in_options_alone_have_names_of_their_own() -> None:
    plain = Asked((Part("words", "a rocket"),))
    assert pieces.named(plain) == "a rocket"
    assert pieces.named(plain.but(collapse=True, cutoff=False)) == (
        "a rocket · less relevant too · near-duplicates as one"
    )

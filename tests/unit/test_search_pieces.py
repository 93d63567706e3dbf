"""The box, the chips, and what each change of them asks for."""

from __future__ import annotations

import pytest

from imseek.errors import QueryError
from imseek.ui.web.components.chips import Chip
from imseek.ui.web.pages.search import query_chip_data
from imseek.ui.web.search_state import MAX_FEEDBACK, QueryPart, SearchState

pytestmark = pytest.mark.slow

DOG, BEACH = QueryPart("words", "a dog"), QueryPart("words", "beach", 2.0)
SNOW, CAT = QueryPart("words", "snow", 1.0, True), QueryPart("image", "5")


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
        ((DOG, BEACH), "beach", (QueryPart("words", "beach"),)),
    ],
)
def test_enter_in_the_box(before: tuple[QueryPart, ...], text: str, after: tuple[QueryPart, ...]) -> None:
    asked = SearchState(before, where=("year > 2020",), page="abc")
    found = query_chip_data.submit_text(asked, text)
    assert found.parts == after
    assert found.where == ("year > 2020",)
    assert found.page is None or found == asked


def test_a_tag_in_the_box_is_a_filter() -> None:
    asked = SearchState((DOG,), where=("year > 2020", "tag('a')"), page="abc")
    found = query_chip_data.submit_text(asked, " tag: it's best ")
    assert (found.parts, found.where, found.page) == ((DOG,), ("year > 2020", "tag('it''s best')"), None)
    assert query_chip_data.submit_text(SearchState(), "tag:").parts == (QueryPart("words", "tag:"),)


@pytest.mark.parametrize(
    ("text", "parts", "where"),
    [
        ("folder: old trips ", (), ("contains(lower(folder), 'old trips')",)),
        ("folder:/photos/2019/", (), ("starts_with(path, '/photos/2019/')",)),
        ("a dog -snow", (DOG, SNOW), ()),
        (
            'a dog tag:best -snow folder:"old trips"',
            (DOG, SNOW),
            ("tag('best')", "contains(lower(folder), 'old trips')"),
        ),
        ("tag:best a dog -snow", (DOG, SNOW), ("tag('best')",)),
        ('tag:"old harbour" a dog', (DOG,), ("tag('old harbour')",)),
        ('folder:"old trips"', (), ("contains(lower(folder), 'old trips')",)),
        ('tag:"old harbour', (), ("tag('old harbour')",)),
        ("a t-shirt - red", (QueryPart("words", "a t-shirt - red"),), ()),
        ("-snow on hills", (QueryPart("words", "snow on hills", unwanted=True),), ()),
        ('"tag:best in quotes"', (QueryPart("words", '"tag:best in quotes"'),), ()),
    ],
)
def test_one_text_may_have_words_filters_and_what_is_unwanted(
    text: str, parts: tuple[QueryPart, ...], where: tuple[str, ...]
) -> None:
    found = query_chip_data.submit_text(SearchState(), text)
    assert (found.parts, found.where) == (parts, where)


def test_several_pictures_are_marked_together() -> None:
    once = SearchState((DOG,)).mark_all([5, 7, 5], right=True)
    assert once.more == (5, 7)
    both = once.mark_all([7, 9], right=False)
    assert (both.more, both.less) == ((5,), (7, 9))
    many = both.mark_all(range(1000), right=True)
    assert len(many.more) == MAX_FEEDBACK
    assert many.mark_all([2000], right=True).more[-1] == 2000


def test_what_stands_in_the_box_is_typed_again() -> None:
    assert query_chip_data.box_text(SearchState()) == ""
    for part in (DOG, BEACH, QueryPart("words", "16:9"), QueryPart("words", "-1:x", 3.0)):
        asked = SearchState((CAT, SNOW, part))
        assert query_chip_data.box_part_index(asked) == 2
        if not part.what.startswith("-"):
            assert query_chip_data.submit_text(asked, query_chip_data.box_text(asked)) == asked


def test_more_words() -> None:
    assert query_chip_data.add_words(SearchState((DOG,)), "2:beach", unwanted=False).parts == (DOG, BEACH)
    assert query_chip_data.add_words(SearchState((DOG,)), "snow", unwanted=True).parts == (DOG, SNOW)
    assert query_chip_data.add_words(SearchState((DOG,)), " ", unwanted=True).parts == (DOG,)
    with pytest.raises(QueryError):
        query_chip_data.add_words(SearchState((DOG,)), "0:snow", unwanted=True)


def test_chips_say_what_is_asked() -> None:
    stored = {5: query_chip_data.Picture("cat.png", "/5"), 7: query_chip_data.Picture("seven.png", "/7")}
    assert query_chip_data.chips(SearchState((DOG,)), stored, str.upper) == ()
    mine = QueryPart("upload", "0a" * 32)
    shown = query_chip_data.chips(
        SearchState((DOG, SNOW, CAT, mine), ("format IN ('PNG')",), (7,), (9,)), stored, str.upper
    )
    assert [(one.id, one.says, one.text, one.src, one.tone, one.weight) for one in shown] == [
        ("part-0", "find", "a dog", "", "", 1.0),
        ("part-1", "not", "snow", "", "unwanted", 1.0),
        ("part-2", "like", "cat.png", "/5", "", 1.0),
        ("part-3", "like", "your picture", "0A" * 32, "", 1.0),
        ("more-7", "more like", "seven.png", "/7", "", None),
        ("less-9", "less like", "picture 9 (not in this collection)", "", "unwanted", None),
        ("where-0", "only", "format: PNG", "", "", None),
    ]
    (alone,) = query_chip_data.chips(SearchState((BEACH,)), stored, str.upper)
    assert isinstance(alone, Chip)
    assert (alone.text, alone.weight) == ("beach", None)


ALL = SearchState((DOG, SNOW), ("a > 1", "b > 2"), (7,), (9,), page="abc")


@pytest.mark.parametrize(
    ("chip", "what", "value", "after"),
    [
        ("part-0", "weight", 2, ALL.with_changes(parts=(QueryPart("words", "a dog", 2.0), SNOW))),
        ("part-1", "flip", None, ALL.with_changes(parts=(DOG, QueryPart("words", "snow")))),
        ("part-1", "remove", None, ALL.with_changes(parts=(DOG,))),
        ("where-1", "remove", None, ALL.with_changes(where=("a > 1",))),
        ("more-7", "remove", None, ALL.with_changes(more=())),
        ("more-7", "flip", None, ALL.with_changes(more=(), less=(9, 7))),
        ("less-9", "remove", None, ALL.with_changes(less=())),
        ("less-9", "flip", None, ALL.with_changes(more=(7, 9), less=())),
        ("part-5", "remove", None, ALL),
        ("part-0", "weight", float("nan"), ALL),
        ("part-0", "weight", "2", ALL),
        ("where-1", "flip", None, ALL),
        ("more-8", "remove", None, ALL),
        ("nonsense", "remove", None, ALL),
    ],
)
def test_a_chip_is_changed(chip: str, what: str, value: object, after: SearchState) -> None:
    assert query_chip_data.apply_chip_change(ALL, chip, what, value) == after


def test_searches_that_differ_in_options_alone_have_names_of_their_own() -> None:
    plain = SearchState((QueryPart("words", "a rocket"),))
    assert query_chip_data.summarise_search(plain) == "a rocket"
    assert query_chip_data.summarise_search(plain.with_changes(collapse=False, cutoff=False)) == (
        "a rocket · less relevant too · near-duplicates too"
    )
    assert query_chip_data.summarise_search(plain.with_changes(by="text")) == "a rocket · by words"

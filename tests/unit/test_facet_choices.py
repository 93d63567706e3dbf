"""What a choice in the facet rail does to a search, and how folders become a tree."""

from __future__ import annotations

import pytest

pytest.importorskip("streamlit", reason="the extra ui is not installed")

from imseek.search import Box
from imseek.ui.web.pages.search import facets, where_conditions
from imseek.ui.web.pages.search.where_conditions import LOCATION, Filter
from imseek.ui.web.search_state import SearchState


def chosen(*said: dict[str, object]) -> tuple[str, ...]:
    asked = SearchState()
    for one in said:
        asked = facets.change(asked, one)
    return asked.where


def test_choices_of_one_facet_are_alternatives() -> None:
    both = chosen(
        {"column": "camera", "value": "Box 1", "on": True},
        {"column": "camera", "value": "it's", "on": True},
        {"column": "tag()", "value": "best", "on": True},
    )
    assert both == ("camera IN ('Box 1', 'it''s')", "tag('best')")
    assert facets.change(SearchState(where=both), {"column": "camera", "value": "Box 1", "on": False}).where == (
        "tag('best')",
        "camera IN ('it''s')",
    )
    assert facets.change(SearchState(where=both), {"column": ""}).where == ()
    assert facets.change(SearchState(where=both), {"column": "camera"}).where == ("tag('best')",)


def test_parts_of_the_world_are_alternatives() -> None:
    oslo, congo = (box.where for box in (Box(10, 59, 11, 60), Box(20, -3, 21, 4)))
    both = [{"column": LOCATION, "value": value, "on": True} for value in (oslo, congo)]
    assert chosen(*both) == (f"{oslo} OR {congo}",)
    assert chosen(*both, {"column": LOCATION, "value": oslo, "on": False}) == (congo,)


def test_days_in_either_order() -> None:
    one = {"column": "day", "low": "2019-12-31", "high": "2019-01-01"}
    assert chosen(one) == ("day >= '2019-01-01' AND day <= '2019-12-31'",)
    assert chosen({"column": "day", "low": "2019-01-01", "high": None}) == ("day >= '2019-01-01'",)
    may = {"column": "day", "low": "2019-05-01", "high": "2019-05-31"}
    assert chosen(may, {"column": "day", "low": "2019-05-30"}) == ("day >= '2019-05-30' AND day <= '2019-05-31'",)
    assert chosen(may, {"column": "day", "high": None}) == ("day >= '2019-05-01'",)
    assert chosen(may, {"column": "day"}) == ()


def test_a_range_replaces_another() -> None:
    first, second = (sql for sql in (Filter("rating", low=4).sql(), Filter("rating", low=2).sql()))
    assert chosen(
        {"column": "rating", "value": first, "on": True}, {"column": "rating", "value": second, "on": True}
    ) == (second,)
    assert chosen({"column": "rating", "value": first, "on": True}, {"column": "rating", "value": first}) == ()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"column": "widht", "value": "3", "on": True},
        {"column": "rating", "value": "1 = 1", "on": True},
        {"column": "day", "low": "2019-13-45", "high": 7},
        {"column": "camera", "value": ["x"], "on": True},
        {"column": None},
        {"column": "folder", "value": "", "on": True},
    ],
)
def test_what_is_no_choice_changes_nothing(said: dict[str, object]) -> None:
    assert chosen(said) == ()


def lines(
    counts: dict[str, int],
    chosen: tuple[str, ...] = (),
    opened: tuple[str, ...] = (),
    everything: tuple[str, ...] = (),
) -> list[tuple[object, ...]]:
    found = facets._tree(tuple(counts.items()), everything, chosen, frozenset(opened))
    return [(row["depth"], row["label"], row["value"], row["count"], row["open"]) for row in found]


def test_folders_that_lead_to_one_folder_are_one_line() -> None:
    counts = {"/home/me/2019/a": 2, "/home/me/2019/b": 1, "/home/me/2020": 4}
    assert lines(counts) == [
        (0, "me", "/home/me", 7, True),
        (1, "2019", "/home/me/2019", 3, False),
        (1, "2020", "/home/me/2020", 4, None),
    ]
    assert [line[1] for line in lines(counts, opened=("/home/me/2019",))] == ["me", "2019", "a", "b", "2020"]
    assert [line[1] for line in lines(counts, chosen=("/home/me/2019/b",))] == ["me", "2019", "a", "b", "2020"]


def test_folders_without_pictures_still_say_where_the_others_are() -> None:
    everything = ("/home/me/2019/a", "/home/me/2019/b", "/home/me/2020")
    assert lines({"/home/me/2019/a": 2}, everything=everything) == [
        (0, "me", "/home/me", 2, True),
        (1, "2019", "/home/me/2019", 2, False),
    ]


def test_folders_of_all_kinds() -> None:
    assert lines({"/": 1, "/a": 2}) == [(0, "/", "/", 3, True), (1, "a", "/a", 2, None)]
    assert lines({"/x/a.zip!": 3}) == [(0, "a.zip!", "/x/a.zip!", 3, None)]
    assert lines({"https://example.org/b": 1, "c": 2}) == [
        (0, "c", "c", 2, None),
        (0, "b", "https://example.org/b", 1, None),
    ]
    assert lines({}, chosen=("/gone",)) == [(0, "gone", "/gone", 0, None)]
    assert len(lines({f"/{n}": 1 for n in range(1000)})) == 400


@pytest.mark.parametrize("folder", ["/a/b", "/", "a", "/it's/%_", "https://example.org/x"])
def test_a_folder_is_read_back(folder: str) -> None:
    one = Filter("folder", below=(folder, "/other"))
    read = where_conditions.parse_filter(one.sql())
    assert read == one
    assert "other" in read.words()


def test_a_written_condition_on_paths_is_left_alone() -> None:
    assert where_conditions.parse_filter("starts_with(path, '/a') AND width > 3") is None
    assert where_conditions.parse_filter("starts_with(path, '/a')") is None

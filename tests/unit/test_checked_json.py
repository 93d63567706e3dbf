"""Members of JSON that anybody may have written: each has its type and range, or is named as wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from imseek.data.files.checked_json import JsonObject, check_integer, check_number, check_text
from imseek.data.layout import MAX_ID

SOUND = JsonObject(
    {
        "text": "a", "long": "x" * 65_536, "time": "2026-01-02T03:04:05.123456+01:00", "whole": 7, "most": MAX_ID - 1,
        "number": 1.5, "true": True, "false": False, "list": [1, 2], "texts": ["a", ""], "object": {"a": "b"},
        "null": None, "empty": [],
    }
)  # fmt: skip


def test_what_is_right_is_read() -> None:
    assert SOUND.text("text") == SOUND.text("text", choices=("a", "b")) == "a"
    assert SOUND.text("text", pattern=re.compile("[a-z]")) == "a"
    assert len(SOUND.text("long")) == 65_536
    assert SOUND.time("time") == "2026-01-02T03:04:05.123456+01:00"
    assert (SOUND.whole("whole", least=7, most=7), SOUND.whole("most")) == (7, MAX_ID - 1)
    assert (SOUND.optional_whole("whole"), SOUND.optional_whole("null"), SOUND.optional_whole("none")) == (
        7,
        None,
        None,
    )
    assert (SOUND.number("number", least=1.5, most=1.5), SOUND.number("whole")) == (1.5, 7.0)
    assert type(SOUND.number("whole")) is float
    assert (SOUND.truth("true"), SOUND.truth("false")) == (True, False)
    assert (SOUND.items("list"), SOUND.wholes("list"), SOUND.wholes("empty")) == ([1, 2], (1, 2), ())
    assert SOUND.texts("texts") == ("a", "")
    assert SOUND.object("object", known={"a", "b"}).text("a") == "b"
    assert SOUND.texts_by_name("object") == {"a": "b"}
    assert SOUND.get("null") is None
    assert ("text" in SOUND, "null" in SOUND, "none" in SOUND) == (True, False, False)
    assert list(JsonObject({"b": 1, "a": 2})) == ["b", "a"]


@pytest.mark.parametrize("time", ["2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.1-10:30"])
def test_forms_of_a_time(time: str) -> None:
    assert JsonObject({"time": time}).time("time") == time


WRONG: list[tuple[Any, Callable[[JsonObject], object]]] = [
    *((value, lambda of: of.text("it")) for value in (1, None, b"a", ["a"], "x" * 65_537)),
    ("c", lambda of: of.text("it", choices=("a", "b"))),
    ("ab", lambda of: of.text("it", pattern=re.compile("[a-z]"))),
    *(
        (value, lambda of: of.time("it"))
        for value in ("2026-01-02", "2026-01-02 03:04:05", "2026-01-02T03:04:05.1234567", "2026-01-02T03:04:05Zx", 5)
    ),
    *((value, lambda of: of.whole("it")) for value in (True, 1.0, "1", None, -1, MAX_ID)),
    (6, lambda of: of.whole("it", least=7)),
    (8, lambda of: of.whole("it", most=7)),
    (-1, lambda of: of.optional_whole("it")),
    *((value, lambda of: of.number("it")) for value in (True, "1", None, float("nan"), float("inf"), 1e300, -1e300)),
    (1.4, lambda of: of.number("it", least=1.5)),
    (1.6, lambda of: of.number("it", most=1.5)),
    *((value, lambda of: of.truth("it")) for value in (1, 0, "true", None)),
    *((value, lambda of: of.items("it")) for value in ({}, "ab", None)),
    *((value, lambda of: of.wholes("it")) for value in ([1, -1], [True], ["1"], 1)),
    *((value, lambda of: of.texts("it")) for value in (["a", 1], "ab")),
    *((value, lambda of: of.object("it")) for value in ([], "a", None)),
    ({"x": 1}, lambda of: of.object("it", known={"a"})),
]  # fmt: skip


@pytest.mark.parametrize("n", range(len(WRONG)))
def test_what_is_wrong_is_named(n: int) -> None:
    value, read = WRONG[n]
    with pytest.raises(ValueError, match=r"^it[ :]"):
        read(JsonObject({"it": value}))


@pytest.mark.parametrize("read", ["text", "time", "whole", "number", "truth", "items", "wholes", "texts", "object"])
def test_what_is_missing_is_named(read: str) -> None:
    with pytest.raises(ValueError, match=r"^it.* is missing"):
        getattr(JsonObject({}), read)("it")


def test_of_members_of_an_object_the_one_that_is_no_text_is_named() -> None:
    with pytest.raises(ValueError, match=r"^b "):
        JsonObject({"it": {"a": "x", "b": 1}}).texts_by_name("it")


@pytest.mark.parametrize("value", [[], "a", None, 1])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        JsonObject(value)


def test_a_member_that_nobody_knows_is_named() -> None:
    JsonObject({"a": 1}, known=("a", "b"))
    with pytest.raises(ValueError, match="'c'"):
        JsonObject({"a": 1, "d": 1, "c": 1}, known=("a", "b"))


@pytest.mark.parametrize(("check", "wrong"), [(check_text, 1), (check_integer, "1"), (check_number, "1")])
def test_values_of_lists_are_named_by_who_reads_them(check: Callable[[Any, str], object], wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^the third "):
        check(wrong, "the third")

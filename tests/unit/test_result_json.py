"""Results as JSON by their types, and schemas of the same types: whatever is converted agrees with its schema."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import jsonschema
import numpy as np
import numpy.typing as npt
import pytest

from imseek.library import ResolvedCollection
from imseek.types.json_form import Count, FilePath, Json, Printable, Score, Seconds, Share, json_member
from imseek.types.pictures import ImagePlace, Place
from imseek.ui.render.json_schema import DIALECT, schema_of
from imseek.ui.render.result_json import Answer, print_answer, print_json, to_json

LATIN1 = "/p/caf\xe9.jpg".encode("latin-1")
LATIN1_JSON = {"path": r"/p/caf\xe9.jpg", "path_b64": "L3AvY2Fm6S5qcGc="}
T = TypeVar("T")


def schema(hint: Any) -> dict[str, Any]:
    found = schema_of(hint, "A title")
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def agrees(body: Mapping[str, Any], hint: Any) -> bool:
    return jsonschema.Draft202012Validator(schema(hint)).is_valid({"schema": 1, **body})


def converted(result: Any, hint: Any = None) -> dict[str, Any]:
    """The JSON object of a result, as it is read again, once it agrees with the schema of its type."""
    body = json.loads(json.dumps(to_json(result), allow_nan=False))
    jsonschema.validate(
        {"schema": 1, **body},
        schema(type(result) if hint is None else hint),
        cls=jsonschema.Draft202012Validator,
    )
    assert isinstance(body, dict)
    return body


# Numbers


@dataclass(frozen=True)
class Numbers:
    score: Score
    share: Share
    seconds: Seconds
    plain: float
    several: tuple[Score, ...] = ()
    pairs: tuple[tuple[Count, Score], ...] = ()
    named: Mapping[str, Seconds] = field(default_factory=dict)
    listed: Annotated[list[list[float]], Json(digits=1)] = field(default_factory=list)
    maybe: Score | None = None


def test_numbers_are_rounded_wherever_they_are() -> None:
    third = 1 / 3
    body = converted(
        Numbers(
            -third,
            third,
            third,
            third,
            several=(third, 1),
            pairs=((1, third),),
            named={"load": 2 / 3},
            listed=[[third], [0.25]],
            maybe=2 / 3,
        )
    )
    assert body == {
        "score": -0.333333,
        "share": 0.333333,
        "seconds": 0.333,
        "plain": third,
        "several": [0.333333, 1],
        "pairs": [[1, 0.333333]],
        "named": {"load": 0.667},
        "listed": [[0.3], [0.2]],
        "maybe": 0.666667,
    }
    assert converted(Numbers(0, 0, 0, 0))["maybe"] is None


@dataclass(frozen=True)
class Bounded:
    count: Count
    share: Share
    step: Annotated[int | None, Json(minimum=1, maximum=9)]
    sizes: tuple[Count, ...] = ()
    by_name: Mapping[str, Count] = field(default_factory=dict)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": -1},
        {"count": 0.5},
        {"count": None},
        {"share": 1.5},
        {"share": -0.5},
        {"step": 0},
        {"step": 10},
        {"sizes": [3, -1]},
        {"by_name": {"x": -1}},
        {"more": 1},
    ],
    ids=str,
)
def test_bounds_are_in_the_schema(wrong: dict[str, Any]) -> None:
    body = converted(Bounded(3, 0.5, None, (1, 2), {"x": 3}))
    assert agrees(body, Bounded)
    assert not agrees({**body, **wrong}, Bounded)


def test_members_are_required() -> None:
    body = converted(Bounded(3, 0.5, 9))
    for name in body:
        assert not agrees({other: value for other, value in body.items() if other != name}, Bounded)


@dataclass(frozen=True)
class NotANumber:
    stated: Annotated[float, Json(nan_null=True, digits=2)]
    several: tuple[Annotated[float, Json(nan_null=True)], ...]
    never: float = 0.0


def test_nan_is_null() -> None:
    body = converted(NotANumber(float("nan"), (1.0, float("nan"))))
    assert body == {"stated": None, "several": [1.0, None], "never": 0.0}
    assert converted(NotANumber(1.234, ()))["stated"] == 1.23
    assert to_json(NotANumber(0.0, (), float("inf")))["never"] is None
    assert not agrees({**body, "never": None}, NotANumber)


# NumPy


@dataclass(frozen=True)
class FromNumPy:
    count: Count
    big: int
    score: Score
    yes: bool
    name: str
    vector: Annotated[npt.NDArray[np.float32], Json(digits=3)]
    ids: npt.NDArray[np.int64]
    anything: Mapping[str, Any]


def test_numpy_values_and_arrays() -> None:
    body = converted(
        FromNumPy(
            np.int32(3),  # type: ignore[arg-type]
            np.uint64(2**64 - 1),  # type: ignore[arg-type]
            np.float32(0.1),  # type: ignore[arg-type]
            np.bool_(True),  # type: ignore[arg-type]
            np.str_("x"),
            np.array([[0.1, 2 / 3]], np.float32),
            np.arange(2),
            {"rating": np.float32(0.5), "seen": None, "sizes": (np.int8(1), "a"), "nan": np.float64("nan")},
        )
    )
    assert body == {
        "count": 3,
        "big": 2**64 - 1,
        "score": 0.1,
        "yes": True,
        "name": "x",
        "vector": [[0.1, 0.667]],
        "ids": [0, 1],
        "anything": {"rating": 0.5, "seen": None, "sizes": [1, "a"], "nan": None},
    }


@dataclass(frozen=True)
class Vector:
    vector: Annotated[npt.NDArray[np.float32], Json(digits=3, minimum=-1)]


def test_bounds_of_an_array_are_those_of_its_numbers() -> None:
    assert converted(Vector(np.array([0.1, 2 / 3], np.float32))) == {"vector": [0.1, 0.667]}
    assert not agrees({"vector": [-2]}, Vector)
    assert not agrees({"vector": ["x"]}, Vector)


# Members


@dataclass(frozen=True)
class Located:
    image_id: Count
    place: ImagePlace


def test_inline_members_stand_in_place_of_the_field() -> None:
    assert converted(Located(7, Place(1, LATIN1, "file:///p"))) == {
        "image_id": 7,
        "source_id": 1,
        **LATIN1_JSON,
        "uri": "file:///p",
    }


def test_inline_members_are_null_without_a_value() -> None:
    body = {"image_id": 7, "source_id": None, "path": None, "uri": None}
    assert converted(Located(7, None)) == body
    assert not agrees({**body, "path_b64": None}, Located)


@dataclass(frozen=True)
class Paths:
    path: FilePath
    """The file."""
    folder: Path
    target: bytes | None
    files: tuple[bytes, ...] = ()
    by_name: Mapping[str, Path] = field(default_factory=dict)


def test_paths_that_are_no_utf8() -> None:
    name = Path(os.fsdecode(LATIN1))
    body = converted(Paths(LATIN1, name, LATIN1, (b"/a", LATIN1), {"csv": name}))
    assert body == {
        **LATIN1_JSON,
        "folder": LATIN1_JSON,
        "target": LATIN1_JSON,
        "files": [{"path": "/a"}, LATIN1_JSON],
        "by_name": {"csv": LATIN1_JSON},
    }
    assert converted(Paths("/ü".encode(), Path("b"), None)) == {
        "path": "/ü",
        "folder": {"path": "b"},
        "target": None,
        "files": [],
        "by_name": {},
    }
    assert schema(Paths)["properties"]["path"] == {"type": "string", "description": "The file."}


@dataclass(frozen=True)
class Optional:
    note: Annotated[str | None, Json(omit_none=True)] = None
    path: Annotated[Path | None, Json(inline=True, omit_none=True)] = None
    place: Annotated[Place | None, Json(inline=True, hidden=True)] = None
    secret: Annotated[object, Json(hidden=True)] = None
    always: int | None = None


def test_hidden_fields_and_those_left_out_while_they_are_none() -> None:
    assert converted(Optional()) == {"always": None}
    assert converted(Optional("n", Path("/a"), Place(1, b"/b"), object(), 1)) == {
        "note": "n",
        "path": "/a",
        "always": 1,
    }
    assert not agrees({"always": None, "note": None}, Optional)
    assert not agrees({"always": None, "path": None}, Optional)


@dataclass(frozen=True)
class Row:
    """A row."""

    images: Count
    score: Score


@dataclass(frozen=True)
class Keyed:
    rows: Annotated[Mapping[str, Row], Json(key="name")]
    """The rows."""
    maybe: Annotated[Mapping[int, Row] | None, Json(key="image_id")] = None


def test_a_mapping_with_a_key_is_a_list() -> None:
    row = {"images": 1, "score": 0.666667}
    body = converted(Keyed({"x": Row(1, 2 / 3)}, {7: Row(1, 2 / 3)}))
    assert body == {"rows": [{"name": "x", **row}], "maybe": [{"image_id": 7, **row}]}
    assert converted(Keyed({})) == {"rows": [], "maybe": None}
    assert not agrees({**body, "rows": [row]}, Keyed)


@dataclass(frozen=True)
class Texts:
    plain: str
    shown: Printable
    several: tuple[Printable, ...] = ()
    by_name: Mapping[str, Printable] = field(default_factory=dict)


def test_printable_texts() -> None:
    undecodable = os.fsdecode(b"a\xe9\x1b")
    body = converted(Texts("\x1b", undecodable, (undecodable,), {"x": "\n"}))
    assert body == {
        "plain": "\x1b",
        "shown": r"a\xe9\x1b",
        "several": [r"a\xe9\x1b"],
        "by_name": {"x": r"\n"},
    }


@dataclass(frozen=True, slots=True)
class Base:
    """What is counted."""

    total: Count
    """All, ``x`` too.

    Not in the schema.
    """

    @property
    def unmarked(self) -> int:
        return 1

    @property
    @json_member(Json(name="part", digits=2))
    def share(self) -> Share | None:
        """The share; None where there is none, see :class:`Row`."""
        return 1 / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Derived(Base):
    named: Annotated[str, Json(name="name")]

    @property
    @json_member()
    def rows(self) -> tuple[Row, ...]:
        return (Row(self.total, 0.0),)


def test_properties_names_and_descriptions() -> None:
    body = converted(Derived(3, "x"))
    assert body == {"total": 3, "name": "x", "part": 0.33, "rows": [{"images": 3, "score": 0.0}]}
    assert list(body) == ["total", "name", "part", "rows"]
    assert converted(Derived(0, "x"))["part"] is None
    found = schema(Derived)
    assert found["properties"]["total"]["description"] == "All, `x` too."
    assert found["properties"]["part"] == {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 1,
        "description": "The share; null where there is none, see `Row`.",
    }
    assert found["$defs"]["Row"]["description"] == "A row."


# Types


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Choices:
    word: Literal["a", "b"]
    maybe: Literal["a", "b"] | None
    colour: Colour
    number_or_text: int | str | None
    row_or_numbers: Row | tuple[Score, ...]
    point: tuple[str, Count] = ("x", 0)
    either: int | Row | None = None


@pytest.mark.parametrize(
    "wrong",
    [
        {"word": "c"},
        {"word": None},
        {"maybe": "c"},
        {"colour": "RED"},
        {"number_or_text": 0.5},
        {"row_or_numbers": None},
        {"row_or_numbers": {"images": 1}},
        {"row_or_numbers": ["x"]},
        {"point": ["x"]},
        {"point": ["x", 1, 2]},
        {"point": [1, 1]},
        {"either": "x"},
    ],
    ids=str,
)
def test_literals_enums_unions_and_tuples(wrong: dict[str, Any]) -> None:
    row = {"images": 1, "score": 0.5}
    one = converted(Choices("a", None, Colour.RED, 1, Row(1, 0.5)))
    assert one == {
        "word": "a",
        "maybe": None,
        "colour": "red",
        "number_or_text": 1,
        "row_or_numbers": row,
        "point": ["x", 0],
        "either": None,
    }
    two = converted(Choices("b", "a", Colour.BLUE, None, (1 / 3,), ("y", 2), Row(1, 0.5)))
    assert (two["row_or_numbers"], two["either"]) == ([0.333333], row)
    assert not agrees({**one, **wrong}, Choices)


@dataclass(frozen=True)
class Tree:
    """A tree."""

    name: str
    inner: tuple[Tree, ...] = ()


def test_a_type_that_contains_itself() -> None:
    assert converted(Tree("a", (Tree("b"),))) == {"name": "a", "inner": [{"name": "b", "inner": []}]}
    assert list(schema(Tree)["$defs"]) == ["Tree"]


@dataclass(frozen=True)
class Pair(Generic[T]):
    one: T
    rest: Annotated[T, Json(inline=True)]


CHOSEN = ResolvedCollection(Path(os.fsdecode(LATIN1)), "scans\x1b", "--collection")
COLLECTION = {"name": r"scans\x1b", **LATIN1_JSON}


def test_generic_types(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"images": 1, "score": 0.5}
    assert converted(Pair(Row(1, 0.5), Row(1, 0.5)), Pair[Row]) == {"one": row, **row}
    print_answer(Row(1, 0.5), CHOSEN)
    body = json.loads(capsys.readouterr().out)
    assert body == {"schema": 1, "collection": COLLECTION, **row}
    jsonschema.validate(body, schema(Answer[Row]), cls=jsonschema.Draft202012Validator)
    print_answer(Row(1, 0.5), CHOSEN, uuid="u")
    body = json.loads(capsys.readouterr().out)
    assert body["collection"] == {**COLLECTION, "uuid": "u"}
    jsonschema.validate(body, schema(Answer[Row]), cls=jsonschema.Draft202012Validator)


@dataclass(frozen=True)
class LongRow:
    score: Score
    images: Count
    note: str


def test_an_answer_that_is_one_of_several() -> None:
    """It has the members that all of them have, and may have those of some."""
    either = Pair[Row | LongRow]
    row, long = Row(1, 0.5), LongRow(0.5, 1, "x")
    assert converted(Pair(long, row), either) == {"one": to_json(long), **to_json(row)}
    body = converted(Pair(row, long), either)
    assert not agrees({**body, "more": 1}, either)
    assert not agrees({**body, "note": 1}, either)
    assert schema(either)["required"] == ["schema", "one", "images", "score"]


def test_the_frame_of_a_schema() -> None:
    assert schema(Row) == {
        "$schema": DIALECT,
        "title": "A title",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "schema": {"const": 1},
            "images": {"type": "integer", "minimum": 0},
            "score": {"type": "number"},
        },
        "required": ["schema", "images", "score"],
    }


@dataclass(frozen=True)
class WithComplex:
    value: complex


def other_row() -> type:
    @dataclass(frozen=True)
    class Row:
        """Another row."""

    return Row


@dataclass(frozen=True)
class TwoRows:
    one: Row
    other: OtherRow


OtherRow = other_row()


def test_types_that_have_no_schema() -> None:
    with pytest.raises(TypeError, match="no JSON Schema for <class 'complex'>"):
        schema(WithComplex)
    with pytest.raises(TypeError, match="two types are called Row"):
        schema(TwoRows)


# Output


@pytest.mark.parametrize("line", [False, True])
def test_output_is_ascii(capsys: pytest.CaptureFixture[str], line: bool) -> None:
    print_json(Texts("é", os.fsdecode(b"\xe9")), line=line)
    out = capsys.readouterr().out
    assert out.isascii()
    assert (out.count("\n") == 1) is line
    assert json.loads(out) == {"schema": 1, "plain": "é", "shown": r"\xe9", "several": [], "by_name": {}}

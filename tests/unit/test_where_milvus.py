"""Filters written for Milvus, evaluated by Milvus Lite's own parser, beside DuckDB on the same rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from filtering import COLUMNS, ROWS, rows_of

from imseek.data.milvus import layout
from imseek.errors import QueryError
from imseek.search.where import duckdb_sandbox
from imseek.search.where.columns_and_functions import Kind
from imseek.search.where.milvus_filter import MilvusColumn, milvus_expression

pytestmark = pytest.mark.slow

pytest.importorskip("milvus_lite")

_KINDS = {Kind.INT: "int", Kind.FLOAT: "float", Kind.TEXT: "text", Kind.BOOL: "bool", Kind.TIME: "time"}
#: Columns that a publication has: not `phash`, whose 64 bits have no sign, nor lists.
NAMES = [name for name, kind in COLUMNS.items() if name != "phash" and kind in _KINDS]
FIELDS = {column.name: column.field for column in layout.assign_fields([(n, _KINDS[COLUMNS[n]]) for n in NAMES], 5)[0]}
HELD = {{"year": "extra_year"}.get(name, name): MilvusColumn(FIELDS[name], COLUMNS[name]) for name in NAMES}
HELD["image_id"] = MilvusColumn("image_id", Kind.INT)
NEAR = {(59.91, 10.75, 25.0): [0], (0.0, 180.0, 100.0): [3], (80.0, 0.0, 1.0): []}

TYPES = {Kind.INT: "INT64", Kind.FLOAT: "DOUBLE", Kind.TEXT: "VARCHAR", Kind.BOOL: "BOOL", Kind.TIME: "INT64"}


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    made = duckdb_sandbox.connect()
    yield made
    made.close()


def written(where: str) -> str:
    return milvus_expression(
        where,
        HELD,
        lambda tag: f'tag_marks like "%{layout.encode_tag(tag)}%"',
        lambda *at: NEAR[at],
        missing=["phash"],
    )


def rows_in_milvus(where: str) -> list[int]:
    """As Milvus Lite evaluates it, without a server."""
    from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
    from milvus_lite.search.filter import compile_expr, evaluate, parse_expr

    fields = [FieldSchema(name="image_id", dtype=DataType.INT64, is_primary=True)]
    columns: dict[str, Any] = {"image_id": pa.array(range(4), pa.int64())}
    for name in NAMES:
        kind = COLUMNS[name]
        fields.append(FieldSchema(name=FIELDS[name], dtype=getattr(DataType, TYPES[kind]), nullable=True))
        columns[FIELDS[name]] = values(name, kind)
    marks = [layout.encode_tags(["holiday", "50%_\"'\\"]) if n < 2 else "" for n in range(4)]
    fields.append(FieldSchema(name="tag_marks", dtype=DataType.VARCHAR))
    fields.append(FieldSchema(name="v", dtype=DataType.FLOAT_VECTOR, dim=2))
    columns["tag_marks"] = pa.array(marks, pa.string())
    compiled = compile_expr(parse_expr(written(where)), CollectionSchema(fields=fields))
    kept = evaluate(compiled, pa.table(columns))
    return [n for n, keep in enumerate(kept.to_pylist()) if keep]


def values(name: str, kind: Kind) -> pa.Array:
    found = ROWS[name]
    if kind is Kind.TIME:
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        micros = [
            None if one is None else round((one.replace(tzinfo=UTC) - epoch).total_seconds() * 1e6) for one in found
        ]
        return pa.array(micros, pa.int64())
    types = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float64(), Kind.TEXT: pa.string(), Kind.BOOL: pa.bool_()}
    return pa.array(found, types[kind])


TOLD = [
    "width > 100",
    "100 < width",
    "width >= 99.5",
    "width >= 1000",
    "width > -1000",
    "width < -1000",
    "height < 3000",
    "flag IS NOT TRUE",
    "width < 0.5",
    "width = 0.5",
    "width <> 0.5",
    "NOT width > 100",
    "NOT (width > 100 OR height IS NULL)",
    "width <> 100 AND NOT format = 'PNG'",
    "width > height",
    "NOT width > height",
    "width = 18446744073709551615",
    "width < 18446744073709551615",
    "width > -18446744073709551615",
    "score > 0",
    "score = 0.5 OR score <= -1.5",
    "score < 1e300",
    "score >= 1e300",
    "score BETWEEN -2 AND 1",
    "score NOT BETWEEN -2 AND 1",
    "format IN ('JPEG', 'WEBP')",
    "format NOT IN ('JPEG', 'WEBP')",
    "caption IS NULL",
    "caption IS NOT NULL",
    "caption = ''",
    "caption > 'a'",
    "caption LIKE '%harbour'",
    "caption LIKE 'a _oat%'",
    "caption NOT LIKE '%off%'",
    "contains(caption, 'off')",
    "starts_with(caption, 'a Boat')",
    "NOT ends_with(caption, 'harbour')",
    "camera = 'x''; drop table facts; --'",
    "camera = 'Müller İ'",
    "camera IS DISTINCT FROM 'X100'",
    "camera IS NOT DISTINCT FROM 'X100'",
    "NOT camera IS NOT DISTINCT FROM 'X100'",
    "camera IS DISTINCT FROM NULL",
    "flag",
    "NOT flag",
    "flag = TRUE",
    "flag IS TRUE",
    "flag IS NOT TRUE",
    "flag IS FALSE",
    "taken_at > '2023-05-01'",
    "taken_at = '2023-05-01 17:30:00'",
    "taken_at < DATE '2023-05-02'",
    "taken_at BETWEEN '2020-01-01' AND '2023-12-31 23:59:59'",
    "NOT taken_at >= TIMESTAMP '2023-05-01 17:30:00'",
    "tag('holiday')",
    "NOT tag('holiday')",
    "tag('holi_ay')",
    "tag('%')",
    "near(59.91, 10.75, 25)",
    "NOT near(59.91, 10.75, 25)",
    "near(0, 180, 100)",
    "near(80, 0, 1)",
    "NOT near(80, 0, 1)",
    "image_id IN (1, 2)",
    "image_id IS NULL OR image_id = 3",
    "\"my column\" = 'y'",
    '"select" < 3',
    '"Rating" = 1 AND "rating" > 1',
    '"a""b" = 4',
    "extra_year = 2",
    "TRUE",
    "FALSE OR width = 100",
    "NOT (TRUE AND width = 100)",
    "((width)) = (100)",
]


@pytest.mark.parametrize("where", TOLD)
def test_milvus_says_what_duckdb_says(connection: Any, where: str) -> None:
    assert rows_in_milvus(where) == rows_of(connection, where, ROWS, 4)


HOSTILE = [
    '"',
    "'",
    "\\",
    '\\"',
    '" or image_id >= 0 or camera == "',
    "' or 1 == 1 or '",
    "\n",
    "\r\n\t",
    "%",
    "_",
    "{age}",
    "$meta",
    "İ ü 写真 🚲",
    "\x1b[31m",
    "*/ //",
    "]) or (image_id in [0, 1, 2, 3]",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_stay_texts(connection: Any, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ROWS, "camera", ["x", text, None, f"{text}{text}"])
    quoted = text.replace("'", "''")
    for where in (
        f"camera = '{quoted}'",
        f"NOT camera IN ('{quoted}')",
        f"camera IS DISTINCT FROM '{quoted}'",
    ):
        assert rows_in_milvus(where) == rows_of(connection, where, ROWS, 4), where
    assert rows_in_milvus(f"camera = '{quoted}'") == [1]
    assert rows_in_milvus(f"tag('{quoted}')") == []


NOT_TOLD = [
    ("lower(caption) = 'x'", "lower"),
    ("width + 1 > 3", "width + 1"),
    ("caption ILIKE '%x%'", "ILIKE"),
    (r"caption LIKE '%\x%'", "pattern"),
    ("caption LIKE 'x!%' ESCAPE '!'", "ESCAPE"),
    ("starts_with(caption, '50%')", "50%"),
    ("regexp_matches(caption, 'x')", "regexp_matches"),
    ("CASE WHEN flag THEN TRUE END", "CASE"),
    ("hour(taken_at) > 3", "hour"),
    ("day(taken_at) > 3", "day(taken_at)"),
    ("year(DATE '2020-01-01') = 2020", "year"),
    ("coalesce(width, 3) = 3", "coalesce"),
    ("CAST(width AS TEXT) = '3'", "CAST"),
    ("width = NULL", "NULL"),
    ("width IN (1, NULL)", "NULL"),
    ("(width > 3) IS TRUE", "width > 3"),
    ("(width > 3) = flag", "width > 3"),
    ("phash = 7", "phash"),
    ("1 = 1", "`1`"),
]


@pytest.mark.parametrize(("where", "piece"), NOT_TOLD)
def test_what_milvus_cannot_tell_is_refused_by_name(where: str, piece: str) -> None:
    with pytest.raises(QueryError) as refused:
        written(where)
    assert piece.lower() in str(refused.value).lower()
    assert "docs/milvus.md" in str(refused.value.hint)


@pytest.mark.parametrize("where", ["widht > 3", "width > 'x'", "width >", "SELECT 1", "tag(3)", "drop table x"])
def test_what_is_no_filter_is_refused_as_everywhere(where: str) -> None:
    with pytest.raises(QueryError) as refused:
        written(where)
    assert "Milvus" not in str(refused.value)


def test_filters_put_together_at_random(connection: Any, chance: random.Random) -> None:
    def made(depth: int) -> str:
        if depth == 0 or chance.random() < 0.2:
            return f"({chance.choice(TOLD)})"
        word = chance.choice(["AND", "OR", "NOT"])
        if word == "NOT":
            return f"(NOT {made(depth - 1)})"
        return f"({made(depth - 1)} {word} {made(depth - 1)})"

    for _ in range(200):
        where = made(4)
        assert rows_in_milvus(where) == rows_of(connection, where, ROWS, 4), where


@pytest.mark.parametrize(
    ("where", "expression"),
    [
        ("width = 9223372036854775807", "(width is not null and width == 9223372036854775807)"),
        ("width = 9223372036854775808", "image_id < 0"),
        ("width < 9223372036854775808", "(width is not null and image_id >= 0)"),
        ("width > 9223372036854775808", "image_id < 0"),
        ("width <= 9223372036854775808", "(width is not null and image_id >= 0)"),
        ("width <> 9223372036854775808", "(width is not null and image_id >= 0)"),
        ("width >= -9223372036854775808", "(width is not null and width >= -9223372036854775808)"),
        ("width < -9223372036854775809", "image_id < 0"),
        ("width <= -9223372036854775809", "image_id < 0"),
        ("width >= -9223372036854775809", "(width is not null and image_id >= 0)"),
        ("width = 1.5", "image_id < 0"),
        ("image_id > 1", "(image_id > 1)"),
    ],
)
def test_constants_at_the_ends_of_64_bits(where: str, expression: str) -> None:
    assert written(where) == expression

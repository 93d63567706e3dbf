"""Filters that nobody thought of, the database behind the grammar, and the page that describes both."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from filtering import COLUMNS, ROWS, check_sql, rows_of, words
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis_profiles import examples

from imseek.errors import QueryError
from imseek.search.where import columns_and_functions, duckdb_sandbox
from imseek.search.where.compiler import compile_filter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    made = duckdb_sandbox.connect()
    yield made
    made.close()


PIECES = [
    *COLUMNS, *columns_and_functions.FUNCTIONS, *columns_and_functions.VIRTUAL,
    "tag", "near", "tag('x')", "near(1,2,3)",
    *words("AND OR NOT IS NULL TRUE FALSE IN LIKE ILIKE BETWEEN CASE WHEN THEN ELSE END CAST TRY_CAST AS INT TEXT"),
    *words("SELECT FROM WHERE UNION ; -- /* */ ( ) [ ] { } , . :: || = <> < > <= >= + - * / // % ? $1 @ ^ ~ -> => :="),
    *words("INTERVAL DATE EXISTS ANY ALL OVER FILTER DISTINCT EXTRACT ESCAPE COLLATE * '"), "\"", "\\", "\0", "\u202e",
    "'a'", "'2023-05-01'", "1", "0.5", "1e9", '"my column"', "repeat('x', 9)", "getenv('HOME')", "'%'", "x'00'",
]  # fmt: skip


@settings(max_examples=examples(400))
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)))
def test_any_text_is_refused_or_becomes_our_sql(text: str) -> None:
    try:
        compiled = compile_filter(text, COLUMNS)
    except QueryError:
        return
    check_sql(compiled.sql)
    assert all(type(value) in (str, datetime, date) for value in compiled.parameters)


# -- what a filter means, against an evaluator of our own --------------------------------------------------

Row = dict[str, Any]
Meaning = tuple[str, Callable[[Row], Any]]


def _known(*values: Any) -> bool:
    return all(value is not None for value in values)


def _compare(operator: str, test: Callable[[Any, Any], bool]) -> Callable[[Meaning, Meaning], Meaning]:
    def make(a: Meaning, b: Meaning) -> Meaning:
        def value(row: Row) -> Any:
            left, right = a[1](row), b[1](row)
            return test(left, right) if _known(left, right) else None

        return f"({a[0]} {operator} {b[0]})", value

    return make


def _and(a: Meaning, b: Meaning) -> Meaning:
    def value(row: Row) -> Any:
        both = (a[1](row), b[1](row))
        return False if False in both else None if None in both else True

    return f"({a[0]} AND {b[0]})", value


def _or(a: Meaning, b: Meaning) -> Meaning:
    def value(row: Row) -> Any:
        both = (a[1](row), b[1](row))
        return True if True in both else None if None in both else False

    return f"({a[0]} OR {b[0]})", value


def _not(a: Meaning) -> Meaning:
    def value(row: Row) -> Any:
        inner = a[1](row)
        return None if inner is None else not inner

    return f"(NOT {a[0]})", value


def _in(a: Meaning, members: list[Meaning]) -> Meaning:
    def value(row: Row) -> Any:
        left, others = a[1](row), [one[1](row) for one in members]
        if left is None:
            return None
        return True if left in [o for o in others if o is not None] else None if None in others else False

    return f"({a[0]} IN ({', '.join(one[0] for one in members)}))", value


def _case(a: Meaning, b: Meaning, c: Meaning) -> Meaning:
    return (
        f"(CASE WHEN {a[0]} THEN {b[0]} ELSE {c[0]} END)",
        lambda row: b[1](row) if a[1](row) else c[1](row),
    )


def _divide(a: Meaning, b: Meaning) -> Meaning:
    def value(row: Row) -> Any:
        left, right = a[1](row), b[1](row)
        return left / right if _known(left, right) and right != 0 else None

    return f"({a[0]} / {b[0]})", value


def _column(name: str) -> Meaning:
    return name, lambda row: row[name]


def _constant(value: Any) -> Meaning:
    text = "NULL" if value is None else "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
    return text, lambda row: value


TEXT = st.text(alphabet="aB%_'é€\\ ", max_size=4)
INTS: st.SearchStrategy[Meaning] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["width", "height"]).map(_column),
        st.integers(-3, 3).map(_constant),
        st.builds(_case, BOOLS, INTS, INTS),
        st.builds(_compare("+", lambda a, b: a + b), INTS, INTS),
        st.builds(_compare("*", lambda a, b: a * b), INTS, INTS),
        st.builds(_compare("-", lambda a, b: a - b), INTS, INTS),
    )
)
NUMBERS = st.one_of(INTS, st.builds(_divide, INTS, INTS))
TEXTS: st.SearchStrategy[Meaning] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["caption", "camera"]).map(_column),
        TEXT.map(_constant),
        st.builds(_case, BOOLS, TEXTS, TEXTS),
        st.builds(_compare("||", lambda a, b: a + b), TEXTS, TEXTS),
    )
)
BOOLS: st.SearchStrategy[Meaning] = st.deferred(
    lambda: st.one_of(
        st.just(_column("flag")),
        *(
            st.builds(_compare(operator, test), kind, kind)
            for kind in (NUMBERS, TEXTS)
            for operator, test in (
                ("=", lambda a, b: a == b),
                ("<>", lambda a, b: a != b),
                ("<", lambda a, b: a < b),
                (">=", lambda a, b: a >= b),
            )
        ),
        st.builds(_and, BOOLS, BOOLS),
        st.builds(_or, BOOLS, BOOLS),
        st.builds(_not, BOOLS),
        st.builds(_in, INTS, st.lists(st.one_of(INTS, st.just(_constant(None))), min_size=1, max_size=4)),
        st.builds(_in, TEXTS, st.lists(TEXTS, min_size=1, max_size=4)),
    )
)
ROW = st.fixed_dictionaries(
    {
        "width": st.none() | st.integers(-3, 3),
        "height": st.none() | st.integers(-3, 3),
        "caption": st.none() | TEXT,
        "camera": st.none() | TEXT,
        "flag": st.none() | st.booleans(),
    }
)


@settings(max_examples=examples(150))
@given(BOOLS, st.lists(ROW, min_size=1, max_size=6))
def test_filters_mean_what_sql_says(connection: Any, meaning: Meaning, rows: list[Row]) -> None:
    where, value = meaning
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    try:
        found = rows_of(connection, where, columns, len(rows))
    except QueryError as error:
        assert re.search("nested more|at most 4000|too large|Overflow", str(error)), error  # noqa: PT017
        return
    assert found == [n for n, row in enumerate(rows) if value(row) is True], where


LATITUDE = st.floats(-90, 90) | st.sampled_from([-90.0, -89.9999, 0.0, 59.91, 90.0])
LONGITUDE = st.floats(-180, 180) | st.sampled_from([-180.0, -179.9999, 0.0, 180.0])


@settings(max_examples=examples(200))
@given(
    LATITUDE,
    LONGITUDE,
    st.floats(0, 21_000) | st.sampled_from([0, 1e-3, 1, 20_000, 10**9]),
    st.lists(st.tuples(st.none() | LATITUDE, st.none() | LONGITUDE), min_size=1, max_size=9),
)
def test_near_is_a_distance_on_a_sphere(
    connection: Any, latitude: float, longitude: float, km: float, points: list[tuple[Any, Any]]
) -> None:
    columns = {"latitude": [one for one, _ in points], "longitude": [one for _, one in points]}
    where = f"near({latitude:f}, {longitude:f}, {km:f})"
    inside = rows_of(connection, where, columns, len(points))
    outside = rows_of(connection, f"NOT {where}", columns, len(points))
    here = unit(float(f"{latitude:f}"), float(f"{longitude:f}"))
    for n, point in enumerate(points):
        if None in point:
            assert n not in inside + outside
            continue
        # The chord, which is exact for small angles too, where products of sines and cosines are not.
        distance = 2 * 6371.0088 * math.asin(min(1.0, math.dist(here, unit(*point)) / 2))
        if abs(distance - km) > 1e-3:
            assert (n in inside, n in outside) == (distance <= km, distance > km), (point, distance)


def unit(latitude: float, longitude: float) -> tuple[float, float, float]:
    a, b = math.radians(latitude), math.radians(longitude)
    return math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)


#: A step that wraps an expression, what is wrapped at first, and what makes the whole true or false.
NESTS = [
    ("(score / {})", "score", "{} > 1"),
    ("({} / score)", "score", "{} > 1"),
    ("(width // {})", "width", "{} > 1"),
    ("(width % {} % {})", "width", "{} > 1"),
    ("- {}", "width", "{} > 1"),
    ("abs({})", "width", "{} > 1"),
    ("sqrt({})", "score", "{} > 1"),
    ("round({}, 2)", "score", "{} > 1"),
    ("coalesce({}, width, {})", "width", "{} > 1"),
    ("least({}, 3, width)", "width", "{} > 1"),
    ("CAST(CAST({} AS TEXT) AS DOUBLE)", "score", "{} > 1"),
    ("TRY_CAST(TRY_CAST({} AS TEXT) AS BIGINT)", "width", "{} > 1"),
    ("CASE WHEN {} BETWEEN 1 AND 2 THEN 1 ELSE width END", "width", "{} > 1"),
    ("CASE WHEN width BETWEEN {} AND {} THEN 1 ELSE 2 END", "width", "{} > 1"),
    ("CASE WHEN {} IN (1, 2, 3) THEN 1 ELSE 2 END", "width", "{} > 1"),
    ("CASE WHEN {} IN (1, width, 3, height) THEN 1 ELSE 2 END", "width", "{} > 1"),
    ("CASE WHEN width IN (1, {}, 3) THEN 1 ELSE 2 END", "width", "{} > 1"),
    ("CASE {} WHEN 1 THEN 2 WHEN 3 THEN 4 WHEN width THEN 5 END", "width", "{} > 1"),
    ("CASE WHEN {} IS DISTINCT FROM width THEN 1 ELSE 2 END", "width", "{} > 1"),
    ("CASE WHEN flag THEN {} ELSE {} END", "flag", "{}"),
    ("({} IS NULL)", "flag", "{}"),
    ("({} IS TRUE)", "flag", "{}"),
    ("NOT ({})", "flag", "{}"),
    ("(flag AND ({} OR flag))", "flag", "{}"),
    ("({} OR {})", "flag", "{}"),
    ("({} = {})", "flag", "{}"),
    ("lower(upper({}))", "caption", "{} = 'a'"),
    ("({} || {})", "caption", "{} = 'a'"),
    ("substring({}, 1, 2)", "caption", "{} = 'a'"),
    ("CASE WHEN {} LIKE 'a%b_' THEN caption ELSE camera END", "caption", "{} = 'a'"),
    ("CASE WHEN {} NOT ILIKE 'a%b_' THEN caption ELSE camera END", "caption", "{} = 'a'"),
    ("CASE WHEN regexp_matches({}, 'a|b') THEN caption ELSE camera END", "caption", "{} = 'a'"),
    ("date_trunc('day', {})", "taken_at", "{} > '2020-01-01'"),
]


@pytest.mark.parametrize(("step", "inner", "end"), NESTS)
def test_the_deepest_nesting_that_is_accepted_is_quick(connection: Any, step: str, inner: str, end: str) -> None:
    deepest = None
    for _ in range(40):
        inner = step.replace("{}", inner)
        try:
            compile_filter(where := end.replace("{}", inner), COLUMNS)
        except QueryError as error:
            assert re.search("nested more|at most 4000|too large", str(error)), error  # noqa: PT017
            break
        deepest = where
    assert deepest is not None
    try:
        rows_of(connection, deepest, ROWS, 4)
    except QueryError as error:
        assert re.search("Overflow|Conversion", str(error)), error  # noqa: PT017


# -- the second line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('{file}')",
        "COPY (SELECT 1) TO '{file}.copy'",
        "EXPORT DATABASE '{file}.export'",
        "ATTACH '{file}.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '{file}'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '8GB'",
        "SET threads = 64",
        "SET temp_directory = '{file}.tmp'",
        "RESET memory_limit",
        "PRAGMA threads = 64",
        "SELECT getenv('HOME')",
        "SELECT * FROM secret_table",
    ],
)
def test_the_database_itself_reaches_nothing(connection: Any, statement: str, tmp_path: Path) -> None:
    import duckdb

    secret_table = pa.table({"a": [1]})  # noqa: F841 - DuckDB would find it by its name
    file = tmp_path / "file.csv"
    file.write_text("a\n1\n")
    with pytest.raises(duckdb.Error):
        connection.execute(statement.format(file=file)).fetchall()
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]


@pytest.mark.timeout(60)
def test_time_and_memory_are_bounded(connection: Any) -> None:
    table = pa.table({"c0": pa.array(["a" * 200] * 200_000)})
    slow = "regexp_matches(c0, '" + r"(\pL*\pN*)" * 15 + "x')"  # which compiling refuses
    with pytest.raises(QueryError, match="too long"):
        duckdb_sandbox.evaluate(connection, slow, [], table, time.monotonic() + 0.2)
    large = "(SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(100000000))) > 1"
    with pytest.raises(QueryError, match="memory"):
        duckdb_sandbox.evaluate(connection, large, [], table.slice(0, 10), time.monotonic() + 20)
    kept = duckdb_sandbox.evaluate(connection, "c0 = $1", ["a" * 200], table, time.monotonic() + 5)
    assert kept.all(), "the connection is as good as before"


def test_a_search_without_a_filter_loads_neither_parser_nor_database() -> None:
    script = """
import sys
from imseek.search.where import Filters
Filters()
heavy = {"duckdb", "sqlglot", "pyarrow"} & set(sys.modules)
assert not heavy, heavy
from imseek.search.where.compiler import compile_filter
try:
    compile_filter("read_text('x') = ''", {})
except Exception as error:
    assert "no function" in str(error), error
assert "duckdb" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_column_and_function_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "where.md").read_text(encoding="utf-8")
    columns, functions = text.split("## Grammar")[0], text.split("## Functions")[1].split("##")[0]
    lists = columns_and_functions.STORED_ALIASES
    names = {*columns_and_functions.VIRTUAL, *columns_and_functions.ALIASES, *lists, *lists.values()}
    assert names == {
        n for row in re.findall(r"^\| (`.*?) \|", columns, re.MULTILINE) for n in re.findall(r"`(\w+)`", row)
    }
    called = {
        name for row in re.findall(r"^\| (`.*?) \|", functions, re.MULTILINE) for name in re.findall(r"`(\w+)\(", row)
    }
    assert called == {*columns_and_functions.FUNCTIONS, *columns_and_functions.IMSEEK_FUNCTIONS}
    for name in columns_and_functions.CASTS:
        assert f"`{name}`" in text
    for unit in columns_and_functions.UNITS:
        assert f"`'{unit}'`" in functions


def test_examples_of_the_documentation_are_filters() -> None:
    text = (Path(__file__).parents[2] / "docs" / "where.md").read_text(encoding="utf-8")
    examples = text.split("```")[1].strip().splitlines()
    assert len(examples) == 7
    for example in examples:
        check_sql(compile_filter(example, {**COLUMNS, "text": columns_and_functions.Kind.TEXT}).sql)

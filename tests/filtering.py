"""Rows and columns that filters are tried on, and what their SQL may be made of."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from imseek.search.where import columns_and_functions, duckdb_sandbox
from imseek.search.where.columns_and_functions import Kind
from imseek.search.where.compiler import compile_filter

COLUMNS = {
    "width": Kind.INT,
    "height": Kind.INT,
    "format": Kind.TEXT,
    "caption": Kind.TEXT,
    "camera": Kind.TEXT,
    "taken_at": Kind.TIME,
    "latitude": Kind.FLOAT,
    "longitude": Kind.FLOAT,
    "phash": Kind.INT,
    "score": Kind.FLOAT,
    "flag": Kind.BOOL,
    "my column": Kind.TEXT,
    "select": Kind.INT,
    "Rating": Kind.INT,
    "rating": Kind.INT,
    "year": Kind.INT,
    'a"b': Kind.INT,
    "keywords": Kind.LIST,
    "people": Kind.LIST,
}

ROWS: dict[str, list[Any]] = {
    "width": [4000, 100, None, 0],
    "height": [3000, 200, None, 0],
    "format": ["JPEG", "PNG", "WEBP", "jpeg"],
    "caption": ["a Boat in the harbour", "50% off_sale", None, ""],
    "camera": ["X100", None, "Müller İ", "x'; drop table facts; --"],
    "taken_at": [
        datetime(2023, 5, 1, 17, 30),
        datetime(2023, 12, 31, 23, 59, 59),
        None,
        datetime(2020, 2, 29),
    ],
    "latitude": [59.91, -33.86, None, 0.0],
    "longitude": [10.75, 151.2, None, 179.9],
    "phash": [2**64 - 1, 0, 7, 2**63],
    "score": [0.5, -1.5, None, 1e300],
    "flag": [True, False, None, True],
    "my column": ["x", "y", None, ""],
    "select": [1, 2, 3, None],
    "Rating": [1, 1, 1, 1],
    "rating": [1, 2, 3, None],
    "year": [1, 2, 3, 4],
    'a"b': [1, 2, 3, 4],
    "keywords": ["beach\nNorway", "Beach", None, "50% off"],
    "people": ["Anna", "Anna\nBen", None, None],
    "path": ["/p/2023/a.JPG", "/b.tar.gz", None, "https://x.org/d/c.png?size=3"],
    "source": [1, 1, None, 2],
    "content_hash": [None] * 4,
}

TYPES = {
    Kind.INT: pa.int32(),
    Kind.FLOAT: pa.float64(),
    Kind.TEXT: pa.string(),
    Kind.TIME: pa.timestamp("ms"),
    Kind.BOOL: pa.bool_(),
    Kind.LIST: pa.string(),
}


def rows_of(connection: Any, where: str, rows: Mapping[str, list[Any]], count: int) -> list[int]:
    compiled = compile_filter(where, COLUMNS)
    arrays = []
    for source in compiled.inputs:
        if source.what == "id":
            arrays.append(pa.array(range(count)))
        elif source.what == "tag":
            arrays.append(pa.array([source.name == "holiday" and n < 2 for n in range(count)]))
        else:
            kind = {"phash": pa.uint64(), "source": pa.int64()}.get(source.name)
            arrays.append(pa.array(rows[source.name], kind or TYPES[COLUMNS.get(source.name, Kind.TEXT)]))
    arrays = arrays or [pa.array(range(count))]
    table = pa.table(arrays, names=[f"c{n}" for n in range(len(arrays))])
    kept = duckdb_sandbox.evaluate(connection, compiled.sql, compiled.parameters, table, time.monotonic() + 5)
    return [n for n, keep in enumerate(kept.tolist()) if keep]


def words(text: str) -> list[str]:
    return text.split()


#: Whatever stands in SQL that was compiled, beside columns, parameters and numbers.
WORDS = {
    *words("AND OR NOT IS NULL TRUE FALSE DISTINCT FROM BETWEEN IN LIKE ILIKE ESCAPE CASE WHEN THEN ELSE END"),
    *words("CAST TRY_CAST AS BIGINT HUGEINT DOUBLE VARCHAR DATE TIMESTAMP BOOLEAN INTEGER"),
    *words("suffix isodow regexp_extract parse_filename parse_dirpath hex sin cos radians pow"),
    *words("string_split chr list_contains list_has_any list_filter len lambda entry"),
    *columns_and_functions.FUNCTIONS,
}
LITERALS = re.findall(
    r"'[^']*'",
    " ".join(v.sql for v in columns_and_functions.VIRTUAL.values()).replace("{{", "{").replace("}}", "}"),
)
TOKEN = re.compile(r"c[0-9]+|\$[0-9]+|[A-Za-z_]+|[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|\|\||//|<>|<=|>=|[-+*/%(),<>=:\[\] ]")


def check_sql(sql: str) -> None:
    for literal in sorted(LITERALS, key=len, reverse=True):
        sql = sql.replace(literal, "")
    at = 0
    while at < len(sql):
        found = TOKEN.match(sql, at)
        assert found is not None, sql[at : at + 30]
        word = found[0]
        assert not word[0].isalpha() or re.fullmatch("c[0-9]+", word) or word in WORDS, word
        at = found.end()

"""Readers of what users write, or paste from elsewhere: filters, queries, terms, policies."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any, Final

from term_texts import format_term

from fuzz.mutations import ByteSource, json_bytes, mutate
from fuzz.target import Target, arbitrary_bytes, scratch_folder
from imseek.errors import ImseekError, QueryError, UsageError
from imseek.labels import moderation_policies
from imseek.search import query_json
from imseek.search import term_parser as terms
from imseek.search.where.columns_and_functions import Kind
from imseek.search.where.compiler import compile_filter

_COLUMNS: Final = {
    "width": Kind.INT,
    "score": Kind.FLOAT,
    "caption": Kind.TEXT,
    "taken_at": Kind.TIME,
    "live": Kind.BOOL,
}


def _compile_filter(data: bytes) -> None:
    with suppress(QueryError):
        compile_filter(data.decode("utf-8", "surrogateescape"), _COLUMNS)


def _filter_seeds() -> list[bytes]:
    return [
        b"width > 3 AND caption LIKE '%cat%'",
        b"taken_at BETWEEN '2020-01-01' AND '2021-06-05 07:08' OR NOT live",
        b"tag('a b') AND near(3, 0.8) AND caption IN ('x', 'y''z')",
        b"CASE WHEN width IS NULL THEN lower(caption) ELSE caption END = 'a'",
        b"(width + 3) * -2.5e3 % 7 <= 1 -- no",
        b'CAST(width AS VARCHAR) = "caption"',
    ]


@cache
def _query() -> dict[str, Any]:
    return {
        "schema": 1,
        "text": ["a dog", {"text": "a cat", "weight": -0.5}],
        "like": [3, {"id": 4, "weight": 2}, {"vector": [0.5, 0.25]}],
        "not": ["rain"],
        "where": "width > 3",
        "limit": 10,
        "cutoff": "auto",
        "diversity": 0.3,
        "rerank": "nothing",
        "rerank_limit": 50,
        "collapse": True,
    }


def _read_query(data: bytes) -> None:
    source = ByteSource(data)
    if source.number(2):
        line = json_bytes(mutate(_query(), source)).decode("utf-8", "surrogatepass")
    else:
        line = source.rest().decode("utf-8", "surrogateescape")
    with suppress(QueryError):
        query = query_json.query_from_line(line, files=False)
        again = query_json.query_to_json(query)
        query_json.query_from_json(again, files=False)


def _parse_term(data: bytes) -> None:
    with suppress(QueryError, UsageError):
        term = terms.parse_term(data.decode("utf-8", "surrogateescape"))
        format_term(term)


def _load_policy(data: bytes) -> None:
    path = scratch_folder() / "policy.yaml"
    path.write_bytes(data)
    with suppress(ImseekError):
        moderation_policies.load_policy(path)


POLICY: Final = b"""name: school
categories:
  violence:
    prompts: [a photo of a fight, "blood"]
    neutral: [a photo of a party]
    threshold: 0.5
"""


TARGETS: Final = {
    "where": Target(_compile_filter, _filter_seeds),
    "query": Target(_read_query, lambda: [b"\1", b"\0" + json_bytes(_query()), *arbitrary_bytes()]),
    "term": Target(_parse_term, lambda: [b"a dog::2", b"id:7", b"./a.png::-0.5", b"file:///a%20b.png", b"http://a/b"]),
    "policy": Target(_load_policy, lambda: [POLICY, b"a: &a [*a]", b"- !!python/object/apply:os.system [x]"]),
}

"""Queries as JSON, for lines of ``imseek search --queries`` and for requests over a network.

The schema is docs/schemas/query.json. Nothing is guessed: a string in ``text`` or ``not`` is always text; a
string in ``like`` is a URL if it starts like one, otherwise a path (or ``file://`` URI). Anything else is an object
that names its type.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError
from imseek.search.query import NOT_WEIGHT, Query, Term, make_query
from imseek.search.query_options import QueryOptions, option_fields, values_of
from imseek.search.region import check_region
from imseek.search.term_parser import FILE_URI, path_of_uri

#: Members of a term object; exactly one is present, besides ``weight``.
_KINDS: Final = ("text", "path", "url", "image_id", "vector", "picture")
#: Members of a term object that describe it further.
_FURTHER: Final = ("weight", "region")
#: Members that hold terms.
_LISTS: Final = ("text", "like", "not")
#: JSON types of options by their type in Python.
_JSON_TYPES: Final[Mapping[type, tuple[type, ...]]] = {float: (int, float), tuple: (list,)}
_EXCERPT: Final = 80  # characters


def query_from_json(document: object, *, files: bool, defaults: QueryOptions | None = None) -> Query:
    """Build a query from a decoded JSON document.

    ``files`` allows paths on this machine; pass True only for documents from this machine's user. ``defaults``
    stand for missing members. Raises QueryError.
    """
    if not isinstance(document, dict):
        raise QueryError("a query as JSON is an object")
    members = {"schema", *_LISTS, *option_fields()}
    if unknown_members := sorted(set(document) - members):
        raise QueryError(f"a query has no member {unknown_members[0]!r}", hint=", ".join(sorted(members)))
    if document.get("schema", 1) != 1:
        raise QueryError("a query of this imseek has schema 1")
    terms = [_term(one, "text", files) for one in _as_list(document.get("text", []))]
    terms += [_term(one, "like", files) for one in _as_list(document.get("like", []))]
    terms += [_term(one, "not", files) for one in _as_list(document.get("not", []))]
    values: dict[str, Any] = {}
    for name, one in option_fields().items():
        if name in document:
            value = values[name] = document[name]
            known_types = _JSON_TYPES.get(one.kind, (one.kind,))
            if type(value) not in known_types and not (value is None and one.nullable):
                raise QueryError(f"{name} of a query cannot be {_excerpt(value)}")
    return make_query(terms, replace(defaults or QueryOptions(), **values))


def query_to_json(query: Query) -> dict[str, Any]:
    """Return the JSON object from which :func:`query_from_json` rebuilds the query, apart from the order of its terms.

    Text comes first and negative terms last; fields with default values are omitted. Raises QueryError for a vector
    that JSON cannot represent and for a path that is not UTF-8.
    """
    document: dict[str, Any] = {"schema": 1}
    lists: dict[str, list[Any]] = {name: [] for name in _LISTS}
    for term in query.terms:
        name = "not" if term.weight < 0 else "text" if term.text is not None else "like"
        lists[name].append(_write_term(term, name))
    document.update({name: terms for name, terms in lists.items() if terms})
    for name, value in values_of(query).items():
        if value != option_fields()[name].default:
            document[name] = list(value) if isinstance(value, tuple) else value
    return document


def query_from_line(line: str, *, files: bool, defaults: QueryOptions | None = None) -> Query:
    """Parse a line of ``--queries``: a JSON object, otherwise text. Raises QueryError."""
    if not line.lstrip().startswith("{"):
        return make_query([Term(text=line.strip())], defaults or QueryOptions())
    try:
        document = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise QueryError(f"not JSON: {str(error) or 'too deep'}") from error
    return query_from_json(document, files=files, defaults=defaults)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _as_list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else [value]


def _term(value: object, name: str, files: bool) -> Term:
    """Build a term from a member of the list ``name``; those in ``not`` become negative."""
    sign = -NOT_WEIGHT if name == "not" else 1.0
    if isinstance(value, str):
        if name != "like":
            return Term(text=value, weight=sign)
        kind = "url" if value.lower().startswith(("http://", "https://")) else "path"
        return _make_term(kind, value, sign, files)
    if type(value) is int and name != "text":
        return _make_term("image_id", value, sign, files)
    if not isinstance(value, dict):
        raise QueryError(f"{name} of a query cannot hold {_excerpt(value)}")
    kinds = [kind for kind in _KINDS if kind in value]
    if len(kinds) != 1 or set(value) - {*_KINDS, *_FURTHER}:
        hint = f"one of {', '.join(_KINDS)}, and a weight or the region of a picture if you like"
        raise QueryError(f"{_excerpt(value)} is not a term", hint=hint)
    if name == "text" and kinds != ["text"]:
        raise QueryError(f"text of a query holds words only, not {_excerpt(value)}", hint="put it into `like`")
    weight = value.get("weight", 1)
    if type(weight) not in (int, float) or not 0 < weight < float("inf"):
        raise QueryError("a weight in JSON must be a number above 0", hint="put what you do not want into `not`")
    try:
        signed = sign * weight
    except OverflowError as error:
        raise QueryError("a weight in JSON is a number that a float64 can hold") from error
    term = _make_term(kinds[0], value[kinds[0]], signed, files)
    return replace(term, region=check_region(value["region"])) if "region" in value else term


def _make_term(kind: str, value: object, weight: float, files: bool) -> Term:
    if kind == "image_id" and type(value) is int:
        return Term(image_id=value, weight=weight)
    if kind == "vector" and isinstance(value, list):
        return Term(vector=_vector(value), weight=weight)
    if kind in ("image_id", "vector") or not isinstance(value, str):
        raise QueryError(f"{kind} of a term cannot be {_excerpt(value)}")
    if kind == "path":
        return Term(picture=_path(value, files), weight=weight)
    if kind == "picture":
        try:
            return Term(picture=base64.b64decode(value, validate=True), weight=weight)
        except ValueError as error:
            raise QueryError("picture of a term is base64") from error
    return Term(url=value, weight=weight) if kind == "url" else Term(text=value, weight=weight)


def _path(value: str, files: bool) -> Path:
    if not files:
        raise QueryError("a query from another machine cannot name files on this one", hint="send the bytes")
    if not value:
        raise QueryError("an empty path is not a picture")
    return path_of_uri(value) if FILE_URI.match(value) else Path(value)


def _vector(values: list[object]) -> npt.NDArray[np.float64]:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != len(values):
        raise QueryError("vector of a term is a list of numbers")
    try:
        return np.array(numbers, np.float64)
    except OverflowError as error:
        raise QueryError("vector of a term holds a number that is too large") from error


def _write_term(term: Term, name: str) -> Any:
    weight = -term.weight / NOT_WEIGHT if term.weight < 0 else term.weight
    if not math.isfinite(weight):
        raise QueryError(f"a weight of {term.weight} is too large for JSON")
    if term.text is not None:
        document: dict[str, Any] = {"text": term.text}
    elif term.url is not None:
        document = {"url": term.url}
    elif term.image_id is not None:
        document = {"image_id": int(term.image_id)}
    elif term.vector is not None:
        if not np.isfinite(term.vector).all():
            raise QueryError("JSON holds no vector with NaN or infinity")
        document = {"vector": [float(number) for number in term.vector]}
    elif isinstance(term.picture, bytes):
        document = {"picture": base64.b64encode(term.picture).decode("ascii")}
    else:
        document = {"path": _utf8(str(term.picture))}
    if term.region is not None:
        document["region"] = list(term.region)
    if weight == 1:
        return term.text if term.text is not None and name != "like" else document
    return {**document, "weight": weight}


def _utf8(path: str) -> str:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError("JSON holds no path that is not UTF-8", hint="send the bytes of the picture") from error
    return path


def _excerpt(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"

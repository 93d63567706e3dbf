"""Queries and their terms as immutable values, shared by the command line, the library and the servers.

``term_parser`` parses terms as users type them; ``query_json`` reads and writes whole queries as JSON;
``query_options`` has the options.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError
from imseek.search.query_options import By, QueryOptions, values_of

#: Absolute weight of terms after ``--not`` or in ``not`` of a JSON query, where it works better than 1
#: (docs/decisions/0015-fusion.md). An explicit weight is multiplied by it.
NOT_WEIGHT: Final = 0.5

_KINDS: Final[tuple[tuple[str, type | tuple[type, ...], str], ...]] = (
    ("text", str, "a str"),
    ("picture", (Path, bytes), "a Path, or the bytes of a file"),
    ("url", str, "a str"),
    ("image_id", Integral, "an int"),
)
_URL: Final = re.compile(r"https?://[^\s/][^\x00-\x1f\x7f]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a query: exactly one of text, a picture (path, bytes or URL), a stored image's id, or a vector.

    ``weight`` scales the term; a negative weight means "less like this". Only the ratios of a query's weights matter.
    ``url`` is http or https, fetched when the query runs, and never from a private address. ``vector`` is (dim,) in
    the collection's first searched space and need not be normalised. Text and vectors search the first space only,
    pictures and stored images all spaces.

    Raises QueryError.
    """

    text: str | None = None
    picture: Path | bytes | None = None
    image_id: int | None = None
    vector: npt.NDArray[np.floating[Any]] | None = field(default=None, compare=False)
    weight: float = 1.0
    url: str | None = None

    def __post_init__(self) -> None:
        given = [v for v in (self.text, self.picture, self.url, self.image_id, self.vector) if v is not None]
        if len(given) != 1:
            raise QueryError("a term needs exactly one of text, picture, url, image_id and vector")
        for name, kind, described in _KINDS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise QueryError(f"the {name} of a term is {described}, not a {type(value).__name__}")
        if self.text is not None and not self.text.strip():
            raise QueryError("cannot search for an empty text")
        if isinstance(self.picture, Path) and "\0" in str(self.picture):
            raise QueryError("the path of a picture contains a NUL byte")
        if self.url is not None and not _URL.fullmatch(self.url):
            raise QueryError(f"not an http or https URL: {self.url!r}")
        if not isinstance(self.weight, Real) or not math.isfinite(self.weight) or self.weight == 0:
            raise QueryError("the weight of a term must be a finite number other than 0")

    @property
    def shows(self) -> bool:
        """Whether the term is a picture or a stored image, which every image space can compare."""
        return self.picture is not None or self.url is not None or self.image_id is not None


@dataclass(frozen=True)
class _Terms:
    """The first field of a query; those that it inherits from :class:`QueryOptions` come after it."""

    __slots__ = ()  # Query, which has a second base, makes the slot.
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Query(QueryOptions, _Terms):
    """A search query: terms, at least one of them positive, and options that shape the answer of ``limit`` hits.

    docs/queries.md explains how terms are combined and what scores mean, :class:`QueryOptions` what the options do.

    Raises QueryError.
    """

    def __post_init__(self) -> None:
        if not self.terms:
            hint = "start from a stored image instead: a term with its image_id" if self.more else None
            raise QueryError("a query needs at least one term", hint=hint)
        if all(term.weight < 0 for term in self.terms):
            raise QueryError("a query needs more than negative terms", hint="add words or a picture to find")
        QueryOptions.__post_init__(self)


def make_query(terms: Iterable[Term], options: QueryOptions) -> Query:
    """Return a query of terms and options. Raises QueryError."""
    return Query(tuple(terms), **values_of(options))


#: What :meth:`imseek.Collection.search` accepts: text, a picture, a stored image's id, a vector, or a Query.
Question: TypeAlias = str | Path | bytes | int | npt.NDArray[np.floating[Any]] | Query


def as_query(question: Question, limit: int, by: By = "auto") -> Query:
    """Turn any accepted value into a Query. Raises QueryError for other types."""
    if isinstance(question, Query):
        return question
    if isinstance(question, str):
        return Query((Term(text=question),), limit, by)
    if isinstance(question, Path | bytes):
        return Query((Term(picture=question),), limit, by)
    if isinstance(question, np.ndarray):
        return Query((Term(vector=question),), limit, by)
    if isinstance(question, int) and not isinstance(question, bool):
        return Query((Term(image_id=question),), limit, by)
    raise QueryError(f"cannot search for a {type(question).__name__}")

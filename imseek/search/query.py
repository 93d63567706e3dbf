"""Queries and their terms as immutable values, shared by the command line, the library and the servers.

``term_parser`` parses terms as users type them; ``query_json`` reads and writes whole queries as JSON;
``query_options`` has the options.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, cast, overload

import numpy as np
import numpy.typing as npt

from imseek.errors import MediaError, QueryError
from imseek.media.picture_objects import PillowImage, encode_picture, is_picture
from imseek.search.query_options import By, FurtherOptions, QueryKeywords, QueryOptions, check_keywords, values_of
from imseek.search.region import Region, check_region
from imseek.types.pictures import SkipReason

#: Absolute weight of terms after ``--not`` or in ``not`` of a JSON query, where it works better than 1
#: (docs/decisions/0015-fusion.md). An explicit weight is multiplied by it.
NOT_WEIGHT: Final = 0.5

_KINDS: Final[tuple[tuple[str, type | tuple[type, ...], str], ...]] = (
    ("text", str, "a str"),
    ("picture", (Path, bytes), "a Path, or the bytes of a file"),
    ("url", str, "a str"),
    ("image_id", Integral, "an int"),
)
#: What to do about a picture that cannot be decoded.
_REPAIR_HINTS: Final[Mapping[str, str]] = {
    SkipReason.EMPTY_FILE: "copy or download it again",
    SkipReason.TRUNCATED: "copy or download it again, or save it anew from a program that still opens it",
    SkipReason.CORRUPT: "copy or download it again, or save it anew from a program that still opens it",
}
_URL: Final = re.compile(r"https?://[^\s/][^\x00-\x1f\x7f]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a query: exactly one of text, a picture (path, bytes or URL), a stored image's id, or a vector.

    ``weight`` scales the term; a negative weight means "less like this". Only the ratios of a query's weights matter.
    ``url`` is http or https, fetched when the query runs, and never from a private address. ``vector`` is (dim,) in
    the collection's first searched space and need not be normalised. Text and vectors search the first space only,
    pictures and stored images all spaces.

    ``region`` limits a picture or a stored image to a box of it: x, y, width and height of the upright picture, as
    shares of its width and height if none exceeds 1, otherwise in pixels. The picture of a stored image is read for
    that, and must be what was indexed.

    Raises QueryError.
    """

    text: str | None = None
    picture: Path | bytes | None = None
    image_id: int | None = None
    vector: npt.NDArray[np.floating[Any]] | None = field(default=None, compare=False)
    weight: float = 1.0
    url: str | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        values = [v for v in (self.text, self.picture, self.url, self.image_id, self.vector) if v is not None]
        if len(values) != 1:
            raise QueryError("a term needs exactly one of text, picture, url, image_id and vector")
        for name, kind, expected in _KINDS:
            value = getattr(self, name)
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise QueryError(f"the {name} of a term is {expected}, not a {type(value).__name__}")
        if self.text is not None and not self.text.strip():
            raise QueryError("cannot search for an empty text")
        if isinstance(self.picture, Path) and "\0" in str(self.picture):
            raise QueryError("the path of a picture contains a NUL byte")
        if self.url is not None and not _URL.fullmatch(self.url):
            raise QueryError(f"not an http or https URL: {self.url!r}")
        if not isinstance(self.weight, Real) or not math.isfinite(self.weight) or self.weight == 0:
            raise QueryError("the weight of a term must be a finite number other than 0")
        if self.region is not None:
            if not self.shows:
                raise QueryError("only a picture or a stored image has a region")
            object.__setattr__(self, "region", check_region(self.region))

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

    ``terms`` is a :class:`Term`, or what :func:`term_of` makes one of (``Query("a dog")``), or several of these.
    docs/queries.md explains how terms are combined and what scores mean, :class:`QueryOptions` what the options do.

    Raises QueryError.
    """

    if TYPE_CHECKING:  # Two signatures, since type checkers find no type for a list of texts and terms in a union.

        @overload
        def __init__(
            self, terms: TermSource, limit: int = 10, by: By = "auto", **options: Unpack[FurtherOptions]
        ) -> None: ...

        @overload
        def __init__(
            self, terms: Iterable[TermSource], limit: int = 10, by: By = "auto", **options: Unpack[FurtherOptions]
        ) -> None: ...

        def __init__(
            self, terms: object, limit: int = 10, by: By = "auto", **options: Unpack[FurtherOptions]
        ) -> None: ...

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", _terms_of(self.terms))
        if not self.terms:
            hint = "start from a stored image instead: a term with its image_id" if self.more else None
            raise QueryError("a query needs at least one term", hint=hint)
        if all(term.weight < 0 for term in self.terms):
            raise QueryError("a query needs more than negative terms", hint="add words or a picture to find")
        QueryOptions.__post_init__(self)


def make_query(terms: Iterable[Term], options: QueryOptions) -> Query:
    """Return a query of terms and options. Raises QueryError."""
    return Query(tuple(terms), **values_of(options))


#: What stands for one term: text, a picture (the path or bytes of a file, an image of Pillow, or pixels (h, w, 3)
#: uint8), a stored image's id, or a vector (dim,).
TermSource: TypeAlias = (
    str | Path | bytes | PillowImage | int | np.integer[Any] | npt.NDArray[Any] | Sequence[float] | Term
)
#: What :meth:`imseek.Collection.search` accepts.
Question: TypeAlias = TermSource | Query


def as_query(question: Question, **options: Unpack[QueryKeywords]) -> Query:
    """Turn any accepted value into a query; ``options`` replace those of a :class:`Query`.

    Raises QueryError for other types and invalid values, TypeError for an unknown option.
    """
    check_keywords(options)
    if isinstance(question, Query):
        return replace(question, **cast("dict[str, Any]", options)) if options else question
    return Query(question, **options)


def as_queries(questions: Iterable[Question], **options: Unpack[QueryKeywords]) -> list[Query]:
    """Turn each value into a query, as :func:`as_query`. Raises QueryError for a single one, too."""
    if isinstance(questions, str | bytes | os.PathLike | Term | Query) or not isinstance(questions, Iterable):
        raise QueryError(
            f"many queries are a list, not a {type(questions).__name__}", hint='for one query: search("a red car")'
        )
    return [as_query(question, **options) for question in questions]


def term_of(source: TermSource) -> Term:
    """Return the term that a value stands for. A str is always text, whatever it looks like.

    Raises QueryError for other types, and for an image of Pillow that cannot be read.
    """
    if isinstance(source, Term):
        return source
    if isinstance(source, str):
        return Term(text=source)
    if isinstance(source, Path | bytes):
        return Term(picture=source)
    if isinstance(source, Integral) and not isinstance(source, bool):
        return Term(image_id=int(source))
    if is_picture(source):
        try:
            return Term(picture=encode_picture(source))
        except MediaError as error:
            raise unusable_picture_error("the image", error) from error
    if hasattr(source, "__array__") or _is_vector(source):
        vector = np.asarray(source)
        if vector.dtype.kind not in "fiu":
            raise QueryError(f"a vector holds numbers, not {vector.dtype}")
        return Term(vector=vector.astype(np.float64) if vector.dtype.kind != "f" else vector)
    raise QueryError(f"cannot search for a {type(source).__name__}")


def unusable_picture_error(name: str, error: MediaError) -> QueryError:
    """Return the error for a picture of a query that cannot be decoded, with a hint at what to do about it."""
    return QueryError(f"cannot use {name} as a query: {error}", hint=error.hint or _REPAIR_HINTS.get(error.reason))


def _terms_of(terms: Any) -> tuple[Term, ...]:
    """Return the terms that were given as one, or as several. A list of numbers is one vector."""
    is_one = isinstance(terms, str | bytes | Mapping) or hasattr(terms, "__array__") or is_picture(terms)
    if isinstance(terms, Iterable) and not is_one:
        items = list(terms)
        if not items or not all(map(_is_number, items)):
            return tuple(map(term_of, items))
        terms = items
    return (term_of(terms),)


def _is_vector(source: object) -> bool:
    return isinstance(source, Sequence) and len(source) > 0 and all(map(_is_number, source))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)

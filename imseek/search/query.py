"""What can be asked, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from imseek.errors import QueryError

#: What the terms of a query are compared with: pictures, or the captions that some of them have.
By: TypeAlias = Literal["image", "caption"]

_KINDS: Final[tuple[tuple[str, type | tuple[type, ...], str], ...]] = (
    ("text", str, "a str"),
    ("picture", (Path, bytes), "a Path, or the bytes of a file"),
    ("image_id", Integral, "an int"),
)


@dataclass(frozen=True, slots=True)
class Term:
    """One piece of a query: exactly one of words, a picture (path or bytes), a stored image, a vector.

    ``weight`` scales its unit vector before the terms are added; negative means "less like this".
    ``vector`` is (dim,) in the space that is searched first and need not be normalised. Words and vectors speak to
    that space only, pictures and stored images to all.
    """

    text: str | None = None
    picture: Path | bytes | None = None
    image_id: int | None = None
    vector: npt.NDArray[np.floating[Any]] | None = field(default=None, compare=False)
    weight: float = 1.0

    def __post_init__(self) -> None:
        given = [v for v in (self.text, self.picture, self.image_id, self.vector) if v is not None]
        if len(given) != 1:
            raise QueryError("a term is exactly one of text, picture, image_id and vector")
        for name, kind, described in _KINDS:
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise QueryError(f"the {name} of a term is {described}, not a {type(value).__name__}")
        if not np.isfinite(self.weight) or self.weight == 0:
            raise QueryError("the weight of a term is a finite number other than 0")

    @property
    def shows(self) -> bool:
        """Whether the term is a picture, so that every space can tell what is like it."""
        return self.picture is not None or self.image_id is not None


@dataclass(frozen=True, slots=True)
class Query:
    """Terms whose weighted unit vectors are summed and normalised, in each space; ``limit`` hits are wanted.

    In a collection of several spaces a score is the weighted mean of the cosines, and a space weighs as much as the
    sum of the terms in it is long: equally where all terms are pictures.

    ``by`` says what is compared with the query. With ``"caption"`` that is the caption of each image that has one, in
    the one space of captions; words, pictures and stored images (their pictures) can all be asked so.
    """

    terms: tuple[Term, ...]
    limit: int = 10
    by: By = "image"

    def __post_init__(self) -> None:
        if not self.terms:
            raise QueryError("a query needs at least one term")
        if self.limit < 1:
            raise QueryError("limit must be at least 1")
        if self.by not in get_args(By):
            raise QueryError(f"a query is compared by {' or by '.join(get_args(By))}, not by {self.by}")


#: What :meth:`imseek.Collection.search` takes: words, a picture, a stored image's id, a vector, or a Query.
Question: TypeAlias = str | Path | bytes | int | npt.NDArray[np.floating[Any]] | Query


def as_query(question: Question, limit: int, by: By = "image") -> Query:
    """Raises QueryError for what cannot be asked."""
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

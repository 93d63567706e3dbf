"""Query flags of `imseek search` and `imseek similar`, parsed into one value.

They yield one :class:`imseek.Query`, or a list of them for ``--queries``. Only the syntax of terms is specific to the
command line (:mod:`imseek.search.term_parser`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from imseek.errors import QueryError, UsageError
from imseek.input_file import map_array, read_input
from imseek.showing.words import shorten
from imseek.ui.cli.flag_groups import FlagGroup

if TYPE_CHECKING:
    from imseek.search.query import Cutoff, Query, Term

STDIN: Final = "-"

#: Default and Typer annotation of each flag, by name.
FLAGS: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        "like": (
            None,
            Annotated[
                list[str] | None,
                typer.Option(
                    "--like",
                    metavar="PICTURE",
                    help="And like this picture: a file, a URL, id:N, or - for stdin; may be repeated.",
                ),
            ],
        ),
        "unlike": (
            None,
            Annotated[
                list[str] | None,
                typer.Option(
                    "--not",
                    metavar="TERM",
                    help="But not this: words, or a picture (./FILE, URL, id:N); may be repeated.",
                ),
            ],
        ),
        "vector": (
            None,
            Annotated[
                list[str] | None,
                typer.Option(
                    "--vector", metavar="FILE", help="And like this vector (.npy); may be repeated."
                ),
            ],
        ),
        "more": (
            None,
            Annotated[
                list[int] | None,
                typer.Option("--more", metavar="ID", help="A hit that was right; may be repeated."),
            ],
        ),
        "less": (
            None,
            Annotated[
                list[int] | None,
                typer.Option("--less", metavar="ID", help="A hit that was wrong; may be repeated."),
            ],
        ),
        "queries": (
            None,
            Annotated[
                str | None,
                typer.Option(
                    "--queries",
                    metavar="FILE",
                    help="Many queries, one a line, as words or JSON (docs/queries.md); - for stdin. "
                    "Answers are JSON Lines.",
                ),
            ],
        ),
        "by": (
            "image",
            Annotated[
                Literal["image", "caption"],
                typer.Option(
                    "--by", help="Compare with the pictures, or with the captions that some of them have."
                ),
            ],
        ),
        "where": (
            None,
            Annotated[
                str | None,
                typer.Option("--where", metavar="EXPR", help="Only images that meet this (docs/where.md)."),
            ],
        ),
        "min_score": (
            None,
            Annotated[
                float | None,
                typer.Option("--min-score", metavar="S", help="Only hits of this score or more."),
            ],
        ),
        "cutoff": (
            None,
            Annotated[
                Literal["auto", "none"] | None,
                typer.Option("--cutoff", help="End the list where relevance ends, or not."),
            ],
        ),
        "sort": (
            "score",
            Annotated[
                Literal["score", "date"],
                typer.Option("--sort", help="The best first, or the newest first among the hits."),
            ],
        ),
        "group_by": (
            None,
            Annotated[
                Literal["folder", "day", "source"] | None,
                typer.Option(
                    "--group-by", help="Gather the hits of one folder, day or source; -n counts these."
                ),
            ],
        ),
        "per_group": (
            3,
            Annotated[
                int, typer.Option("--per-group", metavar="N", min=1, help="How many hits of each group.")
            ],
        ),
        "diversity": (
            0.0,
            Annotated[
                float,
                typer.Option(
                    "--diversity",
                    metavar="F",
                    min=0,
                    max=1,
                    help="Above 0: hits that resemble earlier ones come later.",
                ),
            ],
        ),
        "collapse": (
            False,
            Annotated[bool, typer.Option("--collapse", help="Show near-duplicates as one hit.")],
        ),
        "hubness": (
            False,
            Annotated[bool, typer.Option("--hubness", help="Push back images that are near everything.")],
        ),
        "page": (
            None,
            Annotated[
                str | None,
                typer.Option("--page", metavar="TOKEN", help="The hits after those of an earlier answer."),
            ],
        ),
        "exact": (
            False,
            Annotated[
                bool, typer.Option("--exact", help="Look at every vector, through no approximate index.")
            ],
        ),
        "limit": (
            10,
            Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, help="How many hits.")],
        ),
    }
)
#: Flags that are terms or refer to one answer: invalid with many queries.
_SINGLE_QUERY_FLAGS: Final = ("like", "unlike", "vector", "more", "less", "page")
#: Flags that are fields of a query.
_QUERY_FIELDS: Final = (
    "limit",
    "by",
    "where",
    "min_score",
    "sort",
    "group_by",
    "per_group",
    "diversity",
    "collapse",
    "page",
    "hubness",
    "exact",
)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Values of the query flags."""

    values: Mapping[str, Any]

    @property
    def many(self) -> bool:
        """Whether there are many queries, each with its own answer."""
        return self.values["queries"] is not None

    @property
    def by(self) -> Literal["image", "caption"]:
        by: Literal["image", "caption"] = self.values["by"]
        return by

    def also_like(self, pictures: Sequence[str]) -> QueryOptions:
        """Return a copy with ``pictures`` before those of ``--like``."""
        return QueryOptions({**self.values, "like": [*pictures, *(self.values["like"] or ())]})

    def query(self, texts: Sequence[str], *, cutoff: Cutoff | None = None) -> Query:
        """Build a query from ``texts`` and the flags; ``cutoff`` is the default if no flag sets one.

        Reads standard input and vector files. Raises QueryError, UsageError.
        """
        from imseek.search.query import Query

        return Query(self._terms(texts), **self._fields(cutoff))

    def batch(
        self, texts: Sequence[str], *, cutoff: Cutoff | None = None
    ) -> list[tuple[int, Query | QueryError]]:
        """Read the queries of ``--queries``: for each line, its number and the query, or its error.

        Flags supply defaults for the lines. Raises UsageError.
        """
        if texts or any(self.values[name] for name in _SINGLE_QUERY_FLAGS):
            raise UsageError(
                "--queries has all terms in its lines",
                hint='such as {"text": "a red car", "like": ["x.jpg"]}',
            )
        from imseek.search.query_json import read_line

        file, defaults = self.values["queries"], self._fields(cutoff)
        found: list[tuple[int, Query | QueryError]] = []
        for number, line in enumerate(_read_lines(file), start=1):
            if not line.strip():
                continue
            try:
                query = read_line(line, files=True, defaults=defaults)
                _check_files(query.terms)
            except QueryError as error:
                found.append((number, error))
            else:
                found.append((number, query))
        return found

    def notes(self, texts: Sequence[str]) -> list[str]:
        """Return notes on interpretations that may surprise."""
        found = []
        if len(texts) > 1 and all(text.isalpha() for text in texts):
            found.append(f"{len(texts)} terms: {' + '.join(texts)} (words in quotes are one)")
        words = [("", text) for text in texts] + [("--not ", said) for said in self.values["unlike"] or ()]
        for flag, said in words:
            if "/" not in said and Path(said).suffix and Path(said).is_file():
                name = shorten(said, 60)
                found.append(f"{name} is taken as words; the file of that name is {flag}./{name}")
        return found

    def _fields(self, cutoff: Cutoff | None) -> dict[str, Any]:
        said = self.values["cutoff"]
        values = {name: self.values[name] for name in _QUERY_FIELDS}
        for name in ("more", "less"):
            values[name] = tuple(self.values[name] or ())
        return {**values, "cutoff": cutoff if said is None else None if said == "none" else said}

    def _terms(self, texts: Sequence[str]) -> tuple[Term, ...]:
        from dataclasses import replace

        from imseek.search.query import NOT_WEIGHT
        from imseek.search.term_parser import parse

        stdin = _read_once(_stdin_picture)
        terms = [parse(text, stdin=stdin) for text in texts]
        terms += [parse(said, picture=True, stdin=stdin) for said in self.values["like"] or ()]
        terms += [_vector_term(said) for said in self.values["vector"] or ()]
        negative = [parse(said, stdin=stdin) for said in self.values["unlike"] or ()]
        terms += [replace(term, weight=-NOT_WEIGHT * term.weight) for term in negative]
        if not terms:
            raise UsageError("nothing to search for", hint="imseek search --help")
        _check_files(terms)
        return tuple(terms)


#: Flags that yield an :class:`QueryOptions`.
QUERY_FLAGS: Final = FlagGroup(FLAGS, QueryOptions)


def _check_files(terms: Sequence[Term]) -> None:
    """Raise QueryError for a missing file, before an encoder is loaded."""
    for term in terms:
        if isinstance(term.picture, Path) and not term.picture.exists():
            raise QueryError(
                f"no such file: {shorten(str(term.picture), 200)}",
                hint="words need no flag: imseek search 'a boat on a lake'",
            )


def _vector_term(said: str) -> Term:
    """Read a vector term, ``FILE`` or ``N:FILE``. Raises QueryError unless the file holds one vector."""
    import numpy as np

    from imseek.search.query import Term
    from imseek.search.term_parser import split_weight

    weight, file = split_weight(said)
    try:
        array = map_array(file)
    except OSError as error:
        raise QueryError(f"cannot read the vector {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise QueryError(f"{file} is no .npy file of numbers", hint="numpy.save writes one") from error
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise QueryError(f"{file} holds an array of shape {array.shape}, not one vector")
    return Term(vector=np.array(array, np.float64), weight=weight)


def _stdin_picture() -> bytes:
    """Read a picture from standard input. Raises QueryError for a terminal or empty input."""
    from imseek.media.decode import DEFAULT_LIMITS

    if sys.stdin.isatty():
        raise QueryError("standard input is a terminal", hint="imseek search - < picture.jpg")
    data = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
    if not data:
        raise QueryError("standard input is empty, and no picture")
    return data


def _read_once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    taken: list[bytes] = []

    def once() -> bytes:
        if not taken:
            taken.append(read())
        return taken[0]

    return once


def _read_lines(file: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else read_input(file)
    except OSError as error:
        raise UsageError(f"cannot read the queries {file}: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the queries {file} are not UTF-8") from error

"""Query flags of `imseek search` and `imseek similar`, parsed into one value.

They yield one :class:`imseek.Query`, or a list of them for ``--queries``. Only the syntax of terms is specific to the
command line (:mod:`imseek.search.term_parser`).
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from imseek.errors import QueryError, UsageError
from imseek.input_file import map_array
from imseek.search import OptionField, QueryOptions, Region, check_values, option_fields
from imseek.ui.cli.common_options import rare
from imseek.ui.cli.flag_groups import Flag, FlagGroup, flags_of
from imseek.ui.cli.image_arguments import parse_id, parse_id_argument, parse_picture_term, read_file
from imseek.ui.render.words import shorten

if TYPE_CHECKING:
    from imseek.search import Cutoff, Query, Term


@dataclass(frozen=True, slots=True)
class QueryFlags:
    """The query flags: those that only the command line has, and ``options``, with a flag for each of its fields."""

    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            metavar="PICTURE",
            help="Add a picture to the query: a file, a URL, an id, or - for stdin; may be repeated.",
        ),
    ] = None
    unlike: Annotated[
        list[str] | None,
        typer.Option(
            "--not",
            metavar="TERM",
            help="Avoid hits like these words or this picture (./FILE, URL, id:N); may be repeated.",
        ),
    ] = None
    vector: Annotated[
        list[str] | None,
        typer.Option("--vector", metavar="FILE", help="Add a vector (a .npy file) to the query; may be repeated."),
    ] = None
    queries: Annotated[
        str | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            help="Run many queries from a file, one per line, as words or JSON (docs/queries.md); - "
            "for stdin. Results are JSON Lines.",
        ),
    ] = None
    # In place of the option's: people see where relevance ends, unless they say "none".
    cutoff: Annotated[
        str | None,
        typer.Option("--cutoff", metavar="auto|N%|none", help=option_fields()["cutoff"].option.help),
    ] = None
    options: QueryOptions = field(default_factory=QueryOptions)
    region: Region | None = None
    """The region of the first picture of ``like``."""

    @property
    def many(self) -> bool:
        """Whether there are many queries, each with its own answer."""
        return self.queries is not None

    @property
    def has_terms(self) -> bool:
        """Whether any flag holds a term, or a hit that was right or wrong."""
        return any((self.like, self.unlike, self.vector, self.options.more, self.options.less))

    def also_like(self, pictures: Sequence[str], region: str | None = None) -> QueryFlags:
        """Return a copy with ``pictures`` before those of ``--like``; a ``region`` is of a single picture.

        Raises QueryError, UsageError.
        """
        flags = replace(self, like=[*pictures, *(self.like or ())])
        if region is None:
            return flags
        from imseek.search import parse_region

        if len(pictures) > 1:
            raise UsageError("--region is a box of one picture", hint="further pictures: --like PICTURE")
        return replace(flags, region=parse_region(region))

    def with_limit(self, limit: int) -> QueryFlags:
        """Return a copy that asks for ``limit`` hits."""
        return replace(self, options=replace(self.options, limit=limit))

    def query(self, texts: Sequence[str], *, cutoff: Cutoff | None = None) -> Query:
        """Build a query from ``texts`` and the flags; ``cutoff`` is the default if no flag sets one.

        Reads standard input and vector files. Raises QueryError, UsageError.
        """
        from imseek.search import make_query

        return make_query(self._terms(texts), self._options(cutoff))

    def batch(self, texts: Sequence[str], *, cutoff: Cutoff | None = None) -> list[tuple[int, Query | QueryError]]:
        """Read the queries of ``--queries``: for each line, its number and the query, or its error.

        Flags supply defaults for the lines. Raises UsageError.
        """
        assert self.queries is not None
        if texts or self.has_terms or self.options.page:
            raise UsageError(
                "with --queries, all terms belong in the file",
                hint='write a line such as {"text": "a red car", "like": ["x.jpg"]}',
            )
        from imseek.search import query_from_line

        defaults = self._options(cutoff)
        queries: list[tuple[int, Query | QueryError]] = []
        for number, line in enumerate(_read_lines(self.queries), start=1):
            if not line.strip():
                continue
            try:
                query = query_from_line(line, files=True, defaults=defaults)
                _check_files(query.terms)
            except QueryError as error:
                queries.append((number, error))
            else:
                queries.append((number, query))
        return queries

    def notes(self, texts: Sequence[str]) -> list[str]:
        """Return notes on interpretations that may surprise."""
        notes = []
        if len(texts) > 1 and all(text.isalpha() for text in texts):
            notes.append(f"{len(texts)} terms: {' + '.join(texts)} (words in quotes are one)")
        words = [("", text) for text in texts] + [("--not ", term) for term in self.unlike or ()]
        for flag, term in words:
            if _names_a_file(term):
                name = shorten(term, 60)
                notes.append(f"taken as words: {name}; to search by that picture: {flag}./{name}")
        for term in self.like or ():
            if parse_id(term) is not None and _is_file(term):
                notes.append(f"taken as an id: {term}; to search by the file of that name: ./{term}")
        return notes

    def _options(self, cutoff: Cutoff | None) -> QueryOptions:
        if self.cutoff is not None:
            cutoff = None if self.cutoff == "none" else self.cutoff
            try:
                cutoff = check_values({"cutoff": cutoff}, lambda _: "--cutoff")["cutoff"]
            except QueryError as error:
                raise QueryError(str(error), hint="--cutoff none leaves nothing out") from None
        return replace(self.options, cutoff=cutoff)

    def _terms(self, texts: Sequence[str]) -> tuple[Term, ...]:
        from imseek.search import NOT_WEIGHT, parse_term

        stdin = _read_once(_stdin_picture)
        terms = [parse_term(text, stdin=stdin) for text in texts]
        like = [parse_picture_term(argument, stdin=stdin) for argument in self.like or ()]
        if self.region is not None:
            if like[0].region is not None:
                raise UsageError("two regions of one picture", hint="leave out --region, or what follows the @")
            like[0] = replace(like[0], region=self.region)
        terms += like
        terms += [_vector_term(argument) for argument in self.vector or ()]
        negative = [parse_term(argument, stdin=stdin) for argument in self.unlike or ()]
        terms += [replace(term, weight=-NOT_WEIGHT * term.weight) for term in negative]
        if not terms:
            raise UsageError("nothing to search for", hint="imseek search --help")
        _check_files(terms)
        return tuple(terms)


def _names_a_file(words: str) -> bool:
    """Whether words are also the path of a file, and look like it: one of a folder or with a suffix."""
    path = Path(words)
    return not words.startswith(("/", "./", "../", "~/")) and ("/" in words or path.suffix != "") and _is_file(words)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # Too long for a path, or with a NUL.
        return False


#: Flags that `--help` shows as rarely used.
_RARE: Final = ("hubness", "rerank_limit", "exact")


def _option_flag(option_field: OptionField) -> Flag:
    """Return the flag of an option."""
    described = re.sub(r"`(\w+)`", lambda match: _names(match[1])[-1], option_field.option.help)
    hint, default, parser = option_field.hint, option_field.default, None
    if option_field.kind is tuple:
        hint, default, parser = list[int] | None, None, parse_id_argument
        described = f"{described[:-1]}; may be repeated."
    field_option = option_field.option
    metavar = field_option.metavar
    if option_field.name == "page":
        metavar, described = "N|TOKEN", "Show page N, or continue by the token that an earlier answer gave."
    make = rare if option_field.name in _RARE else typer.Option
    option = make(
        *_names(option_field.name),
        metavar=metavar,
        min=field_option.minimum,
        max=field_option.maximum,
        parser=parser,
        help=described,
    )
    return Flag(default, Annotated[hint, option])


def _names(option: str) -> list[str]:
    short = option_fields()[option].option.short
    return [f"--{option.replace('_', '-')}", *([] if short is None else [short])]


_OWN_FLAGS: Final = flags_of(QueryFlags, "like", "unlike", "vector", "queries", "cutoff")
_FLAGS: Final = {name: _option_flag(one) for name, one in option_fields().items()} | _OWN_FLAGS
#: In `--help`, the first and the last flags; between them stand options in the order of their fields.
_FIRST: Final = ("like", "unlike", "vector", "more", "less", "queries")
_LAST: Final = ("page", "exact", "limit")


def query_flags(*names: str) -> FlagGroup:
    """Return the flags ``names`` (default: all), which yield a :class:`QueryFlags`."""
    order = dict.fromkeys([*_FIRST, *(name for name in _FLAGS if name not in _LAST), *_LAST])
    return FlagGroup({name: _FLAGS[name] for name in names or order}, _make_flags)


def _make_flags(**values: Any) -> QueryFlags:
    own = {name: values.pop(name) for name in _OWN_FLAGS if name in values}
    options: dict[str, Any] = {
        name: tuple(value or ()) if option_fields()[name].kind is tuple else value for name, value in values.items()
    }
    return QueryFlags(**own, options=QueryOptions(**check_values(options, lambda name: _names(name)[0])))


def _check_files(terms: Sequence[Term]) -> None:
    """Raise QueryError for a missing file, before an encoder is loaded."""
    for term in terms:
        if isinstance(term.picture, Path) and not term.picture.exists():
            raise QueryError(
                f"no such file: {shorten(str(term.picture), 200)}",
                hint=f"paths start in {Path.cwd()}; id:17 is an indexed image; "
                f"imseek search {shlex.quote(term.picture.name[:60])} looks for words and names",
            )


def _vector_term(argument: str) -> Term:
    """Read a vector term, ``FILE`` or ``N:FILE``. Raises QueryError unless the file holds one vector."""
    import numpy as np

    from imseek.search import Term, split_weight

    weight, file = split_weight(argument)
    try:
        array = map_array(file)
    except OSError as error:
        raise QueryError(f"cannot read the vector {file}: {error.strerror or error}") from error
    except ValueError as error:
        raise QueryError(f"{file} is not a .npy file of numbers", hint="numpy.save writes one") from error
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise QueryError(f"{file} holds an array of shape {array.shape}, not one vector")
    return Term(vector=np.array(array, np.float64), weight=weight)


def _stdin_picture() -> bytes:
    """Read a picture from standard input. Raises QueryError for a terminal or empty input."""
    from imseek.media import DEFAULT_LIMITS

    if sys.stdin.isatty():
        raise QueryError("standard input is a terminal", hint="imseek search - < picture.jpg")
    data = sys.stdin.buffer.read(DEFAULT_LIMITS.max_bytes + 1)
    if not data:
        raise QueryError("standard input is empty")
    return data


def _read_once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    contents: list[bytes] = []

    def once() -> bytes:
        if not contents:
            contents.append(read())
        return contents[0]

    return once


def _read_lines(file: str) -> list[str]:
    data = read_file(file, "the queries")
    try:
        return data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the queries {file} are not UTF-8") from error

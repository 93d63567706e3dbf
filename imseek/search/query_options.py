"""The options of a query; the annotation of each field states everything about one.

Made from these fields: the check of values, queries as JSON and their schema (docs/schemas/query.json), the flags of
the command line, and what the HTTP server takes. The module imports no NumPy, since ``imseek search --help`` needs it.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, TypeVar, get_args, get_origin

from imseek.errors import QueryError, did_you_mean
from imseek.types.json_form import Json

T = TypeVar("T", bound=Callable[..., Any])

#: What a query's terms are compared with: images and the words beside and in them, images alone, the captions of those
#: that have one, or words alone.
By: TypeAlias = Literal["auto", "image", "caption", "text"]
#: Where the hits end, besides ``limit``: ``auto``, at the end of relevance, or where at most this share of the relevant
#: images is lost, as ``10%``.
Cutoff: TypeAlias = str
#: Order of the hits: best first, or newest first.
Sort: TypeAlias = Literal["score", "date"]
#: What hits are grouped by.
GroupBy: TypeAlias = Literal["folder", "day", "source"]
#: Id of a stored image.
ImageId: TypeAlias = Annotated[int, Json(minimum=0)]


@dataclass(frozen=True, slots=True)
class Option:
    """The description of an option besides its name, type and default."""

    help: str
    """One sentence; names of other options stand in backticks."""
    metavar: str | None = None
    """Name of the value on the command line."""
    short: str | None = None
    """Flag of one letter."""
    minimum: int | None = None
    maximum: int | None = None
    refusal: str = "{name} is one of {choices}, not {value!r}"
    """Message for a value that is none of the choices."""
    separator: str = ", "
    """Stands between the choices in that message."""
    pattern: str | None = None
    """Regular expression that a text meets."""


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Options that shape the answer of a query. Raises QueryError for invalid values."""

    limit: Annotated[int, Option("Maximum number of hits.", metavar="N", short="-n", minimum=1)] = 10
    by: Annotated[
        By,
        Option(
            "Search by pictures and words (auto), pictures, the meaning of captions, or words alone (text).",
            refusal="a query is compared by {choices}, not by {value}",
            separator=" or by ",
        ),
    ] = "auto"
    """``"auto"`` fuses the ranking of pictures with matches of the query's words in names, captions, keywords and
    recognised text, and with captions of similar meaning if they are embedded; ``"image"`` compares with pictures
    alone. ``"caption"`` compares with the captions of images that have one, in the caption space; text, pictures and
    stored images (by their pictures) can all be used. ``"text"`` finds only images that the words match."""
    where: Annotated[str | None, Option("Only images that match this condition (docs/where.md).", metavar="EXPR")] = (
        None
    )
    """A condition on their metadata."""
    min_score: Annotated[float | None, Option("Only hits with at least this score.", metavar="S")] = None
    cutoff: Annotated[
        Cutoff | None,
        Option(
            "End the list where hits stop being relevant (auto), or where at most this share of the relevant images is "
            "lost (10%).",
            metavar="auto|N%",
            refusal="{name} is auto, or a share of the relevant images to lose at most, such as 10%, not {value!r}",
            pattern=r"^(auto|(?!0+(\.0+)?%)[0-9]{1,2}(\.[0-9]{1,2})?%)$",
        ),
    ] = None
    """``"auto"`` gives no hits beyond the end of relevance. ``"10%"`` gives as many hits as it takes to lose a tenth of
    the relevant images at most, on average over queries like those by which :func:`imseek.evaluate.cutoff` calibrated
    the collection."""
    sort: Annotated[Sort, Option("Order the hits by score, best first, or by date, newest first.")] = "score"
    group_by: Annotated[
        GroupBy | None, Option("Group the hits by folder, day or source; `limit` then counts groups.")
    ] = None
    """Each group has at most ``per_group`` hits."""
    per_group: Annotated[int, Option("Maximum number of hits in each group.", metavar="N", minimum=1)] = 3
    diversity: Annotated[
        float,
        Option("Above 0, move hits that resemble earlier ones down the list.", metavar="F", minimum=0, maximum=1),
    ] = 0.0
    """Maximal marginal relevance."""
    rerank: Annotated[
        str | None, Option("Order the best hits by a reranker: captions, tokens, or one of a plugin.", metavar="NAME")
    ] = None
    """``"captions"`` compares the meaning of captions; docs/plugins.md says how to write another."""
    rerank_limit: Annotated[
        int, Option("Number of best hits that `rerank` orders.", metavar="N", minimum=1, maximum=1000)
    ] = 100
    collapse: Annotated[bool, Option("Show near-duplicates as one hit.")] = False
    page: Annotated[
        str | None, Option("Continue after an earlier answer, by the token that it gave.", metavar="TOKEN")
    ] = None
    """The token of an answer to this query."""
    more: Annotated[tuple[ImageId, ...], Option("Id of a good hit: look for more like it.", metavar="ID")] = ()
    """Ids of stored images that the user marked as right; these and ``less`` refine the terms."""
    less: Annotated[tuple[ImageId, ...], Option("Id of a bad hit: look for less like it.", metavar="ID")] = ()
    hubness: Annotated[bool, Option("Rank images lower that are close to almost everything.")] = False
    """Their scores are corrected."""
    exact: Annotated[bool, Option("Compare every vector, without the approximate index.")] = False

    def __post_init__(self) -> None:
        options = option_fields()
        changed = {n: value for n, one in options.items() if (value := getattr(self, n)) is not one.default}
        for name, value in check_values(changed).items():
            object.__setattr__(self, name, value)


# Type checkers need these names in so many words; a test compares them with the fields above.
class FurtherOptions(TypedDict, total=False):
    """The options after ``limit`` and ``by``, as keywords of :class:`imseek.Query`."""

    where: str | None
    min_score: float | None
    cutoff: Cutoff | None
    sort: Sort
    group_by: GroupBy | None
    per_group: int
    diversity: float
    rerank: str | None
    rerank_limit: int
    collapse: bool
    page: str | None
    more: Sequence[int]
    less: Sequence[int]
    hubness: bool
    exact: bool


class QueryKeywords(FurtherOptions, total=False):
    """The fields of :class:`QueryOptions`, as keywords of :meth:`imseek.Collection.search` and its like."""

    limit: int
    by: By


def with_query_keywords(function: T) -> T:
    """Decorate a function that takes ``**options``: its signature, for help and completion, lists the options."""
    signature = inspect.signature(function)
    parameters = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    parameters += [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.hint)
        for one in option_fields().values()
    ]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return function


def check_keywords(options: Iterable[str]) -> None:
    """Raise TypeError, as Python does, for a keyword that is no option of a query."""
    for name in options:
        if name not in option_fields():
            raise TypeError(f"a query has no option {name!r}; {did_you_mean(name, option_fields())}")


@dataclass(frozen=True, slots=True)
class OptionField:
    """A field of :class:`QueryOptions`, with its type taken apart.

    ``kind`` is bool, int, float, str, or tuple for ids of images; a str has ``choices`` if it is one of a few.
    """

    name: str
    hint: Any
    kind: type
    choices: tuple[str, ...]
    nullable: bool
    default: Any
    option: Option

    def check(self, value: Any, label: str) -> Any:
        """Return the value, ids as a tuple without repeated ones. Raises QueryError for an invalid one of ``label``."""
        if self.kind is tuple:
            return _ids(label, value)
        low, high, pattern = self.option.minimum, self.option.maximum, self.option.pattern
        if value is None:
            is_valid = self.nullable
        elif self.choices:
            is_valid = value in self.choices
        elif self.kind is bool:
            is_valid = isinstance(value, bool)
        elif self.kind is str:
            is_valid = isinstance(value, str) and bool(
                value.strip() if pattern is None else re.fullmatch(pattern, value)
            )
        else:
            is_valid = _is_number(value, Integral if self.kind is int else Real)
            if is_valid and self.kind is float:
                is_valid = abs(value) <= sys.float_info.max  # not NaN, not infinity
            is_valid = is_valid and (low is None or low <= value) and (high is None or value <= high)
        if not is_valid:
            raise QueryError(self.refusal(value, label))
        return value

    def refusal(self, value: object, label: str) -> str:
        """Say what the option called ``label`` takes in place of an invalid value."""
        option = self.option
        if self.choices:
            choices = option.separator.join([*["None"] * self.nullable, *self.choices])
            return option.refusal.format(name=label, choices=choices, value=value)
        if self.kind is bool:
            return f"{label} is True or False"
        if self.kind is str:
            if option.pattern is not None:
                return option.refusal.format(name=label, value=value)
            if isinstance(value, str):
                return f"{label} must not be empty"
            return f"{label} is a str{', or None' * self.nullable}"
        if option.minimum is None:
            return f"{label} must be a finite number"
        if option.maximum is None:
            return f"{label} must be at least {option.minimum}"
        return f"{label} is a number from {option.minimum} to {option.maximum}"


@cache
def option_fields() -> Mapping[str, OptionField]:
    """Return the fields of :class:`QueryOptions` by name."""
    hints = typing.get_type_hints(QueryOptions, include_extras=True)
    by_name: dict[str, OptionField] = {}
    for one in fields(QueryOptions):
        hint, option = get_args(hints[one.name])
        bare, nullable = hint, False
        if get_origin(hint) in (typing.Union, types.UnionType):
            bare, _ = get_args(hint)  # and None
            nullable = True
        choices = get_args(bare) if get_origin(bare) is Literal else ()
        kind = str if choices else get_origin(bare) or bare
        by_name[one.name] = OptionField(one.name, hint, kind, choices, nullable, one.default, option)
    return types.MappingProxyType(by_name)


def check_values(values: Mapping[str, Any], label: Callable[[str], str] = str) -> dict[str, Any]:
    """Return values of options by name, checked. ``label`` makes what messages call an option. Raises QueryError."""
    checked = {name: option_fields()[name].check(value, label(name)) for name, value in values.items()}
    if contradictory := sorted({*checked.get("more", ())} & {*checked.get("less", ())}):
        raise QueryError(f"image {contradictory[0]} is in {label('more')} and in {label('less')}")
    return checked


def promise_of(options: QueryOptions) -> float | None:
    """Return the share of the relevant images that the list may lose; None if ``cutoff`` states none."""
    return None if options.cutoff in (None, "auto") else float(options.cutoff.removesuffix("%")) / 100


def values_of(options: QueryOptions) -> dict[str, Any]:
    """Return the values of the options by name; those of a query without its terms."""
    return {name: getattr(options, name) for name in option_fields()}


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _ids(label: str, values: object) -> tuple[int, ...]:
    """Check a list of ids and drop repeated ones, in order. Raises QueryError."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise QueryError(f"{label} holds ids of images")
    ids: list[Any] = list(values)
    if not all(_is_number(one, Integral) and 0 <= one < 1 << 63 for one in ids):
        raise QueryError(f"{label} holds ids of images, which are whole numbers from 0, below 2 ** 63")
    return tuple(dict.fromkeys(int(one) for one in ids))

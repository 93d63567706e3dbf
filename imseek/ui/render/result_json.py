"""Results as JSON: one rule for all dataclasses (imseek/types/json_form.py).

A search prints JSON, so nothing here may cost an import that a search does not need.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, Protocol, TextIO, TypeVar

from imseek.types.json_form import MEMBER, FilePath, Json, Printable
from imseek.types.pictures import path_json
from imseek.ui.render.words import printable

if TYPE_CHECKING:
    from imseek.errors import ImseekError

SCHEMA: Final = 1
AS_IT_IS: Final = Json()
#: Pieces of text, such as a name or a number, that are written together.
_PIECES: Final = 4096
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a JSON object, and the attribute that it comes from."""

    attribute: str
    hint: Any
    form: Json

    @property
    def name(self) -> str:
        return self.form.name or self.attribute


class HasPath(Protocol):
    """A collection, by name and path."""

    @property
    def name(self) -> str: ...

    @property
    def path(self) -> str | os.PathLike[str]: ...


@dataclass(frozen=True, slots=True)
class CollectionName:
    """A collection that a command is about."""

    name: Printable
    """Its name in the library, or its path."""
    path: FilePath
    uuid: Annotated[str | None, Json(omit_none=True)] = None

    @classmethod
    def of(cls, collection: HasPath, uuid: str | None = None) -> CollectionName:
        return cls(collection.name, os.fsencode(collection.path), uuid)


@dataclass(frozen=True, slots=True)
class Answer(Generic[Result]):
    """A result of a command about one collection."""

    collection: CollectionName
    result: Annotated[Result, Json(inline=True)]


@dataclass(frozen=True, slots=True)
class ErrorText:
    """An error, and what to do about it."""

    type: str
    """Class of the error (imseek/errors.py)."""
    message: str
    hint: str | None
    """What to do next."""


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error in place of an answer: on stderr, or on stdout for one query of many."""

    error: ErrorText
    line: Annotated[int | None, Json(minimum=1, omit_none=True)] = None
    """Of ``--queries``: the number of the line that held the query."""

    @classmethod
    def of(cls, error: ImseekError, line: int) -> ErrorAnswer:
        return cls(ErrorText(type(error).__name__, str(error), error.hint), line)


def print_answer(result: Any, collection: HasPath, uuid: str | None = None) -> None:
    """Print the result of a command about ``collection`` as JSON."""
    print_json(Answer(CollectionName.of(collection, uuid), result))


def print_json(result: Any, *, line: bool = False, file: TextIO | None = None) -> None:
    """Print a result as one JSON object, in ASCII for any terminal, on stdout or another file.

    ``line`` keeps it on one line. Otherwise it is converted and written piece by piece, as a report of a million
    pictures has millions of values.
    """
    out = file or sys.stdout
    if line:
        print(json.dumps({"schema": SCHEMA, **to_json(result)}, allow_nan=False), file=out, flush=True)
        return
    encoder = json.JSONEncoder(indent=1, allow_nan=False, default=to_json)
    pieces = encoder.iterencode({"schema": SCHEMA, **_members_in_json(result, _outer)})
    while text := "".join(itertools.islice(pieces, _PIECES)):
        out.write(text)
    print(file=out)


def to_json(result: Any) -> dict[str, Any]:
    """Convert a result, a dataclass, to a JSON object."""
    return _members_in_json(result, plain)


def _outer(value: Any, form: Json) -> Any:
    """Convert a value as :func:`plain` does, but leave results in lists to be converted when they are written."""
    if isinstance(value, list | tuple) and value and all(is_dataclass(one) for one in value):
        return value
    return _members_in_json(value, _outer) if is_dataclass(value) else plain(value, form)


def _members_in_json(result: Any, convert: Callable[[Any, Json], Any]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    kind: Any = type(result)
    for member in members_of(kind):
        value = getattr(result, member.attribute)
        if value is None and member.form.omit_none:
            continue
        if member.form.key is not None and value is not None:
            body[member.name] = [{member.form.key: key, **to_json(one)} for key, one in value.items()]
        elif not member.form.inline:
            body[member.name] = convert(value, member.form)
        else:
            body.update(dict.fromkeys(names_of(member.hint)) if value is None else convert(value, member.form))
    return body


@cache
def members_of(cls: Any) -> tuple[Member, ...]:
    """Return the JSON members of a dataclass: its fields, then its marked properties."""
    hints = typing.get_type_hints(cls, include_extras=True)
    members = [Member(field.name, hints[field.name], form_of(hints[field.name])) for field in fields(cls)]
    for name in dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base)):
        getter = getattr(getattr(cls, name, None), "fget", None)
        if (form := getattr(getter, MEMBER, None)) is not None:
            hint = typing.get_type_hints(getter, include_extras=True)["return"]
            members.append(Member(name, hint, merge_forms((form, form_of(hint)))))
    return tuple(member for member in members if not member.form.hidden)


def names_of(hint: Any) -> list[str]:
    """Return the names of members that objects of a type always have."""
    hint, _ = without_none(hint)
    if hint is bytes or (isinstance(hint, type) and issubclass(hint, PurePath)):
        return ["path"]
    return [
        name
        for member in members_of(hint)
        if not member.form.omit_none
        for name in (names_of(member.hint) if member.form.inline else [member.name])
    ]


def form_of(hint: Any) -> Json:
    """Return the JSON form that a type states, for itself or for the elements of a container."""
    if typing.get_origin(hint) is Annotated:
        forms = [one for one in hint.__metadata__ if isinstance(one, Json)]
        return merge_forms([*forms, form_of(hint.__origin__)])
    form = merge_forms(form_of(one) for one in typing.get_args(hint))
    return form if is_union(hint) else Json(digits=form.digits, printable=form.printable)


def merge_forms(forms: Iterable[Json]) -> Json:
    """Join what several forms state; the first counts."""
    members: dict[str, Any] = {}
    for form in forms:
        for field in fields(form):
            value = getattr(form, field.name)
            if value is not field.default:
                members.setdefault(field.name, value)
    return Json(**members)


def is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def bare(hint: Any) -> Any:
    """Return a type without ``Annotated``."""
    return bare(hint.__origin__) if typing.get_origin(hint) is Annotated else hint


def without_none(hint: Any) -> tuple[Any, bool]:
    """Return a type without ``Annotated`` and ``None``, and whether it had ``None``."""
    hint = bare(hint)
    if not is_union(hint):
        return hint, False
    choices = [one for one in typing.get_args(hint) if one is not types.NoneType]
    inner = choices[0] if len(choices) == 1 else typing.Union[tuple(choices)]  # noqa: UP007
    return bare(inner), len(choices) < len(typing.get_args(hint))


def plain(value: Any, form: Json = AS_IT_IS) -> Any:
    """Convert a value by its type: paths and results to objects, NumPy's values to Python's."""
    if hasattr(value, "tolist"):  # An array, or one of its elements.
        value = value.tolist()
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return value if form.digits is None else round(value, form.digits)
    if isinstance(value, str):
        return printable(value) if form.printable else str(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(member, form) for member in value]
    if isinstance(value, bytes | PurePath):
        return path_json(os.fsencode(value))
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {str(name): plain(member, form) for name, member in value.items()}
    return str(value)

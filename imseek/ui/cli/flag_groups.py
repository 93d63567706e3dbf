"""Groups of flags shared by several commands; each group becomes one parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar, get_type_hints

T = TypeVar("T")


class Flag(NamedTuple):
    """A flag as Typer reads it."""

    default: Any
    annotation: Any


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """A group of flags by the names of their parameters; ``make`` builds one value from theirs."""

    flags: Mapping[str, Flag]
    make: Callable[..., object]


def flags_of(cls: Any, *names: str) -> dict[str, Flag]:
    """Return the fields ``names`` (default: all) of a dataclass as flags.

    Each field is ``Annotated[..., typer.Option(...)]`` and has a default.
    """
    hints = get_type_hints(cls, include_extras=True)
    return {one.name: Flag(one.default, hints[one.name]) for one in fields(cls) if not names or one.name in names}


def given_flags(flags: Any) -> dict[str, Any]:
    """Return the values of a dataclass of flags that differ from their defaults, by name."""
    return {one.name: value for one in fields(flags) if (value := getattr(flags, one.name)) != one.default}


def flag_group(cls: type[T], make: Callable[[T], object] | None = None, names: tuple[str, ...] = ()) -> FlagGroup:
    """Return a group with the flags of a dataclass; its value is the dataclass, or the result of ``make`` for it."""
    return FlagGroup(flags_of(cls, *names), cls if make is None else lambda **values: make(cls(**values)))


def with_groups(**groups: FlagGroup) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command, replacing a parameter per group by the group's flags.

    Typer has no option groups, so the flags are spliced into the signature that it reads.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in groups:
            del command.__annotations__[name]  # not an option, and its class is not imported here
        signature = inspect.signature(command, eval_str=True)
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.name not in groups
        ]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=flag.default, annotation=flag.annotation)
            for group in groups.values()
            for name, flag in group.flags.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> Any:
            group_values = {
                name: group.make(**{flag: values.pop(flag) for flag in group.flags}) for name, group in groups.items()
            }
            return command(**values, **group_values)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate

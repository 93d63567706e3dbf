"""Groups of flags shared by several commands; each group becomes one parameter."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """A group of flags: ``flags`` has each flag's default and annotation, ``make`` builds one value from theirs."""

    flags: Mapping[str, tuple[Any, Any]]
    make: Callable[[dict[str, Any]], Any]


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
            inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for group in groups.values()
            for flag, (default, annotation) in group.flags.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> Any:
            made = {
                name: group.make({flag: values.pop(flag) for flag in group.flags})
                for name, group in groups.items()
            }
            return command(**values, **made)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate

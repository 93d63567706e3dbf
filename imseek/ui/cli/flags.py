"""Groups of flags that several commands share, each group one value to the command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Group:
    """``flags`` has the default and the annotation of each flag; ``make`` makes one value of theirs."""

    flags: Mapping[str, tuple[Any, Any]]
    make: Callable[[dict[str, Any]], Any]


def with_groups(**groups: Group) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a command with a parameter for each group.

    Typer has no groups of options, so the flags take the place of these parameters in the signature that it reads.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in groups:
            del command.__annotations__[name]  # no option, and its class is not imported here
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

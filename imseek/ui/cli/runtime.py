"""Flags for how vectors are computed, shared by the commands that compute some."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

import imseek

#: By the field of :class:`imseek.Runtime` that a flag sets: its default there, and what Typer makes of it. A test
#: compares the two, since importing Runtime would cost every ``--help`` NumPy.
FLAGS: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        "device": (
            "auto",
            Annotated[
                str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
            ],
        ),
        "precision": (
            "auto",
            Annotated[
                str,
                typer.Option(
                    "--precision",
                    metavar="PRECISION",
                    help="Of image vectors: auto, fp32, bf16, fp16 or int8 (docs/encoders.md).",
                ),
            ],
        ),
        "batch_size": (
            None,
            Annotated[
                int | None,
                typer.Option(
                    "--batch-size", metavar="N", help="Pictures encoded at once (default: found out)."
                ),
            ],
        ),
        "threads": (
            None,
            Annotated[
                int | None,
                typer.Option("--threads", metavar="N", help="Processors for encoding (default: all)."),
            ],
        ),
        "exact_decode": (
            False,
            Annotated[
                bool,
                typer.Option(
                    "--exact-decode", help="Decode every pixel of a JPEG: slower, vectors hardly differ."
                ),
            ],
        ),
        "compile": (
            False,
            Annotated[bool, typer.Option("--compile", help="Compile the image tower first (torch.compile).")],
        ),
    }
)


def with_runtime(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a command with a parameter ``runtime``: the flags ``names`` (without names, all) make it.

    Typer has no groups of options, so the flags take the place of ``runtime`` in the signature that it reads.
    """
    chosen = {name: FLAGS[name] for name in names or FLAGS}

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        del command.__annotations__["runtime"]  # no option, and its class is not imported here
        signature = inspect.signature(command, eval_str=True)
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
            if parameter.name != "runtime"
        ]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (default, annotation) in chosen.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> Any:
            runtime = imseek.Runtime(**{name: values.pop(name) for name in chosen})
            return command(**values, runtime=runtime)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate

"""Flags for how vectors are computed, shared by the commands that compute some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

import imseek
from imseek.ui.cli.flags import Group, with_groups

#: By the field of :class:`imseek.Runtime` that a flag sets: its default there, and what Typer makes of it. A test
#: compares the two, since importing Runtime would cost every ``--help`` NumPy.
FLAGS: Final[Mapping[str, tuple[Any, Any]]] = MappingProxyType(
    {
        "device": (
            "auto",
            Annotated[
                str,
                typer.Option(
                    "--device", metavar="DEVICE", help="auto, cpu, mps, cuda, cuda:N, cuda:N,M or all."
                ),
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


def runtime_flags(*names: str) -> Group:
    """The flags ``names`` (without names, all), which make a :class:`imseek.Runtime`."""
    chosen = {name: FLAGS[name] for name in names or FLAGS}
    return Group(chosen, lambda values: imseek.Runtime(**values))


def with_runtime(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator of a command with a parameter ``runtime``, which these flags make."""
    return with_groups(runtime=runtime_flags(*names))

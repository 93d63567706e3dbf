"""Runtime flags shared by the commands that compute vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer

import imseek
from imseek.ui.cli.flag_groups import FlagGroup, with_groups

#: Default and Typer annotation of each flag, by the field of :class:`imseek.Runtime` it sets. A test compares the
#: defaults with Runtime's, because importing that would load NumPy for every ``--help``.
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


def runtime_flags(*names: str) -> FlagGroup:
    """Return the flags ``names`` (default: all), which yield an :class:`imseek.Runtime`."""
    chosen = {name: FLAGS[name] for name in names or FLAGS}
    return FlagGroup(chosen, lambda values: imseek.Runtime(**values))


def with_runtime(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command that has a parameter ``runtime``, replacing it by these flags."""
    return with_groups(runtime=runtime_flags(*names))

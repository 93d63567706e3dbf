"""Options and help texts shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from imseek.errors import UsageError


def examples(*commands: str) -> str:
    """Format the epilogue of a command's ``--help``. The ``\\b`` line keeps the line breaks."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


CollectionOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME|PATH", help="The collection, by name or by path."),
]
WhereOption: TypeAlias = Annotated[
    str | None, typer.Option("--where", metavar="EXPR", help="Only images that meet this (docs/where.md).")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text (docs/json.md).")
]
JsonLinesOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print JSON Lines instead of text: one object per run (docs/json.md)."),
]


def current_folder() -> Path:
    """Return the current folder. Raises UsageError if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder is gone", hint="cd to another one") from error

"""Options and help texts shared by several commands.

An alias is an option that means the same everywhere; a function makes one whose help text each command writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from imseek.errors import UsageError


def examples(*commands: str) -> str:
    """Format the epilogue of a command's ``--help``. The ``\\b`` line keeps the line breaks."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


def against(text: str) -> Any:
    return typer.Option("--against", metavar="COLLECTION", help=text)


def again(text: str) -> Any:
    return typer.Option("--again", metavar="NAME", help=text)


def allow_host(text: str) -> Any:
    return typer.Option("--allow-host", metavar="NAME", help=text)


def allow_missing(text: str) -> Any:
    return typer.Option("--allow-missing", help=text)


def caution(text: str) -> Any:
    return typer.Option("--caution", help=text)


def csv(text: str) -> Any:
    return typer.Option("--csv", metavar="FILE", help=text)


def dry_run(text: str) -> Any:
    return typer.Option("--dry-run", help=text)


def force(text: str) -> Any:
    return typer.Option("--force", help=text)


def html(text: str) -> Any:
    return typer.Option("--html", metavar="FILE", help=text)


def limit(text: str, *, least: int | None = 0) -> Any:
    return typer.Option("--limit", "-n", metavar="N", min=least, help=text)


def list_(text: str) -> Any:
    return typer.Option("--list", help=text)


def looks(text: str) -> Any:
    return typer.Option("--looks", metavar="N", min=0, help=text)


def name(text: str) -> Any:
    return typer.Option("--name", metavar="NAME", help=text)


def neighbours(text: str) -> Any:
    return typer.Option("--neighbours", metavar="N", help=text)


def null(text: str) -> Any:
    return typer.Option("--null", "-0", help=text)


def port(text: str) -> Any:
    return typer.Option("--port", min=0, max=65535, help=text)


def save(text: str, *, metavar: str = "NAME") -> Any:
    return typer.Option("--save", metavar=metavar, help=text)


def seed(text: str, *, metavar: str | None = "N", least: int | None = 0) -> Any:
    return typer.Option("--seed", metavar=metavar, min=least, help=text)


def space(text: str, *, metavar: str = "ID|ENCODER") -> Any:
    return typer.Option("--space", metavar=metavar, help=text)


def strict(text: str) -> Any:
    return typer.Option("--strict", help=text)


def tag(text: str) -> Any:
    return typer.Option("--tag", help=text)


def threshold(text: str) -> Any:
    return typer.Option("--threshold", metavar="P", help=text)


def where(text: str) -> Any:
    return typer.Option("--where", metavar="EXPR", help=text)


def yes(text: str) -> Any:
    return typer.Option("--yes", "-y", help=text)


CollectionOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME|PATH", help="The collection, by name or by path."),
]
#: Of commands whose argument names the collection, so that -c works there too.
CollectionTooOption: TypeAlias = Annotated[
    str | None, typer.Option("--collection", "-c", metavar="NAME|PATH", hidden=True)
]
#: Of commands that write one file.
ForceOption: TypeAlias = Annotated[bool, force("Write over a file that is there already.")]
#: Of commands that write several files.
ForceFilesOption: TypeAlias = Annotated[bool, force("Write over files that are there already.")]
HostOption: TypeAlias = Annotated[
    str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")
]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text (docs/json.md).")
]
JsonLinesOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print JSON Lines instead of text: one object per run (docs/json.md)."),
]
#: Of scores that are stored.
SaveScoresOption: TypeAlias = Annotated[
    str | None, save("Store the scores as a column, for --where and with hits.")
]
WhereOption: TypeAlias = Annotated[str | None, where("Only images that meet this (docs/where.md).")]


def current_folder() -> Path:
    """Return the current folder. Raises UsageError if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder is gone", hint="cd to another one") from error

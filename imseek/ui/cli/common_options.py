"""Options and help texts shared by several commands.

An alias is an option that means the same everywhere; a function makes one whose help text each command writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import typer

from imseek.errors import UsageError

T = TypeVar("T")


def example_lines(commands: Sequence[str]) -> str | None:
    """Format examples for the end of a command's ``--help``: the ``\\b`` line keeps the line breaks. None for none."""
    if not commands:
        return None
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


#: Key of a command's context: the search was typed without the word `search`.
BARE_QUERY: Final = "imseek.bare_query"
#: Heading of the section of a command's help that most people can pass over.
RARELY_USED: Final = "Rarely used options"


def rare(*names: str, **settings: Any) -> Any:
    """Declare an option that the help of a command shows in its last section."""
    return typer.Option(*names, rich_help_panel=RARELY_USED, **settings)


#: Key of a command's arguments, as typed, in its context.
ARGUMENTS: Final = "imseek.ui.cli.arguments"


def refuse_both_forms(context: typer.Context, parameter: typer.CallbackParam, value: T) -> T:
    """Refuse a flag whose two forms stand in one command line, where each of them does something. Raises UsageError."""
    arguments = context.meta.get(ARGUMENTS, ())
    forms = [form for form in (*parameter.opts, *parameter.secondary_opts) if form in arguments]
    if len(forms) > 1:
        raise UsageError(f"{' and '.join(forms)} exclude each other")
    return value


def _option(*names: str, **settings: Any) -> Callable[..., Any]:
    """Return a function that declares an option with a help text, and with settings in place of these."""

    def declare(text: str, **others: Any) -> Any:
        return typer.Option(*names, help=text, **{**settings, **others})

    return declare


#: The other collection that one is compared with.
against: Final = _option("--against", metavar="COLLECTION")
#: The stored result that is brought up to date.
again: Final = _option("--again", metavar="NAME")
#: Host names that a server answers to.
allow_host: Final = _option("--allow-host", metavar="NAME", rich_help_panel=RARELY_USED)
#: Pictures that cannot be read do not stop a change of vectors.
allow_missing: Final = _option("--allow-missing", rich_help_panel=RARELY_USED)
#: Results that writing in a picture may have caused are marked.
caution: Final = _option("--caution")
#: Nothing is changed.
dry_run: Final = _option("--dry-run")
#: What exists already is replaced.
force: Final = _option("--force")
#: An HTML page for the result.
html: Final = _option("--html", metavar="FILE")
#: How many rows are shown.
limit: Final = _option("--limit", "-n", metavar="N", min=0)
#: What exists is listed.
list_: Final = _option("--list")
#: How many pairs of pictures are compared at most.
looks: Final = _option("--looks", metavar="N", min=0, rich_help_panel=RARELY_USED)
#: The name that a result is stored under.
name: Final = _option("--name", metavar="NAME")
#: How many neighbours of an image count.
neighbours: Final = _option("--neighbours", metavar="N", rich_help_panel=RARELY_USED)
#: Names end in NUL.
null: Final = _option("--null", "-0")
#: The port to listen on.
port: Final = _option("--port", metavar="N", min=0, max=65535)
#: The columns that a result is stored in.
save: Final = _option("--save", metavar="NAME")
seed: Final = _option("--seed", metavar="N", min=0, rich_help_panel=RARELY_USED)
#: Which one of several spaces is used.
space: Final = _option("--space", metavar="ID|ENCODER", rich_help_panel=RARELY_USED)
#: Skipped files make the command fail.
strict: Final = _option("--strict", rich_help_panel=RARELY_USED)
#: A result is stored as tags.
tag: Final = _option("--tag")
#: The least probability at which a result counts.
threshold: Final = _option("--threshold", metavar="P")
#: A condition that images must meet.
where: Final = _option("--where", metavar="EXPR")
#: Confirmation is skipped.
yes: Final = _option("--yes", "-y")


def csv(text: str) -> Any:
    """Declare a CSV file for the result."""
    return typer.Option("--csv", metavar="FILE", help=f"{text[:-1]}; - for stdout.")


CollectionOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME|PATH", help="The collection, by name or by path."),
]
#: Of commands that write one file.
ForceOption: TypeAlias = Annotated[bool, force("Overwrite an existing file.")]
#: Of commands that write several files.
ForceFilesOption: TypeAlias = Annotated[bool, force("Overwrite existing files.")]
HostOption: TypeAlias = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="The address to listen on.")]
IdsOption: TypeAlias = Annotated[bool, typer.Option("--ids", help="Print only the ids of the images, one per line.")]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of text (docs/json.md).")
]
JsonLinesOption: TypeAlias = Annotated[
    bool,
    typer.Option("--json", help="Print JSON Lines instead of text: one object per run (docs/json.md)."),
]
#: Of scores that are stored.
SaveScoresOption: TypeAlias = Annotated[
    str | None, save("Store the scores as a column, for use in --where and in results.")
]
WhereOption: TypeAlias = Annotated[str | None, where("Only images that match this condition (docs/where.md).")]


def current_folder() -> Path:
    """Return the current folder. Raises UsageError if it has been deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder no longer exists", hint="change to another folder") from error

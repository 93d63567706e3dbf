"""Options and help texts shared by several commands.

An alias is an option that means the same everywhere; a function makes one whose help text each command writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import typer

from imseek.errors import UsageError

T = TypeVar("T")


def examples(*commands: str) -> str:
    """Format the epilogue of a command's ``--help``. The ``\\b`` line keeps the line breaks."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


#: Key of a command's context: the search was typed without the word `search`.
BARE_QUERY: Final = "imseek.bare_query"
#: Heading of the section of a command's help that most people can pass over.
RARELY_USED: Final = "Rarely used options"


def rare(*names: str, **settings: Any) -> Any:
    """Declare an option that the help of a command shows in its last section."""
    return typer.Option(*names, rich_help_panel=RARELY_USED, **settings)


#: Where a command's context has the arguments as they were given.
ARGUMENTS: Final = "imseek.ui.cli.arguments"


def refuse_both_forms(context: typer.Context, parameter: typer.CallbackParam, value: T) -> T:
    """Refuse a flag whose two forms stand in one command line, where each of them does something. Raises UsageError."""
    given = context.meta.get(ARGUMENTS, ())
    forms = [form for form in (*parameter.opts, *parameter.secondary_opts) if form in given]
    if len(forms) > 1:
        raise UsageError(f"{' and '.join(forms)} exclude each other")
    return value


def against(text: str) -> Any:
    """Declare the other collection that one is compared with."""
    return typer.Option("--against", metavar="COLLECTION", help=text)


def again(text: str) -> Any:
    """Declare the stored result that is brought up to date."""
    return typer.Option("--again", metavar="NAME", help=text)


def allow_host(text: str) -> Any:
    """Declare host names that a server answers to."""
    return rare("--allow-host", metavar="NAME", help=text)


def allow_missing(text: str) -> Any:
    """Declare that pictures which cannot be read do not stop a change of vectors."""
    return rare("--allow-missing", help=text)


def caution(text: str) -> Any:
    """Declare that results which writing in a picture may have caused are marked."""
    return typer.Option("--caution", help=text)


def csv(text: str) -> Any:
    """Declare a CSV file for the result."""
    return typer.Option("--csv", metavar="FILE", help=f"{text[:-1]}; - for stdout.")


def dry_run(text: str) -> Any:
    """Declare that nothing is changed."""
    return typer.Option("--dry-run", help=text)


def force(text: str) -> Any:
    """Declare the flag that replaces what exists already."""
    return typer.Option("--force", help=text)


def html(text: str) -> Any:
    """Declare an HTML page for the result."""
    return typer.Option("--html", metavar="FILE", help=text)


def limit(text: str, *, least: int | None = 0) -> Any:
    """Declare how many rows are shown."""
    return typer.Option("--limit", "-n", metavar="N", min=least, help=text)


def list_(text: str) -> Any:
    """Declare the flag that lists what exists."""
    return typer.Option("--list", help=text)


def looks(text: str) -> Any:
    """Declare how many pairs of pictures are compared at most."""
    return rare("--looks", metavar="N", min=0, help=text)


def name(text: str) -> Any:
    """Declare the name that a result is stored under."""
    return typer.Option("--name", metavar="NAME", help=text)


def neighbours(text: str) -> Any:
    """Declare how many neighbours of an image count."""
    return rare("--neighbours", metavar="N", help=text)


def null(text: str) -> Any:
    """Declare that names end in NUL."""
    return typer.Option("--null", "-0", help=text)


def port(text: str) -> Any:
    """Declare the port to listen on."""
    return typer.Option("--port", metavar="N", min=0, max=65535, help=text)


def save(text: str, *, metavar: str = "NAME") -> Any:
    """Declare the columns that a result is stored in."""
    return typer.Option("--save", metavar=metavar, help=text)


def seed(text: str, *, least: int | None = 0) -> Any:
    """Declare the option for a random seed."""
    return rare("--seed", metavar="N", min=least, help=text)


def space(text: str, *, metavar: str = "ID|ENCODER") -> Any:
    """Declare which one of several spaces is used."""
    return rare("--space", metavar=metavar, help=text)


def strict(text: str) -> Any:
    """Declare that skipped files make the command fail."""
    return rare("--strict", help=text)


def tag(text: str) -> Any:
    """Declare that a result is stored as tags."""
    return typer.Option("--tag", help=text)


def threshold(text: str) -> Any:
    """Declare the probability from which on a result counts."""
    return typer.Option("--threshold", metavar="P", help=text)


def where(text: str) -> Any:
    """Declare a condition that images must meet."""
    return typer.Option("--where", metavar="EXPR", help=text)


def yes(text: str) -> Any:
    """Declare the flag that skips confirmation."""
    return typer.Option("--yes", "-y", help=text)


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

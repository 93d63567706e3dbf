"""The command-line application: registers commands, and turns errors into messages and exit codes.

Exit codes:

    0  done, even with an empty result    75   another writer is at work
    1  failure                            130  interrupted (SIGINT)
    2  invalid request                    143  terminated (SIGTERM)
    3  nothing could be indexed, or something was skipped with --strict
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, cast

import typer
import typer.core
import typer.main

from imseek._version import __version__
from imseek.errors import CorruptCollectionError, ImseekError, UntrustedCollectionError, UntrustedServerError
from imseek.ui.cli import confirmation_prompt
from imseek.ui.cli.command_classes import CommandGroup, Group
from imseek.ui.cli.common_options import BARE_QUERY, example_lines
from imseek.ui.cli.optional_values import insert_values
from imseek.ui.cli.output import report_error
from imseek.ui.cli.usage_errors import usage_message


class _Command(NamedTuple):
    """A command: the module of imseek/ui/cli that declares it, and its line in `imseek --help`."""

    module: str
    summary: str


#: The commands as `imseek --help` shows them. Its lines stand here since help must not import forty modules.
SECTIONS: Final[Mapping[str, Mapping[str, _Command]]] = {
    "Find": {
        "search": _Command("search", "Find pictures by words, by other pictures, or by both."),
        "similar": _Command("search", "Find pictures that look like a picture."),
        "browse": _Command("browse", "Search and look at pictures in the terminal."),
        "facets": _Command("facets", "List what filters can use, with numbers of pictures."),
        "captions": _Command("captions", "Find captions that do not match their pictures."),
        "extract": _Command("original_bytes", "Write a picture out of an archive or a table."),
    },
    "Sort out": {
        "duplicates": _Command("duplicates", "Find duplicates, review them, and set them aside reversibly."),
        "tag": _Command("tag", "Tag pictures; rename, remove and list tags."),
        "album": _Command("album", "List, create and change albums."),
    },
    "Explore": {
        "map": _Command("map", "Lay out pictures on a plane, with similar ones close together."),
        "clusters": _Command("clusters", "Group similar pictures, and name the groups."),
        "outliers": _Command("outliers", "List the pictures that are unlike all others."),
        "sample": _Command("sample", "Choose a few pictures that represent all."),
        "coverage": _Command("coverage", "Compare collections: what one has and the other lacks."),
        "dataset": _Command("dataset", "Check a dataset: quality, balance, leakage."),
        "report": _Command("report", "Write a page that sums up a collection."),
    },
    "Label": {
        "label": _Command("label", "Label pictures with classes, by words alone."),
        "moderate": _Command("moderate", "Flag pictures by a policy that you write."),
        "aesthetic": _Command("aesthetic", "Score how pleasing pictures are."),
        "probe": _Command("probe", "Learn classes from a few labelled pictures."),
        "evaluate": _Command("evaluate", "Measure how good search, labels and indexes are."),
        "tune": _Command("tune", "Adapt search to a collection by its captions or tags."),
    },
    "Bring in and out": {
        "index": _Command("index", "Index pictures."),
        "watch": _Command("watch", "Index folders as they change."),
        "source": _Command("source", "List, remove and relocate sources of pictures."),
        "export": _Command("export", "Export pictures, metadata and vectors to other tools."),
        "encode": _Command("encode", "Write the vectors of pictures or texts."),
        "publish": _Command("publish", "Publish a collection to Milvus."),
        "backup": _Command("backup", "Back a collection up to one archive, verify and restore it."),
    },
    "Serve": {
        "ui": _Command("ui", "Search, sort out and explore in a browser."),
        "serve": _Command("serve", "Serve collections over HTTP."),
        "mcp": _Command("mcp", "Offer collections to an assistant."),
    },
    "Look after": {
        "info": _Command("info", "Show what a collection holds."),
        "maintain": _Command("maintain", "Tidy a collection, or change its encoders."),
        "collection": _Command("collection", "List, create, rename, verify and repair collections."),
        "config": _Command("config", "List, get and set your settings."),
        "jobs": _Command("jobs", "List the runs of a collection, and stop one."),
        "encoders": _Command("encoders", "List encoders, download one, check one, compare two."),
        "doctor": _Command("doctor", "Check the installation and the collection."),
        "demo": _Command("demo", "Index and search the photographs of scikit-image."),
    },
}

#: Other spellings of commands, which work and stand in no help: earlier ones, and one that people try first.
ALIASES: Final[Mapping[str, str]] = {
    "apply": "duplicates apply",
    "judge": "duplicates judge",
    "undo": "duplicates undo",
    "restore": "backup restore",
    "verify": "collection verify",
}
#: Words that users may try as commands, and the command that does that.
_SUGGESTIONS: Final[Mapping[str, str]] = {
    "add": "index",
    "dedup": "duplicates",
    "dedupe": "duplicates",
    "find": "search",
    "import": "index",
    "list": "info",
    "repair": "collection repair",
    "status": "info",
    "trust": "collection trust",
}

#: `-c` with its value attached or not.
_COLLECTION_FLAG: Final = re.compile(r"--collection(?==|$)|-c")


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each imported on first use: a search pays for no other command."""

    def __init__(self) -> None:
        self._declared = {name: one for section in SECTIONS.values() for name, one in section.items()}
        self._commands: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._commands:
            path = f"imseek.ui.cli.{self._declared[name].module}"
            module = importlib.import_module(path)  # noqa: TID251 - a module of this package, named above
            group = Group()
            group.add_typer(module.app, name=name if module.app.is_family else None)
            group.callback()(_no_options)
            self._commands.update(typer.main.get_group(group).commands)
        return self._commands[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._commands[name] = value

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)


def _no_options() -> None:
    """Stand for a group that has no options of its own."""


class _Sections(CommandGroup):
    """The command `imseek`: it knows other spellings, and its help lists the commands in sections."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] in ALIASES:
            args = [*ALIASES[args[0]].split(), *args[1:]]
        if args and (match := _COLLECTION_FLAG.match(args[0])):
            name = next((word for word in args[1:] if word in self.commands or word in ALIASES), "search")
            ctx.fail(f"{match[0]} comes after the command: imseek {name} {match[0]} NAME …")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            meanings = {**{name: name for name in self.commands}, **ALIASES, **_SUGGESTIONS}
            matches = dict.fromkeys(meanings[word] for word in get_close_matches(args[0], meanings))
            if matches and not any(map(str.isspace, args[0])):
                suggestions = ", ".join(map(repr, matches))
                ctx.fail(
                    f"No such command {args[0]!r}. Did you mean {suggestions}? (To search for it: imseek search …)"
                )
            ctx.meta[BARE_QUERY] = True
            args = ["search", *args]
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        longest = max(map(len, self.commands))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(longest), one.summary) for name, one in commands.items()])


app = typer.Typer(
    name="imseek",
    cls=_Sections,
    help="Search your own images by words or by another image.",
    epilog=example_lines(
        ("imseek demo", "imseek index ~/Pictures", "imseek search 'a boat on a lake'", "imseek 'a boat on a lake'")
    ),
    rich_markup_mode=None,  # Rich costs 50 ms and reads markup in file names
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"imseek {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Stand for the command with no options but those that end it."""


@cache
def command() -> typer.core.TyperGroup:
    """Return the command `imseek`."""
    return cast(typer.core.TyperGroup, typer.main.get_command(app))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's); returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for the life of the process
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # escape what the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    as_json = "--json" in _before_dashes(arguments)
    try:
        code = _run(arguments, as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (``| head``): stay silent, and keep the flush at exit from failing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ImseekError as error:
        report_error(type(error).__name__, str(error), error.hint, as_json=as_json)
        return error.exit_code
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"{context.command_path} --help" if context is not None else None
        report_error("UsageError", usage_message(error), hint, as_json=as_json)
        return error.exit_code
    except typer.Abort:
        report_error("Abort", "stopped: nothing was changed", None, as_json=as_json)
        return 1
    except OSError as error:
        from imseek.errors import hint_of_os_error

        report_error(type(error).__name__, str(error), hint_of_os_error(error), as_json=as_json)
        return 1
    except Exception as error:
        from imseek.maintenance import diagnose

        if (damage := diagnose(error)) is None:
            raise
        report_error(type(damage).__name__, str(damage), damage.hint, as_json=as_json)
        return damage.exit_code
    return int(code or 0)


def _run(arguments: Sequence[str], as_json: bool) -> int | None:
    """Run a command; if it needs the user's consent, ask at the terminal and run it again."""
    while True:
        try:
            code: int | None = command()(
                args=insert_values(arguments),
                obj=arguments,
                prog_name="imseek",
                standalone_mode=False,
            )
            return code
        except UntrustedServerError as error:
            if as_json or not confirmation_prompt.can_ask():
                raise
            _allow_server(error)
        except UntrustedCollectionError as error:
            if as_json or not confirmation_prompt.can_ask():
                raise
            _trust(error)


def _allow_server(error: UntrustedServerError) -> None:
    from imseek.maintenance import allow_server

    question = "Connect to it, now and from now on, and log in there if it asks for that?"
    confirmation_prompt.ask([str(error)], question)
    allow_server(error.uuid, error.url)


def _trust(error: UntrustedCollectionError) -> None:
    from imseek import maintenance
    from imseek.maintenance import trust_command

    confirmation_prompt.ask([str(error)], "Do you know who made it, and trust it from now on?")
    report = maintenance.trust(error.root)
    if not report.ok:
        first = report.problems[0]
        raise CorruptCollectionError(
            f"{error.root} is not trusted: {first.file}: {first.message}",
            hint=trust_command(error.root),
        )


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments

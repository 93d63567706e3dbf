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
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
import typer.core
import typer.main

from imseek._version import __version__
from imseek.errors import CorruptCollectionError, ImseekError, UntrustedCollectionError, UntrustedServerError
from imseek.ui.cli import consent
from imseek.ui.cli.common_options import examples
from imseek.ui.cli.optional_values import insert_values
from imseek.ui.cli.output import report_error

#: The commands as `imseek --help` shows them, each with the module of imseek/ui/cli that declares it.
SECTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "Find": {
        "search": "search",
        "similar": "search",
        "browse": "browse",
        "captions": "captions",
        "extract": "extract",
    },
    "Sort out": {
        "duplicates": "duplicates",
        "judge": "judge",
        "apply": "apply",
        "undo": "apply",
        "tag": "tag",
    },
    "Explore": {
        "map": "map",
        "clusters": "clusters",
        "outliers": "outliers",
        "sample": "sample",
        "coverage": "coverage",
        "dataset": "dataset",
        "report": "report",
    },
    "Label": {
        "label": "label",
        "moderate": "moderate",
        "aesthetic": "aesthetic",
        "probe": "probe",
        "evaluate": "evaluate",
        "tune": "tune",
    },
    "Bring in and out": {
        "index": "index",
        "watch": "watch",
        "source": "source",
        "export": "export",
        "publish": "publish",
        "backup": "backup",
        "restore": "backup",
    },
    "Serve": {"ui": "ui", "serve": "serve"},
    "Look after": {
        "info": "info",
        "maintain": "maintain",
        "collection": "collection",
        "jobs": "jobs",
        "encoders": "encoders",
        "doctor": "doctor",
        "demo": "demo",
    },
}


class _Commands(MutableMapping[str, Any]):
    """The commands by name, each imported on first use: a search pays for no other command."""

    def __init__(self) -> None:
        self._modules = {name: module for section in SECTIONS.values() for name, module in section.items()}
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            path = f"imseek.ui.cli.{self._modules[name]}"
            module = importlib.import_module(path)  # noqa: TID251 - a module of this package, named above
            group = typer.Typer(rich_markup_mode=None)
            if hasattr(module, "register"):
                module.register(group)
            else:
                group.add_typer(module.app, name=name)
            group.callback()(_no_options)
            self._loaded.update(typer.main.get_group(group).commands)
        return self._loaded[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._loaded[name] = value

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def _no_options() -> None:
    """Stand for a group that has no options of its own."""


class _Sections(typer.core.TyperGroup):
    """The command `imseek`: its help lists the commands in sections."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        longest = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                limit = formatter.width - 6 - longest
                formatter.write_dl(
                    [(name.ljust(longest), self.commands[name].get_short_help_str(limit)) for name in names]
                )


app = typer.Typer(
    name="imseek",
    cls=_Sections,
    help="Search your own images by words or by another image.",
    epilog=examples(
        "imseek demo",
        "imseek index ~/Pictures",
        "imseek search 'a boat on a lake'",
    ),
    rich_markup_mode=None,  # Rich costs 50 ms and reads markup in file names
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"imseek {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


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
        report_error("UsageError", error.format_message(), hint, as_json=as_json)
        return error.exit_code
    except typer.Abort:
        report_error("Abort", "stopped: nothing was changed", None, as_json=as_json)
        return 1
    except OSError as error:
        from imseek.data.system_errors import hint_of

        report_error(type(error).__name__, str(error), hint_of(error), as_json=as_json)
        return 1
    except Exception as error:
        from imseek.data.diagnosis import diagnose

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
            if as_json or not consent.can_ask():
                raise
            _allow_server(error)
        except UntrustedCollectionError as error:
            if as_json or not consent.can_ask():
                raise
            _trust(error)


def _allow_server(error: UntrustedServerError) -> None:
    from imseek.data.postgres.address import Address
    from imseek.data.postgres.allowed_servers import allow_server

    question = "Connect to it, now and from now on, and log in there if it asks for that?"
    consent.ask([str(error)], question)
    allow_server(Address(error.uuid, error.url))


def _trust(error: UntrustedCollectionError) -> None:
    from imseek import upkeep
    from imseek.data.trust import trust_command

    consent.ask([str(error)], "Do you know who made it, and trust it from now on?")
    report = upkeep.trust(error.root)
    if not report.ok:
        first = report.problems[0]
        raise CorruptCollectionError(
            f"{error.root} is not trusted: {first.file}: {first.message}",
            hint=trust_command(error.root),
        )


def _before_dashes(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments

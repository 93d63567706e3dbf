"""The command-line application: registers commands, and turns errors into messages and exit codes.

Exit codes:

    0  done, even with an empty result    75   another writer is at work
    1  failure                            130  interrupted (SIGINT)
    2  invalid request                    143  terminated (SIGTERM)
    3  nothing could be indexed, or something was skipped with --strict
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from imseek._version import __version__
from imseek.errors import CorruptCollectionError, ImseekError, UntrustedCollectionError, UntrustedServerError
from imseek.ui.cli import (
    aesthetic,
    apply,
    backup,
    browse,
    captions,
    clusters,
    collection,
    consent,
    coverage,
    dataset,
    demo,
    doctor,
    duplicates,
    encoders,
    evaluate,
    export,
    extract,
    index,
    info,
    jobs,
    judge,
    label,
    maintain,
    map,  # noqa: A004 - the command is called so
    moderate,
    outliers,
    probe,
    publish,
    report,
    sample,
    search,
    serve,
    source,
    tag,
    tune,
    ui,
    watch,
)
from imseek.ui.cli.common_options import examples
from imseek.ui.cli.output import report_error

app = typer.Typer(
    name="imseek",
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
# Finding
index.register(app)
search.register(app)
app.add_typer(tag.app, name="tag")
captions.register(app)
browse.register(app)
extract.register(app)
export.register(app)
# Duplicates
duplicates.register(app)
judge.register(app)
apply.register(app)
# Exploring
map.register(app)
clusters.register(app)
outliers.register(app)
sample.register(app)
coverage.register(app)
report.register(app)
app.add_typer(dataset.app, name="dataset")
# Labelling
label.register(app)
moderate.register(app)
aesthetic.register(app)
app.add_typer(probe.app, name="probe")
app.add_typer(evaluate.app, name="evaluate")
# Maintaining
info.register(app)
maintain.register(app)
backup.register(app)
tune.register(app)
watch.register(app)
app.add_typer(collection.app, name="collection")
app.add_typer(source.app, name="source")
app.add_typer(jobs.app, name="jobs")
app.add_typer(encoders.app, name="encoders")
serve.register(app)
publish.register(app)
ui.register(app)
doctor.register(app)
demo.register(app)


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
def command() -> Callable[..., Any]:
    """Return the command with all its subcommands; cached, because building it takes 50 ms."""
    return typer.main.get_command(app)


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
                args=label.with_none_default(search.with_open_default(list(arguments))),
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

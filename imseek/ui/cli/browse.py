"""``imseek browse``: browse a collection in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import imseek
from imseek.errors import MissingExtraError, UsageError
from imseek.search import By, option_fields
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import choose_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, WhereOption
from imseek.ui.cli.desktop_viewer import open_in_viewer
from imseek.ui.cli.hit_listing import print_places
from imseek.ui.cli.output import say, say_collection
from imseek.ui.cli.output_files import is_stdout, new_file
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.cli.search import ServerCollection, ServerOption, connect_server

if TYPE_CHECKING:
    from imseek.search import Searchable
    from imseek.types.search_results import Hit


app = Group()


@app.command(
    "imseek browse", "imseek browse 'a red bicycle'", "imseek browse 'a red bicycle' --paths | xargs -d '\\n' ls -l"
)
@with_runtime("device", "precision")
def browse(
    text: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="What to search for first; each argument is a term."),
    ] = None,
    where: WhereOption = None,
    by: Annotated[
        By,
        typer.Option("--by", help=option_fields()["by"].option.help),
    ] = "auto",
    paths: Annotated[
        bool, typer.Option("--paths", "-p", help="On leaving, print the paths of the selected pictures.")
    ] = False,
    null: Annotated[
        bool, options.null("On leaving, print those paths unescaped, each followed by a NUL byte.")
    ] = False,
    collection: CollectionOption = None,
    server: ServerOption = None,
    *,
    runtime: object,
) -> int:
    """Search and look at pictures in the terminal, by keyboard (docs/terminal.md)."""
    assert isinstance(runtime, imseek.Runtime)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("`imseek browse` needs an interactive terminal", hint="use `imseek search` to print the hits")
    try:
        from imseek.ui.terminal import TERM_SEPARATOR, Browse, BrowseQuery
    except ModuleNotFoundError as error:
        package = (error.name or "textual").partition(".")[0].replace("_", "-")
        raise MissingExtraError(package, "terminal") from error
    with ExitStack() as stack:
        searchable: Searchable
        if server is not None:
            remote = connect_server(server, None if collection is None else [collection], runtime)
            stack.callback(remote.close)
            searchable = remote
            say_collection(ServerCollection(remote.name, server, "--server"))
        else:
            target = choose_collection(collection)
            searchable = stack.enter_context(imseek.open(target.path, runtime=runtime))
        wish = BrowseQuery(TERM_SEPARATOR.join(text or ()), where=where, by=by)
        selected = Browse(searchable, wish, view=lambda hit: open_in_viewer(searchable, hit), write=_write).run()
    if paths or null:
        _print(selected or [], exact=null)
    return 0


def _write(path: Path, lines: Sequence[str]) -> None:
    if is_stdout(path):
        raise UsageError("the paths cannot be written to stdout", hint="name a file")
    try:
        with new_file(path, force=False) as file:
            file.writelines(f"{line}\n" for line in lines)
    except UsageError as error:
        raise UsageError(str(error), hint="choose another name") from error


def _print(hits: Sequence[Hit], *, exact: bool) -> None:
    if left := len(hits) - print_places(hits, exact=exact):
        say(f"{left} selected without a known file are left out")

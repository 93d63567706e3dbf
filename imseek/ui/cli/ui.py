"""``imseek ui``: serve the web interface."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from imseek import library
from imseek.errors import MissingExtraError
from imseek.home import make_home
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import merge_names, resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import CollectionOption, HostOption
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.cli.serve import served_name

app = Group()


@app.command(
    "imseek ui",
    "imseek ui photos --port 8600",
    "imseek ui --no-browser --host 0.0.0.0 --allow-host pictures.example.org",
)
@with_runtime("device", "precision", "threads")
def ui(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|PATH]",
            help="The collection to show first; you can choose another in the browser.",
        ),
    ] = None,
    collection: CollectionOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[
        int | None,
        options.port("The port to listen on; 0 for any free one (default: the first free one from 8501)."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        options.allow_host("A host name under which browsers reach the pages; may be repeated."),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the pages in a browser.")] = True,
    *,
    runtime: object,
) -> int:
    """Search, sort out and explore collections in a browser (docs/ui.md)."""
    import imseek
    from imseek.remote import TOKEN_VARIABLE

    try:
        from imseek.ui.web import Settings, load_token, run
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "streamlit", "ui") from error
    assert isinstance(runtime, imseek.Runtime)
    first = None
    reference = merge_names(name, collection)
    if reference is not None or os.environ.get(library.COLLECTION_VARIABLE):
        target = resolve_collection(reference, "as given")
        imseek.open(target.path).close()  # Report an unreadable collection now.
        first = library.NamedCollection(served_name(target), target.path)
    token = os.environ.get(TOKEN_VARIABLE) or load_token(make_home(os.environ))

    def ready(address: str, entrance: str, once: str) -> None:
        say(f"imseek is at {address} (Ctrl-C ends); this link logs in:")
        say(f"  {entrance}")
        if browser:
            typer.launch(once)

    return run(Settings(host, port, tuple(allow_host or ()), token), first, runtime, ready)

"""``imseek serve``: serve collections over HTTP."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from imseek import library
from imseek.errors import MissingExtraError, UsageError
from imseek.ui.cli import common_options as options
from imseek.ui.cli.collection_choice import resolve_collection
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.common_options import HostOption, rare
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime

if TYPE_CHECKING:
    from imseek.ui.server.extra_route import MakeRoute

ServedCollectionsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME|PATH",
        help="A collection to serve; may be repeated (default: all named collections).",
    ),
]
AllowTagsOption: TypeAlias = Annotated[bool, rare("--allow-tags", help="Let assistants tag pictures (tools of MCP).")]


app = Group()


@app.command(
    "imseek serve",
    "imseek serve -c photos -c scans --port 8000",
    "imseek serve --host 0.0.0.0 --allow-host pictures.example.org",
)
@with_runtime("device", "precision", "threads")
def serve(
    collection: ServedCollectionsOption = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, options.port("The port to listen on; 0 for any free one.")] = 1234,
    allow_host: Annotated[
        list[str] | None,
        options.allow_host("A host name under which clients reach the server; may be repeated."),
    ] = None,
    origin: Annotated[
        list[str] | None,
        rare(
            "--origin",
            metavar="URL",
            help="A web site whose pages may send requests (CORS); may be repeated.",
        ),
    ] = None,
    rate: Annotated[
        int,
        rare("--rate", metavar="N", min=0, help="Maximum requests per second for each client; 0 for no limit."),
    ] = 100,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer tools to assistants at /mcp too (docs/mcp.md).")] = False,
    allow_tags: AllowTagsOption = False,
    *,
    runtime: object,
) -> int:
    """Serve collections over HTTP: searches, pictures, clip-retrieval's routes (docs/http.md)."""
    import imseek
    from imseek.remote import TOKEN_VARIABLE

    try:
        from imseek.ui.http import run
        from imseek.ui.server.settings import Settings, is_loopback
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", "server") from error
    if allow_tags and not mcp:
        raise UsageError("--allow-tags is for assistants", hint="add --mcp")
    assert isinstance(runtime, imseek.Runtime)
    token = os.environ.get(TOKEN_VARIABLE) or None
    is_new_token = token is None
    if token is None:
        token = secrets.token_urlsafe(24)
    targets = served_collections(collection)
    settings = Settings(
        collections=tuple((served_name(one), one.path) for one in targets),
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        origins=tuple(one.rstrip("/") for one in origin or ()),
        token=token,
        rate=rate,
    )
    for one in targets:
        imseek.open(one.path).close()  # Report an unreadable collection now.
        say(f"serving {one.name} ({one.how})")
    if is_new_token:
        requests = "jobs take" if is_loopback(host) else "every request takes"
        say(f"{requests} this token ({TOKEN_VARIABLE} sets another): {token}")
    make_routes = [_make_mcp_route(allow_tags)] if mcp else []
    return run(settings, runtime, lambda url: say(f"listening on {url} (Ctrl-C ends)"), make_routes)


def _make_mcp_route(allow_tags: bool) -> MakeRoute:
    try:
        from imseek.ui.mcp import make_route
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "mcp", "mcp") from error
    return make_route(allow_tags=allow_tags)


def served_collections(names: list[str] | None) -> list[library.ResolvedCollection]:
    """Return the collections named, else all named collections, else the one that any command would use."""
    if not names and (every := library.list_collections(os.environ)):
        return [library.ResolvedCollection(one.path, one.name, "by name") for one in every]
    choices: Sequence[str | None] = names or [None]
    return [resolve_collection(one) for one in choices]


def served_name(target: library.ResolvedCollection) -> str:
    """Return the name to serve a collection under: its own, or its folder's. Raises UsageError if there is none."""
    name = target.name if os.sep not in target.name else target.path.name
    if name == library.LOCAL_FOLDER:
        name = target.path.parent.name
    if not name:
        raise UsageError(f"{target.path} has no name to be served under")
    return name

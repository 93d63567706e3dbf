"""``imseek mcp``: offer collections to assistants, over the Model Context Protocol."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from imseek import library
from imseek.errors import CollectionNotFoundError, MissingExtraError
from imseek.ui.cli.command_classes import Group
from imseek.ui.cli.output import say
from imseek.ui.cli.runtime_flags import with_runtime
from imseek.ui.cli.serve import AllowTagsOption, ServedCollectionsOption, served_collections, served_name

app = Group()


@app.command("imseek mcp", "imseek mcp -c photos -c scans", "imseek mcp -c photos --allow-tags")
@with_runtime("device", "precision", "threads")
def mcp(
    collection: ServedCollectionsOption = None,
    allow_tags: AllowTagsOption = False,
    *,
    runtime: object,
) -> int:
    """Offer collections to an assistant, which starts this command (Model Context Protocol over stdio; docs/mcp.md)."""
    import imseek

    try:
        from imseek.ui.mcp import run
        from imseek.ui.server.settings import Settings
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "mcp", "mcp") from error
    assert isinstance(runtime, imseek.Runtime)
    targets: Sequence[library.ResolvedCollection] = ()
    try:
        targets = served_collections(collection)
    except CollectionNotFoundError as error:
        if collection:
            raise
        say(f"{error}: {error.hint}")  # A host starts this once, perhaps before anything is indexed.
    for one in targets:
        if collection:
            imseek.open(one.path).close()  # Report an unreadable collection now.
        say(f"serving {one.name} ({one.how})")
    settings = Settings(collections=tuple((served_name(one), one.path) for one in targets), later=not collection)
    return run(settings, runtime, allow_tags=allow_tags, find_named=None if collection else _named_collections)


def _named_collections() -> list[tuple[str, Path]]:
    return [(one.name, one.path) for one in library.list_collections(os.environ)]

"""The server as a process of a host, over its standard input and output (``imseek mcp``)."""

from __future__ import annotations

import asyncio

from mcp.server.stdio import stdio_server

import imseek
from imseek.ui.mcp.server import make_server
from imseek.ui.mcp.tools import FindNamed, Tools
from imseek.ui.server.logs import log_to_stderr
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings


def run(
    settings: Settings,
    runtime: imseek.Runtime | None,
    *,
    allow_tags: bool = False,
    find_named: FindNamed | None = None,
) -> int:
    """Serve until standard input ends, and return 0. Standard output carries the protocol and nothing else.

    ``find_named`` finds collections that are to be served too, by name and path, before each call.
    """
    log_to_stderr()
    asyncio.run(_serve(Service(settings, runtime), allow_tags, find_named))
    return 0


async def _serve(service: Service, allow_tags: bool, find_named: FindNamed | None) -> None:
    pictures = ThumbnailCache(service.settings.pixels)
    try:
        server = make_server(Tools(service, pictures, allow_tags=allow_tags, find_named=find_named))
        # It points file descriptor 1 at stderr, so that no print of a library reaches the client.
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
    finally:
        await service.close()

"""The server as a route of ``imseek serve``: streamable HTTP, without sessions."""

from __future__ import annotations

from typing import Final

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager

from imseek.ui.mcp.server import make_server
from imseek.ui.mcp.tools import Tools
from imseek.ui.server.extra_route import ExtraRoute, MakeRoute
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service

PATH: Final = "/mcp"


def make_route(*, allow_tags: bool = False) -> MakeRoute:
    """Return a function that makes the route; with ``allow_tags`` its requests need the server's token."""

    def make(service: Service, pictures: ThumbnailCache) -> ExtraRoute:
        manager = StreamableHTTPSessionManager(
            make_server(Tools(service, pictures, allow_tags=allow_tags)),
            stateless=True,
            max_request_body_size=service.settings.body,
        )  # Hosts and origins are the guard's.
        return ExtraRoute(PATH, StreamableHTTPASGIApp(manager), manager.run, read_only=not allow_tags)

    return make

"""Tells Streamlit's script in the page where its server is.

Otherwise it asks below the address of the page first, which is two requests that fail for each page but the first.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD: Final = b"<head>"
_SCRIPT: Final = b'<script>window.__streamlit = { BACKEND_BASE_URL: location.origin + "/" }</script>'


class BaseUrlMiddleware:
    """Adds that to HTML pages; other responses pass through unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["method"] == "GET"
        if not is_page or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        # Compressed, it could not be changed.
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        start: Message | None = None
        body = b""

        async def add(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_html(message):
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = body.replace(_HEAD, _HEAD + _SCRIPT, 1)
                changed = MutableHeaders(scope=start)
                changed["Content-Length"] = str(len(body))
                for name in ("ETag", "Last-Modified"):  # Those of the page without it.
                    del changed[name]
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": headers}, receive, add)


def _is_html(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and message["status"] == 200

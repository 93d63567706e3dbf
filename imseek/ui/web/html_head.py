"""Adds to the HTML page what has to be there before Streamlit's script: where its server is, and our style.

Otherwise the script asks below the address of the page first, which is two requests that fail for each page but the
first; and until its first run has come, the page shows Streamlit's own margins.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT: Final = b'<script>window.__streamlit = { BACKEND_BASE_URL: location.origin + "/" }</script>'


class PageHeadMiddleware:
    """Adds that to HTML pages; other responses pass through unchanged.

    The style begins the body: Streamlit appends its own rules to the head, and of equal ones the last counts.
    """

    def __init__(self, app: ASGIApp, style: str) -> None:
        self._app = app
        self._added = ((b"<head>", b"<head>" + _SCRIPT), (b"<body>", b"<body><style>" + style.encode() + b"</style>"))

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
                for tag, more in self._added:
                    body = body.replace(tag, more, 1)
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

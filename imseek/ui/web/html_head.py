"""Adds to the HTML page what has to be there before Streamlit's script: where its server is, our style and top bar.

Otherwise the script asks below the address of the page first, which is two requests that fail for each page but the
first; and until its first run has come, the page is empty, or shows Streamlit's own margins.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SCRIPT: Final = b'<script>window.__streamlit = { BACKEND_BASE_URL: location.origin + "/" }</script>'


class PageHeadMiddleware:
    """Adds that to HTML pages; other responses pass through unchanged.

    ``links`` receives the path of a page and returns what ends its head, ``bar`` its path and query, and returns what
    it shows first. The style begins the body: Streamlit appends its own rules to the head, and of equal ones the last
    counts.
    """

    def __init__(self, app: ASGIApp, style: str, links: Callable[[str], str], bar: Callable[[str, str], str]) -> None:
        self._app = app
        self._style = f"<style>{style}</style>"
        self._links = links
        self._bar = bar

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
                for tag, new in self._changes(scope["path"], scope["query_string"].decode("latin-1")):
                    body = body.replace(tag, new, 1)
                changed = MutableHeaders(scope=start)
                changed["Content-Length"] = str(len(body))
                for name in ("ETag", "Last-Modified"):  # They describe the unchanged page.
                    del changed[name]
                await send(start)
                await send({"type": "http.response.body", "body": body})

        await self._app({**scope, "headers": headers}, receive, add)

    def _changes(self, path: str, query: str) -> tuple[tuple[bytes, bytes], ...]:
        """Return the replacements in the page, as pairs of old and new text."""
        return (
            (b"<head>", b"<head>" + _SCRIPT),
            (b"<title>Streamlit</title>", b"<title>imseek</title>"),
            (b"</head>", f"{self._links(path)}</head>".encode()),
            (b"<body>", f"<body>{self._style}{self._bar(path, query)}".encode()),
        )


def _is_html(message: Message) -> bool:
    headers = Headers(raw=message["headers"])
    is_html = headers.get("content-type", "").startswith("text/html")
    return is_html and message["status"] == 200

"""Compresses scripts and styles: Streamlit sends its own as they are, which is most of what a first visit transfers."""

from __future__ import annotations

import asyncio
import gzip
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imseek.ui.web.components import SCRIPTS_PATH

_PREFIXES: Final = ("/static/", f"{SCRIPTS_PATH}/")
_SUFFIXES: Final = (".js", ".css")
#: Smaller ones gain little.
_MIN_BYTES: Final = 1024
#: Maximum bytes of compressed files that are kept; all of Streamlit's together are fewer.
_CACHE_BYTES: Final = 16 << 20


class CompressedStatic:
    """Middleware that sends scripts and styles in gzip, each compressed once: their names contain their hashes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._compressed: dict[str, bytes] = {}
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _may_compress(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def compress(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await self._send(scope["path"], start, body, send)

        await self._app(scope, receive, compress)

    async def _send(self, path: str, start: Message, body: bytes, send: Send) -> None:
        headers = MutableHeaders(scope=start)
        if len(body) >= _MIN_BYTES and "content-encoding" not in headers:
            if path not in self._compressed:
                compressed = await asyncio.to_thread(gzip.compress, body, 6)
                if self._bytes + len(compressed) <= _CACHE_BYTES and path not in self._compressed:
                    self._compressed[path] = compressed
                    self._bytes += len(compressed)
                body = compressed
            else:
                body = self._compressed[path]
            headers["Content-Encoding"] = "gzip"
            headers["Content-Length"] = str(len(body))
            headers.add_vary_header("Accept-Encoding")
            del headers["Accept-Ranges"]
        await send(start)
        await send({"type": "http.response.body", "body": body})


def _may_compress(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "GET":
        return False
    headers = Headers(scope=scope)
    is_static = scope["path"].startswith(_PREFIXES) and scope["path"].endswith(_SUFFIXES)
    return is_static and "gzip" in headers.get("accept-encoding", "") and "range" not in headers

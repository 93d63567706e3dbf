"""What stands before every route: who may ask, from where, how much, how long. Plain ASGI, so that nothing is buffered.

Loopback is not a boundary: any page in the user's browser can send requests there. So the name that was asked for must
be one of ours (DNS rebinding), a page of another site is refused (cross-site requests), and what changes state takes a
token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections import OrderedDict
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imseek.ui.http.problems import problem
from imseek.ui.http.settings import Settings, is_loopback

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Routes that change nothing although they are asked with POST.
ASKING: Final = ("/search", "/similar", "/batch", "/knn-service", "/metadata")
#: Open without a token wherever the server listens: for what watches over it.
OPEN: Final = frozenset({"/health", "/ready"})
COOKIE: Final = "imseek_token"
_log = logging.getLogger("imseek.access")


class Guard:
    """Host, origin, token, rate, size and time, in this order."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._open = is_loopback(settings.host)
        self._hosts = {"127.0.0.1", "localhost", "::1", *(host.lower() for host in settings.hosts)}
        if settings.host not in ("0.0.0.0", "::"):  # noqa: S104 - it is told apart, not bound
            self._hosts.add(settings.host.lower())
        self._rate = _Rate(settings.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        logged = _Logged(scope, send)
        refusal = self._refusal(scope, Headers(scope=scope))
        if refusal is not None:
            status, detail = refusal
            response = problem(status, detail)
            if status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            if status == 429:
                response.headers["Retry-After"] = "1"
            await response(scope, receive, logged)
        else:
            await self._bounded(scope, receive, logged)
        logged.write()

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if _name_of(headers.get("host", "")) not in self._hosts:
            return 421, "this server is not known under that name"
        origin = headers.get("origin")
        if origin is not None and not self._is_ours(origin, headers["host"]):
            return 403, "pages of other sites may not ask this server"
        if self._needs_token(scope) and not self._has_token(headers):
            return 401, "that takes the server's token"
        client = scope.get("client")
        if not self._rate.allows(client[0] if client else ""):
            return 429, "too many requests"
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or int(length) > self._settings.body):
            return 413, f"a request may have {self._settings.body:,} bytes"
        return None

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._settings.origins or origin.partition("://")[2] == host

    def _needs_token(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in OPEN:
            return False
        changes = scope["method"] not in SAFE and not path.endswith(ASKING)
        return changes or not self._open

    def _has_token(self, headers: Headers) -> bool:
        expected = self._settings.token
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if expected is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), expected.encode())

    async def _bounded(self, scope: Scope, receive: Receive, send: _Logged) -> None:
        """The application, with a bound on what it reads and on how long it takes until it begins to answer."""
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._settings.body:
                raise _TooLargeError
            return message

        try:
            async with asyncio.timeout(self._settings.seconds):
                await self._app(scope, counted, send)
        except _TooLargeError:
            if not send.began:
                await problem(413, f"a request may have {self._settings.body:,} bytes")(scope, receive, send)
        except TimeoutError:
            if not send.began:
                await problem(503, "that took too long")(scope, receive, send)


class _TooLargeError(Exception):
    pass


class _Rate:
    """So many requests a second for each client, with a burst of two seconds' worth (a token bucket)."""

    _CLIENTS: Final = 4096

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        if not self._rate:
            return True
        now = time.monotonic()
        left, at = self._left.pop(client, (2.0 * self._rate, now))
        left = min(2.0 * self._rate, left + (now - at) * self._rate)
        allowed = left >= 1
        self._left[client] = (left - allowed, now)
        if len(self._left) > self._CLIENTS:
            self._left.popitem(last=False)
        return allowed


class _Logged:
    """``send``, which remembers what the access log says: one JSON object a line, without query or token."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._start = scope, send, time.perf_counter()
        self._status, self._bytes = 0, 0

    @property
    def began(self) -> bool:
        return self._status != 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self) -> None:
        client = self._scope.get("client")
        line = {
            "client": client[0] if client else None,
            "method": self._scope["method"],
            "path": self._scope["path"],
            "status": self._status,
            "bytes": self._bytes,
            "ms": round(1000 * (time.perf_counter() - self._start), 1),
        }
        _log.info("%s", json.dumps(line))


def _name_of(host: str) -> str:
    """A ``Host`` header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()

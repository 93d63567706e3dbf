"""ASGI middleware before all routes: host, origin, token, rate, body size and time. It buffers nothing.

A page from an allowed origin (``origins``) still needs a token for requests that change state.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imseek.ui.server.origins import Origins
from imseek.ui.server.problems import of_error, problem
from imseek.ui.server.settings import Settings, is_loopback

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Routes that change nothing although they use POST.
READ_ONLY_ROUTES: Final = ("/search", "/similar", "/batch", "/embed", "/knn-service", "/metadata")
#: Routes that never need a token: for monitoring, and pages that say what this service is and how to use it.
PUBLIC_ROUTES: Final = frozenset({"/health", "/ready", "/", "/docs"})
#: Maximum number of full-sized bodies in memory at once.
MAX_FULL_BODIES: Final = 16
#: Maximum number of characters of a path in the access log.
MAX_PATH_LENGTH: Final = 1000
#: Status in the access log if the client disconnected before its response (nginx's).
CLIENT_CLOSED: Final = 499
#: Headers of every response: browsers trust its type, and pages of other sites cannot embed it.
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_log = logging.getLogger("imseek.access")


class Guard:
    """Checks host, origin, token, rate, size and time, in this order.

    ``read_only`` are further paths that change nothing.
    """

    def __init__(self, app: ASGIApp, settings: Settings, read_only: Iterable[str] = ()) -> None:
        self._app = app
        self._read_only = frozenset(read_only)
        self._settings = settings
        self._open = is_loopback(settings.host)
        self._origins = Origins(settings.host, settings.hosts, settings.origins)
        self._body_bytes = 0  # Bytes of bodies of running requests.
        self._rate, self._refusals = _RateLimiter(settings.rate), _RateLimiter(settings.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        logged = _AccessLog(scope, send)
        try:
            refusal = self._refusal(scope, Headers(scope=scope))
            if refusal is None:
                await self._run_bounded(scope, receive, logged)
                return
            status, detail = refusal
            response = problem(status, detail)
            if status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
            if status == 429:
                response.headers["Retry-After"] = "1"
            await response(scope, receive, logged)
        except Exception as error:  # Handled here, so that it is in the access log and reported only once.
            response = of_error(error)
            if not logged.began:
                await response(scope, receive, logged)
        finally:
            logged.write()

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        refusal = self._origins.refusal(headers)
        if refusal is not None:
            return refusal
        client = scope.get("client")
        name = client[0] if client else ""
        if self._needs_token(scope) and not self._has_token(headers):
            # A rate of its own: guessing tokens is limited, and a client with the token is not locked out by others.
            return (401, "that takes the server's token") if self._refusals.allows(name) else (429, "too many requests")
        if not self._rate.allows(name):
            return 429, "too many requests"
        length = headers.get("content-length")
        if length is not None and not _is_at_most(length, self._settings.body):
            return 413, f"a request may have {self._settings.body:,} bytes"
        return None

    def _needs_token(self, scope: Scope) -> bool:
        path = scope["path"]
        if path in PUBLIC_ROUTES:
            return False
        reads = scope["method"] in SAFE or path.endswith(READ_ONLY_ROUTES) or path in self._read_only
        return not (reads and self._open)

    def _has_token(self, headers: Headers) -> bool:
        expected = self._settings.token
        values = headers.getlist("authorization")
        if expected is None or len(values) != 1:
            return False
        scheme, _, token = values[0].partition(" ")
        if scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(token.strip().encode(), expected.encode())

    async def _run_bounded(self, scope: Scope, receive: Receive, send: _AccessLog) -> None:
        """Run the application with limits on the bytes it reads and on its time.

        It is cancelled if its client disconnects.
        """
        headers = Headers(scope=scope)
        deadline = asyncio.timeout(self._settings.seconds)
        complete, size_read, is_gone = asyncio.Event(), 0, False
        early: list[Message] = []
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            early.append(await receive())  # Many routes never read an empty body.
            complete.set()

        def leave() -> None:
            nonlocal is_gone
            if not deadline.expired():
                is_gone = True
                deadline.reschedule(0)

        async def receive_counted() -> Message:
            nonlocal size_read
            message = early.pop() if early else await receive()
            if message["type"] == "http.disconnect" and not send.ended:
                leave()
                await asyncio.Event().wait()  # Until the deadline, which is now.
            size = len(message.get("body", b""))
            size_read += size
            self._body_bytes += size
            if size_read > self._settings.body:
                raise HTTPException(413, f"a request may have {self._settings.body:,} bytes")
            if self._body_bytes > MAX_FULL_BODIES * self._settings.body:
                raise HTTPException(503, "too much is being sent at once", {"Retry-After": "1"})
            if not message.get("more_body", False):
                complete.set()
            return message

        async def watch() -> None:
            await complete.wait()
            await receive()  # Returns only when the connection is lost or the response is complete.
            if not send.ended:
                leave()

        watching = asyncio.create_task(watch())
        try:
            async with deadline:
                await self._app(scope, receive_counted, send)
        except TimeoutError:
            if is_gone:
                send.mark_client_closed()
            elif not send.began:
                await problem(503, "that took too long")(scope, receive, send)
        finally:
            self._body_bytes -= size_read
            watching.cancel()


class _RateLimiter:
    """Token bucket per client: ``rate`` requests a second, with a burst of two seconds' worth."""

    _CLIENTS: Final = 4096

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        if not self._rate:
            return True
        now = time.monotonic()
        left, at = self._tokens.pop(client, (2.0 * self._rate, now))
        left = min(2.0 * self._rate, left + (now - at) * self._rate)
        allowed = left >= 1
        self._tokens[client] = (left - allowed, now)
        if len(self._tokens) > self._CLIENTS:
            self._tokens.popitem(last=False)
        return allowed


class _AccessLog:
    """A ``send`` that records a request for the access log: one JSON object per line, without query or token."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._start = scope, send, time.perf_counter()
        self._status, self._bytes = 0, 0
        self.ended = False

    @property
    def began(self) -> bool:
        return self._status != 0

    def mark_client_closed(self) -> None:
        """Record that the client disconnected, with nginx's status for it."""
        self._status = CLIENT_CLOSED

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = list(message.get("headers", ()))
            names = {name for name, _ in headers}
            message["headers"] = [*headers, *(one for one in _SECURITY_HEADERS if one[0] not in names)]
        else:
            self._bytes += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        await self._send(message)

    def write(self) -> None:
        client = self._scope.get("client")
        line = {
            "client": client[0] if client else None,
            "method": self._scope["method"],
            "path": self._scope["path"][:MAX_PATH_LENGTH],
            "status": self._status,
            "bytes": self._bytes,
            "ms": round(1000 * (time.perf_counter() - self._start), 1),
        }
        _log.info("%s", json.dumps(line))


def _is_at_most(number: str, most: int) -> bool:
    return number.isdecimal() and len(number) <= 18 and int(number) <= most

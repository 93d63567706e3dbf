"""Authentication: middleware in front of Streamlit's pages, its WebSocket, and the pictures.

The pages can index any folder of this user and move files, so they need a token even on loopback, which other users of
the machine can reach. It arrives once, in the link that ``imseek ui`` prints, and is then kept in a cookie.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imseek.ui.render.html_templates import render
from imseek.ui.server.origins import Origins

COOKIE: Final = "imseek"
LOGIN: Final = "/login"
_MONTH: Final = 30 * 24 * 3600
#: Seconds for the login form to arrive.
_PATIENCE: Final = 10.0
#: Nothing is loaded from other sites, whatever a caption or file name says, and no other site may frame the pages.
_POLICY: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; frame-ancestors 'none'; form-action 'self'; "
    "base-uri 'self'; object-src 'none'"
)


class OneTimeCode:
    """A login code that works once, within ``seconds`` from now."""

    def __init__(self, seconds: float = 120.0) -> None:
        self.code = secrets.token_urlsafe(24)
        self._deadline = time.monotonic() + seconds

    def take(self, token: str) -> bool:
        """Return whether the code is right and still valid, and invalidate it."""
        is_right = hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self.code.encode())
        is_valid = is_right and time.monotonic() < self._deadline
        self._deadline = -1.0 if is_right else self._deadline
        return is_valid


class AuthMiddleware:
    """Checks host and origin, then the token in the cookie. A link may carry the token or the code of ``once``."""

    def __init__(self, app: ASGIApp, origins: Origins, token: str, once: OneTimeCode) -> None:
        self._app, self._origins, self._token, self._once = app, origins, token, once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._origins.refusal(headers)
        if refusal is not None:
            await _refuse(Response(refusal[1], refusal[0]), scope, receive, send)
            return
        connection = HTTPConnection(scope)
        is_logged_in = self._is_right(connection.cookies.get(COOKIE, ""))
        if is_logged_in and not (scope["type"] == "http" and "token" in connection.query_params):
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await _refuse(Response(status_code=403), scope, receive, send)
        else:
            answer = await self._answer(Request(scope, receive))
            await answer(scope, receive, _with_headers(send))

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), self._token.encode())

    async def _answer(self, request: Request) -> Response:
        """Answer a request without a valid cookie: log in by link or form, or refuse."""
        if request.method == "POST" and request.url.path == LOGIN:
            body = b""
            try:
                async with asyncio.timeout(_PATIENCE):
                    async for part in request.stream():
                        body += part
                        if len(body) > 4096:
                            return Response(status_code=413)
            except TimeoutError:  # Connections are limited, and this needs no login.
                return Response(status_code=408)
            token = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0].strip()
            return self._log_in("/") if self._is_right(token) else _login_page("That is not the token.", 401)
        token = request.query_params.get("token", "")
        if request.method == "GET" and (self._is_right(token) or self._once.take(token)):
            rest = [one for one in parse_qsl(request.url.query, keep_blank_values=True) if one[0] != "token"]
            # The path alone, so that `//elsewhere` is no open redirect.
            path = "/" + request.url.path.lstrip("/")
            return self._log_in(path + ("?" + urlencode(rest) if rest else ""))
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            return _login_page("That is not the token." if token else "You are not logged in.", 401)
        return Response("not logged in", 401)

    def _log_in(self, target: str) -> Response:
        answer = RedirectResponse(target, 303)
        # Lax: links from elsewhere, such as e-mails, work, while forms and scripts of other sites send no cookie.
        answer.set_cookie(COOKIE, self._token, max_age=_MONTH, httponly=True, samesite="lax")
        return answer


def _login_page(why: str, status: int) -> Response:
    return HTMLResponse("".join(render("login.html.j2", why=why)), status)


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # The `websocket.connect` event.
        await send({"type": "websocket.close", "code": 1008})
    else:
        await response(scope, receive, send)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", _POLICY)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = (
                "same-origin"  # The URL holds the query. With no referrer at all, forms would have no origin.
            )
        await send(message)

    return send_with_headers

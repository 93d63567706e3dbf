"""The process behind ``imseek ui``: Streamlit's application, our pictures beside it, the door before both."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route
from streamlit.web.bootstrap import load_config_options

from imseek import library
from imseek.encoders.cache import write_atomically
from imseek.encoders.runtime import Runtime
from imseek.errors import StorageError, UsageError
from imseek.remote import TOKEN_VARIABLE
from imseek.ui.http.origins import Origins
from imseek.ui.http.picture_routes import picture_routes
from imseek.ui.http.pictures import Pictures
from imseek.ui.http.running import address, bound, serve
from imseek.ui.web import hub, sent
from imseek.ui.web.door import Door, Once
from imseek.ui.web.opening import can_open
from imseek.ui.web.picture_acts import picture_acts
from imseek.ui.web.sessions import PagesApp
from imseek.ui.web.shell import on_error

_SCRIPT: Final = Path(__file__).parent / "script" / "app.py"
#: Streamlit's own, and so many more that are tried where it is taken.
PORT: Final = 8501
_TRIED: Final = 20
#: MiB of a picture that is dropped on a page.
_UPLOAD: Final = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """``hosts`` are names, beside those of loopback, under which the pages may be asked for; ``port`` None takes the
    first that is free from :data:`PORT` on. Raises UsageError."""

    host: str
    port: int | None
    hosts: tuple[str, ...]
    token: str

    def __post_init__(self) -> None:
        if len(self.token) < 16 or not self.token.isascii() or not self.token.isprintable():
            raise UsageError("a token has 16 ASCII characters or more")


def run(
    settings: Settings,
    given: library.Named | None,
    runtime: Runtime | None,
    ready: Callable[[str, str, str], None],
) -> int:
    """Serve the pages until SIGINT or SIGTERM; ``ready`` is given their address, the one that logs in, and one that
    does so once: what a browser is started with stands in the list of processes, for all users of the machine to read.

    Returns 130 or 143. Raises ImseekError where the address cannot be had.
    """
    ports = range(PORT, PORT + _TRIED) if settings.port is None else (settings.port,)
    # Streamlit's own start makes a socket whose every answer takes 40 ms: see `bound`.
    listening = bound(settings.host, *ports)
    load_config_options(_configuration(settings, listening.getsockname()[1]))
    shared = hub.start(given, runtime, opens=can_open(settings.host, settings.hosts, os.environ))
    at = address(settings.host, listening.getsockname()[1])
    once = Once()

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
        ready(at, f"{at}/?token={settings.token}", f"{at}/?token={once.code}")
        try:
            yield {}
        finally:
            await shared.service.close()

    app = PagesApp(
        _SCRIPT,
        routes=[
            Route("/search", _first_page),
            *picture_routes(shared.service, Pictures(shared.service.settings.pixels), hub.PICTURES),
            *sent.routes(shared.service),
            *picture_acts(shared.service, shared.choices, hub.PICTURES, hub.TAKEN, opens=shared.opens),
        ],
        middleware=[
            Middleware(
                Door, origins=Origins(settings.host, settings.hosts, ()), token=settings.token, once=once
            )
        ],
        lifespan=lifespan,
        on_script_error=on_error,
    )
    return serve(app, listening, websockets=True)


def _first_page(request: Request) -> RedirectResponse:
    """The page of searches is the first one, which Streamlit knows by no name; people who type an address do."""
    return RedirectResponse("/" + (f"?{request.url.query}" if request.url.query else ""))


def _configuration(settings: Settings, port: int) -> dict[str, Any]:
    """All that matters is told: a ``.streamlit/config.toml`` in the folder where the command runs is read too."""
    return {
        "server.address": settings.host,
        "server.port": port,
        "server.headless": True,  # The command opens the browser, by the link that logs in.
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.maxUploadSize": _UPLOAD,
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        "server.corsAllowedOrigins": [],
        "server.enableStaticServing": False,
        "server.enableAgentApi": False,
        "server.allowedHosts": ["127.0.0.1", "localhost", "[::1]", settings.host, *settings.hosts],
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.allowedOrigins": [],  # By default, pages of Streamlit's own cloud may steer ours.
        "client.showErrorDetails": "none",
        # Of one run after the other at once, the second may refer to what the first has let the browser forget.
        "global.minCachedMessageSize": 1e9,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
    }


def own_token(home: Path) -> str:
    """The token of this user, made once: links and cookies go on working when the pages are started anew.

    Raises StorageError.
    """
    path = home / "token"
    try:
        if found := _read(path):
            return found
        write_atomically(path, secrets.token_urlsafe(24).encode())
        return _read(path)
    except OSError as error:
        raise StorageError(
            f"cannot keep a token in {path}: {error.strerror or error}", hint=f"set {TOKEN_VARIABLE}"
        ) from error


def _read(path: Path) -> str:
    """Empty where there is none."""
    try:
        return path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""

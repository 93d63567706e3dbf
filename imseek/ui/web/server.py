"""The process behind ``imseek ui``: Streamlit's application, picture routes beside it, authentication before both."""

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
from imseek.encoders import Runtime
from imseek.errors import StorageError
from imseek.home import write_atomically
from imseek.remote import TOKEN_VARIABLE
from imseek.ui.server.origins import Origins
from imseek.ui.server.picture_routes import picture_routes
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.process import bind_socket, serve, server_url
from imseek.ui.server.settings import check_token
from imseek.ui.web import app_state, blobs, early_page_head, theme
from imseek.ui.web.auth import AuthMiddleware, OneTimeCode
from imseek.ui.web.components import script_route
from imseek.ui.web.compressed_static import CompressedStatic
from imseek.ui.web.html_head import PageHeadMiddleware
from imseek.ui.web.image_action_routes import image_action_routes
from imseek.ui.web.reconnectable_sessions import PagesApp
from imseek.ui.web.shell import on_error
from imseek.ui.web.status_route import state_route
from imseek.ui.web.system_viewer import can_open

_SCRIPT: Final = Path(__file__).parent / "script" / "app.py"
#: Streamlit's default port, and how many ports are tried from it on.
PORT: Final = 8501
_PORTS_TRIED: Final = 20
#: Maximum MiB of an uploaded picture.
_UPLOAD: Final = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the server. Raises UsageError.

    ``hosts`` are names, beside those of loopback, under which the pages may be requested. With ``port`` None, the first
    free port from :data:`PORT` on is used.
    """

    host: str
    port: int | None
    hosts: tuple[str, ...]
    token: str

    def __post_init__(self) -> None:
        check_token(self.token)


def run(
    settings: Settings,
    first: library.NamedCollection | None,
    runtime: Runtime | None,
    ready: Callable[[str, str, str], None],
) -> int:
    """Serve the pages until SIGINT or SIGTERM, and return 130 or 143.

    ``ready`` receives their address, the address that logs in, and one that does so once: a browser's command line is
    visible to all users of the machine in the list of processes. Raises ImseekError if no port can be bound.
    """
    ports = range(PORT, PORT + _PORTS_TRIED) if settings.port is None else (settings.port,)
    # On a socket that Streamlit opens, each response takes 40 ms: see `bind_socket`.
    listening = bind_socket(settings.host, *ports)
    load_config_options(_configuration(settings, listening.getsockname()[1]))
    shared = app_state.start(first, runtime, opens=can_open(settings.host, settings.hosts, os.environ))
    url = server_url(settings.host, listening.getsockname()[1])
    once = OneTimeCode()

    @asynccontextmanager
    async def lifespan(_: st.App) -> AsyncIterator[dict[str, Any]]:
        ready(url, f"{url}/?token={settings.token}", f"{url}/?token={once.code}")
        try:
            yield {}
        finally:
            await shared.service.close()

    app = PagesApp(
        _SCRIPT,
        routes=[
            Route("/search", _redirect_to_search),
            *picture_routes(shared.service, ThumbnailCache(), app_state.PICTURES_PATH, app_state.LARGEST),
            *blobs.routes(shared.service),
            state_route(shared),
            script_route(),
            *image_action_routes(
                shared.service,
                shared.choices,
                app_state.PICTURES_PATH,
                app_state.DOWNLOADS_PATH,
                opens=shared.opens,
            ),
        ],
        middleware=[
            Middleware(
                AuthMiddleware,
                origins=Origins(settings.host, settings.hosts, ()),
                token=settings.token,
                once=once,
            ),
            Middleware(
                PageHeadMiddleware, style=theme.page_style(), links=early_page_head.links, bar=early_page_head.bar
            ),
            Middleware(CompressedStatic),
        ],
        lifespan=lifespan,
        on_script_error=on_error,
    )
    return serve(app, listening, websockets=True)


def _redirect_to_search(request: Request) -> RedirectResponse:
    """Redirect ``/search`` to the first page, for people who type the address: Streamlit does not know it by name."""
    return RedirectResponse("/" + (f"?{request.url.query}" if request.url.query else ""))


def _configuration(settings: Settings, port: int) -> dict[str, Any]:
    """Return all settings that matter: Streamlit also reads a ``.streamlit/config.toml`` of the current folder."""
    return {
        "server.address": settings.host,
        "server.port": port,
        "server.headless": True,  # The command opens the browser, with the link that logs in.
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
        "client.allowedOrigins": [],  # By default, pages of Streamlit's cloud may control ours.
        "client.showErrorDetails": "none",
        **theme.streamlit_options(),
        # With two runs in quick succession, the second may refer to messages that the browser dropped after the first.
        "global.minCachedMessageSize": 1e9,
        "logger.hideWelcomeMessage": True,
        "logger.level": "warning",
    }


def load_token(home: Path) -> str:
    """Return this user's token, created once, so that links and cookies survive a restart.

    Raises StorageError.
    """
    path = home / "token"
    try:
        if token := _read(path):
            return token
        write_atomically(path, secrets.token_urlsafe(24).encode())
        return _read(path)
    except OSError as error:
        raise StorageError(
            f"cannot keep a token in {path}: {error.strerror or error}", hint=f"set {TOKEN_VARIABLE}"
        ) from error


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""

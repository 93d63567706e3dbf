"""The process behind ``imseek serve``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace

import imseek
from imseek.ui.http.app import make_app
from imseek.ui.server.process import bind_socket, serve, server_url
from imseek.ui.server.settings import Settings


def run(settings: Settings, runtime: imseek.Runtime | None, ready: Callable[[str], None]) -> int:
    """Serve until SIGINT or SIGTERM, and return 130 or 143. ``ready`` receives the address once it is bound.

    Raises ImseekError if the address cannot be bound.
    """
    listening = bind_socket(settings.host, settings.port)
    port = listening.getsockname()[1]
    _log_to_stderr()
    app = make_app(replace(settings, port=port), runtime)
    ready(server_url(settings.host, port))
    return serve(app, listening)


def _log_to_stderr() -> None:
    """Send logs to standard error: access lines as bare JSON, others with a prefix."""
    for name, form in (("imseek.access", "%(message)s"), ("imseek.http", "imseek: %(message)s")):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        if not logger.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter(form))
            logger.addHandler(handler)

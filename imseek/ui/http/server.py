"""The process behind ``imseek serve``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import imseek
from imseek.ui.http.app import make_app
from imseek.ui.server.extra_route import MakeRoute
from imseek.ui.server.logs import log_to_stderr
from imseek.ui.server.process import bind_socket, serve, server_url
from imseek.ui.server.settings import Settings


def run(
    settings: Settings,
    runtime: imseek.Runtime | None,
    ready: Callable[[str], None],
    make_routes: Sequence[MakeRoute] = (),
) -> int:
    """Serve until SIGINT or SIGTERM, and return 130 or 143. ``ready`` receives the address once it is bound.

    ``make_routes`` add what another interface offers.

    Raises ImseekError if the address cannot be bound.
    """
    listening = bind_socket(settings.host, settings.port)
    port = listening.getsockname()[1]
    log_to_stderr()
    app = make_app(replace(settings, port=port), runtime, make_routes)
    ready(server_url(settings.host, port))
    return serve(app, listening)

"""Bind a socket, run uvicorn on it, and shut down gracefully."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from imseek.errors import ImseekError
from imseek.ui.server.connections import Connection

#: Seconds that running requests have to finish on shutdown.
GRACE: Final = 10
#: Length of the listen queue. As many are accepted at a time before those beyond the maximum are closed.
BACKLOG: Final = 128


def serve(app: ASGIApp, listening: socket.socket, *, websockets: bool = False) -> int:
    """Serve an application on a socket from :func:`bind_socket` until SIGINT or SIGTERM.

    Returns 128 plus the signal's number, or 0 without a signal.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,  # The guard writes one, without queries.
        server_header=False,
        proxy_headers=False,
        limit_concurrency=512,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE,
        ws="websockets-sansio" if websockets else "none",
        ws_max_size=64 << 20,
        ws_ping_interval=30,
        ws_ping_timeout=30,
        h11_max_incomplete_event_size=64 << 10,
    )
    server = _Server(config)
    server.run(sockets=[listening])
    return 128 + server.signal if server.signal else 0


def server_url(host: str, port: int) -> str:
    """Return the URL of a host and port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A uvicorn server that remembers the signal that ended it instead of raising it again."""

    signal = 0

    def handle_exit(self, sig: int, frame: object) -> None:
        self.signal = self.signal or sig
        super().handle_exit(sig, frame)  # type: ignore[arg-type]
        self._captured_signals.clear()


def bind_socket(host: str, *ports: int) -> socket.socket:
    """Listen on the first free one of ``ports``. Raises ImseekError if none is free."""
    for port in ports[:-1]:
        with contextlib.suppress(ImseekError):
            return _bind(host, port)
    return _bind(host, ports[-1])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named protocol: only then does asyncio set TCP_NODELAY, without which each response takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # From now on clients wait instead of being refused.
    except OSError as error:
        listener.close()
        raise ImseekError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint="choose another --port; 0 takes a free one"
            if error.errno in (errno.EADDRINUSE, errno.EACCES)
            else "--host takes an address of this machine",
        ) from error
    return listener

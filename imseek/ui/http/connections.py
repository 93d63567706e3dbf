"""One connection: HTTP/1.1 by h11, whatever else is installed, with a bound on how long it may dawdle.

uvicorn waits for the head of a request without end, and for a client that does not read its answer too: a few hundred
such connections, and nobody else gets one.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds for the head of a request, from the connection or from its first byte.
HEAD: Final = 10.0
#: Seconds for an answer that is written to be read, once the connection is to be closed.
READ: Final = 300.0


class Connection(H11Protocol):
    """Closed where a request has not begun in time, or its answer is not read."""

    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._head is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(READ, self.transport.abort)

    def _wait(self) -> None:
        self._head = self.loop.call_later(HEAD, self.transport.close)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

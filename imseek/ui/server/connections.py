"""HTTP/1.1 connections by h11, whatever else is installed, with timeouts for slow clients.

uvicorn waits without limit for the head of a request, for the rest of a body that it no longer reads, and for a client
that does not read its response: a few hundred such connections lock everybody else out.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Seconds for the head of a request, from the connection or from its first byte, and for the rest of a body once the
#: response is complete.
HEAD_SECONDS: Final = 10.0
#: Seconds for the client to read a response.
READ_SECONDS: Final = 300.0
#: Maximum number of connections. Above uvicorn's `limit_concurrency` they get a 503 response, above this they are
#: aborted.
MAX_CONNECTIONS: Final = 544


class Connection(H11Protocol):
    """A connection that is closed if a request does not begin or end in time, or its response is not read."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:  # Each takes a file descriptor, and collections need some.
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and not self._is_answered():
            self._forget()
        else:
            self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self.loop.call_later(READ_SECONDS, self.transport.abort)
        elif self._is_answered():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._cancel_read_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._cancel_read_timer()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_read_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(READ_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # The request broke off: nobody is listening.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # A response has begun already.
            self.transport.close()

    def _is_answered(self) -> bool:
        """Return whether the body is still arriving although the response is complete.

        It is read and discarded for a limited time, so that the client receives the response.
        """
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _wait(self) -> None:
        if self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._end)

    def _end(self) -> None:
        self.transport.close()
        self.loop.call_later(READ_SECONDS, self.transport.abort)

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _cancel_read_timer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

"""Storage of disconnected sessions: a few, for a while, so that a page can reconnect.

Streamlit's own storage keeps 128 sessions and drops them without shutting them down. Each holds an event loop, and so
three file descriptors, until it is garbage-collected.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import streamlit as st
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo, SessionStorage

if TYPE_CHECKING:
    from streamlit.runtime import Runtime

#: Maximum number of disconnected sessions, and seconds for which they are kept.
MAX_SESSIONS: Final = 16
SECONDS: Final = 120.0


class ClosedSessions(SessionStorage):
    """The most recently disconnected sessions, at most ``limit``; dropped ones are shut down.

    Not thread-safe: call it in the thread of the event loop only.
    """

    def __init__(
        self, limit: int = MAX_SESSIONS, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._closed: dict[str, tuple[float, SessionInfo]] = {}

    def get(self, session_id: str) -> SessionInfo | None:
        self._drop()
        entry = self._closed.get(session_id)
        return None if entry is None else entry[1]

    def save(self, session_info: SessionInfo) -> None:
        session_id = session_info.session.id
        self._closed.pop(session_id, None)  # Moves it to the end: the last one saved is dropped last.
        self._closed[session_id] = (self._clock(), session_info)
        self._drop()
        self._later(self._seconds, self._drop)

    def delete(self, session_id: str) -> None:
        """Forget a session that is connected again, or that the caller shuts down."""
        self._closed.pop(session_id, None)

    def list(self) -> list[SessionInfo]:
        self._drop()
        return [session_info for _, session_info in self._closed.values()]

    def _drop(self) -> None:
        """Shut down the sessions that are too old or too many."""
        oldest = self._clock() - self._seconds
        for session_id, (closed, session_info) in list(self._closed.items()):
            if closed > oldest and len(self._closed) <= self._limit:
                break
            del self._closed[session_id]
            # Later, since the session manager holds its lock while it saves a session.
            self._later(0, session_info.session.shutdown)

    @staticmethod
    def _later(seconds: float, act: Callable[[], None]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # The event loop has ended.
            if not seconds:
                act()
            return
        loop.call_later(seconds, act)


class PagesApp(st.App):
    """Streamlit's application with a session storage that shuts sessions down."""

    def _create_runtime(self) -> Runtime:
        runtime = super()._create_runtime()
        # Streamlit's settings cover the lifetime of disconnected sessions, but not their storage.
        manager = runtime._session_mgr
        if isinstance(getattr(manager, "_session_storage", None), MemorySessionStorage):
            manager._session_storage = ClosedSessions()  # type: ignore[attr-defined] # as above
        return runtime

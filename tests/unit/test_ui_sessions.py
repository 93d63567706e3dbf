"""Sessions of closed pages: a few come back, the others are shut down."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from streamlit.runtime.session_manager import SessionInfo

from imseek.ui.web.reconnectable_sessions import ClosedSessions, PagesApp

pytestmark = pytest.mark.slow


@dataclass
class Session:
    """As much of Streamlit's as a storage uses."""

    id: str
    ended: list[str] = field(default_factory=list)

    def shutdown(self) -> None:
        self.ended.append(self.id)


def closed(session: Any) -> SessionInfo:
    return SessionInfo(client=None, session=session)


def test_the_last_ones_come_back_and_the_first_ones_are_shut_down() -> None:
    ended: list[str] = []
    sessions = [Session(str(n), ended) for n in range(5)]

    async def close_all() -> ClosedSessions:
        storage = ClosedSessions(limit=3)
        for session in sessions:
            storage.save(closed(session))
        # Not while one is saved: the manager of sessions holds a lock then.
        assert ended == []
        await asyncio.sleep(0.01)
        return storage

    storage = asyncio.run(close_all())
    assert ended == ["0", "1"]
    assert [one.session.id for one in storage.list()] == ["2", "3", "4"]
    assert storage.get("1") is None
    found = storage.get("3")
    assert found is not None
    assert found.session is sessions[3]


def test_one_that_comes_back_is_not_shut_down() -> None:
    ended: list[str] = []
    storage = ClosedSessions(limit=1)
    storage.save(closed(Session("a", ended)))
    storage.delete("a")
    storage.delete("a")
    storage.save(closed(Session("b", ended)))
    storage.save(closed(Session("b", ended)))
    assert ended == []
    assert [one.session.id for one in storage.list()] == ["b"]


def test_they_are_shut_down_after_a_while_without_any_other_page() -> None:
    ended: list[str] = []

    async def wait() -> None:
        storage = ClosedSessions(seconds=0.05)
        storage.save(closed(Session("a", ended)))
        await asyncio.sleep(0.02)
        assert ended == []
        assert storage.get("a") is not None
        await asyncio.sleep(0.1)

    asyncio.run(wait())
    assert ended == ["a"]


def test_streamlit_uses_it() -> None:
    """By an attribute of its own: where a later version has no such, sessions of closed pages pile up again."""
    from imseek.ui.web.server import _SCRIPT

    runtime = PagesApp(_SCRIPT)._create_runtime()
    assert isinstance(runtime._session_mgr._session_storage, ClosedSessions)

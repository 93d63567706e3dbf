"""``imseek ui`` before its pages: what it refuses, and the token that it keeps."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

server = pytest.importorskip("imseek.ui.web.server", reason="streamlit is not installed")


def test_a_missing_extra_is_named(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "imseek.ui.web.server", raising=False)
    monkeypatch.setitem(sys.modules, "streamlit", None)  # as if it were not installed
    outcome = cli("ui", "--no-browser")
    assert outcome.code != 0
    assert "'.[ui]'" in outcome.err


def test_a_collection_that_is_not_there_is_refused_at_once(cli: Any) -> None:
    outcome = cli("ui", "nowhere", "--no-browser")
    assert outcome.code != 0
    assert "no collection 'nowhere'" in outcome.err


def test_the_environment_names_the_first_collection(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_COLLECTION", "nowhere")
    outcome = cli("ui", "--no-browser")
    assert outcome.code != 0
    assert "no collection 'nowhere' (IMSEEK_COLLECTION)" in outcome.err


def test_a_port_that_is_taken_is_refused_where_it_was_asked_for(cli: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = cli("ui", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert outcome.code != 0
    assert "--port" in outcome.err


def test_a_host_that_is_none_is_refused(cli: Any) -> None:
    outcome = cli("ui", "--no-browser", "--port", "0", "--host", "nowhere.invalid")
    assert outcome.code != 0
    assert "--host" in outcome.err


@pytest.mark.parametrize(
    ("token", "reason"),
    [("short", "16"), ("ümlaute-sind-keine-gute-idee", "ASCII"), ("no spaces in a header", "spaces")],
)
def test_a_poor_token_is_refused(cli: Any, monkeypatch: pytest.MonkeyPatch, token: str, reason: str) -> None:
    monkeypatch.setenv("IMSEEK_TOKEN", token)
    outcome = cli("ui", "--no-browser", "--port", "0")
    assert outcome.code != 0
    assert reason in outcome.err


def test_the_token_is_made_once_and_for_its_user_only(tmp_path: Path) -> None:
    first = server.load_token(tmp_path / "home")
    assert len(first) >= 32
    assert server.load_token(tmp_path / "home") == first
    assert server.load_token(tmp_path / "another") != first
    assert stat.S_IMODE((tmp_path / "home" / "token").stat().st_mode) == 0o600


def test_an_empty_token_file_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("")
    assert len(server.load_token(tmp_path)) >= 32

"""What terminals answer, and what is made of it."""

from __future__ import annotations

import sys

import pytest
import terminals

from imseek.ui.terminal import capabilities


@pytest.fixture
def asked(monkeypatch):
    """``asked(answer)``: the screen that a terminal has which answers so."""

    def ask(answer: str, **environment: str) -> capabilities.TerminalCapabilities:
        for name in ("NO_COLOR", "FORCE_COLOR", "TMUX"):
            monkeypatch.delenv(name, raising=False)
        values = {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "COLUMNS": "90",
            "LINES": "40",
            **environment,
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setattr(sys.stdout, "fileno", lambda: 1)
        monkeypatch.setattr(capabilities, "_query_terminal", lambda descriptor: answer)
        return capabilities.detect_terminal()

    return ask


@pytest.mark.parametrize(
    ("answer", "way"),
    [
        (terminals.KITTY, "kitty"),
        (terminals.ITERM, "iterm"),
        (terminals.SIXEL, "sixel"),
        ("\x1bP>|WezTerm 20240203\x1b\\\x1b[?65;4;6c", "iterm"),
        ("\x1b_Gi=31;OK\x1b\\\x1bP>|WezTerm 20240203\x1b\\\x1b[?65;4;6c", "kitty"),
        ("\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\\x1b[?62c", "blocks"),
        ("\x1b[?4;6c", "blocks"),  # the first number is no feature
        ("\x1b[?62;14;40;44c", "blocks"),
        (terminals.PLAIN, "blocks"),
        ("", "blocks"),
        ("keys that were typed meanwhile\x1b[?62;4c", "sixel"),
    ],
)
def test_ways(asked, answer, way) -> None:
    screen = asked(answer)
    assert (screen.protocol, screen.columns, screen.lines, screen.reason) == (way, 90, 40, "")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("\x1b[6;32;15t", (15, 32)),
        ("\x1b[6;0;0t", (10, 20)),
        ("\x1b[6;9999;9999t", (10, 20)),
        ("\x1b[6;32;9999t", (10, 20)),
        ("\x1b[6;9999;15t", (10, 20)),
        ("\x1b[6;-5;3t", (10, 20)),
        ("", (10, 20)),
    ],
)
def test_cells(asked, cell, expected, monkeypatch) -> None:
    def refused(*_: object) -> bytes:
        raise OSError

    monkeypatch.setattr("fcntl.ioctl", refused)
    assert asked(f"{cell}\x1b[?62;4c").cell == expected


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TERM": "dumb"}, "dumb"),
        ({"NO_COLOR": "1"}, "neither pictures nor colours"),
    ],
)
def test_why_not(asked, environment, reason) -> None:
    screen = asked(terminals.PLAIN, **environment)
    assert screen.protocol is None
    assert reason in screen.reason

"""``imseek browse`` in a real process, with keys."""

from __future__ import annotations

import os
import sys

import terminals


def test_selected_paths_go_to_standard_output(indexed) -> None:
    with terminals.Session(("browse", "red", "--paths"), piped=True) as session:
        session.expect("1 of 3", "▀")
        session.type(" ")
        session.expect("1 selected")
        session.type("q")
        code, out = session.end()
    assert (code, out) == (0, f"{indexed / 'red.png'}\n")


def test_as_they_are_with_null(cli, indexed) -> None:
    odd = indexed / os.fsdecode(b"\xff.png")
    (indexed / "red.png").rename(odd)
    assert cli("index").code == 0
    with terminals.Session(("browse", "red", "-0"), piped=True) as session:
        session.expect("1 of 3")
        session.type(" ")
        session.expect("1 selected")
        session.type("q")
        code, out = session.end()
    assert (code, os.fsencode(out)) == (0, os.fsencode(odd) + b"\0")


def test_a_terminal_with_sixels_gets_sixels(indexed) -> None:
    with terminals.Session(("browse", "red"), {"\x1b[c": "\x1b[?62;4c", "\x1b[16t": "\x1b[6;20;10t"}) as session:
        session.expect("1 of 3", 'q"1;1;')
        session.type("q")
        assert session.end() == (0, "")
    assert "▀" not in session.written


def test_kitty_gets_its_own(indexed) -> None:
    answers = {
        "\x1b[c": "\x1b[?62;c",
        "a=q,t=d,f=24;AAAA\x1b\\": "\x1b_Gi=1;OK\x1b\\",
        "\x1b[16t": "\x1b[6;20;10t",
    }
    with terminals.Session(("browse", "red"), answers) as session:
        session.expect("1 of 3", ",f=100,")
        session.type("q")
        assert session.end() == (0, "")
    assert "▀" not in session.written


def test_without_a_terminal_it_says_so(cli, indexed) -> None:
    outcome = cli("browse", "red")
    assert (outcome.code, outcome.out) == (2, "")
    assert "needs an interactive terminal" in outcome.err


def test_a_missing_extra_names_itself(cli, indexed, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.startswith("imseek.ui.terminal.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    outcome = cli("browse", "red")
    assert outcome.code == 1
    assert "textual is not installed" in outcome.err
    assert "pip install '.[terminal]'" in outcome.err

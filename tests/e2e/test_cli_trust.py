"""``imseek collection trust``, and what commands do with a collection that nobody has said to be trusted."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from imseek import library


class Terminal(io.StringIO):
    """Standard input or error of somebody who sits there."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def foreign(cli, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a collection beside its pictures, made by another user."""
    assert cli("index", pictures, "--here", "--encoder", "fake").code == 0
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    monkeypatch.setenv("IMSEEK_HOME", str(tmp_path / "my home"))
    monkeypatch.chdir(pictures / "below")
    return pictures / library.LOCAL_FOLDER


def test_one_above_the_current_folder_is_named_and_searched(cli, foreign: Path) -> None:
    outcome = cli("search", "red", "--paths")
    assert outcome.code == 0
    assert "red.png" in outcome.out
    assert f"{foreign} was not made here: it is searched and not written to" in outcome.err
    assert f"imseek collection trust {foreign}" in outcome.err
    assert cli("search", "red", "--json").err == ""
    assert "was not made here" not in cli("search", "red", "-c", foreign).err  # Its user has named it.


def test_one_of_another_user_says_whose_it_is(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: foreign.stat().st_uid + 1)
    assert f"{foreign} belongs to the user 'root', and was not made here" in cli("info").err


def test_one_of_a_user_that_this_machine_does_not_know(
    cli, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that was brought along, or from an archive that was unpacked as root."""
    import pwd

    monkeypatch.setattr(os, "geteuid", lambda: foreign.stat().st_uid + 1)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert f"{foreign} belongs to the user {foreign.stat().st_uid}, and was not made here" in cli("info").err


def test_writing_is_refused_where_nobody_can_be_asked(cli, foreign: Path) -> None:
    for command in (("tag", "add", "mine", "0"), ("index", "."), ("maintain", "--purge")):
        outcome = cli(*command)
        assert (outcome.code, outcome.out) == (1, "")
        assert "writing to it is refused" in outcome.err
        assert f"hint: if you know who made it: imseek collection trust {foreign}" in outcome.err
    error = cli("tag", "add", "mine", "0", "--json").json("error")["error"]
    assert error["type"] == "UntrustedCollectionError"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_somebody_at_a_terminal_is_asked_once(
    cli, foreign: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", asked := Terminal())
    assert cli("tag", "add", "mine", "0").code == code
    assert "Do you know who made it, and trust it? [y/N]" in asked.getvalue()
    monkeypatch.setattr("sys.stdin", Terminal(""))
    monkeypatch.setattr("sys.stderr", again := Terminal())
    assert cli("tag", "add", "mine", "1").code == code
    assert ("Do you know" in again.getvalue()) == bool(code)


def test_trusting_and_forgetting(cli, foreign: Path) -> None:
    assert cli("collection", "trust", foreign).out == f"{foreign} is trusted\n"
    assert cli("collection", "trust", "--list").out == f"{foreign}\n"
    assert [
        one["path"] for one in cli("collection", "trust", "--list", "--json").json("trusted")["trusted"]
    ] == [str(foreign)]
    assert cli("tag", "add", "mine", "0").code == 0
    assert "was not made here" not in cli("search", "red").err
    assert cli("collection", "trust", foreign, "--forget").out == f"{foreign} is not trusted\n"
    assert cli("collection", "trust", "--list").out == "none yet\n"
    assert cli("tag", "add", "other", "0").code == 1


def test_one_with_a_problem_is_trusted_by_force_only(cli, foreign: Path) -> None:
    (foreign / "models").symlink_to("/tmp")
    outcome = cli("collection", "trust", foreign)
    assert outcome.code == 1
    assert outcome.out == (
        f"strange  models: it is a symbolic link: imseek did not make that\n{foreign} is not trusted\n"
    )
    told = cli("collection", "trust", foreign, "--json").json("trust")
    assert (told["trusted"], [one["file"] for one in told["problems"]]) == (False, ["models"])
    assert cli("collection", "trust", foreign, "--force").code == 0
    assert cli("collection", "repair", foreign).out.startswith("restored  models removed")


def test_what_is_no_collection(cli, foreign: Path, tmp_path: Path) -> None:
    assert cli("collection", "trust", tmp_path / "nothing").code == 2
    assert cli("collection", "trust", tmp_path).code == 2
    assert cli("collection", "trust", "--list", "--forget").code == 0

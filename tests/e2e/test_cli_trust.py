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
    assert "was not created on this machine" not in cli("search", "red", "-c", foreign).err  # Its user has named it.


def test_one_of_another_user_says_whose_it_is(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: foreign.stat().st_uid + 1)
    assert f"{foreign} belongs to the user 'root', and was not made here" in cli("info").err


def test_one_of_a_user_that_this_machine_does_not_know(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert f"hint: if you trust its creator, run imseek collection trust {foreign}" in outcome.err
    error = cli("tag", "add", "mine", "0", "--json").json("error")["error"]
    assert error["type"] == "UntrustedCollectionError"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_somebody_at_a_terminal_is_asked_once(
    cli, foreign: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", asked := Terminal())
    assert cli("tag", "add", "mine", "0").code == code
    assert "Do you know who made it, and trust it from now on? [y/N]" in asked.getvalue()
    monkeypatch.setattr("sys.stdin", Terminal(""))
    monkeypatch.setattr("sys.stderr", again := Terminal())
    assert cli("tag", "add", "mine", "1").code == code
    assert ("Do you know" in again.getvalue()) == bool(code)


def test_trusting_and_forgetting(cli, foreign: Path) -> None:
    assert cli("collection", "trust", foreign).out == f"{foreign} is trusted\n"
    assert cli("collection", "trust", "--list").out == f"{foreign}\n"
    assert [one["path"] for one in cli("collection", "trust", "--list", "--json").json("trusted")["trusted"]] == [
        str(foreign)
    ]
    assert cli("tag", "add", "mine", "0").code == 0
    assert "was not created on this machine" not in cli("search", "red").err
    assert cli("collection", "trust", foreign, "--forget").out == f"{foreign} is not trusted\n"
    assert cli("collection", "trust", "--list").out == "none yet\n"
    assert cli("tag", "add", "other", "0").code == 1


def test_one_with_a_problem_is_trusted_by_force_only(cli, foreign: Path) -> None:
    (foreign / "models").symlink_to("/tmp")
    outcome = cli("collection", "trust", foreign)
    assert outcome.code == 1
    assert outcome.out == (
        f"strange  models: it is a symbolic link: imseek did not create it\n{foreign} is not trusted\n"
    )
    told = cli("collection", "trust", foreign, "--json").json("trust")
    assert (told["trusted"], [one["file"] for one in told["problems"]]) == (False, ["models"])
    assert cli("collection", "trust", foreign, "--force").code == 0
    assert cli("collection", "repair", foreign).out.startswith("restored  models removed")


def test_what_is_no_collection(cli, foreign: Path, tmp_path: Path) -> None:
    assert cli("collection", "trust", tmp_path / "nothing").code == 2
    assert cli("collection", "trust", tmp_path).code == 2
    (tmp_path / "photos.tar").write_bytes(b"archive")
    told = cli("collection", "trust", tmp_path / "photos.tar")
    assert (told.code, "photos.tar is a file, and a collection is a folder" in told.err) == (2, True)


@pytest.mark.parametrize("more", ["--forget", "--force", "photos"])
def test_a_list_is_nothing_else(cli, foreign: Path, more: str) -> None:
    outcome = cli("collection", "trust", "--list", more)
    assert (outcome.code, outcome.out) == (2, "")
    assert "--list only lists, so other options have no effect" in outcome.err


def test_one_that_is_gone_can_be_forgotten(cli, foreign: Path) -> None:
    assert cli("collection", "trust", foreign).code == 0
    foreign.rename(foreign.with_name("elsewhere"))
    assert cli("collection", "trust", foreign.parent, "--forget").out == f"{foreign} is not trusted\n"
    assert cli("collection", "trust", "--list").out == "none yet\n"
    foreign.with_name("elsewhere").rename(foreign)
    assert cli("tag", "add", "mine", "0").code == 1
    assert cli("collection", "trust", foreign / "nothing", "--forget").code == 2


def test_one_in_a_trusted_folder_cannot_be_forgotten(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_TRUSTED_FOLDERS", str(foreign.parent))
    outcome = cli("collection", "trust", foreign, "--forget")
    assert (outcome.code, outcome.out) == (1, f"{foreign} is trusted\n")
    assert "below a folder in IMSEEK_TRUSTED_FOLDERS" in outcome.err
    assert cli("collection", "trust", foreign, "--forget", "--force").code == 2


def test_commands_to_type_are_quoted(cli, foreign: Path) -> None:
    spaced = foreign.parent.parent / "two words"
    foreign.rename(spaced)
    hint = f"imseek collection trust '{spaced}'"
    assert hint in cli("tag", "add", "mine", "0", "-c", spaced).err
    assert cli("backup", "b.tar", "-c", spaced).code == 0
    assert f"imseek collection trust '{spaced} 2'" in cli("restore", "b.tar", f"{spaced} 2").err


def test_a_path_without_a_slash_is_told(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = foreign.parent.parent / "two words"
    foreign.rename(spaced)
    (spaced.parent / "one").symlink_to(spaced)
    monkeypatch.chdir(spaced.parent)
    for name, path in (("two words", "'./two words'"), ("one", "./one")):
        for line in (
            ("collection", "trust", name),
            ("search", "red", "-c", name),
            ("collection", "verify", name),
        ):
            outcome = cli(*line)
            assert outcome.code == 2
            assert f"hint: a path has a slash in it: {path}" in outcome.err
    assert cli("collection", "trust", "./one").code == 0


def test_one_whose_identity_is_damaged_is_trusted_by_force_and_repaired(cli, foreign: Path) -> None:
    (foreign / "collection.json").write_text("{}")
    assert cli("collection", "repair", foreign).code == 1
    assert cli("collection", "trust", foreign).code == 1
    assert cli("collection", "trust", foreign, "--force").code == 0
    assert cli("collection", "repair", foreign).code == 0
    assert cli("tag", "add", "mine", "0").code == 0
    listed = cli("collection", "trust", "--list", "--json").json("trusted")["trusted"]
    assert all(one["uuid"] for one in listed)


def test_trusted_folders_are_absolute(cli, foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(foreign.parent)
    monkeypatch.setenv("HOME", str(foreign.parent))
    for folders, code in ((".", 1), (".imseek", 1), ("", 1), (f"/nowhere:{foreign}", 0), ("~", 0)):
        monkeypatch.setenv("IMSEEK_TRUSTED_FOLDERS", folders)
        assert cli("tag", "add", "mine", "0").code == code

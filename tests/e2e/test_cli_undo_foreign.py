"""`imseek duplicates undo` of a journal that somebody else wrote, and archives that carry one, as they are typed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from acting import foreign
from acting.foreign import UNDO_ID, b64

from imseek.data import layout
from imseek.data.archive import manifest
from imseek.data.files import durable_files

PAYLOAD = b"[Desktop Entry]\nExec=touch /tmp/owned\n"


@pytest.fixture
def theirs(cli, indexed: Path, tmp_path: Path) -> Path:
    """An archive by somebody else, whose journal puts a file of theirs among those that begin with a session."""
    (tmp_path / "user/.config/autostart").mkdir(parents=True)
    assert cli("backup", "theirs.tar").code == 0
    return Path("theirs.tar")


def target(tmp_path: Path) -> Path:
    return tmp_path / "user/.config/autostart/evil.desktop"


def packed(archive: Path, more: dict[str, bytes]) -> None:
    """Write an archive anew with more files, all of them in its manifest, and executable."""
    with tarfile.open(archive) as tar:
        contents = {one.name: tar.extractfile(one).read() for one in tar}
    contents |= {f"collection/{name}": data for name, data in more.items()}
    document = json.loads(contents[manifest.NAME])
    document.pop("sha256")
    document["files"] = [
        [name.removeprefix("collection/"), len(data), hashlib.sha256(data).hexdigest()]
        for name, data in contents.items()
        if name != manifest.NAME
    ]
    contents[manifest.NAME] = durable_files.add_checksum(document)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))


def journal(root: Path, tmp_path: Path, away: Path) -> bytes:
    """To be put into the archive of the collection at ``root``."""
    full = target(tmp_path)
    record = foreign.intent(full.parent, full.name, away, away.parent, source_id=9, mode=0o755, full=b64(full))
    file = foreign.write(root, [record])
    data = file.read_bytes()
    shutil.rmtree(file.parent)
    return data


@pytest.mark.parametrize(
    "name",
    [
        "undo/payload", "undo/payload.desktop", "undo/imseek-quarantine.txt", "undo/IMSEEK-QUARANTINE.txt",
        "undo/20260101-000000-abcdef.jsonl.desktop", "undo/deeper/20260101-000000-abcdef.jsonl",
        "undo/20260101-000000-abcdeg.jsonl", "undo/20260101-000000-abcdef.JSONL", "undo/x.jsonl",
    ],
)  # fmt: skip
def test_an_archive_holds_nothing_but_journals_below_undo(cli, theirs: Path, home: Path, name: str) -> None:
    packed(theirs, {name: PAYLOAD})
    for line in (
        ["backup", "--verify", theirs],
        ["restore", theirs, "new"],
        ["restore", "--with-undo", theirs, "new"],
    ):
        outcome = cli(*line)
        assert (outcome.code, outcome.out) == (1, "")
        assert "is not a file of a collection" in outcome.err
    assert sorted(os.listdir(home / "collections")) == ["default"]


def test_journals_stay_in_the_archive_unless_they_are_wanted(cli, theirs: Path, home: Path, tmp_path: Path) -> None:
    root = home / "collections/default"
    away = tmp_path / "away" / "payload"
    away.parent.mkdir()
    away.write_bytes(PAYLOAD)
    (away.parent / layout.QUARANTINE_MARKER).write_text("")
    packed(theirs, {layout.journal(UNDO_ID): journal(root, tmp_path, away)})
    plain = cli("restore", theirs, "plain", "--json").json("restore")
    assert plain["journals_left_out"] == 1
    assert any("1 undo journal left out: `imseek backup restore --with-undo`" in note for note in plain["notes"])
    assert not (home / "collections/plain" / layout.UNDO).exists()
    assert cli("undo", "--yes", "-c", "plain").code == 2
    assert cli("restore", "--copy", "--with-undo", theirs, "both").code == 2

    wanted = cli("restore", "--with-undo", theirs, "wanted", "--json").json("restore")
    assert wanted["journals_left_out"] == 0
    assert not any("left out" in note for note in wanted["notes"])
    listed = cli("undo", "--list", "-c", "wanted")
    assert f"{UNDO_ID}: another user, another machine or an earlier imseek wrote it" in listed.out
    looked = cli("undo", "-c", "wanted")
    assert (looked.code, "its place lies outside the sources of the collection" in looked.out) == (0, True)
    error = cli("undo", "--yes", "-c", "wanted", "--json").json("error")["error"]
    assert error["type"] == "UntrustedJournalError"
    assert error["hint"].endswith(" --yes --trust-journal")
    assert f"imseek duplicates undo {UNDO_ID} -c /" in error["hint"]
    for line in (["undo", "--yes"], ["undo", UNDO_ID, "--yes"], ["undo", "--yes", "--trust-journal"]):
        assert cli(*line, "-c", "wanted").code == 1
        assert not target(tmp_path).exists()
        assert away.read_bytes() == PAYLOAD


@pytest.fixture
def restored(cli, theirs: Path, home: Path, indexed: Path, tmp_path: Path) -> Path:
    """Their collection with a journal that brings a picture into the folder of the user's; returns where it lies."""
    away = tmp_path / "away" / "\x1b[31mcat.png"
    away.parent.mkdir()
    shutil.copyfile(indexed / "red.png", away)
    away.chmod(0o755)
    (away.parent / layout.QUARANTINE_MARKER).write_text("")
    record = foreign.intent(indexed, "cat.png", away, away.parent, mode=0o755)
    file = foreign.write(home / "collections/default", [record])
    packed(theirs, {layout.journal(UNDO_ID): file.read_bytes()})
    shutil.rmtree(file.parent)
    assert cli("restore", "--with-undo", theirs, "wanted").code == 0
    return away


def test_at_a_terminal_it_is_asked_once(cli, restored: Path, indexed: Path, terminal: Callable[[str], None]) -> None:
    terminal("n")
    refused = cli("undo", "--yes", "-c", "wanted")
    assert (refused.code, refused.out.strip()) == (1, "")
    shown = refused.err.splitlines()
    assert "1 file moved to quarantine" in refused.err
    assert f"  {restored.parent}" in shown
    assert f"  {indexed}" in shown
    assert "stopped: nothing was changed" in shown[-1]
    assert restored.exists()
    terminal("y")
    done = cli("undo", "--yes", "-c", "wanted")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"{UNDO_ID}: 1 file as before")
    assert "Bring these files back?" in done.err
    assert (indexed / "cat.png").stat().st_mode & 0o7777 == 0o644
    again = cli("undo", UNDO_ID, "--yes", "-c", "wanted")
    assert (again.code, "Bring these" in again.err) == (0, False)


def test_what_is_asked_is_no_terminal_s_business(
    cli, restored: Path, home: Path, terminal: Callable[[str], None]
) -> None:
    file = home / "collections/wanted" / layout.journal(UNDO_ID)
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    for line in lines:
        line.pop("sum")
        if line["do"] == "begin":
            line["created"] = "\x1b]0;owned\x07"
    file.write_bytes(b"".join(map(foreign.sealed, lines)))
    terminal("n")
    for command in (["undo", "--yes"], ["undo", "--list"], ["undo"]):
        outcome = cli(*command, "-c", "wanted")
        assert "\x1b]0" not in outcome.err + outcome.out
        assert "\x07" not in outcome.err + outcome.out


def test_without_a_terminal_by_its_own_option_only(cli, restored: Path, indexed: Path) -> None:
    assert cli("undo", "--yes", "-c", "wanted").code == 1
    assert not (indexed / "cat.png").exists()
    assert cli("undo", "--list", "--trust-journal", "-c", "wanted").code == 2
    done = cli("undo", "--yes", "--trust-journal", "-c", "wanted")
    assert done.out.splitlines()[-1] == f"{UNDO_ID}: 1 file as before"
    assert (indexed / "cat.png").exists()


def test_damaged_lines_are_named(cli, indexed: Path, home: Path) -> None:
    record = foreign.intent(indexed, "../evil", indexed / "red.png", indexed)
    file = foreign.write(home / "collections/default", [record])
    outcome = cli("undo", "--yes")
    assert outcome.code == 2
    assert f"1 line of {file} could not be read (line 2: '../evil' is not a path below a folder)" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_collection_is_asked_about_before_the_journal(
    cli, restored: Path, terminal: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IMSEEK_TRUSTED_FOLDERS")
    terminal("y\ny")
    done = cli("undo", "--yes", "-c", "wanted")
    assert (done.code, done.out.splitlines()[-1]) == (0, f"{UNDO_ID}: 1 file as before")
    questions = [line for line in done.err.splitlines() if "[y/N]" in line]
    assert ["trust it" in line for line in questions] == [True, False]
    assert not restored.exists()

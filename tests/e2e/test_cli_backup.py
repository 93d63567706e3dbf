"""``imseek backup``: create, verify and restore."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path


def test_there_and_back(cli, indexed: Path, home: Path, tmp_path: Path) -> None:
    assert cli("tag", "add", "bright", "id:1").code == 0
    made = cli("backup", "photos.tar")
    assert made.code == 0
    assert made.out.startswith("backed up 3 images as of ")
    assert cli("backup", "--verify", "photos.tar").out.startswith("sound: 3 images as of ")
    before = cli("search", "red", "--json").json("search")["hits"]
    assert cli("collection", "delete", "default", "--yes").code == 0
    done = cli("restore", "photos.tar", "again")
    assert done.code == 0
    assert done.out.endswith(f" as again in {home / 'collections/again'}\n")
    assert done.err == ""
    assert cli("search", "red", "--json").json("search")["hits"] == before
    assert "bright" in cli("tag", "list").out
    assert cli("collection", "verify").code == 0
    assert cli("index").out.startswith("nothing new") or "0 added" in cli("index").out or cli("index").code == 0


def test_a_copy_beside_the_original(cli, indexed: Path, home: Path) -> None:
    assert cli("backup", "photos.tar").code == 0
    twin = cli("restore", "photos.tar", "twin")
    assert twin.err == "note: default is the same collection: `imseek backup restore --copy` makes another one\n"
    assert cli("search", "red", "-c", "default", "-c", "twin").code == 2
    copy = cli("restore", "photos.tar", "copy", "--copy", "--json")
    document = copy.json("restore")
    assert document["notes"] == []
    assert document["collection"]["uuid"] != document["backup"]["uuid"]
    both = cli("search", "red", "-c", "default", "-c", "copy", "--json").json("search")
    assert {hit["collection"] for hit in both["hits"]} == {
        document["collection"]["uuid"],
        document["backup"]["uuid"],
    }


def test_as_json(cli, indexed: Path, home: Path) -> None:
    made = cli("backup", "photos.tar", "--json").json("backup")
    assert made["collection"]["name"] == "default"
    assert made["archive"] == {"path": "photos.tar"}
    assert made["backup"]["images"] == 3
    assert made["size"] == Path("photos.tar").stat().st_size
    read = cli("backup", "--verify", "photos.tar", "--json").json("backup")
    assert read["collection"] is None
    assert (read["backup"], read["size"]) == (made["backup"], made["size"])
    with tarfile.open("photos.tar") as tar:
        assert len(tar.getnames()) == made["backup"]["files"] + 1


def test_through_pipes(cli, indexed: Path, home: Path) -> None:
    imseek = [sys.executable, "-P", "-W", "error", "-m", "imseek"]
    line = f"{' '.join(imseek)} backup - | gzip | gzip -d | {' '.join(imseek)} restore - piped"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("restored 3 images as of ")
    assert "backed up 3 images as of " in done.stderr
    assert cli("collection", "verify", "piped").code == 0
    line = f"{' '.join(imseek)} backup - | head -c 1000 | wc -c; exit ${{PIPESTATUS[0]}}"
    gone = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
    assert (gone.returncode, gone.stdout.strip()) == (1, "1000"), gone.stderr
    assert "Traceback" not in gone.stderr
    for command in ("backup -", "export - --format csv"):
        line = f"{' '.join(imseek)} {command} >&-"
        closed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
        assert closed.returncode == 2
        assert "which is closed" in closed.stderr


def test_what_cannot_be(cli, indexed: Path, home: Path) -> None:
    assert cli("backup", "photos.tar").code == 0
    whole = Path("photos.tar").read_bytes()
    Path("half.tar").write_bytes(whole[: len(whole) // 2])
    Path("letter.txt").write_text("Dear reader, " * 100)
    for line, code, said in (
        ("backup photos.tar", 2, "is there already"),
        ("backup none/photos.tar", 2, "no folder"),
        ("backup - --json", 2, "would both write to stdout"),
        ("backup --verify photos.tar --no-index", 2, "--verify takes only"),
        ("backup --verify none.tar", 2, "none.tar: No such file"),
        ("backup --verify letter.txt", 1, "letter.txt is not a tar"),
        ("backup -c none b.tar", 2, "no collection 'none'"),
        ("restore photos.tar default", 2, "there is a collection at"),
        ("restore half.tar new", 1, "half.tar is cut short: it ends in"),
        ("restore photos.tar bad:name", 2, "cannot name a collection"),
    ):
        outcome = cli(*line.split())
        assert (outcome.code, outcome.out) == (code, ""), line
        assert said in outcome.err
    error = cli("restore", "half.tar", "new", "--json").json("error")["error"]
    assert error["type"] == "BackupError"
    assert Path("photos.tar").read_bytes() == whole
    assert sorted(os.listdir(home / "collections")) == ["default"]
    assert sorted(os.listdir()) == ["half.tar", "letter.txt", "photos.tar"]


def test_force_replaces(cli, indexed: Path, home: Path) -> None:
    assert cli("backup", "photos.tar").code == 0
    assert cli("tag", "add", "bright", "id:1").code == 0
    assert cli("backup", "photos.tar", "--force", "--json").json("backup")["backup"]["generation"] == 3


def test_interrupted(cli, indexed: Path, home: Path, ctrl_c) -> None:
    assert cli("backup", "photos.tar").code == 0
    with ctrl_c("backup"):
        made = cli("backup", "other.tar")
        assert (made.code, made.out) == (130, "")
        assert "interrupted: no backup was made" in made.err
        assert cli("restore", "photos.tar", "new").code == 130
        assert cli("backup", "--verify", "photos.tar").code == 130
    assert sorted(os.listdir()) == ["photos.tar"]
    assert sorted(os.listdir(home / "collections")) == ["default"]


def test_a_move_to_another_machine(cli, pictures: Path, home: Path, tmp_path: Path) -> None:
    """As docs/backup.md shows it: the pictures lie elsewhere there."""
    assert cli("index", pictures, "--encoder", "fake").code == 0
    assert cli("backup", tmp_path / "photos.tar").code == 0
    shutil.rmtree(home)
    pictures.rename(tmp_path / "elsewhere")
    assert cli("restore", tmp_path / "photos.tar", "photos").code == 0
    (source,) = cli("source", "list", "--json").json("sources")["sources"]
    assert cli("source", "relocate", str(source["source_id"]), tmp_path / "elsewhere").code == 0
    again = json.loads(cli("index", "--json").out)
    assert (again["added"], again["removed"], again["unchanged"] + again["moved"]) == (0, 0, 3)
    hits = cli("search", "red", "--json").json("search")["hits"]
    assert hits[0]["path"] == str(tmp_path / "elsewhere/red.png")

"""A whole journey with the catalog on PostgreSQL, as it is typed, on real photographs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from databases import Server
from PIL import Image

from imseek import jobs
from imseek.data.writing.writer import Writer


@pytest.fixture
def catalog(postgres: Server) -> str:
    return postgres.database()


@pytest.fixture
def album(photos) -> Path:
    """``photos`` with a copy of one, and a smaller one of another."""
    shutil.copyfile(photos / "below" / "china.jpg", photos / "copy.jpg")
    with Image.open(photos / "chelsea.png") as cat:
        cat.convert("RGB").resize((300, 200)).save(photos / "cat.jpg", quality=80)
    return photos


@pytest.fixture
def shared(cli, catalog, album) -> str:
    """A collection by the encoder of real searches."""
    made = cli("collection", "create", "shared", "--encoder", "builtin", "--catalog", catalog)
    assert made.code == 0, made.err
    indexed = cli("index", album, "-c", "shared")
    assert indexed.code == 0, indexed.err
    assert indexed.out.startswith("9 added, 1 is a copy of an indexed picture; 10 images in the collection")
    return "shared"


def names(outcome) -> list[str]:
    return [Path(hit["path"]).name for hit in outcome.json("search")["hits"]]


def test_a_journey(cli, home, shared, album, catalog, later) -> None:
    assert set(names(cli("search", "a cat", "-c", shared, "-n", "2", "--json"))) == {"chelsea.png", "cat.jpg"}
    assert cli("tag", "add", "pet", album / "cat.jpg", "-c", shared).out == "tagged 1 image\n"
    assert names(cli("search", "a cat", "--where", "tag('pet')", "-c", shared, "--json")) == ["cat.jpg"]

    groups = cli("duplicates", "-c", shared, "--json").json("duplicates")["groups"]
    together = [{Path(member["path"]).name for member in group["members"]} for group in groups]
    assert {"china.jpg", "copy.jpg"} in together
    assert {"chelsea.png", "cat.jpg"} in together
    judged = cli("judge", album / "chelsea.png", album / "cat.jpg", "--different", "-c", shared)
    assert judged.code == 0, judged.err
    groups = cli("duplicates", "-c", shared, "--json").json("duplicates")["groups"]
    assert [{Path(m["path"]).name for m in group["members"]} for group in groups] == [{"china.jpg", "copy.jpg"}]

    (album / "copy.jpg").unlink()
    assert "1 removed" in cli("index", "-c", shared).out
    tidied = cli("maintain", "--merge", "--purge", "-c", shared)
    assert tidied.code == 0, tidied.err
    assert "the log and the backups of its server are not ours" in tidied.out
    assert cli("collection", "verify", shared).out.startswith("0 problems in ")

    told = cli("info", "-c", shared, "--json").json("info")
    assert (told["images"], told["writer"], told["catalog"], told["format"]) == (9, None, catalog, 2)
    assert f"catalog     {catalog}\n" in cli("info", "-c", shared).out
    kinds = {job["kind"] for job in cli("jobs", "list", "-c", shared, "--json").json("jobs")["jobs"]}
    assert kinds >= {"index", "tag add", "judge", "maintain --purge"}
    assert cli("doctor", "-c", shared).code == 0
    assert cli("collection", "list", "--json").json("collections")["collections"][0]["images"] == 9

    assert cli("backup", "shared.tar", "-c", shared).out.startswith("backed up 9 images as of ")
    assert cli("restore", "shared.tar", "twin", "--copy").code == 0
    assert names(cli("search", "a cat", "--where", "tag('pet')", "-c", "twin", "--json")) == ["cat.jpg"]
    assert cli("info", "-c", "twin", "--json").json("info").get("catalog") is None
    assert cli("maintain", "--catalog", catalog, "-c", "twin").code == 0, "one database holds many"
    assert cli("collection", "delete", "twin", "--yes").code == 0

    moved = cli("maintain", "--catalog", "sqlite", "-c", shared, "--json").json("maintain")["catalog"]
    assert moved["catalog"] == "sqlite"
    assert cli("maintain", "--catalog", catalog, "-c", shared).out.startswith(f"the catalog is at {catalog}: ")
    assert cli("collection", "rename", shared, "renamed").code == 0
    assert names(cli("search", "a cat", "--where", "tag('pet')", "-c", "renamed", "--json")) == ["cat.jpg"]
    assert cli("collection", "delete", "renamed", "--yes").code == 0
    assert (album / "cat.jpg").exists()
    assert cli("collection", "list", "--json").json("collections")["collections"] == []


def test_indexing_in_the_background(cli, home, catalog, album) -> None:
    cli("collection", "create", "shared", "--encoder", "fake", "--catalog", catalog)
    started = cli("index", album, "--background", "-c", "shared")
    assert started.code == 0, started.err
    found = re.search(r"job (\d+) \(index\)", started.out)
    assert found is not None
    job = jobs.wait(home / "collections" / "shared", int(found[1]), timeout=60)
    assert (job.state, job.exit_code) == (jobs.DONE, 0)
    assert cli("info", "-c", "shared", "--json").json("info")["images"] == 10


def test_what_is_refused(cli, home, catalog) -> None:
    secret = cli("collection", "create", "one", "--catalog", "postgresql://me:sesame@127.0.0.1/pictures")
    assert secret.code == 2
    assert "must not contain a password" in secret.err
    assert "sesame" not in secret.err
    assert cli("collection", "create", "one", "--encoder", "fake", "--catalog", "mysql://db/x").code == 2
    away = cli("collection", "create", "one", "--encoder", "fake", "--catalog", "postgresql://me@127.0.0.1:1/x")
    assert (away.code, "PGPASSWORD" in away.err) == (1, True)

    assert cli("collection", "create", "one", "--encoder", "fake", "--catalog", catalog).code == 0
    with Writer(home / "collections" / "one", "somebody"):
        refused = cli("maintain", "-c", "one")
    assert refused.code == 75
    assert "is being written by `somebody`, process" in refused.err
    assert cli("maintain", "--catalog", "sqlite", "-c", "one").code == 0
    again = cli("maintain", "--catalog", "sqlite", "-c", "one")
    assert (again.code, "in SQLite already" in again.err) == (2, True)

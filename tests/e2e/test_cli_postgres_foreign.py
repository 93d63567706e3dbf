"""A collection whose `catalog.json` names a server of somebody else's, used by every kind of command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import Server
from databases.impostor import Impostor, listening, name_server

pytest.importorskip("psycopg", reason="psycopg is missing (the extra postgres)")


@pytest.fixture
def impostor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Impostor]:
    monkeypatch.setenv("PGPASSWORD", "sesame")
    monkeypatch.delenv("PGREQUIREAUTH", raising=False)
    with listening() as server:
        yield server


@pytest.fixture
def theirs(cli, indexed: Path, home: Path, impostor: Impostor) -> Path:
    """Beside the user's own collection, one that came from elsewhere."""
    folder = home / "collections/theirs"
    shutil.copytree(home / "collections/default", folder)
    name_server(folder, impostor.url())
    return folder


COMMANDS = [
    "search red", "search --json red", "info", "info --json", "index {pictures}", "index --dry-run {pictures}",
    "tag list", "tag add x id:0", "duplicates", "undo", "undo --yes", "judge 0 1 --same", "captions", "extract 0",
    "export out.csv", "backup a.tar", "maintain", "maintain --purge", "maintain --catalog sqlite", "map", "clusters",
    "outliers", "sample --random 2", "label --classes red,blue", "report out.html", "jobs list",
    "source list", "collection verify", "collection repair",
    "collection delete --yes", "publish milvus.db", "watch {pictures}", "serve",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_connects_unasked(cli, theirs: Path, impostor: Impostor, pictures: Path, command: str) -> None:
    words = [word.format(pictures=pictures) for word in command.split()]
    named = [str(theirs)] if words[0] == "collection" else ["-c", "theirs"]
    outcome = cli(*words, *named)
    assert (outcome.code, "is on a server that you have not allowed" in outcome.err) == (1, True), outcome
    assert impostor.connections == 0
    assert (theirs / "catalog.json").exists()


def test_what_tells_of_all_collections_tells_of_this_one(cli, theirs: Path, impostor: Impostor) -> None:
    for command in ("collection list", "collection list --json", "doctor", "search red -c default"):
        outcome = cli(*command.split())
        assert outcome.code == 0, outcome.err
    assert impostor.connections == 0


def test_it_says_what_allows_it(cli, theirs: Path, impostor: Impostor) -> None:
    outcome = cli("search", "red", "-c", "theirs")
    assert outcome.code == 1
    *_, said, hint = outcome.err.splitlines()
    assert said == (f"imseek: the catalog of {theirs} is on a server that you have not allowed: {impostor.url()}")
    assert hint == f"hint: if you know it: imseek collection trust {theirs}"
    error = cli("search", "red", "-c", "theirs", "--json").json("error")["error"]
    assert error["type"] == "UntrustedServerError"


def test_at_a_terminal_it_is_asked_once(cli, theirs: Path, impostor: Impostor, terminal: Callable[[str], None]) -> None:
    terminal("n")
    refused = cli("search", "red", "-c", "theirs")
    assert (refused.code, impostor.connections) == (1, 0)
    assert f"is on a server that you have not allowed: {impostor.url()}" in refused.err
    assert "Connect to it, now and from now on" in refused.err
    terminal("y")
    agreed = cli("search", "red", "-c", "theirs")
    assert agreed.code == 1
    assert impostor.connections == 1
    assert impostor.answers == [b""], "it is told who connects, and no password in any form"
    assert "SCRAM only" in agreed.err
    again = cli("search", "red", "-c", "theirs")
    assert (again.code, "Connect to it" in again.err) == (1, False)
    # What was agreed to is this server, for this collection.
    name_server(theirs, impostor.url("?sslmode=disable"))
    terminal("n")
    assert "Connect to it" in cli("search", "red", "-c", "theirs").err


def test_an_address_is_no_terminal_s_business(
    cli, theirs: Path, impostor: Impostor, terminal: Callable[[str], None]
) -> None:
    for url in ("postgresql://me@127.0.0.1/\x1b]0;owned\x07", "postgresql://me@127.0.0.1/\u202egpj.a"):
        name_server(theirs, url)
        for answer in (None, "n"):
            if answer is not None:
                terminal(answer)
            outcome = cli("info", "-c", "theirs")
            assert outcome.code == 1
            assert not {"\x1b", "\x07", "\u202e"} & set(outcome.err)


def test_a_server_of_one_s_own_is_allowed_at_once(
    cli, process, indexed: Path, home: Path, postgres: Server, tmp_path: Path
) -> None:
    """By whoever makes a collection there, or moves one; another user of the same collection is asked."""
    url = postgres.database()
    assert cli("collection", "create", "made", "--encoder", "fake", "--catalog", url).code == 0
    assert cli("info", "-c", "made").code == 0
    assert cli("maintain", "--catalog", url, "-c", "default").code == 0
    assert cli("search", "red", "-c", "default").code == 0
    listed = json.loads((home / "servers.json").read_text())["servers"]
    assert [entry["parameters"]["dbname"] for entry in listed] == ["shared", "shared"]
    shared = home / "collections/default"
    another = {"IMSEEK_HOME": str(tmp_path / "another user's")}
    refused = process("search", "red", "-c", shared, extra=another)
    assert (refused.returncode, b"you have not allowed" in refused.stderr) == (1, True)
    assert process("maintain", "--catalog", url, "-c", shared, extra=another).returncode == 0
    assert process("search", "red", "-c", shared, extra=another).returncode == 0
    assert cli("maintain", "--catalog", "sqlite", "-c", "default").code == 0
    assert len(json.loads((home / "servers.json").read_text())["servers"]) == 1
    assert cli("collection", "delete", "made", "--yes").code == 0
    assert os.listdir(home / "collections") == ["default"]

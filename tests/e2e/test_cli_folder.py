"""A search in the current folder: without the word `search`, of a folder not indexed yet, of this folder only."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def folder(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pictures is the current one, and nothing is indexed."""
    monkeypatch.chdir(pictures)
    return pictures


def paths(outcome) -> set[str]:
    return {Path(line).name for line in outcome.out.splitlines()}


class TestBareQuery:
    def test_is_a_search(self, cli, indexed) -> None:
        assert cli("a red car") == cli("search", "a red car")
        assert cli("xyzzy", "-p", "-n", "1") == cli("search", "xyzzy", "-p", "-n", "1")
        assert cli("a red car", "--json").json("search")["hits"]

    def test_a_sentence_that_resembles_a_command_is_one(self, cli, indexed) -> None:
        assert cli("searched").code == 2
        assert cli("search ed").code == 0

    def test_in_a_folder_without_pictures_says_nothing_more(self, cli, indexed) -> None:
        Path("notes.txt").write_text("no picture")
        assert cli("a red car").err == ""


class TestNothingIndexed:
    def test_the_command_is_named(self, cli, folder, home) -> None:
        outcome = cli("a red car")
        assert outcome.code == 2
        assert "there is no collection yet" in outcome.err
        assert "`imseek index .` indexes the current folder" in outcome.err
        assert not (home / "collections").exists()

    def test_yes_indexes_and_searches(self, cli, folder, terminal) -> None:
        terminal("y")
        outcome = cli("red", "-p", "-n", "1")
        assert outcome.code == 0, outcome.err
        assert paths(outcome) == {"red.png"}
        assert f"Index {folder} and search it?" in outcome.err
        assert "3 added" in outcome.err

    def test_no_leaves_nothing_behind(self, cli, folder, home, terminal) -> None:
        terminal("n")
        assert cli("search", "red").code == 2
        assert not (home / "collections").exists()

    def test_a_program_is_not_asked(self, cli, folder, terminal) -> None:
        terminal("y")
        assert cli("search", "red", "--json").json("error")["error"]["type"] == "CollectionNotFoundError"

    def test_nor_is_one_asked_about_a_folder_without_pictures(self, cli, terminal) -> None:
        terminal("y")
        assert cli("red").code == 2


class TestAnotherFolder:
    @pytest.fixture
    def other(self, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder with a picture that is not indexed, the current one."""
        other = tmp_path / "other"
        other.mkdir()
        shutil.copyfile(indexed / "red.png", other / "new.png")
        monkeypatch.chdir(other)
        return other

    def test_the_command_is_named(self, cli, other) -> None:
        outcome = cli("red", "-p", "-n", "1")
        assert paths(outcome) == {"red.png"}
        assert f"note: {other} is not indexed: `imseek index .` adds it" in outcome.err
        assert "not indexed" not in cli("search", "red").err, "who types `search` knows what is indexed"

    def test_yes_adds_it(self, cli, other, terminal) -> None:
        terminal("y")
        assert paths(cli("red", "-p", "-n", "2")) == {"red.png", "new.png"}

    def test_no_is_remembered(self, cli, other, terminal) -> None:
        terminal("n")
        first = cli("red", "-p", "-n", "1")
        assert paths(first) == {"red.png"}
        assert "is not indexed. Add it to default, then search?" in first.err
        assert "?" not in cli("red", "-p").err

    def test_a_damaged_record_of_answers_is_none(self, cli, other, home, terminal) -> None:
        for damage in ("[]", "{", '{"a": "b"}'):
            (home / "notices.json").write_text(damage)
            terminal("n")
            assert "then search?" in cli("red", "-p").err
        assert list(json.loads((home / "notices.json").read_text()))


class TestHere:
    def test_only_what_is_below(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.chdir(indexed / "below")
        assert paths(cli("search", "red", "--here", "-p")) == {"blue.png"}
        monkeypatch.chdir(indexed.parent)
        assert len(paths(cli("search", "red", "--here", "-p"))) == 3

    def test_with_a_condition(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.chdir(indexed)
        assert paths(cli("search", "red", "--here", "--where", "name = 'red.png' OR width < 0", "-p")) == {"red.png"}
        monkeypatch.chdir(indexed / "below")
        assert paths(cli("search", "red", "--here", "--where", "name = 'red.png' OR width < 0", "-p")) == set()

    def test_by_another_name_of_the_folder(self, cli, indexed, tmp_path, monkeypatch) -> None:
        (tmp_path / "link").symlink_to(indexed)
        monkeypatch.chdir(tmp_path / "link" / "below")
        assert paths(cli("search", "red", "--here", "-p")) == {"blue.png"}

    def test_a_folder_with_quotes_beside_one_that_begins_alike(self, cli, indexed, monkeypatch) -> None:
        for name in ("it's", "it's not"):
            (indexed / name).mkdir()
            shutil.copyfile(indexed / "red.png", indexed / name / f"{name}.png")
        cli("index")
        monkeypatch.chdir(indexed / "it's")
        assert paths(cli("search", "red", "--here", "-p")) == {"it's.png"}

    def test_files_of_a_list_and_of_the_web(self, cli, indexed, tmp_path, monkeypatch) -> None:
        listed = tmp_path / "listed"
        listed.mkdir()
        shutil.copyfile(indexed / "red.png", listed / "one.png")
        (tmp_path / "names").write_text(f"{listed / 'one.png'}\n")
        assert cli("index", "--files-from", tmp_path / "names").code == 0
        monkeypatch.chdir(listed)
        assert paths(cli("search", "red", "--here", "-p")) == {"one.png"}
        monkeypatch.chdir(indexed / "below")
        assert paths(cli("search", "red", "--here", "-p")) == {"blue.png"}

    def test_of_a_collection_beside_its_pictures(self, cli, pictures, monkeypatch) -> None:
        assert cli("index", pictures, "--here", "--encoder", "fake").code == 0
        monkeypatch.chdir(pictures / "below")
        assert paths(cli("red", "--here", "-p")) == {"blue.png"}
        assert "not indexed" not in cli("red").err

    def test_a_folder_that_is_not_indexed(self, cli, indexed) -> None:
        outcome = cli("search", "red", "--here")
        assert outcome.code == 2
        assert "is not indexed in this collection" in outcome.err

    @pytest.mark.parametrize("other", [("--queries", "-"), ("--server", "http://localhost:1")])
    def test_what_excludes_it(self, cli, indexed, other) -> None:
        assert "exclude each other" in cli("search", *(() if "-" in other else ("red",)), "--here", *other).err


class TestIdsAndCsv:
    def test_ids_lead_to_the_same_images(self, cli, indexed) -> None:
        found = cli("search", "red", "--json").json("search")["hits"]
        assert cli("search", "red", "--ids").out.split() == [str(hit["image_id"]) for hit in found]
        for other in ("--paths", "--null", "--json"):
            assert cli("search", "red", "--ids", other).code == 2

    def test_csv_has_the_hits_in_order(self, cli, indexed) -> None:
        outcome = cli("similar", indexed / "red.png", "--csv", "hits.csv")
        assert outcome.code == 0, outcome.err
        assert "wrote hits.csv (csv)" in outcome.err
        rows = list(csv.DictReader(Path("hits.csv").read_text().splitlines()))
        assert [row["rank"] for row in rows] == ["1", "2", "3"]
        assert (rows[0]["path"], rows[0]["score"]) == (str(indexed / "red.png"), "1.0")
        assert cli("similar", indexed / "red.png", "--csv", "hits.csv").code == 2, "it is there already"
        assert cli("similar", indexed / "red.png", "--csv", "hits.csv", "--force").code == 0

    def test_csv_on_stdout_is_alone_there(self, process, cli, indexed) -> None:
        outcome = process("search", "red", "--csv", "/dev/stdout")
        rows = list(csv.DictReader(outcome.stdout.decode().splitlines()))
        assert [row["image_id"] for row in rows] == cli("search", "red", "--ids").out.split()[: len(rows)]
        assert rows[0]["path"] == str(indexed / "red.png")

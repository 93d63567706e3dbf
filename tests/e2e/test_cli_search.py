"""``imseek search`` and ``imseek similar``: hits as a table, as paths, as JSON, and in the viewer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from functools import partial

import pytest
import typer
from PIL import Image

import imseek


class TestTable:
    def test_best_first_with_score_and_path(self, cli, indexed) -> None:
        outcome = cli("search", "red")
        assert outcome.code == 0
        assert outcome.err == ""
        head, first, *_ = outcome.out.splitlines()
        assert head.split() == ["#", "score", "id", "image"]
        number, score, _, path = first.split(maxsplit=3)
        assert (number, path) == ("1", str(indexed / "red.png"))
        assert float(score) == pytest.approx(1.0, abs=2e-3)

    def test_limit(self, cli, indexed) -> None:
        assert len(cli("search", "blue", "-n", "2", "--by", "image").out.splitlines()) == 3

    def test_says_what_matched_besides_the_picture(self, cli, indexed) -> None:
        _, first, why, *others = cli("search", "blue").out.splitlines()
        assert first.endswith(str(indexed / "below" / "blue.png"))
        assert why.strip() == "matched: name blue.png"
        assert len(others) == 2
        assert "matched:" not in "".join(others)
        assert "matched:" not in cli("search", "--like", indexed / "red.png").out
        assert cli("search", "blue", "-p").out.splitlines()[0] == str(indexed / "below" / "blue.png")

    def test_by_text(self, cli, indexed) -> None:
        assert cli("search", "blue", "--by", "text", "-p").out.splitlines() == [str(indexed / "below" / "blue.png")]
        assert "matched: name blue.png" in cli("search", '"blue sky', "--by", "text").out
        refused = cli("search", "--like", indexed / "red.png", "--by", "text")
        assert refused.code == 2
        assert "a search by text needs words" in refused.err
        assert cli("search", "…", "--by", "text").out == "no hits\n"

    def test_an_empty_collection_has_no_hits_and_that_is_no_error(self, cli) -> None:
        cli("collection", "create", "empty", "--encoder", "fake")
        outcome = cli("search", "red")
        assert outcome.code == 0
        assert outcome.out.startswith("no hits\n")


class TestColour:
    def test_only_where_it_is_wanted(self, cli, indexed, monkeypatch) -> None:
        plain = cli("search", "red").out
        assert "\x1b" not in plain
        coloured = cli("search", "red", "--color", "always").out
        assert re.match(r"\x1b\[1m# +score +id +image\x1b\[0m\n", coloured)
        assert "\x1b[2mmatched: name red.png\x1b[0m" in coloured
        assert re.sub(r"\x1b\[\d*m", "", coloured) == plain
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("NO_COLOR", raising=False)
        assert cli("search", "red").out == coloured
        assert cli("search", "red", "--color", "never").out == plain
        monkeypatch.setenv("NO_COLOR", "1")
        assert cli("search", "red").out == plain
        monkeypatch.setenv("NO_COLOR", "")
        monkeypatch.setenv("TERM", "dumb")
        assert cli("search", "red").out == plain
        assert "\x1b" not in cli("search", "red", "-p", "--color", "always").out

    def test_names_cannot_add_their_own(self, cli, indexed) -> None:
        (indexed / "red.png").rename(indexed / "\x1b[31mred.png")
        assert cli("index").code == 0
        assert "\x1b[31m" not in cli("search", "red", "--color", "always").out


class TestNoise:
    def test_the_collection_is_named_where_there_are_several(self, cli, indexed) -> None:
        for command in (("search", "red"), ("search", "red", "-c", "default"), ("verify", "default")):
            assert cli(*command).err == ""
        cli("collection", "create", "other", "--encoder", "fake")
        assert cli("search", "red").err == "collection: default (the default one)\n"

    def test_a_basic_encoder_is_mentioned_when_made_in_info_and_once_a_day(
        self, cli, pictures, home, monkeypatch, tmp_path
    ) -> None:
        load_fake = partial(imseek.load_encoder, "fake")
        note = "basic encoder; a collection made"
        made = cli("index", pictures, "--encoder", "builtin")
        assert made.err.count(note) == 1
        assert note in cli("info").out
        for command in (("search", "red"), ("search", "red", "-p"), ("similar", "0", "--ids")):
            outcome = cli(*command)
            assert note not in outcome.out + outcome.err
        assert any(note in one for one in cli("search", "red", "--json").json("search")["notes"]), "programs see it"
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 90_000)
        assert cli("search", "red").out.count(note) == 1, "the next day"
        assert note not in cli("search", "red").out
        monkeypatch.setattr("imseek.embedding.load_encoder", lambda *_, notify, **__: notify(note) or load_fake())
        for day, times in ((0, 0), (1, 1), (1, 0)):
            monkeypatch.setattr(time, "time", lambda day=day: now + 90_000 * (1 + day))
            encoded = cli("encode", "--texts", "red", "-o", tmp_path / "v.npy", "--force")
            assert (encoded.code, encoded.err.count(note)) == (0, times)
        assert cli("collection", "create", "other", "--encoder", "builtin").out.count(note) == 1


class TestPaths:
    def test_one_a_line(self, cli, indexed) -> None:
        assert cli("search", "blue", "-p", "-n", "1").out == f"{indexed / 'below' / 'blue.png'}\n"

    def test_with_null_the_bytes_are_exact(self, cli, process, indexed) -> None:
        odd = indexed / os.fsdecode(b"odd\n\xff.png")
        shutil.copyfile(indexed / "red.png", odd)
        assert cli("index").code == 0
        done = process("search", "red", "-0", "-n", "2")
        assert done.returncode == 0, done.stderr
        assert sorted(done.stdout.split(b"\0")) == sorted([b"", os.fsencode(indexed / "red.png"), os.fsencode(odd)])

    def test_a_terminal_without_the_characters_gets_escapes(self, cli, process, indexed) -> None:
        (indexed / "red.png").rename(indexed / "写.png")
        assert cli("index").code == 0
        done = process("search", "red", "-p", "-n", "1", extra={"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stdout) == (0, os.fsencode(indexed) + rb"/\u5199.png" + b"\n")

    def test_a_reader_that_leaves_early_is_no_traceback(self, home, indexed) -> None:
        command = f"{sys.executable} -P -m imseek search red -p | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert done.stderr == ""


class TestJson:
    def test_hits_with_metadata(self, cli, indexed) -> None:
        outcome = cli("search", "red", "--json", "-n", "2")
        assert outcome.err == ""
        answer = outcome.json("search")
        assert len(answer["hits"]) == 2
        best = answer["hits"][0]
        assert best["path"] == str(indexed / "red.png")
        assert (best["metadata"]["width"], best["metadata"]["height"]) == (40, 30)
        assert answer["searched"] == 3
        assert answer["collection"]["name"] == "default"

    def test_errors_are_one_object(self, cli, indexed) -> None:
        outcome = cli("search", "red", "--json", "-c", "nowhere")
        assert (outcome.code, outcome.out) == (2, "")
        error = outcome.json("error")["error"]
        assert error["type"] == "CollectionNotFoundError"
        assert error["hint"] == "there are: default"

    def test_an_empty_text_is_refused(self, cli, indexed) -> None:
        outcome = cli("search", "  ", "--json")
        assert outcome.code == 2
        assert outcome.json("error")["error"]["type"] == "QueryError"


class TestSimilar:
    def test_a_picture_that_is_not_indexed(self, cli, indexed, tmp_path) -> None:
        Image.new("RGB", (90, 90), (250, 10, 10)).save(tmp_path / "query.jpg")
        answer = cli("similar", tmp_path / "query.jpg", "--json").json("search")
        assert answer["hits"][0]["path"] == str(indexed / "red.png")

    def test_no_such_file(self, cli, indexed) -> None:
        assert cli("similar", "nowhere.jpg").code == 2

    def test_no_picture(self, cli, indexed, tmp_path) -> None:
        (tmp_path / "x.jpg").write_text("words")
        outcome = cli("similar", tmp_path / "x.jpg", "--json")
        assert outcome.code == 2
        assert outcome.json("error")["error"]["type"] == "QueryError"


class TestOpen:
    @pytest.fixture
    def opened(self, monkeypatch) -> list[str]:
        paths: list[str] = []
        monkeypatch.setattr(typer, "launch", lambda path: paths.append(path) or 0)
        return paths

    def test_the_first_hit(self, cli, indexed, opened) -> None:
        assert cli("search", "red", "--open").code == 0
        assert opened == [str(indexed / "red.png")]

    def test_the_nth_hit(self, cli, indexed, opened) -> None:
        paths = cli("search", "red", "-p").out.splitlines()
        assert cli("search", "--open", "2", "red").code == 0
        assert opened == [paths[1]]

    def test_past_the_last_hit(self, cli, indexed, opened) -> None:
        outcome = cli("search", "red", "--open", "4")
        assert outcome.code == 2
        assert opened == []

    def test_a_file_that_is_gone(self, cli, indexed, opened) -> None:
        (indexed / "red.png").unlink()
        outcome = cli("search", "red", "--open")
        assert outcome.code == 1
        assert opened == []

    def test_no_viewer(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.setattr(typer, "launch", lambda path: 1)
        outcome = cli("search", "red", "--open")
        assert outcome.code == 1
        assert "no viewer could be started" in outcome.err


class TestWhichCollection:
    def test_several_and_none_named(self, cli, pictures) -> None:
        for name in ("a", "b"):
            cli("index", pictures, "-c", name, "--encoder", "fake")
        outcome = cli("search", "red")
        assert outcome.code == 2
        assert "there are several collections; choose one: a, b" in outcome.err

    def test_the_variable_chooses(self, cli, pictures, monkeypatch) -> None:
        for name in ("a", "b"):
            cli("index", pictures, "-c", name, "--encoder", "fake")
        monkeypatch.setenv("IMSEEK_COLLECTION", "b")
        assert cli("search", "red").err.startswith("collection: b (IMSEEK_COLLECTION)\n")


@pytest.mark.parametrize("line", ["red --csv --limit 2", "red --limit --csv x.csv", "--not --force red"])
def test_the_name_of_an_option_is_no_value(cli, indexed, tmp_path, monkeypatch, line) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    name, value = re.findall(r"--[a-z]+", line)[:2]
    outcome = cli("search", *line.split())
    assert (outcome.code, f"{name} needs a value, and {value} is an option" in outcome.err) == (2, True)
    assert sorted(tmp_path.iterdir()) == before
    assert cli("search", "red", "--csv=--limit").code == 0, "so it is meant"
    assert (tmp_path / "--limit").is_file()
    assert cli("search", "--", "--csv", "--limit").code == 0, "words"


@pytest.mark.parametrize("flag", ["--json", "--paths", "--null", "--ids"])
def test_csv_on_stdout_is_alone_there(cli, indexed, flag) -> None:
    outcome = cli("search", "red", "--csv", "/dev/stdout", flag)
    assert (outcome.code, outcome.out) == (2, "")
    assert "CSV on stdout cannot be combined with other output there" in outcome.err

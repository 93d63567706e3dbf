"""``imseek collection``, ``imseek source``, ``imseek info`` and ``imseek doctor``."""

from __future__ import annotations

import io
import os
import shutil
import sys

import pytest
from codec_stand_in import codec_stand_in

from imseek import library
from imseek.media.sandbox import pool
from imseek.ocr import pp_ocr
from imseek.ocr.tesseract import Tesseract
from imseek.ui.cli import doctor


class TestCollections:
    def test_list(self, cli, home, indexed) -> None:
        listed = cli("collection", "list", "--json").json("collections")["collections"]
        path = str(home / "collections" / "default")
        assert listed == [{"name": "default", "path": path, "images": 3, "problem": None}]
        assert cli("collection", "list").out.splitlines()[1].split() == ["default", "3", path]

    def test_list_shows_one_that_does_not_open(self, cli, home, indexed) -> None:
        (home / "collections" / "default" / "current.json").write_text("{")
        (listed,) = cli("collection", "list", "--json").json("collections")["collections"]
        assert listed["images"] is None
        assert "current.json" in listed["problem"]

    def test_an_empty_library(self, cli) -> None:
        outcome = cli("collection", "list")
        assert (outcome.code, outcome.out) == (0, "")
        assert "imseek index FOLDER" in outcome.err

    def test_create_once(self, cli) -> None:
        assert cli("collection", "create", "new", "--encoder", "fake").code == 0
        outcome = cli("collection", "create", "new", "--encoder", "fake")
        assert outcome.code == 2
        assert "already" in outcome.err

    def test_rename(self, cli, indexed) -> None:
        assert cli("collection", "rename", "default", "photos").code == 0
        found = cli("search", "red", "-c", "photos")
        assert (found.code, found.err) == (0, ""), "the only one goes without saying"

    def test_delete_asks(self, cli, indexed, monkeypatch) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        outcome = cli("collection", "delete", "default")
        assert outcome.code == 1
        assert "3 images" in outcome.err
        assert [c.name for c in library.list_collections(os.environ)] == ["default"]

    def test_delete(self, cli, home, indexed) -> None:
        assert cli("collection", "delete", "default", "--yes").code == 0
        assert list((home / "collections").iterdir()) == []
        assert (indexed / "red.png").exists()

    def test_delete_takes_the_usual_option_and_no_default(self, cli, home, indexed, monkeypatch) -> None:
        monkeypatch.setenv("IMSEEK_COLLECTION", "default")
        unnamed = cli("collection", "delete", "--yes")
        assert (unnamed.code, "no collection is named" in unnamed.err) == (2, True)
        assert cli("collection", "delete", "default", "-c", "default", "--yes").code == 2
        assert cli("collection", "delete", "-c", "default", "--yes").code == 0
        assert list((home / "collections").iterdir()) == []

    def test_delete_of_none(self, cli) -> None:
        assert cli("collection", "delete", "nowhere", "--yes").code == 2


class TestCare:
    def test_a_sound_one(self, cli, home, indexed) -> None:
        outcome = cli("collection", "verify", "--json")
        report = outcome.json("verify")
        assert (outcome.code, report["ok"]) == (0, True)
        files = [path.stat().st_size for path in (home / "collections/default").rglob("*") if path.is_file()]
        assert 0 < report["files_checked"] <= len(files)
        assert 0 < report["bytes_checked"] <= sum(files) == cli("info", "--json").json("info")["bytes_on_disk"]
        assert cli("collection", "verify", "default").out.startswith("0 problems in ")
        assert cli("collection", "verify", "-c", "default").out.startswith("0 problems in ")
        twice = cli("collection", "verify", "default", "-c", "default")
        assert (twice.code, "named twice" in twice.err) == (2, True)

    def test_damage_is_found_and_mended(self, cli, home, indexed) -> None:
        (home / "collections" / "default" / "current.json").unlink()
        assert cli("search", "red").code == 1
        outcome = cli("collection", "verify", "--json")
        report = outcome.json("verify")
        assert outcome.code == 1
        assert "current.json" in {problem["file"] for problem in report["problems"]}
        assert "current.json" in cli("collection", "verify").out
        outcome = cli("collection", "repair", "--json")
        assert outcome.code == 0
        assert outcome.json("repair")["after"]["ok"]
        assert cli("search", "red", "-p", "-n", "1").out == f"{indexed / 'red.png'}\n"

    def test_one_without_its_marker_can_still_be_named(self, cli, home, indexed) -> None:
        (home / "collections" / "default" / "collection.json").unlink()
        assert cli("collection", "verify", "default").code == 1

    def test_none_of_that_name(self, cli, indexed) -> None:
        assert cli("collection", "verify", "nowhere").code == 2


class TestSources:
    def test_list(self, cli, indexed) -> None:
        (source,) = cli("source", "list", "--json").json("sources")["sources"]
        assert (source["path"], source["images"], source["present"]) == (str(indexed), 3, True)
        assert str(indexed) in cli("source", "list").out

    def test_remove(self, cli, indexed) -> None:
        (source,) = cli("source", "list", "--json").json("sources")["sources"]
        outcome = cli("source", "remove", str(source["source_id"]))
        assert (outcome.code, "3 images" in outcome.out) == (0, True)
        assert cli("search", "red").out.startswith("no hits")
        assert (indexed / "red.png").exists()

    def test_relocate(self, cli, indexed, tmp_path) -> None:
        before = cli("search", "red", "--json", "-n", "1").json("search")["hits"][0]
        shutil.move(indexed, tmp_path / "new place")
        (source,) = cli("source", "list", "--json").json("sources")["sources"]
        assert source["present"] is False
        for command in (("source", "list"), ("info",)):
            assert "if it has moved, `imseek source relocate 1 NEW`" in cli(*command).err
        assert "`imseek source relocate 1 NEW` if it has moved" in cli("index").out
        assert cli("source", "relocate", str(source["source_id"]), tmp_path / "new place").code == 0
        after = cli("search", "red", "--json", "-n", "1").json("search")["hits"][0]
        assert after["image_id"] == before["image_id"]
        assert after["path"] == str(tmp_path / "new place" / "red.png")

    def test_relocating_less_than_all_asks(self, cli, indexed, tmp_path, terminal) -> None:
        new = tmp_path / "new place"
        shutil.copytree(indexed, new)
        (new / "red.png").unlink()
        refused = cli("source", "relocate", "1", new)
        assert refused.code == 2
        assert f"2 of 3 images found in {new}" in refused.err
        assert "--yes" in refused.err
        terminal("n")
        assert cli("source", "relocate", "1", new).code == 1
        terminal("y")
        outcome = cli("source", "relocate", "1", new)
        assert outcome.code == 0
        assert outcome.out.lstrip() == f"source 1 is now {new} (3 images)\n"
        assert cli("source", "relocate", "1", indexed).code == 0, "all are there: no question"
        assert cli("source", "relocate", "1", new, "--yes").code == 0

    @pytest.mark.parametrize("arguments", [["remove", "99"], ["relocate", "99", "/"]])
    def test_unknown(self, cli, indexed, arguments) -> None:
        outcome = cli("source", *arguments)
        assert outcome.code == 2
        assert "99" in outcome.err


class TestInfo:
    def test_text(self, cli, home, indexed) -> None:
        out = cli("info").out
        assert str(home / "collections" / "default") in out
        assert "fake, 64 dimensions" in out
        assert str(indexed) in out

    def test_json(self, cli, indexed) -> None:
        info = cli("info", "--json").json("info")
        assert (info["images"], info["encoder"]["reference"]) == (3, "fake")
        assert "failures" not in info

    def test_no_failures(self, cli, indexed) -> None:
        assert "no failures" in cli("info", "--failures").out


class TestDoctor:
    def test_every_line_has_a_status(self, cli, indexed) -> None:
        outcome = cli("doctor", "--json")
        report = outcome.json("doctor")
        assert outcome.code == 0, outcome.out
        assert [c["name"] for c in report["checks"]] == [
            "python",
            "packages",
            "faiss",
            "device",
            "codecs",
            "sandbox",
            "encoder",
            "text",
            "collection",
            "lock",
            "file system",
            "disk",
        ]
        text = cli("doctor").out
        assert all(line.split()[0] in ("ok", "warn", "fail", "->") for line in text.splitlines())

    def test_the_scripts_that_are_read_are_said(self, cli, monkeypatch) -> None:
        monkeypatch.setattr(pp_ocr, "find_tesseract", lambda: None)
        (text,) = [line for line in cli("doctor").out.splitlines() if line.startswith("ok   text")]
        assert "Latin, Chinese, Japanese; Greek and Cyrillic with Tesseract (Debian: tesseract-ocr-ell" in text
        monkeypatch.setattr(pp_ocr, "find_tesseract", lambda: Tesseract("tesseract", "5.5.0", (("GREEK", ("ell",)),)))
        assert "; Tesseract 5.5.0 (ell): Latin, Chinese, Japanese, and the languages" in cli("doctor").out
        monkeypatch.setitem(sys.modules, "rapidocr", None)
        assert "text in pictures is not read: rapidocr is not installed" in cli("doctor").out

    def test_no_collection_yet_is_only_a_warning(self, cli) -> None:
        outcome = cli("doctor")
        assert outcome.code == 0
        assert "warn collection" in outcome.out

    def test_a_collection_that_was_asked_for_must_be_there(self, cli) -> None:
        assert cli("doctor", "-c", "nowhere").code == 1

    def test_a_damaged_collection_fails(self, cli, home, indexed) -> None:
        (home / "collections" / "default" / "current.json").write_text("{")
        outcome = cli("doctor")
        assert outcome.code == 1
        assert "fail collection" in outcome.out

    def test_a_missing_source_is_pointed_out(self, cli, indexed) -> None:
        indexed.rename(indexed.with_name("away"))
        assert "warn sources" in cli("doctor").out

    def test_missing_packages_name_the_extra(self, cli, monkeypatch) -> None:
        monkeypatch.setattr(doctor, "_version", lambda name: None)
        outcome = cli("doctor")
        assert outcome.code == 1
        assert ".[builtin]" in outcome.out
        assert "fail faiss        not installed" in outcome.out

    def test_two_kinds_of_faiss_are_a_fault(self, cli, monkeypatch) -> None:
        real = doctor._version
        monkeypatch.setattr(doctor, "_version", lambda name: "1.15.1" if name == "faiss-gpu" else real(name))
        outcome = cli("doctor")
        assert outcome.code == 1
        assert "overwrite each other's files" in outcome.out

    def test_a_small_install_without_torch_is_no_fault(self, cli, monkeypatch) -> None:
        real = doctor._version
        monkeypatch.setattr(doctor, "_version", lambda name: None if name == "torch" else real(name))
        outcome = cli("doctor")
        assert outcome.code == 0
        assert "warn packages     missing: torch" in outcome.out

    def test_a_heic_library_with_known_holes_is_pointed_out(self, cli, monkeypatch, tmp_path) -> None:
        with codec_stand_in(monkeypatch, tmp_path / "codec", version="1.23.4"):
            report = cli("doctor", "--json").json("doctor")
        (check,) = (one for one in report["checks"] if one["name"] == "codecs")
        assert check["status"] == "warn"
        assert "recognised, not read: HEIC" in check["message"]
        assert "libheif 1.23.4, which has known security holes" in check["advice"]
        assert "pip install 'pillow-heif>=1.8.1'" in check["advice"]

    @pytest.mark.parametrize(
        ("layers", "status", "words"),
        [
            (("namespaces", "Landlock", "seccomp"), "ok", "namespaces, Landlock, seccomp"),
            (("seccomp",), "ok", "seccomp"),
            (("namespaces", "Landlock"), "ok", "namespaces, Landlock"),
            (("Landlock",), "warn", "Landlock"),  # packets could be sent
            ((), "warn", "limits of memory and time alone"),
        ],
    )
    def test_codecs_that_are_not_confined_are_pointed_out(
        self, monkeypatch, layers: tuple[str, ...], status: str, words: str
    ) -> None:
        monkeypatch.setattr(pool, "survey", lambda kind: pool.Survey(layers, {}))
        check = doctor._sandbox()
        assert (check.status, check.advice is None) == (status, status == "ok")
        assert check.message.endswith(f"confined by {words}")

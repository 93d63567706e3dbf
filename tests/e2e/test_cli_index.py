"""``imseek index`` from first use to the second writer, with exit codes and what is said."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from PIL import Image

from imseek import library
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.files import durable_files
from imseek.encoders.fake import FakeEncoder
from imseek.errors import MediaError
from imseek.media import pillow


class TestFirstUse:
    def test_says_what_is_made_where_and_with_which_encoder(self, cli, home, pictures) -> None:
        outcome = cli("index", pictures, "--encoder", "fake")
        assert outcome.code == 0
        assert outcome.out.startswith("3 added; 3 images in the collection")
        where, encoder = outcome.err.splitlines()[:2]
        assert where == f"new collection: default in {home / 'collections' / 'default'}"
        assert encoder.startswith("encoder: fake")

    def test_a_missing_path_makes_no_collection(self, cli, home, tmp_path) -> None:
        outcome = cli("index", tmp_path / "nowhere", "--encoder", "fake")
        assert outcome.code == 2
        assert "nowhere" in outcome.err
        assert not home.exists()

    def test_an_unknown_encoder_makes_no_collection(self, cli, home, pictures) -> None:
        outcome = cli("index", pictures, "--encoder", "no-such-encoder", "--json")
        assert outcome.code == 2
        assert outcome.json("error")["error"]["type"] == "UnknownEncoderError"
        assert library.list_collections(os.environ) == ()

    def test_a_named_one(self, cli, pictures) -> None:
        assert cli("index", pictures, "-c", "scans", "--encoder", "fake").code == 0
        assert [c.name for c in library.list_collections(os.environ)] == ["scans"]

    def test_without_a_path_there_must_be_one(self, cli) -> None:
        outcome = cli("index")
        assert outcome.code == 2
        assert "hint: `imseek index FOLDER` creates one" in outcome.err


class TestLaterRuns:
    def test_only_what_is_new_is_added(self, cli, indexed) -> None:
        Image.new("RGB", (40, 30), "white").save(indexed / "white.png")
        report = cli("index", indexed, "--json").json("index")
        assert (report["added"], report["unchanged"], report["created"]) == (1, 3, False)

    def test_without_a_path_all_sources_are_looked_at(self, cli, indexed) -> None:
        (indexed / "red.png").unlink()
        outcome = cli("index")
        assert outcome.code == 0
        assert outcome.err == ""
        assert outcome.out.startswith("1 removed, 2 unchanged; 2 images in the collection")

    def test_another_encoder_is_refused(self, cli, indexed) -> None:
        outcome = cli("index", indexed, "--encoder", "builtin")
        assert outcome.code == 2
        assert "encoded with fake, not with builtin" in outcome.err

    def test_a_source_that_is_absent_as_a_whole_loses_nothing(self, cli, indexed) -> None:
        indexed.rename(indexed.with_name("unmounted"))
        outcome = cli("index", "--json")
        report = outcome.json("index")
        assert (report["removed"], report["live"]) == (0, 3)
        assert str(indexed) in " ".join(report["notes"])

    def test_the_demo_is_left_alone(self, cli, pictures) -> None:
        assert cli("index", pictures, "-c", "demo", "--encoder", "fake").code == 0
        outcome = cli("index", pictures, "--encoder", "fake")
        assert outcome.err.startswith("new collection: default")


class TestHere:
    def test_the_collection_lies_in_the_folder_and_moves_with_it(self, cli, pictures, tmp_path, monkeypatch) -> None:
        assert cli("index", pictures, "--here", "--encoder", "fake").code == 0
        assert library.is_collection(pictures / ".imseek")
        moved = tmp_path / "elsewhere"
        pictures.rename(moved)
        monkeypatch.chdir(moved / "below")
        outcome = cli("search", "red", "-p", "-n", "1")
        assert outcome.out == f"{moved / 'red.png'}\n"
        assert outcome.err.startswith(f"collection: {moved / '.imseek'} (nearest .imseek)")
        again = cli("index", moved, "--here", "--json").json("index")
        assert (again["added"], again["unchanged"], again["created"]) == (0, 3, False)

    @pytest.mark.parametrize("arguments", [[], ["red.png"], ["below", "."]])
    def test_takes_exactly_one_folder(self, cli, pictures, monkeypatch, arguments) -> None:
        monkeypatch.chdir(pictures)
        outcome = cli("index", *arguments, "--here")
        assert outcome.code == 2
        assert "exactly one folder" in outcome.err

    def test_excludes_a_named_collection(self, cli, pictures) -> None:
        assert cli("index", pictures, "--here", "-c", "scans").code == 2


class TestSkipped:
    def test_files_and_reasons_are_listed_and_kept(self, cli, pictures) -> None:
        (pictures / "text.jpg").write_text("no picture")
        (pictures / "empty.png").touch()
        outcome = cli("index", pictures, "--encoder", "fake")
        assert outcome.code == 0
        assert "2 files skipped:" in outcome.out
        assert f"empty_file    {pictures / 'empty.png'}" in outcome.out
        assert f"not_an_image  {pictures / 'text.jpg'}" in outcome.out
        info = cli("info", "--failures", "--json").json("info")
        assert {f["reason"] for f in info["failures"]} == {"empty_file", "not_an_image"}
        assert str(pictures / "text.jpg") in cli("info", "--failures").out

    def test_strict(self, cli, pictures) -> None:
        (pictures / "empty.png").touch()
        assert cli("index", pictures, "--encoder", "fake", "--strict").code == 3

    def test_nothing_could_be_indexed(self, cli, tmp_path) -> None:
        (tmp_path / "empty").mkdir()
        outcome = cli("index", tmp_path / "empty", "--encoder", "fake")
        assert outcome.code == 3
        assert outcome.out.startswith("no picture found")
        assert outcome.err.endswith("the new collection default is empty, and was deleted again\n")
        assert "no collection yet" in cli("collection", "list").err
        found = cli("index", tmp_path / "empty", "--encoder", "fake", "--json").json("index")
        assert not found["created"]

    def test_a_refused_first_run_leaves_no_collection(self, cli, pictures, home) -> None:
        outcome = cli("index", pictures, "--encoder", "fake", "--kind", "none")
        assert outcome.code == 2
        assert not (home / "collections" / "default").exists()
        cli("collection", "create", "mine", "--encoder", "fake")
        assert cli("index", pictures, "-c", "mine", "--kind", "none").code == outcome.code
        assert (home / "collections" / "mine").exists(), "an empty one that was there before stays"

    def test_names_that_terminals_or_markup_would_obey(self, cli, pictures) -> None:
        for name in (b"\x1b[31mred.jpg", b"[bold]x[red].jpg", b"two\nlines.jpg", b"caf\xe9.jpg"):
            shutil.copyfile(pictures / "red.png", pictures / os.fsdecode(name))
            (pictures / os.fsdecode(b"bad " + name)).touch()
        outcome = cli("index", pictures, "--encoder", "fake")
        matched = cli("search", "red", "-n", "20").out
        assert "matched: name [bold]x[red].jpg" in matched
        assert "\x1b" not in matched
        shown = outcome.out + cli("search", "red", "-n", "20", "--by", "image").out + cli("info", "--failures").out
        assert "\x1b" not in shown
        for escaped in (r"\x1b[31mred.jpg", "[bold]x[red].jpg", r"two\nlines.jpg", r"caf\xe9.jpg"):
            assert shown.count(f"bad {escaped}") == 2
            assert shown.count(escaped) == 3


class TestOneWriter:
    def test_a_second_one_is_refused(self, cli, home, indexed) -> None:
        lock = WriterLock(home / "collections" / "default")
        lock.acquire()
        try:
            outcome = cli("index", indexed, "--json")
        finally:
            lock.release()
        assert outcome.code == 75
        error = outcome.json("error")["error"]
        assert error["type"] == "LockedError"
        assert error["hint"]

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_an_interrupted_run_keeps_what_it_committed_and_goes_on(
        self, cli, pictures, monkeypatch, number, code
    ) -> None:
        for i in range(300):
            Image.new("RGB", (8, 8), (i % 256, i // 256, 7)).save(pictures / f"{i}.png")
        encode = FakeEncoder.encode_images
        once = iter([number])

        def interrupting(self, batch):
            for first in once:
                signal.raise_signal(first)
            return encode(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(FakeEncoder, "encode_images", interrupting)
            outcome = cli("index", pictures, "--encoder", "fake", "--json")
        assert outcome.code == code
        first = outcome.json("index")
        assert first["interrupted"]
        assert first["added"] < 303
        second = cli("index", pictures, "--json").json("index")
        assert first["added"] + second["added"] == second["live"] == 303


class TestDamage:
    def test_a_newer_format_says_so(self, cli, home, indexed) -> None:
        path = home / "collections" / "default" / "current.json"
        path.write_bytes(durable_files.add_checksum({**durable_files.strip_checksum(path.read_bytes()), "format": 99}))
        outcome = cli("search", "red", "--json")
        assert outcome.code == 1
        assert outcome.json("error")["error"]["type"] == "FormatVersionError"


class TestUntrusted:
    def test_no_picture_is_decoded_in_this_process_and_that_is_not_remembered(self, cli, pictures, monkeypatch) -> None:
        def here(*_: object, **__: object) -> None:
            raise MediaError("corrupt", "decoded in this process")

        monkeypatch.setattr(pillow, "read", here)
        outcome = cli("index", pictures, "--encoder", "fake", "--untrusted")
        assert outcome.code == 0
        assert outcome.out.startswith("3 added; 3 images")
        Image.new("RGB", (40, 30), "white").save(pictures / "white.png")
        assert "decoded in this process" in cli("index").out
        assert cli("index", "--untrusted", "--retry-failed").out.startswith("1 added, 3 unchanged; 4 images")


class TestWatch:
    def test_a_new_collection_is_created(self, cli, pictures, ctrl_c) -> None:
        with ctrl_c("watch"):
            outcome = cli("watch", pictures, "-c", "new")
        assert outcome.code == 130, outcome.err
        assert outcome.err.startswith("new collection: new in ")
        assert "new" in cli("collection", "list").out

    def test_what_is_no_folder_leaves_none_behind(self, cli, pictures, home) -> None:
        outcome = cli("watch", pictures / "red.png", "-c", "new")
        assert outcome.code == 2
        assert "is not a folder" in outcome.err
        assert not (home / "collections" / "new").exists()
        assert cli("watch", "-c", "new").code == 2, "without a folder, it must exist"


class TestMistypedPaths:
    def test_a_similar_name_beside_it_is_suggested(self, cli, pictures) -> None:
        outcome = cli("index", pictures.with_name("picturs"), "--encoder", "fake")
        assert outcome.code == 2
        assert f"did you mean {pictures}?" in outcome.err
        assert cli("index", pictures, "--encoder", "fake").code == 0
        outcome = cli("index", pictures / "belov")
        assert f"did you mean {pictures / 'below'}?" in outcome.err

    def test_without_one_the_hint_is_general(self, cli, pictures) -> None:
        for path in (pictures / "zzzzzz", pictures / "no" / "where"):
            assert "check the spelling" in cli("index", path, "--encoder", "fake").err

    def test_a_path_with_spaces_that_the_shell_has_split(self, cli, pictures) -> None:
        spaced = pictures.rename(pictures.with_name("my own pictures"))
        outcome = cli("index", *str(spaced).split(), "--encoder", "fake")
        assert outcome.code == 2
        assert f"stands in quotes: '{spaced}'" in outcome.err
        assert cli("index", spaced, "--encoder", "fake").code == 0

    def test_more_names_than_a_path_has_room_for(self, cli, pictures) -> None:
        for n in range(30):
            (pictures / f"{n:02}{'x' * 200}.txt").write_text("no picture")
        outcome = cli("index", *sorted(pictures.iterdir()), "--encoder", "fake", "--json")
        assert outcome.code == 0


class TestWaiting:
    """Loading an encoder takes seconds, in which a terminal says so; programs and files get no such line."""

    @pytest.mark.parametrize(
        ("is_terminal", "options", "count"), [(True, [], 1), (False, [], 0), (True, ["--json"], 0)]
    )
    def test_a_terminal_says_what_takes_seconds(
        self, cli, pictures, monkeypatch, is_terminal: bool, options: list[str], count: int
    ) -> None:
        monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
        outcome = cli("index", pictures, "--encoder", "fake", *options)
        assert outcome.code == 0
        assert outcome.err.count("loading the encoder …") == count
        assert "loading" not in cli("index", pictures).err, "it is loaded on first use, under the progress bar"

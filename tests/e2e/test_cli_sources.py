"""``imseek index`` with lists of names, globs, columns, limits, dry runs: what is said, and what is exit code 2."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch):
    def feed(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return feed


def names(cli) -> set[str]:
    hits = cli("search", "red", "-n", "100", "--json").json("search")["hits"]
    return {Path(hit["path"]).name for hit in hits}


class TestLists:
    def test_names_from_stdin_are_one_source(self, cli, pictures, stdin) -> None:
        stdin(f"{pictures}/red.png\n{pictures}/below/blue.png\n".encode())
        assert cli("index", "-", "--encoder", "fake").code == 0
        (source,) = cli("source", "list", "--json").json("sources")["sources"]
        assert (source["kind"], source["images"], source["present"]) == ("list", 2, True)
        assert names(cli) == {"red.png", "blue.png"}

    def test_names_that_end_in_nul_may_hold_newlines(self, cli, pictures, stdin) -> None:
        odd = pictures / "two\nlines.png"
        Image.new("RGB", (30, 30), "white").save(odd)
        stdin(os.fsencode(odd) + b"\0" + os.fsencode(pictures / "red.png") + b"\0")
        assert cli("index", "-", "-0", "--encoder", "fake").code == 0
        hits = cli("search", "red", "--json").json("search")["hits"]
        assert {hit["path"] for hit in hits} == {str(odd), str(pictures / "red.png")}

    def test_relative_names_and_a_file_of_names(self, cli, pictures, tmp_path, monkeypatch) -> None:
        monkeypatch.chdir(pictures)
        (tmp_path / "names.txt").write_text("red.png\n\nlime.png\n")
        assert cli("index", "--files-from", tmp_path / "names.txt", "--encoder", "fake").code == 0
        assert names(cli) == {"red.png", "lime.png"}

    def test_a_later_run_without_paths_looks_at_the_names_again(self, cli, pictures, stdin) -> None:
        stdin(f"{pictures}/red.png\n{pictures}/lime.png\n".encode())
        cli("index", "-", "--encoder", "fake")
        (pictures / "red.png").unlink()
        report = cli("index", "--json").json("index")
        assert (report["removed"], report["live"]) == (1, 1)

    def test_a_name_that_is_not_there_is_a_failure_not_an_error(self, cli, pictures, stdin) -> None:
        stdin(f"{pictures}/red.png\n{pictures}/nowhere.png\n".encode())
        report = cli("index", "-", "--encoder", "fake", "--json").json("index")
        assert (report["added"], [f["reason"] for f in report["failures"]]) == (1, ["vanished"])

    def test_names_inside_a_source_stay_in_it(self, cli, indexed, stdin) -> None:
        Image.new("RGB", (30, 30), "white").save(indexed / "white.png")
        stdin(os.fsencode(indexed / "white.png"))
        assert cli("index", "-").code == 0
        (source,) = cli("source", "list", "--json").json("sources")["sources"]
        assert (source["kind"], source["images"]) == ("folder", 4)

    @pytest.mark.parametrize("arguments", [["-"], ["--files-from", "nowhere.txt"]])
    def test_an_empty_or_missing_list_is_an_error(self, cli, stdin, arguments) -> None:
        stdin(b"\n")
        outcome = cli("index", *arguments, "--encoder", "fake")
        assert outcome.code == 2
        assert "list" in outcome.err

    def test_nul_in_lines_is_explained(self, cli, stdin) -> None:
        stdin(b"a.png\0b.png\0")
        outcome = cli("index", "-")
        assert outcome.code == 2
        assert "-0" in outcome.err


class TestGlobs:
    def test_excluded_folders_and_included_files(self, cli, pictures) -> None:
        cli("index", pictures, "--encoder", "fake", "--exclude", "below", "--include", "*.png")
        assert names(cli) == {"red.png", "lime.png"}

    def test_they_are_remembered_and_replaced(self, cli, pictures) -> None:
        cli("index", pictures, "--encoder", "fake", "--exclude", "lime*")
        assert names(cli) == {"red.png", "blue.png"}
        assert cli("index", "--json").json("index")["unchanged"] == 2
        report = cli("index", pictures, "--exclude", "below/*", "--json").json("index")
        assert (report["added"], report["removed"], report["live"]) == (1, 1, 2)
        assert names(cli) == {"red.png", "lime.png"}

    def test_hidden_files_on_request(self, cli, pictures) -> None:
        (pictures / "@eaDir").mkdir()
        for name, colour in ((".secret.png", "white"), ("@eaDir/thumb.png", "black")):
            Image.new("RGB", (30, 30), colour).save(pictures / name)
        cli("index", pictures, "--encoder", "fake")
        assert names(cli) == {"red.png", "lime.png", "blue.png"}
        cli("index", pictures, "--hidden")
        assert names(cli) == {"red.png", "lime.png", "blue.png", ".secret.png", "thumb.png"}

    def test_an_unknown_kind_lists_those_there_are(self, cli, pictures) -> None:
        outcome = cli("index", pictures, "--encoder", "fake", "--kind", "floppy")
        assert outcome.code == 2
        assert "imagefolder" in outcome.err


class TestColumns:
    def test_what_is_dropped_is_not_stored(self, cli, pictures) -> None:
        (pictures / "red.txt").write_text("a red square")
        cli("index", pictures, "--encoder", "fake", "--columns=-caption")
        (red,) = cli("search", "red", "-n", "1", "--json").json("search")["hits"]
        assert "caption" not in red["metadata"]

    def test_a_mixture_of_keep_and_drop_is_refused(self, cli, pictures) -> None:
        outcome = cli("index", pictures, "--encoder", "fake", "--columns=-caption,camera")
        assert outcome.code == 2
        assert "columns" in outcome.err


class TestDryRun:
    def test_says_what_there_is_and_makes_nothing(self, cli, home, pictures) -> None:
        outcome = cli("index", pictures, "--dry-run")
        assert outcome.code == 0
        assert outcome.out.startswith("would index: 3 new; nothing was read or changed")
        assert not home.exists()

    def test_of_a_collection_that_is_there(self, cli, indexed) -> None:
        Image.new("RGB", (40, 30), "white").save(indexed / "white.png")
        report = cli("index", "--dry-run", "--json").json("index")
        assert (report["added"], report["live"], report["dry_run"]) == (1, 3, True)
        assert cli("index", "--json").json("index")["added"] == 1


def test_a_limit_is_for_this_run_only(cli, pictures) -> None:
    assert cli("index", pictures, "--encoder", "fake", "--limit", "2", "--json").json("index")["live"] == 2
    assert cli("index", "--json").json("index")["live"] == 3


def test_several_sources_in_one_call(cli, pictures, tmp_path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (30, 30), "white").save(other / "white.png")
    report = cli("index", pictures, other, "--encoder", "fake", "--json").json("index")
    assert report["added"] == 4
    assert len(cli("source", "list", "--json").json("sources")["sources"]) == 2


class TestTables:
    def test_columns_that_do_not_tell_are_named_on_the_command_line(self, cli, pictures) -> None:
        table = pictures / "list.csv"
        table.write_text("path,filename,words\nnowhere.png,red.png,a red one\nnowhere.png,lime.png,a green one\n")
        refused = cli("index", table, "--encoder", "fake")
        assert refused.code == 2
        assert "columns: path, filename, words" in refused.err
        assert "--image-column" in refused.err
        given = ("--image-column", "filename", "--caption-column", "words")
        assert cli("index", table, "--encoder", "fake", *given).code == 0
        hits = cli("search", "red", "--json").json("search")["hits"]
        assert {(Path(hit["path"]).name, hit["metadata"]["caption"]) for hit in hits} == {
            ("red.png", "a red one"), ("lime.png", "a green one"),
        }  # fmt: skip
        again = cli("index", "--json").json("index")  # The columns are remembered.
        assert (again["unchanged"], again["skipped"]) == (2, 0)

    def test_rows_have_a_uri_and_are_extracted(self, cli, pictures, tmp_path) -> None:
        pq.write_table(pa.table({"jpg": [(pictures / "red.png").read_bytes()]}), tmp_path / "a.parquet")
        assert cli("index", tmp_path / "a.parquet", "--encoder", "fake").code == 0
        (hit,) = cli("search", "red", "--json").json("search")["hits"]
        assert hit["uri"] == f"file://{tmp_path}/a.parquet#row=0"
        assert cli("extract", str(hit["image_id"]), "-o", tmp_path / "out.png").code == 0
        assert (tmp_path / "out.png").read_bytes() == (pictures / "red.png").read_bytes()


class TestVectors:
    @pytest.fixture
    def export(self, pictures, tmp_path) -> Path:
        """What clip-retrieval would have written of the pictures, were its encoder the fake one."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        from imseek.encoders import registry
        from imseek.media import decode

        encoder = registry.load("fake")
        paths = sorted(pictures.rglob("*.png"))
        prepared = [encoder.prepare(decode(path.read_bytes()).pixels) for path in paths]
        for folder in ("img_emb", "metadata"):
            (tmp_path / "export" / folder).mkdir(parents=True)
        rows = encoder.encode_images(np.stack(prepared)).astype(np.float16)
        np.save(tmp_path / "export/img_emb/img_emb_0.npy", rows)
        table = pa.table({"image_path": [str(path) for path in paths]})
        pq.write_table(table, tmp_path / "export/metadata/metadata_0.parquet")
        return tmp_path / "export"

    def test_the_encoder_must_be_named(self, cli, home, export) -> None:
        outcome = cli("index", export)
        assert outcome.code == 2
        assert "--encoder" in outcome.err
        assert not home.exists()

    def test_they_are_taken_over(self, cli, export) -> None:
        report = cli("index", export, "--encoder", "fake", "--json").json("index")
        assert (report["added"], report["bytes_read"]) == (3, 0)
        (hit,) = cli("search", "red", "-n", "1", "--json").json("search")["hits"]
        assert hit["path"].endswith("red.png")
        assert cli("index", "--json").json("index")["unchanged"] == 3

    def test_another_encoder_is_found_out(self, cli, export) -> None:
        import numpy as np

        rows = np.load(export / "img_emb/img_emb_0.npy")
        np.save(export / "img_emb/img_emb_0.npy", rows[:, ::-1])
        outcome = cli("index", export, "--encoder", "fake")
        assert outcome.code == 2
        assert "did not make these vectors" in outcome.err


def test_what_nothing_here_can_read_is_not_recorded(cli, indexed, monkeypatch) -> None:
    """Else every later run would end there."""
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if it were not installed
    from fsspec.registry import _registry

    monkeypatch.delitem(_registry, "s3", raising=False)  # where it stays once another test has used it
    outcome = cli("index", "s3://bucket/shards/{0..1}.tar")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "imseek: what reads s3:// is not installed",
        "hint: in imseek's folder: pip install '.[s3]'",
    ]
    assert [source["path"] for source in cli("info", "--json").json("info")["sources"]] == [str(indexed)]
    assert cli("index").code == 0

"""``imseek map``: maps on the command line, and the files it writes."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter

import pyarrow.parquet as pq
import pytest
from PIL import Image

from imseek.ui.demo_photographs import photographs


@pytest.fixture
def photographed(cli):
    outcome = cli("index", *photographs(), "--encoder", "fake")
    assert outcome.code == 0, outcome.err


def embedded(path, name: str):
    """The JSON in an element of a page."""
    (text,) = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', path.read_text())
    return json.loads(text)


class TestMap:
    def test_umap_is_kept_and_filtered_by(self, cli, photographed) -> None:
        outcome = cli("map", "--neighbours", "6")
        assert outcome.code == 0, outcome.err
        first, now, trust, columns = outcome.out.splitlines()
        assert first == "map 'map' shows 19 images: UMAP of fake, 6 neighbours, min-dist 0.1, seed 0"
        assert now.startswith("now: 19 laid out (")
        assert trust.startswith("trustworthiness 0.")
        assert columns == "columns: map_x, map_y (as in --where 'map_x > 3')"
        again = cli("map").out.splitlines()
        assert again[1] == "nothing to place: what was laid out stays where it is"
        right = cli("search", "a cat", "--where", "map_x > -1000", "--json").json("search")
        assert {"map_x", "map_y", "map_fitted"} <= right["hits"][0]["metadata"].keys()

    def test_as_json(self, cli, photographed) -> None:
        found = cli("map", "--method", "pca", "--name", "first", "--where", "width > height", "--json").json("map")
        assert found["map"]["method"] == "pca"
        assert found["map"]["where"] == "width > height"
        assert found["images"] == found["laid_out"] == found["map"]["fitted"]
        assert found["columns"] == ["first_x", "first_y", "first_fitted"]
        assert found["written"] == {}

    def test_additions(self, cli, photographed, pictures) -> None:
        cli("map", "--method", "pca")
        cli("index", pictures)
        assert "now: 3 placed among the others" in cli("map").out
        assert "now: 22 laid out" in cli("map", "--refit").out

    def test_stale(self, cli, photographed) -> None:
        cli("map", "--method", "pca")
        assert cli("maintain", "--reencode", "fake:32").code == 0
        outcome = cli("map", "--json")
        assert outcome.code == 0
        assert outcome.json("map")["stale"] is True
        assert "it is stale: made of vectors of fake" in cli("map").out
        assert cli("map", "--refit", "--json").json("map")["map"]["encoder"] == "fake:32"

    def test_interrupted(self, cli, photographed, ctrl_c, tmp_path) -> None:
        with ctrl_c("map"):
            outcome = cli("map", "--method", "pca", "--html", tmp_path / "map.html")
        assert outcome.code == 130
        assert outcome.err.endswith("interrupted: no files were written; the same command goes on from here\n")
        assert not (tmp_path / "map.html").exists()
        assert cli("map", "--method", "pca", "--html", tmp_path / "map.html").code == 0

    def test_interrupted_while_pictures_are_read(self, cli, photographed, monkeypatch, tmp_path) -> None:
        import signal

        from imseek.ui.render.map_page import document

        real = document.colour_by_column
        cli("map", "--method", "pca")

        def coloured(*arguments):
            signal.raise_signal(signal.SIGINT)
            return real(*arguments)

        monkeypatch.setattr(document, "colour_by_column", coloured)
        outcome = cli("map", "--html", tmp_path / "map.html", "--colour", "format")
        assert outcome.code == 130
        assert outcome.err.endswith("interrupted: the page has only the thumbnails read so far\n")
        assert embedded(tmp_path / "map.html", "data")["count"] == 19
        assert embedded(tmp_path / "map.html", "thumbnails") == []


class TestFiles:
    def test_page(self, cli, photographed, tmp_path) -> None:
        path = tmp_path / "map.html"
        outcome = cli("map", "--method", "pca", "--html", path, "--colour", "format", "--thumbnails", "7")
        assert outcome.code == 0, outcome.err
        assert outcome.err.splitlines()[-1] == f"wrote {path} (html)"
        data = embedded(path, "data")
        assert data["count"] == 19
        formats = []
        for photograph in photographs():
            with Image.open(photograph) as picture:
                formats.append(picture.format)
        assert {e["label"]: e["count"] for e in data["colour"]["legend"]} == Counter(formats)
        assert "coffee.png" in data["names"]
        assert len(embedded(path, "thumbnails")) == 7
        assert "thumbnails of 7, of the others the path only" in path.read_text()

    def test_a_picture_that_has_gone_is_told_and_left_out(self, cli, indexed, tmp_path) -> None:
        (indexed / "red.png").unlink()
        path = tmp_path / "map.html"
        assert cli("map", "--method", "pca", "--html", path).code == 0
        assert embedded(path, "data")["count"] == 3
        assert len(embedded(path, "thumbnails")) == 2
        assert "1 pictures could not be read" in path.read_text()

    def test_parquet(self, cli, photographed, tmp_path) -> None:
        path = tmp_path / "map.parquet"
        outcome = cli("map", "--method", "pca", "--parquet", path, "--columns", "width, format")
        assert outcome.code == 0, outcome.err
        table = pq.read_table(path)
        assert {f.name: str(f.type) for f in table.schema} == {
            "image_id": "int64",
            "x": "float",
            "y": "float",
            "fitted": "bool",
            "path": "string",
            "width": "int64",
            "format": "string",
        }
        assert len(table) == 19
        found = cli("search", "x", "--json", "-n", "19").json("search")["hits"]
        where = {hit["image_id"]: (hit["metadata"]["map_x"], hit["path"], hit["metadata"]["width"]) for hit in found}
        for row in table.to_pylist():
            if row["image_id"] in where:
                assert (row["x"], row["path"], row["width"]) == where[row["image_id"]]

    def test_only_what_meets_the_condition_is_written(self, cli, photographed, tmp_path) -> None:
        cli("map", "--method", "pca")
        path = tmp_path / "map.parquet"
        assert cli("map", "--where", "format = 'JPEG'", "--parquet", path, "--columns", "format").code == 0
        assert set(pq.read_table(path)["format"].to_pylist()) == {"JPEG"}

    def test_on_stdout(self, process, cli, indexed) -> None:
        cli("map", "--method", "pca")
        run = process("map", "--html", "/dev/stdout")
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith(b"<!doctype html>")
        assert run.stdout.endswith(b"</html>\n")


class TestRefused:
    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            (["--colour", "folder"], "--colour goes with --html", "add --html FILE"),
            (["--thumbnails", "3"], "--thumbnails goes with --html", "add --html FILE"),
            (["--columns", "width"], "--columns goes with --parquet", "add --parquet FILE"),
            (["--html", "m", "--parquet", "m"], "m is named twice", None),
            (["--html", "m", "--colour", "fomat"], "no column 'fomat'", "did you mean format?"),
            (["--parquet", "m", "--columns", "fomat"], "no column 'fomat'", "did you mean format?"),
            (["--where", "width > 99999"], "no image meets the condition", "docs/where.md"),
            (["--neighbours", "1"], "1 neighbours would fall to pieces", "15 is usual"),
            (["--name", "a-b"], "'a-b' cannot name columns", "a letter first"),
            (["--html", "/nowhere/m.html"], "no folder /nowhere", None),
        ],
    )
    def test_before_anything_is_laid_out(self, cli, indexed, tmp_path, monkeypatch, arguments, message, hint) -> None:
        monkeypatch.chdir(tmp_path)
        outcome = cli("map", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert hint is None or hint in outcome.err
        assert not list(tmp_path.glob("m*"))
        assert "map_x" not in cli("search", "red", "--json").json("search")["hits"][0]["metadata"]

    def test_a_file_that_is_there(self, cli, indexed, tmp_path) -> None:
        (tmp_path / "m.html").write_text("mine")
        outcome = cli("map", "--method", "pca", "--html", tmp_path / "m.html")
        assert outcome.code == 2
        assert "is there already" in outcome.err
        assert (tmp_path / "m.html").read_text() == "mine"
        assert cli("map", "--method", "pca", "--html", tmp_path / "m.html", "--force").code == 0

    def test_a_folder_that_must_not_be_written(self, cli, indexed, tmp_path, monkeypatch) -> None:
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
        monkeypatch.setattr(os, "access", lambda *_: False)  # Root may write anywhere.
        outcome = cli("map", "--method", "pca", "--html", folder / "m.html")
        assert outcome.code == 1
        assert "may not write" in outcome.err

    def test_no_images(self, cli) -> None:
        cli("collection", "create", "empty", "--encoder", "fake")
        outcome = cli("map", "-c", "empty")
        assert outcome.code == 2
        assert "there are no images to lay out" in outcome.err
        assert "hint: imseek index FOLDER" in outcome.err

    def test_another_way(self, cli, indexed) -> None:
        cli("map", "--method", "pca")
        outcome = cli("map", "--method", "umap")
        assert outcome.code == 2
        assert "was computed with method pca, not umap" in outcome.err
        assert "--refit" in outcome.err

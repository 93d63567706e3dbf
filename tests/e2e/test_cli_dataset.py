"""`imseek dataset`, `imseek coverage`, `imseek maintain --measure`: tables, JSON, files, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from imseek.data.shards import shard_files


@pytest.fixture
def dark_one(cli, indexed: Path) -> Path:
    Image.new("RGB", (40, 30), (9, 9, 12)).save(indexed / "night.png")
    assert cli("index").code == 0
    return indexed


class TestQuality:
    def test_lists(self, cli, dark_one) -> None:
        outcome = cli("dataset", "quality", "--dark")
        assert outcome.code == 0, outcome.err
        first, head, *rows = outcome.out.splitlines()
        assert first == "dark: 2 images, 50.0% (luma_mean <= 0.2)"
        assert head.split()[-2:] == ["id", "image"]
        assert [row.rsplit("/", 1)[1] for row in rows] == ["night.png", "blue.png"], "pure blue has little light"

    def test_json(self, cli, dark_one) -> None:
        found = cli("dataset", "quality", "--json", "-n", "1").json("dataset-quality")
        assert [one["kind"] for one in found["lists"]] == ["blurred", "dark", "bright", "empty"]
        assert (found["images"], found["unknown"]) == (4, 0)
        dark = found["lists"][1]
        assert dark["worst"][0]["path"].endswith("night.png")
        assert dark["worst"][0]["values"]["luma_mean"] < 0.05

    def test_stored(self, cli, dark_one) -> None:
        tagged = cli("dataset", "quality", "--dark", "--tag", "--json").json("dataset-quality")
        assert tagged["tagged"] == {"dark": tagged["lists"][0]["count"]}
        saved = cli("dataset", "quality", "--dark", "--save", "looks")
        assert "saved: looks_dark (" in saved.err
        outcome = cli("search", "night", "--where", "looks_dark AND tag('dark') AND name = 'night.png'", "--json")
        assert [hit["path"][-9:] for hit in outcome.json("search")["hits"]] == ["night.png"]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--tag", "--save", "x"], "exclude each other"),
            (["--save", "Bad Name"], "cannot be a name"),
            (["--save", "measured"], "maintain --measure"),
            (["--where", "luma_maen > 1"], "no column 'luma_maen'"),
        ],
    )
    def test_refused(self, cli, indexed, arguments, message) -> None:
        outcome = cli("dataset", "quality", *arguments)
        assert outcome.code == 2
        assert message in outcome.err

    def test_an_empty_collection(self, cli) -> None:
        assert cli("collection", "create", "c", "--encoder", "fake").code == 0
        assert cli("dataset", "quality").out.splitlines()[0].startswith("blurred: 0 images (")
        assert cli("dataset", "balance").out == "none of 0 images has a value of tag\n"
        outcome = cli("dataset", "leakage", "--split", "folder")
        assert (outcome.code, "0 parts" in outcome.err) == (2, True)


def test_measuring_what_an_early_version_indexed(cli, pictures, monkeypatch) -> None:
    with monkeypatch.context() as early:
        real = shard_files.row_of
        early.setattr(
            "imseek.indexer.encode_stage.row_of",
            lambda *facts: {n: v for n, v in real(*facts).items() if n not in shard_files.LUMA_COLUMNS.names},
        )
        assert cli("index", pictures, "--encoder", "fake").code == 0
    assert "3 images of 3 were never measured: `imseek maintain --measure`" in cli("dataset", "quality").err
    assert cli("maintain", "--measure").out.startswith("measured 3 of 3 images (")
    assert cli("dataset", "quality").err.count("never measured") == 0
    again = cli("maintain", "--measure", "--json").json("maintain")
    assert (again["measured"]["missing"], again["merge"]) == (0, None)
    assert cli("maintain", "--measure").out == "all of 3 images are measured\n"


class TestBalance:
    def test_by_folder(self, cli, indexed) -> None:
        outcome = cli("dataset", "balance", "--by", "folder")
        lines = outcome.out.splitlines()
        assert lines[0].startswith("2 classes by folder, as mixed as 1.9 equal ones; the largest is 2.0 times")
        assert lines[2].split()[:2] == ["2", "66.7%"]
        found = cli("dataset", "balance", "--by", "folder", "--duplicates", "--json").json("dataset-balance")
        assert [one["duplicates"] for one in found["counts"]] == [0, 0]
        assert (found["classes"], found["ratio"]) == (2, 2)

    def test_refused(self, cli, indexed) -> None:
        outcome = cli("dataset", "balance", "--by", "formt")
        assert (outcome.code, "did you mean format?" in outcome.err) == (2, True)
        assert cli("dataset", "balance", "--looks", "3").code == 2


class TestLeakage:
    def test_between_folders(self, cli, indexed) -> None:
        shutil.copyfile(indexed / "red.png", indexed / "below" / "again.png")
        assert cli("index").code == 0
        upper = indexed / "upper"
        upper.mkdir()
        for path in indexed.glob("*.png"):
            path.rename(upper / path.name)
        assert cli("index").code == 0
        outcome = cli("dataset", "leakage", "--folders", f"{upper},{indexed / 'below'}")
        assert outcome.code == 0, outcome.err
        assert "1. the same file, 2 images" in outcome.out
        found = cli("dataset", "leakage", "--split", "folder", "--json").json("dataset-leakage")
        assert [(one["exact"], one["same"]) for one in found["counts"]] == [(1, 0), (1, 0)]
        assert [image["path"].rsplit("/", 1)[1] for image in found["groups"][0]["images"]] == [
            "red.png",
            "again.png",
        ]

    def test_how_sure(self, cli, photos) -> None:
        with Image.open(photos / "chelsea.png") as cat:
            cat.convert("RGB").resize((300, 200)).save(photos / "below" / "cat.jpg", quality=70)
        assert cli("index", photos, "--encoder", "fake").code == 0
        outcome = cli("dataset", "leakage", "--split", "folder")
        assert re.search(r"1\. the same picture, \d+ % sure, 2 images", outcome.out)
        found = cli("dataset", "leakage", "--split", "folder", "--json").json("dataset-leakage")
        assert 0.5 < found["groups"][0]["confidence"] < 1

    def test_against_a_collection(self, cli, indexed) -> None:
        assert cli("index", indexed / "below", "-c", "test", "--encoder", "fake").code == 0
        outcome = cli("dataset", "leakage", "-c", "test", "--against", "default")
        assert "test 1, default 3" in outcome.out
        found = cli("dataset", "leakage", "-c", "test", "--against", "default", "--json").json("dataset-leakage")
        assert found["counts"] == [{"split": "test", "other": "default", "exact": 1, "same": 0}]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "name the parts in one way"),
            (["--split", "folder", "--against", "default"], "name the parts in one way"),
            (["--folders", "/nowhere"], "needs at least two folders"),
            (["--folders", "/nowhere,/tmp"], "no folder /nowhere"),
            (["--split", "fodler"], "did you mean folder"),
            (["--split", "tag"], "several tags"),
        ],
    )
    def test_refused(self, cli, indexed, arguments, message) -> None:
        outcome = cli("dataset", "leakage", *arguments)
        assert outcome.code == 2
        assert message in outcome.err

    def test_interrupted(self, cli, indexed, ctrl_c) -> None:
        with ctrl_c("dataset"):
            outcome = cli("dataset", "leakage", "--split", "folder")
        assert outcome.code == 130


class TestCoverage:
    @pytest.fixture
    def two(self, cli, indexed) -> None:
        assert cli("index", indexed / "below", "-c", "less", "--encoder", "fake").code == 0
        for n in range(4):
            Image.new("RGB", (40, 30), (250 - n, 10 * n, 0)).save(indexed / f"{n}.png")
        assert cli("index", "-c", "default").code == 0

    def test_table_page_and_json(self, cli, two, tmp_path) -> None:
        page = tmp_path / "page.html"
        outcome = cli("coverage", "default", "less", "--html", page)
        assert outcome.code == 0, outcome.err
        assert "default has 7 images, of which less lacks 7, 100.0%" in outcome.out
        assert "the second collection has 1 image, too few to tell" in outcome.err
        text = page.read_text()
        assert text.count('<img src="data:image/webp;base64,') == 7
        assert "default-src 'none'" in text
        assert "<script" not in text
        refused = cli("coverage", "default", "less", "--html", page)
        assert (refused.code, "add --force" in refused.err) == (2, True)
        found = cli("coverage", "default", "less", "--html", page, "--force", "--json").json("coverage")
        assert (found["a"]["lacking"], found["b"]["images"], found["a"]["threshold"]) == (7, 1, None)
        back = cli("coverage", "less", "default", "--json", "-n", "0").json("coverage")
        assert back["a"]["images"] == 1
        assert back["a"]["threshold"] is not None

    def test_refused(self, cli, two, tmp_path) -> None:
        assert "compared with itself" in cli("coverage", "less", "less").err
        assert "no collection 'nope'" in cli("coverage", "less", "nope").err
        assert cli("index", tmp_path / "pictures", "-c", "other", "--encoder", "fake:32").code == 0
        outcome = cli("coverage", "less", "other")
        assert outcome.code == 2
        assert "--add-space fake" in outcome.err
        assert "no folder" in cli("coverage", "less", "default", "--html", tmp_path / "no" / "x.html").err


class TestReport:
    def test_html(self, cli, indexed, tmp_path) -> None:
        (indexed / "<script>alert(1)<b>.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
        Image.new("RGB", (30, 30), "orange").save(indexed / "\u202e<img src=x onerror=y>.png")
        assert cli("index").code == 0
        page = tmp_path / "report.html"
        outcome = cli("report", page, "--skip", "clusters")
        assert outcome.code == 0, outcome.err
        text = page.read_text()
        for said in (
            "Formats",
            "Where they come from",
            "Quality",
            "Left out",
            "Duplicates",
            "&lt;script&gt;alert(1)",
        ):
            assert said in text
        assert "<script" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text
        assert text.count("data:image/webp;base64,") > 4
        assert "Groups of alike" not in text

    def test_markdown(self, cli, indexed, tmp_path) -> None:
        page = tmp_path / "report.md"
        Image.new("RGB", (30, 30), "orange").save(indexed / "[x](http:evil) `<b>`|.png")
        assert cli("index").code == 0
        assert cli("report", page, "--skip", "clusters").code == 0
        text = page.read_text()
        thumbnails = sorted((tmp_path / "report_pictures").iterdir())
        assert all(f"(report_pictures/{path.name})" in text for path in thumbnails)
        assert len(thumbnails) == 4
        assert r"\[x\](http:evil) \`\<b\>\`\|.png" in text
        refused = cli("report", page)
        assert (refused.code, "add --force" in refused.err) == (2, True)
        page.unlink()
        refused = cli("report", page)
        assert (refused.code, "report_pictures is there already" in refused.err) == (2, True)
        (tmp_path / "report_pictures" / "note.txt").write_text("mine")
        (tmp_path / "report_pictures" / "999.webp").write_text("old")
        assert cli("report", page, "--force", "--skip", "clusters").code == 0
        left = {path.name for path in (tmp_path / "report_pictures").iterdir()}
        assert "note.txt" in left, "it is not ours"
        assert "999.webp" not in left

    def test_clusters_too(self, cli, indexed, tmp_path) -> None:
        found = cli("report", tmp_path / "r.html", "--json").json("report")
        assert (found["images"], found["interrupted"]) == (3, False)

    @pytest.mark.parametrize(
        ("name", "message"),
        [("r.pdf", "neither HTML nor Markdown"), ("no/r.html", "no folder"), ("", "is a folder")],
    )
    def test_refused(self, cli, indexed, tmp_path, name, message) -> None:
        outcome = cli("report", tmp_path / name)
        assert outcome.code == 2
        assert message in outcome.err

    def test_unknown_parts_and_none(self, cli, indexed, tmp_path) -> None:
        outcome = cli("report", tmp_path / "r.html", "--skip", "everything")
        assert (outcome.code, "quality, clusters, outliers, duplicates" in outcome.err) == (2, True)
        assert not (tmp_path / "r.html").exists()

    def test_an_empty_collection(self, cli, tmp_path) -> None:
        assert cli("collection", "create", "c", "--encoder", "fake").code == 0
        for name in ("r.html", "r.md"):
            assert cli("report", tmp_path / name).code == 0
            assert "Collection c" in (tmp_path / name).read_text()
        assert not (tmp_path / "r_pictures").exists()

    def test_interrupted(self, cli, indexed, tmp_path, ctrl_c) -> None:
        with ctrl_c("report"):
            outcome = cli("report", tmp_path / "r.html")
        assert outcome.code == 130
        assert "parts are missing" in (tmp_path / "r.html").read_text()

"""`imseek clusters`, `outliers` and `sample` as they are typed and printed."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def colours(cli, tmp_path: Path) -> Path:
    """Five red, four lime and three blue pictures, and a copy of one, indexed with the fake encoder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for colour, count in (("red", 5), ("lime", 4), ("blue", 3)):
        plain = np.asarray(Image.new("RGB", (32, 32), colour), np.int16)
        for n in range(count):
            pixels = np.clip(plain + random.integers(-40, 40, plain.shape), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{colour}-{n}.png")
    shutil.copyfile(folder / "blue-0.png", folder / os.fsdecode(b"caf\xe9.png"))
    outcome = cli("index", folder, "--encoder", "fake")
    assert outcome.code == 0, outcome.err
    return folder


class TestClusters:
    def test_the_table(self, cli, colours) -> None:
        outcome = cli("clusters", "-k", "3", "--names", "none")
        assert outcome.code == 0
        head, *rows, totals, note = outcome.out.splitlines()
        assert head.split() == ["images", "cohesion", "apart", "next", "name", "id", "most", "central", "image"]
        assert [row.split()[:2] for row in rows] == [["1", "5"], ["2", "4"], ["3", "4"]]
        assert all("(no name)" in row and str(colours) in row for row in rows)
        assert totals == "3 clusters of 13 images; k-means, as asked for"
        assert note.startswith("cohesion: how alike")
        short = cli("clusters", "-k", "3", "--names", "none", "-n", "1").out.splitlines()
        assert short[-1] == "2 more clusters (-n shows more, --html, --csv and --json have all)"
        assert len(short) == 5

    def test_as_json(self, cli, colours, tmp_path) -> None:
        files = ("--csv", tmp_path / "c.csv", "--html", tmp_path / "c.html")
        found = cli("clusters", "-k", "3", "--json", *files).json("clusters")
        assert [one["size"] for one in found["clusters"]] == [5, 4, 4]
        assert [one["number"] for one in found["clusters"]] == [1, 2, 3]
        assert found["noise"] is None
        assert found["saved"] is None
        assert found["written"]["html"]["path"] == str(tmp_path / "c.html")
        medoid = found["clusters"][0]["medoids"][0]
        assert medoid["path"].startswith(str(colours / "red-"))
        with (tmp_path / "c.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["cluster"], row["size"]) for row in rows] == [("1", "5"), ("2", "4"), ("3", "4")]
        assert rows[0]["image_id"] == str(medoid["image_id"])
        page = (tmp_path / "c.html").read_text()
        assert page.count("data:image/webp;base64,") == sum(len(one["medoids"]) for one in found["clusters"])
        assert "<script" not in page
        again = cli("clusters", "-k", "3", *files)
        assert again.code == 2
        assert "add --force" in again.err
        assert cli("clusters", "-k", "3", *files, "--force").code == 0

    def test_density(self, cli, colours) -> None:
        found = cli("clusters", "--density", "--smallest", "3", "--names", "none", "--json").json("clusters")
        assert found["method"] == "density"
        outside = 0 if found["noise"] is None else found["noise"]["size"]
        assert sum(one["size"] for one in found["clusters"]) + outside == 13
        assert "density, in groups of 5 at least" in cli("clusters", "--density", "--names", "none").out

    def test_stored_searched_and_added_to(self, cli, colours) -> None:
        outcome = cli("clusters", "-k", "3", "--names", "none", "--save", "kinds")
        assert outcome.code == 0
        assert 'stored as kinds: imseek search … --where "kinds = 1"' in outcome.err
        hits = cli("search", "red", "--where", "kinds = 1", "--cutoff", "none", "--json").json("search")["hits"]
        assert {hit["metadata"]["kinds"] for hit in hits} == {1}
        assert len(hits) == 5
        shutil.copyfile(colours / "red-0.png", colours / "another.png")
        assert cli("index", colours).code == 0
        found = cli("clusters", "--again", "kinds", "--json").json("clusters-again")
        assert found["added"] == {"1": 1}
        assert found["images"] == 14
        assert cli("clusters", "--again", "kinds").out == "0 images assigned to the clusters 'kinds'\n"
        refused = cli("clusters", "-k", "3", "--names", "none", "--save", "kinds")
        assert refused.code == 2
        assert "there are clusters 'kinds' already" in refused.err
        assert cli("clusters", "-k", "2", "--names", "none", "--save", "kinds", "--force").code == 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("-k", "0"), "cannot be put into 0 clusters"),
            (("-k", "14"), "13 images cannot be put into 14 clusters"),
            (("-k", "2", "--density"), "finds the number of groups itself"),
            (("--names", "nowhere.txt"), "cannot read the names in nowhere.txt"),
            (("--again", "kinds"), "no clusters are stored as 'kinds'"),
            (("--again", "kinds", "-k", "2"), "as they were stored"),
            (("--again", "kinds", "--density"), "as they were stored"),
            (("--csv", "a", "--html", "a"), "named twice"),
            (("--html", "nowhere/a.html"), "no folder"),
            (("--save", "No"), "cannot be a name"),
        ],
    )
    def test_what_makes_no_sense(self, cli, colours, arguments, said) -> None:
        outcome = cli("clusters", *arguments)
        assert outcome.code == 2
        assert said in outcome.err
        assert outcome.out == ""

    def test_no_images(self, cli, tmp_path) -> None:
        assert cli("collection", "create", "empty", "--encoder", "fake").code == 0
        assert cli("clusters", "-c", "empty").out == "no images\n"
        assert cli("outliers", "-c", "empty").out.startswith("0 images, 0 that differ")
        assert cli("sample", "-c", "empty", "--diverse", "3").out.startswith("0 images of 0")
        assert cli("clusters", "-c", "empty", "--json").json("clusters")["clusters"] == []
        assert cli("outliers", "-c", "empty", "--json").json("outliers")["typical"] is None
        assert cli("sample", "-c", "empty", "--random", "3", "--json").json("sample")["mean"] is None

    def test_interrupted(self, cli, colours, ctrl_c) -> None:
        for module, *arguments in (
            ("clusters", "-k", "3", "--save", "kinds"),
            ("outliers", "--save", "odd"),
            ("sample", "--diverse", "3"),
        ):
            with ctrl_c(module):
                outcome = cli(module, *arguments)
            assert outcome.code == 130
            assert "interrupted" in outcome.err
            assert outcome.out == ""
        assert cli("clusters", "--again", "kinds").code == 2


class TestOutliers:
    def test_the_table(self, cli, colours, tmp_path) -> None:
        outcome = cli("outliers", "-n", "2", "--neighbours", "2", "--csv", tmp_path / "o.csv")
        assert outcome.code == 0
        head, first, second, totals = outcome.out.splitlines()
        assert head.split() == ["score", "copies", "id", "image"]
        assert float(first.split()[0]) >= float(second.split()[0])
        assert totals.startswith("13 images, 12 that differ: mean distance to the 2 nearest others; typical 0.")
        with (tmp_path / "o.csv").open(newline="") as file:
            assert [row["image_id"] for row in csv.DictReader(file)] == [
                first.split()[-2],
                second.split()[-2],
            ]

    @pytest.mark.parametrize("method", ["knn", "lof", "isolation"])
    def test_as_json(self, cli, colours, method) -> None:
        found = cli("outliers", "-n", "13", "--method", method, "--json").json("outliers")
        assert (found["method"], found["images"], found["contents"]) == (method, 13, 12)
        assert len(found["outliers"]) == 12
        assert sum(one["copies"] for one in found["outliers"]) == 1
        scores = [one["score"] for one in found["outliers"]]
        assert scores == sorted(scores, reverse=True)

    def test_stored(self, cli, colours) -> None:
        outcome = cli("outliers", "--save", "odd", "-n", "1")
        assert 'stored as odd: imseek search … --where "odd > …"' in outcome.err
        hits = cli("search", "red", "--where", "odd >= 0", "--cutoff", "none", "-n", "99", "--json")
        assert len(hits.json("search")["hits"]) == 13
        assert cli("outliers", "--save", "odd").code == 2


class TestSample:
    @pytest.mark.parametrize("method", ["k-centre", "facility"])
    def test_one_of_each_colour(self, cli, colours, method) -> None:
        found = cli("sample", "--diverse", "3", "--method", method, "--json").json("sample")
        assert found["method"] == method
        names = {Path(one["path"]).name.partition("-")[0] for one in found["sample"]}
        assert len(names) == 3
        assert sorted(one["weight"] for one in found["sample"]) == [4, 4, 5]
        assert 0 <= found["mean"] <= found["farthest"]

    def test_the_table_and_csv(self, cli, colours, tmp_path) -> None:
        outcome = cli("sample", "--diverse", "3", "--csv", tmp_path / "s.csv")
        head, *rows, totals = outcome.out.splitlines()
        assert head.split() == ["stands", "for", "distance", "id", "image"]
        assert len(rows) == 3
        assert totals.startswith("3 images of 13, chosen by facility location; ")
        assert "distance to the nearest of them: mean 0." in totals
        with (tmp_path / "s.csv").open(newline="") as file:
            assert len(list(csv.DictReader(file))) == 3

    def test_ids_are_for_other_commands(self, cli, colours) -> None:
        for command in (("sample", "--random", "5", "--seed", "3"), ("outliers", "-n", "4")):
            found = cli(*command, "--json").json(command[0])
            listed = found["sample" if command[0] == "sample" else "outliers"]
            assert cli(*command, "--ids").out.split() == [str(one["image_id"]) for one in listed]
        assert cli("outliers", "--ids", "--json").code == 2

    def test_paths_are_those_of_files(self, process, cli, colours) -> None:
        done = process("sample", "--random", "50", "--paths")
        assert done.returncode == 0
        paths = done.stdout.splitlines()
        assert len(paths) == 12
        assert all(Path(os.fsdecode(path)).is_file() for path in paths)

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--diverse", "3", "--random", "3"),
            ("--random", "3", "--method", "facility"),
            ("--diverse", "0"),
            ("--diverse", "3", "--paths", "--json"),
            ("--diverse", "3", "--paths", "--ids"),
        ],
    )
    def test_what_makes_no_sense(self, cli, colours, arguments) -> None:
        assert cli("sample", *arguments).code == 2

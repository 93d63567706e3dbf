"""Labels and policies on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

POLICY = """\
concepts:
  - name: reddish
    positive: red
    negative: [blue, lime]
    threshold: 0.6
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


class TestLabel:
    def test_a_table_and_json(self, cli, indexed) -> None:
        command = ("label", "--classes", "red,blue,green", "--templates", "{}")
        outcome = cli(*command)
        assert outcome.code == 0, outcome.err
        lines = outcome.out.splitlines()
        assert lines[0].split() == ["label", "images", "mean", "probability"]
        assert {line.split()[0]: line.split()[1] for line in lines[1:4]} == {
            "red": "1",
            "blue": "1",
            "green": "1",
        }
        assert "3 images, 3 classes; cosines × 100 (assumed: fake records none)" in lines
        document = cli("label", "--classes", "red,blue,green", "--templates", "{}", "--top", "2", "--json").json(
            "label"
        )
        assert document["stored"] is None
        assert document["cautions"] is None
        given = {Path(one["path"]).name: one["labels"] for one in document["labels"]}
        assert given == {"red.png": ["red"], "lime.png": ["green"], "blue.png": ["blue"]}
        assert all(len(one["top"]) == 2 for one in document["labels"])
        assert {one["label"]: one["images"] for one in document["counts"]} == {
            "red": 1,
            "green": 1,
            "blue": 1,
        }

    def test_stored_and_searched(self, cli, indexed, later) -> None:
        outcome = cli("label", "--classes", "red,blue", "--save", "kind", "--tag", "--caution", "--templates", "{}")
        assert outcome.code == 0
        lines = outcome.err.splitlines()
        assert "stored as kind (columns and 3 tags); later images: imseek label --again kind" in lines
        assert "imseek search … --where \"kind = 'NAME'\"" in lines
        listed = cli("tag", "list").out.splitlines()
        assert [line.split("  ")[-1].strip() for line in listed[1:]] == [
            "zero-shot kind 1",
            "zero-shot kind 2",
        ]
        again = cli("label", "--again", "kind").err.splitlines()
        assert "no images were added since kind was stored: nothing to do" in again
        assert not any(line.startswith("stored as") for line in again)
        assert "fake cannot read" in outcome.err
        found = cli("search", "red", "--where", "kind = 'blue' AND tag('blue')", "--paths").out.splitlines()
        assert "blue.png" in {Path(path).name for path in found}
        assert "red.png" not in {Path(path).name for path in found}
        Image.new("RGB", (40, 30), "blue").save(indexed / "navy.png")
        later(10)
        assert cli("index", indexed).code == 0
        again = cli("label", "--again", "kind", "--json").json("label")
        assert again["images"] == 1
        assert again["stored"]["name"] == "kind"
        assert again["stored"]["tags"] == 1
        assert [one["labels"] for one in again["labels"]] == [["blue"]]

    def test_forgotten(self, cli, indexed) -> None:
        cli("label", "--classes", "red,blue", "--save", "kind", "--tag")
        outcome = cli("label", "--forget", "kind")
        assert outcome.out == "forgotten: kind (labels), 3 tags\n"
        cli("label", "--classes", "red,blue", "--save", "kind")
        document = cli("label", "--forget", "kind", "--json").json("label-forget")
        assert document["forgotten"]["kind"] == "labels"
        assert cli("label", "--forget", "kind").code == 2

    @pytest.mark.parametrize("position", ["end", "middle", "with text"])
    def test_none_of_these(self, cli, indexed, position: str) -> None:
        arguments = ["label", "--classes", "red,green", "--templates", "{}"]
        arguments += {"end": ["--none"], "middle": ["--none", "-n", "3"], "with text": ["--none", "blue"]}[position]
        outcome = cli(*arguments, "--json") if position == "with text" else cli(*arguments)
        assert outcome.code == 0, outcome.err
        if position == "with text":
            none = [one for one in outcome.json("label")["counts"] if one["label"] is None]
            assert [one["images"] for one in none] == [1]

    def test_a_file_of_classes(self, cli, indexed, tmp_path: Path) -> None:
        (tmp_path / "kinds.txt").write_text("warm: red, yellow\ncold: blue\n")
        document = cli("label", "--classes", tmp_path / "kinds.txt", "--json").json("label")
        given = {Path(one["path"]).name: one["labels"] for one in document["labels"]}
        assert (given["red.png"], given["blue.png"]) == (["warm"], ["cold"])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "give --classes, or --again NAME, or --forget NAME"),
            (["--classes", "red,blue", "--again", "kind"], "give --classes, or --again NAME, or --forget NAME"),
            (["--again", "kind", "--tag"], "--again labels as it was done before"),
            (["--forget", "kind", "--tag"], "--forget takes all of a name back"),
            (["--again", "kind"], "no labels are stored as 'kind'"),
            (["--classes", "red"], "with one class every image is 'red'"),
            (["--classes", "red,Red"], "two classes are called 'Red'"),
            (["--classes", "none.txt"], "cannot read none.txt"),
            (["--classes", "red,blue", "--templates", "imagnet"], "neither a set of templates"),
            (["--classes", "red,blue", "--temperature", "nan"], "a temperature is a positive number"),
            (["--classes", "red,blue", "--multi"], "not trained with a sigmoid"),
        ],
    )
    def test_what_makes_no_sense(self, cli, indexed, arguments: list[str], message: str) -> None:
        outcome = cli("label", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert "hint: " in outcome.err or "cannot read" in message

    def test_interrupted(self, cli, indexed, ctrl_c) -> None:
        with ctrl_c("label"):
            outcome = cli("label", "--classes", "red,blue", "--save", "kind")
        assert outcome.code == 130
        assert "nothing was stored" in outcome.err
        assert cli("label", "--again", "kind").code == 2


class TestModerate:
    def test_a_table_and_json(self, cli, indexed, policy: Path) -> None:
        outcome = cli("moderate", "--policy", policy)
        assert outcome.code == 0, outcome.err
        assert outcome.out.splitlines()[:2] == ["concept  threshold  images", "reddish        0.6  1"]
        assert "1 of 3 images flagged by policy" in outcome.out
        document = cli("moderate", "--policy", policy, "--save", "flags", "--json").json("moderate")
        assert document["flagged"] == 1
        assert document["stored"]["name"] == "flags"
        (hit,) = document["hits"]
        assert Path(hit["path"]).name == "red.png"
        found = cli("search", "red", "--where", "flags = 'reddish'", "--paths").out.splitlines()
        assert [Path(path).name for path in found] == ["red.png"]

    def test_tags(self, cli, indexed, policy: Path) -> None:
        outcome = cli("moderate", "--policy", policy, "--tag")
        assert "stored as moderation (1 tag); run it again after indexing" in outcome.err.splitlines()
        found = cli("search", "red", "--where", "tag('reddish')", "--paths").out.splitlines()
        assert [Path(path).name for path in found] == ["red.png"]

    def test_a_mistake_is_told_with_its_line(self, cli, indexed, policy: Path) -> None:
        policy.write_text(POLICY.replace("threshold", "treshold"))
        outcome = cli("moderate", "--policy", policy)
        assert outcome.code == 2
        message, hint = outcome.err.splitlines()
        assert message == f"imseek: {policy}, line 5: a concept has no 'treshold' (in: treshold: 0.6)"
        assert hint == "hint: did you mean threshold?"


class TestEvaluate:
    @pytest.fixture
    def folders(self, cli, tmp_path: Path) -> None:
        for colour in ("red", "blue"):
            (tmp_path / "sorted" / colour).mkdir(parents=True)
            for n in range(3):
                Image.new("RGB", (40 + n, 30), colour).save(tmp_path / "sorted" / colour / f"{n}.png")
        Image.new("RGB", (40, 33), "red").save(tmp_path / "sorted" / "blue" / "wrong.png")
        outcome = cli("index", tmp_path / "sorted", "--encoder", "fake")
        assert outcome.code == 0, outcome.err

    def test_a_table_and_json(self, cli, folders) -> None:
        outcome = cli("evaluate", "zeroshot")
        assert outcome.code == 0, outcome.err
        assert outcome.out.startswith("7 images, 2 classes by folder; cosines × 100")
        document = cli("evaluate", "zeroshot", "--json").json("evaluate-zeroshot")
        assert document["top1"]["value"] == pytest.approx(6 / 7)
        assert document["mean_per_class"]["value"] == pytest.approx((1 + 3 / 4) / 2)
        assert document["confusions"] == [{"class": "blue", "label": "red", "images": 1}]
        assert document["temperature"] is None

    def test_a_temperature(self, cli, folders) -> None:
        outcome = cli("evaluate", "zeroshot", "--save-temperature", "mine")
        assert outcome.code == 0, outcome.err
        assert "temperature mine: cosines × " in outcome.out
        document = cli("evaluate", "zeroshot", "--save-temperature", "mine", "--json").json("evaluate-zeroshot")
        before, after = document["temperature"]["negative_log_likelihood"]
        assert after < before
        used = cli("label", "--classes", "red,blue", "--temperature", "mine", "--json").json("label")
        assert used["factor"] == document["temperature"]["factor"]
        assert used["factor_source"] == "temperature 'mine'"

    def test_several_labels(self, cli, folders) -> None:
        document = cli("evaluate", "zeroshot", "--multi", "--save-temperature", "several", "--json").json(
            "evaluate-zeroshot"
        )
        assert document["temperature"]["bias"] is not None
        assert document["temperature"]["calibration_error"][0] is None
        outcome = cli("label", "--classes", "red,blue", "--multi", "--temperature", "several")
        assert outcome.code == 0, outcome.err

    def test_no_truth(self, cli, folders) -> None:
        outcome = cli("evaluate", "zeroshot", "--truth", "capton")
        assert outcome.code == 2
        assert "did you mean caption" in outcome.err


def test_paths_are_not_read_as_text(cli, indexed, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff"))
    folder.mkdir()
    Image.new("RGB", (40, 31), "red").save(folder / "1.png")
    assert cli("index", folder).code == 0
    document = cli("label", "--classes", "red,blue", "--json").json("label")
    assert any("path_b64" in one for one in document["labels"])

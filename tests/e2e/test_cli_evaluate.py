"""Evaluations on the command line."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def table(tmp_path, indexed):
    """Captions of two of three pictures, and of one that is not there."""
    path = tmp_path / "captions.csv"
    path.write_text(
        "path,caption\nred.png,all red\nlime.png,green\nlime.png,a green wall\ngone.png,nothing\n"
    )
    return path


class TestRetrieval:
    def test_as_text(self, cli, table) -> None:
        outcome = cli("evaluate", "retrieval", "--captions", table, "--k", "1", "--k", "2")
        assert outcome.code == 0, outcome.err
        counts, head, forth, back, brackets, left_out = outcome.out.splitlines()
        assert counts == "3 captions (given) of fake, ranked among 2 images"
        assert head.split() == ["R@1", "R@2", "median", "rank", "mean", "rank", "mAP"]
        assert forth.startswith("words → picture  1.000 [1.000, 1.000]")
        assert back.startswith("picture → words  1.000 [1.000, 1.000]")
        assert brackets.startswith("in brackets: 95 %")
        assert left_out == "left out, naming no image that counts: 1 row (gone.png)"
        assert outcome.err.startswith("collection: default")

    def test_as_json(self, cli, table) -> None:
        found = cli("evaluate", "retrieval", "--captions", table, "--json").json("evaluate-retrieval")
        assert (found["images"], found["captions"], found["captions_from"]) == (2, 3, "given")
        assert found["text_to_image"]["questions"] == 3
        assert found["text_to_image"]["recall"] == [{"k": 1, "value": 1.0, "low": 1.0, "high": 1.0}]
        assert found["image_to_text"]["mean_average_precision"]["value"] == 1.0
        assert found["left_out"] == {"unknown": 1, "empty": 0, "unreferenced": 0, "names": ["gone.png"]}
        assert found["interrupted"] is False

    def test_nothing_to_ask(self, cli, indexed) -> None:
        outcome = cli("evaluate", "retrieval", "--json")
        assert outcome.code == 2
        assert outcome.json("error")["error"]["message"] == "no image has a caption"
        assert "--captions FILE" in json.loads(outcome.err)["error"]["hint"]

    def test_k_beyond_what_is_ranked(self, cli, table) -> None:
        outcome = cli("evaluate", "retrieval", "--captions", table, "--k", "3")
        assert outcome.code == 2
        assert "R@3 among 2" in outcome.err

    def test_without_a_command(self, cli) -> None:
        assert cli("evaluate").code == 2


class TestAnn:
    def test_as_text(self, cli, indexed) -> None:
        outcome = cli("evaluate", "ann", "--k", "1", "--k", "2")
        assert outcome.code == 0, outcome.err
        first, head, image, text = outcome.out.splitlines()
        assert first == "exact over 3 images (fake)"
        assert head.split()[:3] == ["queries", "recall@1", "recall@2"]
        assert image.startswith("3 image  stored              1.000 [1.000, 1.000]  1.000 [1.000, 1.000]")
        assert text.startswith("3 text   made from pictures  1.000 ")
        assert "every search is exact" in outcome.err

    def test_as_json(self, cli, indexed, tmp_path) -> None:
        (tmp_path / "q.txt").write_text("red\ngreen\n")
        found = cli("evaluate", "ann", "--given", tmp_path / "q.txt", "--k", "2", "--json").json(
            "evaluate-ann"
        )
        (kind,) = found["kinds"]
        assert (kind["kind"], kind["came"], kind["queries"], kind["stated"]) == ("text", "given", 2, None)
        assert kind["recall"] == [{"k": 2, "value": 1.0, "low": 1.0, "high": 1.0}]
        assert (found["index"], found["images"], found["filtered"]) == (None, 3, None)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "k lies between 1 and 2"),
            (("--k", "1", "--filtered", "200%"), "no share"),
            (("--k", "1", "--given", "nowhere.npy"), "cannot be read"),
            (("--k", "1", "--space", "3"), "no space of pictures"),
            (("--k", "1", "--space", "nonsense"), "no encoder is called"),
        ],
    )
    def test_what_makes_no_sense(self, cli, indexed, arguments, said) -> None:
        outcome = cli("evaluate", "ann", *arguments)
        assert outcome.code == 2
        assert said in outcome.err

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

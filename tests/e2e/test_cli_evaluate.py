"""Evaluations on the command line."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def table(tmp_path, indexed):
    """Captions of two of three pictures, and of one that is not there."""
    path = tmp_path / "captions.csv"
    path.write_text("path,caption\nred.png,all red\nlime.png,green\nlime.png,a green wall\ngone.png,nothing\n")
    return path


class TestRetrieval:
    def test_numbers_of_thousands_of_digits_are_no_ids(self, cli, table, indexed) -> None:
        outcome = cli("evaluate", "retrieval", "--captions", table, "--space", "9" * 5000)
        assert outcome.code == 2, outcome.err
        table.write_text("image_id,caption\n1,all red\n2,green\n" + "9" * 5000 + ",nothing\n")
        outcome = cli("evaluate", "retrieval", "--captions", table, "--k", "1")
        assert outcome.code == 0, outcome.err
        assert "naming no image that counts: 1 row" in outcome.out

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
        found = cli("evaluate", "ann", "--query-file", tmp_path / "q.txt", "--k", "2", "--json").json("evaluate-ann")
        (kind,) = found["kinds"]
        assert (kind["kind"], kind["came"], kind["queries"], kind["stated"]) == ("text", "given", 2, None)
        assert kind["recall"] == [{"k": 2, "value": 1.0, "low": 1.0, "high": 1.0}]
        assert (found["index"], found["images"], found["filtered"]) == (None, 3, None)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "k lies between 1 and 2"),
            (("--k", "1", "--filtered", "200%"), "not a share"),
            (("--k", "1", "--given", "nowhere.npy"), "cannot be read"),
            (("--k", "1", "--space", "3"), "no space of pictures"),
            (("--k", "1", "--space", "nonsense"), "no encoder is called"),
        ],
    )
    def test_what_makes_no_sense(self, cli, indexed, arguments, said) -> None:
        outcome = cli("evaluate", "ann", *arguments)
        assert outcome.code == 2
        assert said in outcome.err


class TestCompare:
    def test_as_text(self, cli, table) -> None:
        outcome = cli("evaluate", "compare", "--encoder", "fake:32", "--captions", table, "--k", "1")
        assert outcome.code == 0, outcome.err
        lines = outcome.out.splitlines()
        assert lines[:3] == ["A: fake", "B: fake:32 (encoded for this)", "3 captions, ranked among 2 images"]
        assert "verdict, by the mAP of words → picture: no difference shown (paired bootstrap, 95 %)" in lines
        assert "R@1    +0.000 [+0.000, +0.000]  no difference shown" in lines

    def test_as_json(self, cli, table) -> None:
        found = cli(
            "evaluate", "compare", "--encoder", "fake:16", "--encoder", "0", "--captions", table, "--json"
        ).json("evaluate-compare")
        assert found["a"] == {"encoder": "fake:16", "stored": False}
        assert found["b"] == {"encoder": "fake", "stored": True}
        assert (found["images"], found["captions"], found["verdict"], found["against"]) == (2, 3, None, None)
        assert found["text_to_image"]["recall"][0]["k"] == 1

    def test_two_collections(self, cli, table, pictures) -> None:
        assert cli("index", pictures, "-c", "other", "--encoder", "fake:32").code == 0
        found = cli("evaluate", "compare", "-c", "default", "--against", "other", "--captions", table, "--json").json(
            "evaluate-compare"
        )
        assert found["against"]["name"] == "other"
        assert [found[side]["encoder"] for side in ("a", "b")] == ["fake", "fake:32"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "name one or two encoders"),
            (("--encoder", "0", "--against", "default"), "name one or two encoders"),
            (("--encoder", "a", "--encoder", "b", "--encoder", "c"), "name one or two encoders"),
            (("--encoder", "fake"), "the same encoder"),
            (("--against", "default"), "with itself"),
        ],
    )
    def test_what_makes_no_sense(self, cli, table, arguments, said) -> None:
        outcome = cli("evaluate", "compare", "--captions", table, *arguments)
        assert outcome.code == 2
        assert said in outcome.err

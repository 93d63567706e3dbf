"""Collections of two spaces, from making one to what a search says of them."""

from __future__ import annotations

import os

import pytest

from imseek import library


@pytest.fixture
def two(cli, pictures):
    """``pictures``, indexed into the default collection, of the spaces ``fake:64`` and ``fake:32``."""
    outcome = cli("index", pictures, "--encoder", "fake:64", "--also", "fake:32")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[1:3] == ["encoder: fake:64", "also: fake:32"]
    return pictures


class TestMaking:
    def test_create_names_every_encoder(self, cli) -> None:
        outcome = cli(
            "collection", "create", "three", "--encoder", "fake", "--also", "fake:8", "--also", "fake:4"
        )
        assert outcome.code == 0
        assert outcome.out.splitlines()[1:] == ["encoder: fake", "also: fake:8", "also: fake:4"]
        spaces = cli("info", "-c", "three", "--json").json("info")["spaces"]
        assert [(s["space_id"], s["reference"], s["dim"]) for s in spaces] == [
            (0, "fake", 64),
            (1, "fake:8", 8),
            (2, "fake:4", 4),
        ]

    @pytest.mark.parametrize(("also", "kind"), [("fake", "UsageError"), ("bultin", "UnknownEncoderError")])
    def test_what_is_refused_makes_no_collection(self, cli, also, kind) -> None:
        outcome = cli("collection", "create", "c", "--encoder", "fake", "--also", also)
        assert outcome.code == 2
        assert "hint:" in outcome.err
        assert library.list_collections(os.environ) == ()
        assert (
            cli("index", ".", "--encoder", "fake", "--also", also, "--json").json("error")["error"]["type"]
            == kind
        )

    def test_a_space_cannot_be_added_later(self, cli, two) -> None:
        outcome = cli("index", two, "--also", "fake:16")
        assert outcome.code == 2
        assert (
            outcome.err.splitlines()[-2]
            == "imseek: default has no space of fake:16, only of fake:64 and fake:32"
        )
        assert "spaces are chosen when a collection is made" in outcome.err
        assert cli("index", two, "--also", "fake:64").code == 2, "that is the first space"
        assert cli("index", two, "--also", "fake:32").code == 0


class TestSearching:
    def test_pictures_are_compared_in_both(self, cli, two) -> None:
        outcome = cli("similar", two / "red.png")
        assert outcome.code == 0
        assert (
            outcome.out.splitlines()[-1]
            == "score: the mean of the cosines in 2 spaces (50% fake:64, 50% fake:32)"
        )
        found = cli("similar", two / "red.png", "--json").json("search")
        assert found["spaces"] == [
            {"space_id": 0, "encoder": "fake:64", "weight": 0.5},
            {"space_id": 1, "encoder": "fake:32", "weight": 0.5},
        ]
        assert found["hits"][0]["path"].endswith("red.png")
        assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-3)

    def test_words_only_in_the_first(self, cli, two) -> None:
        outcome = cli("search", "red")
        assert outcome.out.splitlines()[1].endswith("red.png")
        assert "spaces" not in outcome.out
        found = cli("search", "red", "--json").json("search")
        assert found["spaces"] == [{"space_id": 0, "encoder": "fake:64", "weight": 1.0}]

    def test_one_space_says_nothing_of_spaces(self, cli, indexed) -> None:
        assert "spaces" not in cli("similar", indexed / "red.png").out


class TestInfo:
    def test_tells_of_each_space(self, cli, two) -> None:
        lines = cli("info").out.splitlines()
        assert "encoder     fake:64, 64 dimensions, fp32, words, pictures" in lines
        assert "also        fake:32, 32 dimensions, fp32, pictures" in lines

    def test_as_json(self, cli, two) -> None:
        found = cli("info", "--json").json("info")
        assert found["encoder"]["reference"] == "fake:64"
        first, second = found["spaces"]
        assert first.items() >= found["encoder"].items()
        assert (second["reference"], second["precisions"]) == ("fake:32", ["fp32"])
        assert second["modalities"] == ["image", "text"]
        report = cli("index", "--json").json("index")
        assert report["spaces"] == [
            {"space_id": 0, "encoder": "fake:64", "precision": "fp32"},
            {"space_id": 1, "encoder": "fake:32", "precision": "fp32"},
        ]

    def test_verified(self, cli, two) -> None:
        assert cli("collection", "verify", "--json").json("verify")["files_checked"] == 4

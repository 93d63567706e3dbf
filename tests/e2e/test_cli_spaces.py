"""Collections of two spaces, from making one to what a search says of them."""

from __future__ import annotations

import os

import pytest

from imseek import library
from imseek.encoders import Preset


@pytest.fixture
def two(cli, pictures):
    """``pictures``, indexed into the default collection, of the spaces ``fake:64`` and ``fake:32``."""
    outcome = cli("index", pictures, "--encoder", "fake:64", "--also", "fake:32")
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[1:3] == ["encoder: fake:64", "also: fake:32"]
    return pictures


@pytest.fixture
def two_models(tmp_path):
    """References to small models of timm, by files named from the current folder."""
    import timm
    import torch

    torch.manual_seed(0)
    for name in ("test_vit", "test_resnet"):
        model = timm.create_model(name, pretrained=False, num_classes=0)
        torch.save(model.state_dict(), tmp_path / "cwd" / f"{name}.pt")
    return "timm:test_vit.r160_in1k@test_vit.pt", "timm:test_resnet.r160_in1k@./test_resnet.pt"


class TestMaking:
    def test_create_names_every_encoder(self, cli) -> None:
        outcome = cli("collection", "create", "three", "--encoder", "fake", "--also", "fake:8", "--also", "fake:4")
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
        assert cli("index", ".", "--encoder", "fake", "--also", also, "--json").json("error")["error"]["type"] == kind

    def test_a_space_is_added_by_another_command(self, cli, two) -> None:
        outcome = cli("index", two, "--also", "fake:16")
        assert outcome.code == 2
        assert outcome.err.splitlines()[-2] == "imseek: default has no space of fake:16, only of fake:64 and fake:32"
        assert "`imseek maintain --add-space fake:16`" in outcome.err
        assert cli("index", two, "--also", "fake:64").code == 2, "that is the first space"
        assert cli("index", two, "--also", "fake:32").code == 0

    def test_the_same_command_again_may_name_a_file_relatively(self, cli, pictures, two_models) -> None:
        first, second = two_models
        command = ("index", pictures, "--encoder", first, "--also", second, "--precision", "fp32")
        made = cli(*command)
        assert made.code == 0, made.err
        again = cli(*command)
        assert again.code == 0, again.err
        assert cli(*command, "--json").json("index")["unchanged"] == 3
        other = cli("index", pictures, "--encoder", "bultin")
        assert other.code == 2
        assert "did you mean builtin" in other.err

    def test_a_preset_is_what_it_stands_for(self, cli, pictures, monkeypatch) -> None:
        preset = Preset("fast", "fake:16", "a test")
        monkeypatch.setattr("imseek.encoders.registry.PRESETS", {"fast": preset})
        for _ in range(2):
            outcome = cli("index", pictures, "--encoder", "fake", "--also", "fast")
            assert outcome.code == 0, outcome.err
        assert "also        fake:16" in cli("info").out


class TestSearching:
    def test_pictures_are_compared_in_both(self, cli, two) -> None:
        outcome = cli("similar", two / "red.png")
        assert outcome.code == 0
        assert outcome.out.splitlines()[-1] == "score: the mean of the cosines in 2 spaces (50% fake:64, 50% fake:32)"
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

    def test_the_doctor_names_both(self, cli, two) -> None:
        (line,) = (one for one in cli("doctor").out.splitlines() if one.split()[1] == "collection")
        assert line.endswith("3 images, encoder fake:64 and fake:32")

    def test_verified(self, cli, two) -> None:
        assert cli("collection", "verify", "--json").json("verify")["files_checked"] == 4

"""Aesthetic scores on the command line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from imseek import aesthetic


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setattr(aesthetic, "space_for", lambda reader, predictor: reader.current.space)
    torch.manual_seed(2)
    path = tmp_path / "sa_0_4_vit_l_14_linear.pth"
    torch.save(nn.Linear(768, 1).state_dict(), path)
    return path


class TestAesthetic:
    def test_scores_and_column(self, cli, pictures, weights) -> None:
        assert cli("index", pictures, "--encoder", "fake:768").code == 0
        outcome = cli("aesthetic", "--weights", weights, "--save", "beauty", "-n", "2")
        assert outcome.code == 0, outcome.err
        counts, head, first, second = outcome.out.splitlines()
        assert counts == "3 images scored by LAION's predictor, version 1 (fake:768)"
        assert head.split() == ["score", "id", "image"]
        assert float(first.split()[0]) >= float(second.split()[0])
        found = cli("aesthetic", "--weights", weights, "--json").json("aesthetic")
        assert (found["images"], found["version"], found["saved"]) == (3, 1, None)
        scores = [row["score"] for row in found["best"]]
        assert scores == sorted(scores, reverse=True)
        hits = cli("search", "red", "--where", f"beauty >= {scores[0] - 1e-5}", "--json").json("search")["hits"]
        assert [hit["path"] for hit in hits] == [found["best"][0]["path"]]

    def test_without_weights_it_says_where_to_look(self, cli, indexed) -> None:
        outcome = cli("aesthetic")
        assert outcome.code == 2
        assert "GitHub projects christophschuhmann/improved-aesthetic-predictor" in outcome.err
        assert "http" not in outcome.err

    def test_vectors_of_another_encoder(self, cli, indexed, tmp_path) -> None:
        torch.save(nn.Linear(768, 1).state_dict(), tmp_path / "w.pth")
        outcome = cli("aesthetic", "--weights", tmp_path / "w.pth")
        assert outcome.code == 2
        assert "are encoded by fake" in outcome.err
        assert "--add-space openclip:ViT-L-14-quickgelu/openai" in outcome.err

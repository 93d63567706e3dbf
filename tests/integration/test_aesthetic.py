"""Aesthetic scores: random weights of the true shapes, against torch's own layers; files that are refused."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from templates import Templates
from torch import nn

import imseek
from imseek import aesthetic, evaluate
from imseek.errors import EncoderError, UntrustedWeightsError, UsageError


class Improved(nn.Module):
    """As improved-aesthetic-predictor's `simple_inference.py` describes it: no activations."""

    def __init__(self, dim: int = 768) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2), nn.Linear(128, 64),
            nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
        )  # fmt: skip


@pytest.fixture
def indexed(tmp_path: Path, photos: Path, templates: Templates) -> Iterator[imseek.Collection]:
    templates.indexed(tmp_path / "c", photos, encoder="fake:768")
    with imseek.open(tmp_path / "c") as made:
        yield made


@pytest.fixture
def pretending(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any vectors are taken for those of the encoder that weights are for: it is not here."""
    monkeypatch.setattr(aesthetic, "space_for", lambda reader, predictor: reader.current.space)


def improved(path: Path, seed: int = 0, **changed: Any) -> Improved:
    torch.manual_seed(seed)
    network = Improved(**changed).eval()
    if path.suffix == ".safetensors":
        save_file(network.state_dict(), path)
    else:
        torch.save(network.state_dict(), path)
    return network


def rows_of(collection: imseek.Collection) -> dict[int, np.ndarray[Any, Any]]:
    hits = collection.search(np.ones(768), limit=100, vectors=True)
    return {h.image_id: h.vector / np.linalg.norm(h.vector) for h in hits if h.vector is not None}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.usefixtures("pretending")
def test_version_2_equals_the_network(indexed: imseek.Collection, tmp_path: Path, suffix: str) -> None:
    network = improved(tmp_path / f"weights{suffix}")
    found = evaluate.aesthetic_scores(indexed, tmp_path / f"weights{suffix}")
    rows = rows_of(indexed)
    with torch.no_grad():
        expected = {i: float(network.layers(torch.from_numpy(row.astype(np.float32))[None])) for i, row in rows.items()}
    assert dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected.values())) == 8
    assert (found.version, found.encoder) == (2, "fake:768")


@pytest.mark.usefixtures("pretending")
def test_version_1_and_saving(indexed: imseek.Collection, tmp_path: Path) -> None:
    torch.manual_seed(1)
    linear = nn.Linear(768, 1)
    torch.save(linear.state_dict(), tmp_path / "sa_0_4_vit_l_14_linear.pth")
    found = evaluate.aesthetic_scores(indexed, tmp_path / "sa_0_4_vit_l_14_linear.pth", where="format = 'PNG'")
    weight, bias = (part.detach().numpy() for part in (linear.weight, linear.bias))
    rows = rows_of(indexed)
    assert 0 < len(found.ids) < 8
    for image_id, score in zip(found.ids.tolist(), found.scores.tolist(), strict=True):
        assert score == pytest.approx(float(rows[image_id] @ weight[0] + bias[0]), abs=1e-5)
    evaluate.save(indexed, found, "aesthetic")
    stored = {h.image_id: h.metadata.get("aesthetic") for h in indexed.search(np.ones(768), limit=100)}
    assert {i: s for i, s in stored.items() if s is not None} == pytest.approx(
        dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    )
    from imseek.data.catalog import models

    model = models.find(indexed.path, "aesthetic")
    assert model is not None
    assert (model.kind, model.facts["version"]) == ("aesthetic", 1)


def test_which_encoder_weights_are_for(tmp_path: Path, photos: Path) -> None:
    improved(tmp_path / "w.pth")
    with imseek.create(tmp_path / "c", encoder="fake:768") as made:
        made.index([photos])
        with pytest.raises(UsageError, match=r"for OpenAI's ViT-L/14, .* encoded by fake:768") as refused:
            evaluate.aesthetic_scores(made, tmp_path / "w.pth")
        assert "openclip:ViT-L-14-quickgelu/openai" in str(refused.value.hint)
    torch.save(nn.Linear(512, 1).state_dict(), tmp_path / "sa_0_4_vit_b_16_linear.pth")
    assert aesthetic.load(tmp_path / "sa_0_4_vit_b_16_linear.pth").model == "ViT-B/16"
    torch.save(nn.Linear(512, 1).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(UsageError, match="ViT-B/32 or ViT-B/16"):
        aesthetic.load(tmp_path / "mine.pth")


@pytest.mark.parametrize("encoder", ["ViT-L-14/openai", "ViT-L-14-quickgelu/openai"])
def test_the_space_is_found_by_its_encoder(encoder: str) -> None:
    from types import SimpleNamespace

    from imseek.types.collection_info import SpaceInfo

    other = SpaceInfo(0, "openclip:ViT-L-14/laion2b_s32b_b82k", "f" * 64, 768, "image", "full")
    right = SpaceInfo(1, f"openclip:{encoder}", "e" * 64, 768, "image", "full")
    predictor = aesthetic.Predictor(((np.zeros((1, 768), np.float32), np.zeros(1, np.float32)),), 1, "ViT-L/14")
    reader = SimpleNamespace(current=SimpleNamespace(image_spaces=(other, right)))
    assert aesthetic.space_for(reader, predictor) == right  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="laion2b"):
        aesthetic.space_for(SimpleNamespace(current=SimpleNamespace(image_spaces=(other,))), predictor)  # type: ignore[arg-type]


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the file was run",))


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file") as refused:
        aesthetic.load(tmp_path / "none.pth")
    assert "improved-aesthetic-predictor" in str(refused.value.hint)
    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"weight": Bomb()}))
    with pytest.raises(UntrustedWeightsError):
        aesthetic.load(tmp_path / "bomb.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights at all")
        with pytest.raises(EncoderError):
            aesthetic.load(tmp_path / name)
    improved(tmp_path / "narrow.pth", dim=512)
    with pytest.raises(UsageError, match="none of LAION's predictors"):
        aesthetic.load(tmp_path / "narrow.pth")
    torch.save(nn.Linear(100, 1).state_dict(), tmp_path / "small.pth")
    with pytest.raises(UsageError, match=r"weight \(1, 100\)"):
        aesthetic.load(tmp_path / "small.pth")
    broken = nn.Linear(768, 1)
    nn.init.constant_(broken.weight, float("nan"))
    torch.save(broken.state_dict(), tmp_path / "nan.pth")
    with pytest.raises(EncoderError, match="not finite"):
        aesthetic.load(tmp_path / "nan.pth")


@pytest.mark.usefixtures("pretending")
def test_stopped(indexed: imseek.Collection, tmp_path: Path) -> None:
    improved(tmp_path / "w.pth")
    stop = threading.Event()
    stop.set()
    found = evaluate.aesthetic_scores(indexed, tmp_path / "w.pth", stop=stop)
    assert (found.interrupted, len(found.ids)) == (True, 0)

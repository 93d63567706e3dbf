"""Probabilities with a model's own scale and bias: those that open_clip computes itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch

import imseek
from imseek import labels
from imseek.analysis.space_vectors import Vectors
from imseek.data.catalog.logit_scales import read_logit_scale
from imseek.data.reader import Reader
from imseek.labels.results import Labels

SCALE, BIAS = 12.5, -3.25
CLASSES = ["cat", "coffee", "rocket"]
TINY = {
    "embed_dim": 24,
    "init_logit_scale": math.log(SCALE),
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random weights of two models that train with a softmax and with a sigmoid."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(1)
    for name, bias in (("imseek-labels-softmax", {}), ("imseek-labels-sigmoid", {"init_logit_bias": BIAS})):
        (folder / f"{name}.json").write_text(json.dumps(TINY | bias))
        open_clip.add_model_config(folder / f"{name}.json")
        safetensors.torch.save_file(open_clip.create_model(name).state_dict(), folder / f"{name}.safetensors")
    return folder


def _indexed(folder: Path, name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    encoder = f"openclip:{name}@{folder / f'{name}.safetensors'}"
    with imseek.create(tmp_path / "made", encoder=encoder) as collection:
        collection.index([photos])
    return tmp_path / "made"


def _theirs(folder: Path, name: str, pictures: np.ndarray) -> torch.Tensor:
    """Logits by open_clip, of our picture vectors and its own text vectors."""
    model = open_clip.create_model(name, pretrained=str(folder / f"{name}.safetensors")).eval()
    tokens = open_clip.get_tokenizer(name)([f"a photo of a {word}" for word in CLASSES])
    with torch.inference_mode():
        texts = model.encode_text(tokens, normalize=True)
        logits = model.logit_scale.exp() * torch.from_numpy(pictures) @ texts.T
        return logits if model.logit_bias is None else logits + model.logit_bias


def _in_order(found: Labels) -> np.ndarray:
    """(n, classes) probabilities in the order of the classes."""
    return np.take_along_axis(found.probabilities, np.argsort(found.top, axis=1), axis=1)


def test_softmax_with_the_scale_of_training(
    folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "imseek-labels-softmax"
    root = _indexed(folder, name, photos, tmp_path, monkeypatch)
    assert read_logit_scale(root, 0) == (pytest.approx(SCALE, rel=1e-5), None)
    found = labels.label(root, CLASSES, top=3)
    expected = _theirs(folder, name, Vectors(Reader(root)).of(found.image_ids)).softmax(dim=1).numpy()
    np.testing.assert_allclose(_in_order(found), expected, atol=1e-4)
    assert found.factor_source.startswith("learned in the training of openclip:imseek-labels-softmax@")
    with pytest.raises(imseek.errors.UsageError, match="not trained with a sigmoid"):
        labels.label(root, CLASSES, multi=True)


def test_sigmoid_with_the_bias_of_training(
    folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "imseek-labels-sigmoid"
    root = _indexed(folder, name, photos, tmp_path, monkeypatch)
    assert read_logit_scale(root, 0) == (pytest.approx(SCALE, rel=1e-5), pytest.approx(BIAS))
    found = labels.label(root, CLASSES, top=3, multi=True)
    expected = _theirs(folder, name, Vectors(Reader(root)).of(found.image_ids)).sigmoid().numpy()
    np.testing.assert_allclose(_in_order(found), expected, atol=1e-4)
    threshold = float(np.median(expected)) + 1e-6
    given = labels.label(root, CLASSES, top=3, multi=True, threshold=threshold).given
    assert given.tolist() == (expected >= threshold).sum(axis=1).tolist()
    assert 0 < given.sum() < expected.size

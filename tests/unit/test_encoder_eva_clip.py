"""EVA-CLIP of 8 and 18 billion parameters, reduced, against the forward pass of its paper written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import skimage.data
import torch
from parity.eva_clip import library_vectors, write

from imseek.encoders import Runtime, find_encoder, load, weights
from imseek.encoders.openclip import eva_clip
from imseek.encoders.openclip.source import register_models
from imseek.errors import EncoderError

pytestmark = pytest.mark.slow

TEXTS = ["a red apple", "two dogs and a cat in the snow"]
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.rocket()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["EVA-CLIP-8B", "EVA-CLIP-18B"])
def test_vectors_equal_those_of_the_paper(tmp_path: Path, name: str) -> None:
    encoder = load(write(tmp_path, name), runtime=Runtime(precision="fp32"))
    images, texts = library_vectors(tmp_path, PICTURES, TEXTS, after=name == "EVA-CLIP-18B")
    prepared = np.stack([encoder.prepare(picture) for picture in PICTURES])
    np.testing.assert_allclose(encoder.encode_images(prepared), images, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    assert encoder.notes(TEXTS) == (), "words run exported"
    assert (images @ images.T - np.eye(3)).max() < 0.99, "else any vectors would do"
    other, _ = library_vectors(tmp_path, PICTURES, TEXTS, after=name != "EVA-CLIP-18B")
    assert np.abs(images - other).max() > 0.01, "where norms are decides"


@pytest.mark.parametrize("name", eva_clip.MODELS)
def test_published_models_are_known(name: str) -> None:
    entry = find_encoder(f"openclip:{name}/{eva_clip.TAG}")
    assert entry is not None
    assert (entry.dim, entry.licence) == (1536 if "18B" in name else 1280, "Apache-2.0")
    register_models()
    register_models()
    assert open_clip.get_model_config(name)["text_cfg"]["layers"] == 32


def test_an_open_clip_without_registries_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("open_clip.factory._MODEL_CONFIGS")
    with pytest.raises(EncoderError, match=r"open_clip \d.* than imseek knows: cannot import name '_MODEL"):
        register_models()


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "eva.safetensors")
    torch.save({key: value for key, value in state.items() if key != "visual.norm.weight"}, tmp_path / "eva.bin")
    (tmp_path / "eva.safetensors").unlink()
    with pytest.raises(EncoderError, match="does not hold the weights"):
        load(f"local-dir:{tmp_path}").fingerprint()


def test_weights_larger_than_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Instead of being ended midway; and nothing is said of a random start where all is read."""
    reference = write(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(weights, "memory_bytes", lambda: 1_000_000)
        with pytest.raises(EncoderError, match="takes 0 GB of memory, and there are 0"):
            load(reference).fingerprint()
    caplog.clear()
    assert load(reference).fingerprint()
    assert not caplog.records

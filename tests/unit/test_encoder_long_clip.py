"""Long-CLIP's checkpoints in open_clip's models, against the forward pass of its paper written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import skimage.data
import torch
from parity.long_clip import library_vectors, write

from imseek.encoders import Runtime, find_encoder, load
from imseek.encoders.openclip import long_clip
from imseek.errors import EncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

SHORT = ["a red apple", "two dogs and a cat in the snow"]
LONG = "in the foreground a wooden table with a red apple and a green bottle, behind it a window and " * 8
PICTURES = [skimage.data.astronaut(), skimage.data.chelsea()]
TEXTS = [*SHORT, LONG, LONG[200:] + "two cats", LONG + "one more boat"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reduced model as the authors save theirs."""
    folder = tmp_path_factory.mktemp("long")
    write(folder)
    return folder


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A folder with the configuration, for other weights."""
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    return tmp_path


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "longclip.safetensors")


def test_vectors_equal_those_of_the_paper(folder: Path) -> None:
    encoder = load(f"local-dir:{folder}", runtime=Runtime(precision="fp32"))
    assert encoder.info.context_length == 248
    images, texts = library_vectors(folder, PICTURES, TEXTS)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts, atol=1e-5)
    assert encoder.notes(TEXTS) == (), "a text of 170 tokens fits, and the text tower runs exported"
    assert (texts @ texts.T - np.eye(len(TEXTS)))[:2].max() < 0.9999, "else any vectors would do"
    assert np.abs(texts[2] - texts[4]).max() > 1e-3, "what comes after 160 tokens counts"
    prepared = np.stack([encoder.prepare(picture) for picture in PICTURES])
    np.testing.assert_allclose(encoder.encode_images(prepared), images, atol=1e-5)


def test_only_longer_texts_are_cut_into_pieces(folder: Path) -> None:
    encoder = load(f"local-dir:{folder}", modalities=("text",))
    (note,) = encoder.notes([LONG * 3])
    assert "248" in note


def test_the_second_table_is_part_of_the_fingerprint(folder: Path, copy: Path) -> None:
    state = state_of(folder)
    state["positional_embedding_res"][100, 3] += 1
    torch.save(state, copy / "longclip.bin")
    assert load(f"local-dir:{copy}").fingerprint() != load(f"local-dir:{folder}").fingerprint()


@pytest.mark.parametrize("name", long_clip.MODELS)
def test_published_models_are_known(name: str) -> None:
    entry = find_encoder(f"openclip:{name}/{long_clip.TAG}")
    assert entry is not None
    assert (entry.context_length, entry.licence) == (248, "Apache-2.0")
    long_clip.register()
    long_clip.register()
    config = open_clip.get_model_config(name)
    assert config["quick_gelu"]
    assert config["text_cfg"]["context_length"] == 248
    assert open_clip.get_model_config(long_clip.MODELS[name][0])["text_cfg"]["context_length"] == 77


def test_weights_of_another_length_and_with_code_are_refused(folder: Path, copy: Path) -> None:
    state = state_of(folder)
    torch.save({**state, "positional_embedding_res": torch.randn(77, 32)}, copy / "longclip.bin")
    with pytest.raises(EncoderError, match="does not hold the weights"):
        load(f"local-dir:{copy}").fingerprint()
    torch.save({**state, "logit_scale": Path("/")}, copy / "longclip.bin")
    with pytest.raises(UntrustedWeightsError):
        load(f"local-dir:{copy}")


def test_a_published_file_goes_with_its_name(folder: Path, tmp_path: Path) -> None:
    """The file has the suffix that the authors gave it."""
    file = tmp_path / "longclip-B.pt"
    torch.save(state_of(folder), file)
    with pytest.raises(EncoderError, match="does not hold the weights of LongCLIP-B"):
        load(f"openclip:LongCLIP-B@{file}").fingerprint()
    assert load(f"openclip:LongCLIP-B@{file}").info.preprocessing["resize"] == "shortest"

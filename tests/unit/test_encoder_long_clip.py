"""Long-CLIP's checkpoints in open_clip's models, against the forward pass of its paper written out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from torch.nn import functional

from imseek.encoders import Runtime, find_encoder, load
from imseek.encoders.openclip import long_clip
from imseek.errors import EncoderError, UntrustedWeightsError

pytestmark = pytest.mark.slow

CONFIG = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 248, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
SHORT = ["a red apple", "two dogs and a cat in the snow"]
LONG = "in the foreground a wooden table with a red apple and a green bottle, behind it a window and " * 8
TEXTS = [*SHORT, LONG, LONG[200:] + "two cats", LONG + "one more boat"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reduced model as the authors save theirs: a plain state dict with two tables of positions."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    torch.manual_seed(8)
    state = open_clip.CLIP(**CONFIG).state_dict()
    state.pop("attn_mask", None)
    for name in ("positional_embedding", "positional_embedding_res"):
        state[name] = torch.randn(248, 32)
    torch.save(state, folder / "longclip.bin")
    return folder


def expected_texts(folder: Path) -> np.ndarray:
    """Token plus position: positions below 20 from the first table, all others from the second."""
    state = torch.load(folder / "longclip.bin")
    first, second = state["positional_embedding"], state.pop("positional_embedding_res")
    below = (torch.arange(248) < 20).float()[:, None]
    model = open_clip.CLIP(**CONFIG).eval()
    model.load_state_dict(state)
    ids = open_clip.tokenizer.SimpleTokenizer(context_length=248)(TEXTS)
    with torch.inference_mode():
        x = model.token_embedding(ids) + first * below + second * (1 - below)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
        return functional.normalize(x[torch.arange(len(ids)), ids.argmax(1)] @ model.text_projection, dim=-1).numpy()


def test_vectors_equal_those_of_the_paper(folder: Path) -> None:
    encoder = load(f"local-dir:{folder}", runtime=Runtime(precision="fp32"))
    assert encoder.info.context_length == 248
    expected = expected_texts(folder)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected, atol=1e-5)
    assert encoder.notes(TEXTS) == (), "a text of 170 tokens fits, and the text tower runs exported"
    assert (expected @ expected.T - np.eye(len(TEXTS)))[:2].max() < 0.9999, "else any vectors would do"
    assert np.abs(expected[2] - expected[4]).max() > 1e-3, "what comes after 160 tokens counts"
    model = open_clip.CLIP(**CONFIG).eval()
    state = torch.load(folder / "longclip.bin")
    state.pop("positional_embedding_res")
    model.load_state_dict(state)
    picture = encoder.prepare(skimage.data.chelsea())
    pixels = (picture / 255 - encoder.info.preprocessing["mean"]) / encoder.info.preprocessing["std"]
    with torch.inference_mode():
        rows = model.encode_image(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), normalize=True)
    np.testing.assert_allclose(encoder.encode_images(picture[None]), rows.numpy(), atol=1e-5)


def test_only_longer_texts_are_cut_into_pieces(folder: Path) -> None:
    encoder = load(f"local-dir:{folder}", modalities=("text",))
    (note,) = encoder.notes([LONG * 3])
    assert "248" in note


def test_the_second_table_is_part_of_the_fingerprint(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    state = torch.load(folder / "longclip.bin")
    state["positional_embedding_res"][100, 3] += 1
    torch.save(state, tmp_path / "longclip.bin")
    assert load(f"local-dir:{tmp_path}").fingerprint() != load(f"local-dir:{folder}").fingerprint()


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


def test_weights_of_another_length_and_with_code_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    state = torch.load(folder / "longclip.bin")
    torch.save({**state, "positional_embedding_res": torch.randn(77, 32)}, tmp_path / "longclip.bin")
    with pytest.raises(EncoderError, match="does not hold the weights"):
        load(f"local-dir:{tmp_path}").fingerprint()
    torch.save({**state, "logit_scale": Path("/")}, tmp_path / "longclip.bin")
    with pytest.raises(UntrustedWeightsError):
        load(f"local-dir:{tmp_path}")


def test_a_published_file_goes_with_its_name(folder: Path, tmp_path: Path) -> None:
    """The file has the suffix that the authors gave it."""
    file = tmp_path / "longclip-B.pt"
    file.write_bytes((folder / "longclip.bin").read_bytes())
    with pytest.raises(EncoderError, match="does not hold the weights of LongCLIP-B"):
        load(f"openclip:LongCLIP-B@{file}").fingerprint()
    assert load(f"openclip:LongCLIP-B@{file}").info.preprocessing["resize"] == "shortest"

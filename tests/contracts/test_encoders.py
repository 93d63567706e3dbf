"""What every encoder promises, checked on each of them: the fake, the built-in one, tiny open_clip and ALIGN models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from imseek.encoders import load
from imseek.testing.encoders import PHOTOS, TEXTS, EncoderCase, EncoderContract, encoder_case

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tiny_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An open_clip model of a tiny architecture, its random weights in a file."""
    import open_clip
    import safetensors.torch
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    config = folder / "imseek-contract-tiny.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(7)
    model = open_clip.create_model("imseek-contract-tiny")
    safetensors.torch.save_file(model.state_dict(), folder / "tiny.safetensors")
    return f"openclip:imseek-contract-tiny@{folder / 'tiny.safetensors'}"


@pytest.fixture(scope="module")
def align_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reduced ALIGN model, its random weights in a folder."""
    import parity.align  # transformers takes seconds

    folder = tmp_path_factory.mktemp("align")
    parity.align.write(folder)
    return f"align:{folder}"


@pytest.fixture(scope="module")
def naflex_reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A reduced SigLIP 2 that keeps the proportions of pictures, its random weights in a folder."""
    from parity.transformers_families import BY_KIND, write

    return write(BY_KIND["siglip2"], tmp_path_factory.mktemp("naflex"))


class TestEncoder(EncoderContract):
    @pytest.fixture(params=["fake", "fake:5", "builtin", "openclip", "align", "naflex"])
    def case(self, request: pytest.FixtureRequest) -> EncoderCase:
        name = request.param
        fixture = {"openclip": "tiny_reference", "align": "align_reference", "naflex": "naflex_reference"}.get(name)
        return encoder_case(request.getfixturevalue(fixture) if fixture else name)


def test_fingerprints_differ_among_encoders(tiny_reference: str) -> None:
    references = ("fake", "fake:5", "builtin", tiny_reference)
    assert len({load(reference).fingerprint() for reference in references}) == len(references)


@pytest.mark.parametrize(
    ("reference", "fingerprint", "image", "text", "cosine"),
    [
        (
            "fake",
            "c52af90f9cb1b0353462800ac561c9dacda5f0ca77e80f7244909509d1007e1b",
            {43: 0.32395, 24: -0.32098, 5: -0.2628, 41: -0.24409},
            {53: -0.30123, 43: 0.26614, 21: 0.26126, 22: -0.24674},
            0.13918,
        ),
        (
            "builtin",
            "7b9c257a2a4011673c214da27ebaf8915f55d15c00a68072c4223101ade29702",
            # football helmet, bobsleigh, black, brown
            {560: 0.36548, 450: 0.39732, 1000: 0.21206, 1010: 0.20704},
            # Granny Smith apple, red, custard apple, red wine
            {948: 0.64173, 1003: 0.44721, 956: 0.40124, 966: 0.3095},
            0.09191,
        ),
        (  # football helmet, bobsleigh, black, learned head; Granny Smith apple, red, learned head
            "builtin",
            "fac548627b7631e92bf63f6e2f40f3378b59e1bf25d2c9e78bc0741bed9174ae",
            {560: 0.30977, 450: 0.33676, 1000: 0.17974, 1266: 0.29996, 1263: 0.20821},
            {948: 0.54392, 1003: 0.37905, 1263: -0.12964, 1253: 0.10429},
            0.07334,
        ),
    ],
)
def test_canonical_vectors(
    reference: str,
    fingerprint: str,
    image: dict[int, float],
    text: dict[int, float],
    cosine: float,
) -> None:
    """Pinned 2026-11-24 (onnxruntime 1.32, Pillow 13.0): who changes vectors must change the fingerprint."""
    encoder = load(reference, fingerprint=fingerprint)
    assert encoder.fingerprint() == fingerprint
    image_row = encoder.encode_images(encoder.prepare(skimage.data.astronaut())[None])[0]
    text_row = encoder.encode_texts([TEXTS[0]])[0]
    assert [image_row[i] for i in image] == pytest.approx(list(image.values()), abs=1e-3)
    assert [text_row[i] for i in text] == pytest.approx(list(text.values()), abs=1e-3)
    assert float(image_row @ text_row) == pytest.approx(cosine, abs=1e-3)


def test_the_builtin_encoder_understands_photographs() -> None:
    photos = [getattr(skimage.data, name)() for name in PHOTOS]
    encoder = load("builtin")
    rows = encoder.encode_images(np.stack([encoder.prepare(photo) for photo in photos]))
    questions = ("a cat", "a cup of coffee", "a missile on its launch pad")
    best = (encoder.encode_texts(questions) @ rows.T).argmax(axis=1)
    assert [PHOTOS[i] for i in best] == ["chelsea", "coffee", "rocket"]

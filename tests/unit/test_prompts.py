"""Prompt ensembling: the published recipe, and templates that fit together with class names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch
from open_clip import zero_shot_metadata

from imseek.encoders import load, prompts
from imseek.errors import EncoderError, UsageError
from imseek.types.arrays import Float32

pytestmark = pytest.mark.slow

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
DOMAINS = ("actions", "food", "medical", "pets", "satellite", "textures")


def test_the_sets_and_their_templates() -> None:
    assert prompts.template_sets() == tuple(sorted((*DOMAINS, "imagenet")))
    for name in prompts.template_sets():
        sentences = prompts.templates(name)
        assert len(set(sentences)) == len(sentences) >= 7
        assert all(sentence.count("{}") == 1 for sentence in sentences)
        assert all(sentence == sentence.strip() and sentence.endswith(".") for sentence in sentences)


def test_imagenet_is_that_of_open_clip() -> None:
    expected = [template("tench") for template in zero_shot_metadata.OPENAI_IMAGENET_TEMPLATES]
    assert [template.format("tench") for template in prompts.templates("imagenet")] == expected
    assert len(expected) == 80
    assert prompts.imagenet_classes() == tuple(zero_shot_metadata.IMAGENET_CLASSNAMES)
    assert prompts.imagenet_classes()[:2] == ("tench", "goldfish")


def test_vectors_equal_those_of_open_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "imseek-prompts-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "imseek-prompts-tiny.json")
    torch.manual_seed(2)
    model = open_clip.create_model("imseek-prompts-tiny").eval()
    safetensors.torch.save_file(model.state_dict(), tmp_path / "tiny.safetensors")
    classes = ["tabby cat", "fire truck", "{brace}"]
    sentences = prompts.templates("imagenet")[:20] + prompts.templates("pets")
    tokenizer = open_clip.get_tokenizer("imseek-prompts-tiny")
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, classes, sentences).T.numpy()
    encoder = load(f"openclip:imseek-prompts-tiny@{tmp_path / 'tiny.safetensors'}")
    rows = prompts.class_vectors(encoder, classes, sentences)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    assert (expected @ expected.T).min() < 0.9999  # else any vectors would do


class Counting:
    """An encoder of texts of which each has a vector of its own, and whose calls can be looked at."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self._fake = load("fake:16")
        self.info = self._fake.info

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.calls.append(len(texts))
        return self._fake.encode_texts(texts)


def test_many_classes_are_encoded_in_parts_with_the_same_result() -> None:
    encoder = Counting()
    classes = [f"class{i}" for i in range(60)]
    sentences = prompts.templates("imagenet")
    rows = prompts.class_vectors(encoder, classes, sentences)  # type: ignore[arg-type]
    assert sum(encoder.calls) == 60 * 80
    assert max(encoder.calls) <= 2048
    for i in (0, 24, 25, 26, 59):
        mean = load("fake:16").encode_texts([s.replace("{}", classes[i]) for s in sentences]).mean(axis=0)
        np.testing.assert_allclose(rows[i], mean / np.linalg.norm(mean), atol=1e-6)


def test_one_bare_template_is_the_text_itself() -> None:
    encoder = load("fake")
    np.testing.assert_allclose(
        prompts.class_vectors(encoder, ["a red car", "snow"], ["{}"]),
        encoder.encode_texts(["a red car", "snow"]),
        atol=1e-6,
    )
    assert prompts.class_vectors(encoder, [], ["{}"]).shape == (0, 64)


def test_sentences_tell_photographs_apart_with_trained_weights(
    photo_files: list[Path],
) -> None:
    """The built-in encoder, whose weights are trained, over photographs that ship with scikit-image."""
    from imseek.media import decode

    encoder = load("builtin")
    by_name = {path.name: path for path in photo_files}
    pictures = [decode(by_name[name].read_bytes()).pixels for name in ("chelsea.png", "coffee.png", "rocket.jpg")]
    images = encoder.encode_images(np.stack([encoder.prepare(picture) for picture in pictures]))
    classes = ["cat", "espresso", "missile"]
    vectors = prompts.class_vectors(encoder, classes, ["{}", "a photo of a {}."])
    assert (images @ vectors.T).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("name", "hint"), [("pet", "did you mean pets"), ("zzz", "there are: actions, food")])
def test_an_unknown_set_lists_those_that_are_near(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="no set of prompts") as caught:
        prompts.templates(name)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("classes", "sentences", "message"),
    [
        (["cat"], ["a photo of a cat"], "has no place"),
        (["cat"], ["a photo of a {}", "{0}"], "has no place"),
        (["cat"], [], "no templates"),
        (["cat", " "], ["{}"], "class name is empty"),
    ],
)
def test_what_makes_no_sentence_is_refused(classes: list[str], sentences: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prompts.class_vectors(load("fake"), classes, sentences)


def test_an_encoder_without_words_says_so() -> None:
    with pytest.raises(EncoderError, match="image only"):
        prompts.class_vectors(load("fake", modalities=("image",)), ["cat"], ["{}"])


def test_templates_cost_no_import_of_open_clip() -> None:
    script = """
import sys
from imseek.encoders import prompts
prompts.templates("imagenet"), prompts.imagenet_classes()
print("open_clip" in sys.modules, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

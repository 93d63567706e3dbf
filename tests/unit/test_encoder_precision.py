"""Half precision, int8 and reduced decoding keep the vectors of trained networks, and broken pictures do not.

Fast forms of bench/precision.py's gates. The networks are EfficientNet-Lite0 (convolutions) and MiniLM (a
transformer), whose trained weights ship as packages. MiniLM reads words: its token ids travel through the image
tower as pixels, so that what is tested is the code that encodes pictures.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import nn
from torch_networks import MiniLM

from imseek.encoders.builtin.recipe import PREPROCESSING
from imseek.encoders.builtin.weights import LITE0, MINILM, TOKENIZER
from imseek.encoders.device import Plan
from imseek.encoders.int8 import Int8Images
from imseek.encoders.precision_check import MIN_MEAN_COSINE
from imseek.encoders.preprocess import Preprocessing
from imseek.encoders.runtime import Runtime
from imseek.encoders.torch_images import TorchImages
from imseek.errors import EncoderError
from imseek.media import decode
from imseek.media.resize import resize
from imseek.types.arrays import Float32, Pixels

pytestmark = pytest.mark.slow

HALF, INT8 = MIN_MEAN_COSINE["bf16"], MIN_MEAN_COSINE["int8"]
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "immunohistochemistry")
#: Pixels that arrive at the network as they are: 64 tokens of red × 256 + green, blue where there is one.
TOKENS = Preprocessing(8, "squash", "bicubic", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
ONE_THREAD = Runtime(threads=1)


def cosines(exact: Float32, rows: Float32) -> Float32:
    return (exact * rows).sum(axis=1)


def in_precision(module: nn.Module, record: Preprocessing, precision: str, pixels: Pixels) -> Float32:
    """On the CPU whether or not it has instructions for it: slow, and no less precise."""
    return TorchImages(module, record, Runtime(), Plan("cpu", precision, 8))(pixels)


# -- EfficientNet-Lite0 ------------------------------------------------------------------------------------


def lite0() -> nn.Module:
    """timm's network with the trained weights: (n, 3, 224, 224) → (n, 1280) pooled features."""
    import timm

    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = torch.load(LITE0.locate(), map_location="cpu", weights_only=True)
    # The same layers in the same order under other names (compared in test_encoder_builtin.py).
    names = [name for name in network.state_dict() if "num_batches_tracked" not in name]
    tensors = [tensor for name, tensor in state.items() if "num_batches_tracked" not in name]
    network.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    network.reset_classifier(0)
    return network


@pytest.fixture(scope="module")
def photos() -> list[Pixels]:
    """Six photographs and a quarter of each."""
    whole = [getattr(skimage.data, name)() for name in PHOTOS]
    return whole + [photo[: photo.shape[0] // 2, : photo.shape[1] // 2] for photo in whole]


@pytest.fixture(scope="module")
def squares(photos: list[Pixels]) -> Pixels:
    return np.stack([PREPROCESSING.prepare(photo) for photo in photos])


@pytest.fixture(scope="module")
def features(squares: Pixels) -> Float32:
    return in_precision(lite0(), PREPROCESSING, "fp32", squares)


@pytest.mark.parametrize(("precision", "least"), [("fp16", HALF), ("bf16", 0.998)])
def test_lite0_in_half_precision(squares: Pixels, features: Float32, precision: str, least: float) -> None:
    """bf16 just fails the gate on these depthwise convolutions: the guard then takes fp32 (test_encoder_guard.py)."""
    rows = in_precision(lite0(), PREPROCESSING, precision, squares)
    assert least <= cosines(features, rows).mean() < 1 - 1e-6
    # And each picture stays by far the nearest to itself.
    assert (features @ rows.T).argmax(axis=1).tolist() == list(range(len(rows)))


def test_broken_pictures_fail_the_gates_of_lite0(photos: list[Pixels], squares: Pixels, features: Float32) -> None:
    wrong = replace(PREPROCESSING, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    small = np.stack([PREPROCESSING.prepare(resize(photo, (16, 16))) for photo in photos])
    controls = {
        "16 × 16": in_precision(lite0(), PREPROCESSING, "fp32", small),
        "swapped channels": in_precision(lite0(), PREPROCESSING, "fp32", squares[..., ::-1]),
        "wrong mean and deviation": in_precision(lite0(), wrong, "fp32", squares),
    }
    for name, rows in controls.items():
        assert cosines(features, rows).mean() < INT8, name


# -- reduced decoding --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    """Photographs of 4 megapixels, as a camera stores them (colour at half the resolution)."""
    files = []
    for name in ("astronaut", "chelsea", "coffee"):
        file = io.BytesIO()
        large = Image.fromarray(getattr(skimage.data, name)()).resize((2400, 1800), Image.Resampling.LANCZOS)
        large.save(file, "jpeg", quality=92, subsampling="4:2:0")
        files.append(file.getvalue())
    return files


def test_reduced_decoding(jpegs: list[bytes]) -> None:
    def rows(min_side: int | None) -> Float32:
        pixels = [decode(data, min_side=min_side).pixels for data in jpegs]
        sides.append({min(one.shape[:2]) for one in pixels})
        return in_precision(lite0(), PREPROCESSING, "fp32", np.stack([PREPROCESSING.prepare(one) for one in pixels]))

    sides: list[set[int]] = []
    exact = rows(Runtime(exact_decode=True).draft_size(224))
    assert cosines(exact, rows(Runtime().draft_size(224))).mean() >= HALF
    assert cosines(exact, rows(16)).mean() < HALF  # so small that it must show
    assert sides == [{1800}, {450}, {17}]


# -- MiniLM ------------------------------------------------------------------------------------------------


class TokenTower(nn.Module):
    """MiniLM behind pixels that stand for its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MiniLM(minilm_state())

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        red, green, blue = values.flatten(2).unbind(1)
        ids = (red.long() * 256 + green.long()) % len(self.inner.words)  # the export tries random pixels
        return self.inner(ids, (blue > 0).long())


@cache
def minilm_state() -> dict[str, torch.Tensor]:
    import safetensors.torch

    return safetensors.torch.load(MINILM.read())


def texts() -> list[str]:
    subjects = ("a cat", "two old men", "the harbour of Oslo", "a red car", "my breakfast", "an astronaut")
    places = (
        "on a table",
        "in the snow at night",
        "beside a wooden house by the lake",
        "seen from above",
        "behind the window of a train",
        "at the market",
        "in black and white",
        "under a tree in spring",
        "with a dog",
        "in front of a large building",
        "near the sea",
    )
    return [f"{subject} {place}" for subject, place in itertools.product(subjects, places)]


def as_pixels(words: Sequence[str]) -> Pixels:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(TOKENIZER.read().decode())
    tokenizer.no_padding()
    pixels = np.zeros((len(words), 64, 3), dtype=np.uint8)
    for row, text in zip(pixels, words, strict=True):
        ids = np.array(tokenizer.encode(text).ids)
        row[: len(ids)] = np.stack([ids >> 8, ids & 255, np.ones_like(ids)], axis=1)
    return pixels.reshape(-1, 8, 8, 3)


@pytest.fixture(scope="module")
def sentences() -> Pixels:
    return as_pixels(texts())


@pytest.fixture(scope="module")
def meanings(sentences: Pixels) -> Float32:
    return in_precision(TokenTower(), TOKENS, "fp32", sentences)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_minilm_in_half_precision(sentences: Pixels, meanings: Float32, precision: str) -> None:
    few = slice(0, None, 6)
    rows = in_precision(TokenTower(), TOKENS, precision, sentences[few])
    assert cosines(meanings[few], rows).mean() >= HALF


def test_broken_sentences_fail_the_gates_of_minilm(meanings: Float32) -> None:
    broken: dict[str, Callable[[list[str]], list[str]]] = {
        "last word missing": lambda words: words[:-1],
        "words in reverse": lambda words: words[::-1],
    }
    for name, change in broken.items():
        pixels = as_pixels([" ".join(change(text.split())) for text in texts()])
        rows = in_precision(TokenTower(), TOKENS, "fp32", pixels)
        assert cosines(meanings, rows).mean() < INT8, name


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMSEEK_CACHE", str(folder))
        yield folder


def test_minilm_in_int8_is_made_once_and_then_needs_no_torch(
    sentences: Pixels, meanings: Float32, cache_folder: Path
) -> None:
    made: list[nn.Module] = []

    def module() -> nn.Module:
        made.append(TokenTower())
        return made[-1]

    said: list[str] = []
    rows = Int8Images(module, "a" * 64, TOKENS, ONE_THREAD, said.append)(sentences)
    assert INT8 <= cosines(meanings, rows).mean() < 1 - 1e-6
    again = Int8Images(module, "a" * 64, TOKENS, ONE_THREAD, said.append)
    np.testing.assert_array_equal(again(sentences[:5]), rows[:5])  # a row does not depend on its batch
    assert len(made) == len(said) == 1
    (folder,) = (cache_folder / "encoders").glob("int8-aaaa*[!k]")
    assert sorted(path.name for path in folder.iterdir()) == ["int8.onnx", "manifest.json"]


def test_a_network_of_convolutions_is_not_for_int8(cache_folder: Path) -> None:
    with pytest.raises(EncoderError, match="int8 is for transformers"):
        Int8Images(lite0, "b" * 64, PREPROCESSING, ONE_THREAD)
    assert not list((cache_folder / "encoders").glob("int8-bbbb*[!k]"))  # no half-made network is left

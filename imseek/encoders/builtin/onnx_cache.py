"""The built-in encoder's ONNX files, made once from the packaged weights.

One cache folder holds EfficientNet-Lite0, another MiniLM and the vectors of the class names. Only making them imports
torch.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Final

import numpy as np

from imseek.encoders.builtin.recipe import PREPROCESSING, fingerprint
from imseek.encoders.builtin.space import PROMPTS
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.builtin.weights import LITE0, MINILM, class_names
from imseek.encoders.cache import build_once, cache_dir
from imseek.encoders.checks import available_cpus, unit_rows

# Increase it when the code that writes the files changes; files with another number are ignored.
_REVISION: Final = 1
_IMAGE_NETWORK: Final = "image.onnx"
_TEXT_NETWORK: Final = "text.onnx"
_CLASSES: Final = "classes.npy"


def image_network() -> Path:
    """Return the ONNX file of EfficientNet-Lite0: ``pixels`` (n, 224, 224, 3) uint8 → (n, 1000) logits."""
    return build_once(_folder("image"), _make_image_files) / _IMAGE_NETWORK


def text_network() -> tuple[Path, Path]:
    """Return the ONNX file of MiniLM, ``ids`` and ``mask`` → (n, 384), and the (1000, 384) float32 class vectors."""
    folder = build_once(_folder("text"), _make_text_files)
    return folder / _TEXT_NETWORK, folder / _CLASSES


def _folder(modality: str) -> Path:
    return cache_dir() / "encoders" / f"builtin-{modality}-{fingerprint()[:16]}-{_REVISION}"


def _make_image_files(folder: Path) -> None:
    import torch

    from imseek.encoders.builtin.towers import EfficientNetLite0
    from imseek.encoders.onnx_network import write

    state = torch.load(io.BytesIO(LITE0.read()), map_location="cpu", weights_only=True)

    def pixels(n: int) -> dict[str, Any]:
        random = np.random.default_rng(n)
        return {"pixels": torch.from_numpy(random.integers(0, 256, (n, 224, 224, 3), dtype=np.uint8))}

    write(
        folder / _IMAGE_NETWORK,
        EfficientNetLite0(state, mean=PREPROCESSING.mean, std=PREPROCESSING.std),
        pixels(2),
        pixels(3),
        output="logits",
        dynamic={"pixels": {0: "n"}, "logits": {0: "n"}},
    )


def _make_text_files(folder: Path) -> None:
    import safetensors.torch
    import torch

    from imseek.encoders.builtin.towers import MiniLM
    from imseek.encoders.onnx_network import write

    state = safetensors.torch.load(MINILM.read())

    def tokens(n: int, length: int) -> dict[str, Any]:
        random = np.random.default_rng(n)
        mask = np.arange(length) < random.integers(2, length + 1, (n, 1))
        return {
            "ids": torch.from_numpy(random.integers(1000, 30_000, (n, length))),
            "mask": torch.from_numpy(mask.astype(np.int64)),
        }

    write(
        folder / _TEXT_NETWORK,
        MiniLM(state),
        tokens(3, 9),
        tokens(5, 31),
        output="vectors",
        dynamic={"ids": {0: "n", 1: "length"}, "mask": {0: "n", 1: "length"}, "vectors": {0: "n"}},
        external_data=True,
    )
    tower = TextTower(folder / _TEXT_NETWORK, threads=available_cpus())
    names = class_names()
    prompted = [tower([prompt.format(name) for name in names]) for prompt in PROMPTS]
    np.save(folder / _CLASSES, unit_rows(np.mean(prompted, axis=0)))

"""The built-in encoder's ONNX files, made once from the packaged weights.

One cache folder holds EfficientNet-Lite0, another MiniLM and the vectors of the class names. Neither making nor using
them imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from imseek.encoders.builtin.recipe import PREPROCESSING, REFERENCE, fingerprint
from imseek.encoders.builtin.space import PROMPTS
from imseek.encoders.builtin.text import TextTower
from imseek.encoders.builtin.weights import LITE0, MINILM, class_names
from imseek.encoders.cache import build_once, cache_dir
from imseek.encoders.input_checks import available_cpus, unit_rows

# Increase it when the code that writes the files changes; files with another number are ignored.
_REVISION: Final = 4
_IMAGE_NETWORK: Final = "image.onnx"
_TEXT_NETWORK: Final = "text.onnx"
_CLASSES: Final = "classes.npy"


def image_network() -> Path:
    """Return the ONNX file of EfficientNet-Lite0.

    ``pixels`` (n, 224, 224, 3) uint8 → ``logits`` (n, 1000), ``features`` (n, 1280) and ``cells`` (n, 1280, 7, 7).
    """
    return build_once(_folder("image"), _make_image_files) / _IMAGE_NETWORK


def text_network(notify: Callable[[str], None] | None = None) -> tuple[Path, Path]:
    """Return the ONNX file of MiniLM, ``ids`` and ``mask`` → (n, 384), and the (1000, 384) float32 class vectors.

    A second output of the file are the states of tokens. ``notify`` receives a line before the files are made, which
    takes some seconds.
    """

    def make(folder: Path) -> None:
        if notify is not None:
            notify(f"preparing the text tower of {REFERENCE}: once, some seconds")
        _make_text_files(folder)

    folder = build_once(_folder("text"), make)
    return folder / _TEXT_NETWORK, folder / _CLASSES


def _folder(modality: str) -> Path:
    return cache_dir() / "encoders" / f"builtin-{modality}-{fingerprint()[:16]}-{_REVISION}"


def _make_image_files(folder: Path) -> None:
    from imseek.encoders.builtin.onnx_graphs import write_lite0
    from imseek.encoders.builtin.torch_file import read_tensors

    state = read_tensors(LITE0.read())
    write_lite0(folder / _IMAGE_NETWORK, state, mean=PREPROCESSING.mean, std=PREPROCESSING.std)


def _make_text_files(folder: Path) -> None:
    import safetensors.numpy

    from imseek.encoders.builtin.onnx_graphs import write_minilm

    write_minilm(folder / _TEXT_NETWORK, safetensors.numpy.load(MINILM.read()))
    tower = TextTower(folder / _TEXT_NETWORK, threads=available_cpus())
    names = class_names()
    prompted = [tower([prompt.format(name) for name in names]) for prompt in PROMPTS]
    np.save(folder / _CLASSES, unit_rows(np.mean(prompted, axis=0)))

"""Aesthetic scores by LAION's predictors: small networks over unit vectors of OpenAI's CLIP, from weights that a user
has.

Version 2 (improved-aesthetic-predictor) is five linear layers, 768 → 1024 → 128 → 64 → 16 → 1, with nothing between
them but dropout; version 1 (aesthetic-predictor) is one, of 768 or 512 numbers. Scores are about 1 to 10.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.encoders import checkpoint
from imseek.errors import EncoderError, UsageError
from imseek.explore.snapshot_session import allowed
from imseek.explore.space_vectors import Vectors
from imseek.types import Float32, Progress, ProgressCallback, SpaceInfo

WHERE_TO_LOOK: Final = (
    "the weights are files of the GitHub projects christophschuhmann/improved-aesthetic-predictor (version 2) and "
    "LAION-AI/aesthetic-predictor (version 1)"
)
_WIDTHS: Final = (768, 1024, 128, 64, 16, 1)
#: In nn.Sequential with its dropouts.
_PLACES: Final = (0, 2, 4, 6, 7)
#: A space of pictures that weights are for, by the name of the model.
_MODELS: Final = {
    "ViT-L/14": ("ViT-L-14/openai", "ViT-L-14-quickgelu/openai"),
    "ViT-B/32": ("ViT-B-32/openai", "ViT-B-32-quickgelu/openai"),
    "ViT-B/16": ("ViT-B-16/openai", "ViT-B-16-quickgelu/openai"),
}
_NAMED: Final = re.compile(r"vit[_-]b[_-](16|32)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """``layers`` are weights (out, in) and biases (out,), float32; ``model`` is OpenAI's whose vectors they take."""

    layers: tuple[tuple[Float32, Float32], ...]
    version: int
    model: str

    @property
    def dim(self) -> int:
        return int(self.layers[0][0].shape[1])

    def __call__(self, rows: Float32) -> Float32:
        """(n, dim) unit rows → (n,) scores."""
        for weight, bias in self.layers:
            rows = rows @ weight.T + bias
        found: Float32 = rows[:, 0]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class AestheticScores:
    """``ids`` int64 (n,), ascending, and ``scores`` float32 (n,). ``version`` is that of the predictor. Where ``stop``
    was set, ``interrupted``: not all are there."""

    ids: Ids
    scores: Float32
    version: int
    encoder: str
    generation: int
    interrupted: bool = False

    def best(self, count: int) -> list[tuple[int, float]]:
        """The ids of the images that score most, with their scores; of equal scores those with the lower id."""
        order = np.lexsort((self.ids, -self.scores))[:count]
        return list(zip(self.ids[order].tolist(), self.scores[order].tolist(), strict=True))


def load(path: Path) -> Predictor:
    """The predictor in a file that ``torch.save`` or safetensors wrote. Raises UsageError where the file is not there
    or holds another network, UntrustedWeightsError where it could run code, EncoderError where it is damaged."""
    if not path.is_file():
        raise UsageError(f"no file {path}", hint=WHERE_TO_LOOK)
    held = checkpoint.arrays(path)
    predictor = _improved(held) or _linear(held, path.name)
    if predictor is None:
        told = ", ".join(f"{name} {tuple(array.shape)}" for name, array in list(held.items())[:4])
        raise UsageError(f"{path} is none of LAION's predictors: it holds {told} …", hint=WHERE_TO_LOOK)
    if not all(np.isfinite(part).all() for layer in predictor.layers for part in layer):
        raise EncoderError(f"{path} holds numbers that are not finite")
    return predictor


def space_for(reader: Reader, predictor: Predictor) -> SpaceInfo:
    """The space of pictures that the predictor was made for. Raises UsageError."""
    spaces = reader.current.image_spaces
    wanted = tuple(f"openclip:{name}" for name in _MODELS[predictor.model])
    for space in spaces:
        if space.encoder in wanted and space.dim == predictor.dim:
            return space
    raise UsageError(
        f"these weights are for OpenAI's {predictor.model}, and the pictures of this collection are encoded by "
        + ", ".join(space.encoder for space in spaces),
        hint=f"imseek maintain --add-space {wanted[1]} makes its vectors beside the others",
    )


def score(
    reader: Reader,
    predictor: Predictor,
    where: str | None = None,
    progress: ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> AestheticScores:
    """See :func:`imseek.evaluate.aesthetic_scores`."""
    started = time.monotonic()
    space = space_for(reader, predictor)
    vectors = Vectors(reader, space, allowed(reader, where))
    found = np.zeros(len(vectors), np.float32)
    there = np.zeros(len(vectors), np.bool_)
    for part, rows in vectors.blocks():
        if stop is not None and stop.is_set():
            break
        found[part] = predictor(rows)
        there[part] = rows.any(axis=1)  # what has no vector has no score
        if progress is not None:
            progress(Progress("scores", part.stop, len(vectors), 0, time.monotonic() - started))
    interrupted = stop is not None and stop.is_set()
    return AestheticScores(
        vectors.ids[there], found[there], predictor.version, space.encoder, reader.generation, interrupted
    )


def _improved(held: dict[str, Float32]) -> Predictor | None:
    names = [(f"layers.{n}.weight", f"layers.{n}.bias") for n in _PLACES]
    shapes = [((out, inside), (out,)) for inside, out in itertools.pairwise(_WIDTHS)]
    if set(held) != {name for pair in names for name in pair}:
        return None
    layers = tuple((held[weight], held[bias]) for weight, bias in names)
    if [(weight.shape, bias.shape) for weight, bias in layers] != shapes:
        return None
    return Predictor(layers, 2, "ViT-L/14")


def _linear(held: dict[str, Float32], name: str) -> Predictor | None:
    """Of the vectors of 512 numbers, the name of the file tells which model makes them, as the project's names do."""
    if set(held) != {"weight", "bias"} or held["bias"].shape != (1,):
        return None
    layers = ((held["weight"], held["bias"]),)
    if held["weight"].shape == (1, 768):
        return Predictor(layers, 1, "ViT-L/14")
    if held["weight"].shape != (1, 512):
        return None
    named = _NAMED.search(name)
    if named is None:
        raise UsageError(
            f"{name} does not say whether it is for ViT-B/32 or ViT-B/16",
            hint="name it as its project does: sa_0_4_vit_b_32_linear.pth",
        )
    return Predictor(layers, 1, f"ViT-B/{named[1]}")

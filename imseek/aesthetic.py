"""LAION's aesthetic predictors: small networks over unit CLIP vectors, with weights supplied by the user.

Version 2 (improved-aesthetic-predictor) has five linear layers, 768 → 1024 → 128 → 64 → 16 → 1, separated only by
dropout. Version 1 (aesthetic-predictor) has one, over 768 or 512 inputs. Scores are about 1 to 10.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import numpy as np

from imseek.analysis.snapshot_session import filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.encoders import checkpoint
from imseek.errors import EncoderError, UsageError
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.types.json_form import Count, Json, json_member

Version: TypeAlias = Literal[1, 2]
WEIGHTS_HINT: Final = (
    "the weights are files of the GitHub projects christophschuhmann/improved-aesthetic-predictor (version 2) and "
    "LAION-AI/aesthetic-predictor (version 1)"
)
_WIDTHS: Final = (768, 1024, 128, 64, 16, 1)
#: Indexes of the linear layers in nn.Sequential, which also counts the dropouts.
_LAYER_INDEXES: Final = (0, 2, 4, 6, 7)
#: Encoders whose vectors fit the weights, by OpenAI's model name.
_MODELS: Final = {
    "ViT-L/14": ("ViT-L-14/openai", "ViT-L-14-quickgelu/openai"),
    "ViT-B/32": ("ViT-B-32/openai", "ViT-B-32-quickgelu/openai"),
    "ViT-B/16": ("ViT-B-16/openai", "ViT-B-16-quickgelu/openai"),
}
_MODEL_IN_FILE_NAME: Final = re.compile(r"vit[_-]b[_-](16|32)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A linear network that maps unit vectors of OpenAI's ``model`` to scores.

    ``layers`` are weights (out, in) and biases (out,), float32.
    """

    layers: tuple[tuple[Float32, Float32], ...]
    version: Version
    model: str

    @property
    def dim(self) -> int:
        """The dimension of the input vectors."""
        return int(self.layers[0][0].shape[1])

    def __call__(self, rows: Float32) -> Float32:
        """Score unit rows: (n, dim) → (n,)."""
        for weight, bias in self.layers:
            rows = rows @ weight.T + bias
        scores: Float32 = rows[:, 0]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class AestheticScores:
    """Aesthetic scores of images."""

    ids: Annotated[Ids, Json(hidden=True)]
    """int64 (n,), ascending."""
    scores: Annotated[Float32, Json(hidden=True)]
    """float32 (n,)."""
    version: Version
    """That of the predictor; 2 is improved-aesthetic-predictor."""
    encoder: str
    """That of the pictures."""
    generation: Count
    interrupted: Annotated[bool, Json(hidden=True)] = False
    """Whether ``stop`` was set and some scores are missing."""

    @property
    @json_member()
    def images(self) -> Count:
        """Number of images that have a score."""
        return len(self.ids)

    def best(self, count: int) -> list[tuple[int, float]]:
        """Return the ``count`` highest-scoring images as (id, score); ties are broken by the lower id."""
        order = np.lexsort((self.ids, -self.scores))[:count]
        return list(zip(self.ids[order].tolist(), self.scores[order].tolist(), strict=True))


def load(path: Path) -> Predictor:
    """Load a predictor from a file written by ``torch.save`` or safetensors.

    Raises UsageError where the file does not exist or holds another network, UntrustedWeightsError where it could run
    code, EncoderError where it is damaged.
    """
    if not path.is_file():
        raise UsageError(f"no file {path}", hint=WEIGHTS_HINT)
    arrays = checkpoint.read_arrays(path)
    predictor = _build_version_2(arrays) or _build_version_1(arrays, path.name)
    if predictor is None:
        shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in list(arrays.items())[:4])
        raise UsageError(f"{path} is none of LAION's predictors: it holds {shapes} …", hint=WEIGHTS_HINT)
    if not all(np.isfinite(part).all() for layer in predictor.layers for part in layer):
        raise EncoderError(f"{path} holds numbers that are not finite")
    return predictor


def space_for(reader: Reader, predictor: Predictor) -> SpaceInfo:
    """Return the image space that the predictor was trained for. Raises UsageError where the collection has none."""
    spaces = reader.current.image_spaces
    references = tuple(f"openclip:{name}" for name in _MODELS[predictor.model])
    for space in spaces:
        if space.encoder in references and space.dim == predictor.dim:
            return space
    raise UsageError(
        f"these weights are for OpenAI's {predictor.model}, and the pictures of this collection are encoded by "
        + ", ".join(space.encoder for space in spaces),
        hint=f"imseek maintain --add-space {references[1]} makes its vectors beside the others",
    )


def score(reader: Reader, predictor: Predictor, where: str | None = None, task: Task = SILENT) -> AestheticScores:
    """Score all images or those of a filter; see :func:`imseek.evaluate.aesthetic_scores`."""
    space = space_for(reader, predictor)
    vectors = Vectors(reader, space, filter_ids(reader, where))
    scores = np.zeros(len(vectors), np.float32)
    has_vector = np.zeros(len(vectors), np.bool_)
    for part, rows in vectors.blocks():
        if task.is_cancelled:
            break
        scores[part] = predictor(rows)
        has_vector[part] = rows.any(axis=1)  # an image without a vector has no score
        task.report("scores", part.stop, len(vectors))
    return AestheticScores(
        vectors.ids[has_vector],
        scores[has_vector],
        predictor.version,
        space.encoder,
        reader.generation,
        task.is_cancelled,
    )


def _build_version_2(arrays: dict[str, Float32]) -> Predictor | None:
    """Build a version 2 predictor; None where the arrays do not match its layers."""
    names = [(f"layers.{n}.weight", f"layers.{n}.bias") for n in _LAYER_INDEXES]
    shapes = [((out, inside), (out,)) for inside, out in itertools.pairwise(_WIDTHS)]
    if set(arrays) != {name for pair in names for name in pair}:
        return None
    layers = tuple((arrays[weight], arrays[bias]) for weight, bias in names)
    if [(weight.shape, bias.shape) for weight, bias in layers] != shapes:
        return None
    return Predictor(layers, 2, "ViT-L/14")


def _build_version_1(arrays: dict[str, Float32], name: str) -> Predictor | None:
    """Build a version 1 predictor; None where the arrays do not match.

    ViT-B/32 and ViT-B/16 both have 512 dimensions: the file name tells them apart, as the project's own names do.
    Raises UsageError where it does not.
    """
    if set(arrays) != {"weight", "bias"} or arrays["bias"].shape != (1,):
        return None
    layers = ((arrays["weight"], arrays["bias"]),)
    if arrays["weight"].shape == (1, 768):
        return Predictor(layers, 1, "ViT-L/14")
    if arrays["weight"].shape != (1, 512):
        return None
    match = _MODEL_IN_FILE_NAME.search(name)
    if match is None:
        raise UsageError(
            f"{name} does not say whether it is for ViT-B/32 or ViT-B/16",
            hint="name it as its project does: sa_0_4_vit_b_32_linear.pth",
        )
    return Predictor(layers, 1, f"ViT-B/{match[1]}")

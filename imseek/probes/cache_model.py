"""The cache model: labelled vectors are keys and their classes values; nothing is trained.

Tip-Adapter (Zhang et al. 2021, equations 3 and 5): an image's affinity to a key is exp(−β (1 − cos)). Class logits sum
the affinities to the class's keys, plus the cosines with the class names if the encoder takes text. Here affinities are
averaged within a class, since tags are less balanced than the paper's data, and the names are weighted instead of the
affinities (the paper's α). For classes of equal size, the family of models is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from imseek.probes.labels import Targets
from imseek.probes.results import ProbeMethod
from imseek.types.arrays import Float32

#: Candidate values of the sharpness β.
SHARPNESSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
#: Candidate weights of the class names, relative to affinities.
WORD_WEIGHTS: Final = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
#: Maximum number of keys; larger sets are sampled by class.
MAX_KEYS: Final = 5000
_BLOCK: Final = 2048


@dataclass(frozen=True, slots=True, eq=False)
class CacheModel:
    """A cache model.

    ``keys`` (m, dim) are unit rows, ``values`` (m, classes) float32 class shares, ``words`` (classes, dim) unit rows or
    None. ``pivot`` is the cosine with affinity 1, so that a weight of words means the same for every sharpness and
    encoder: exp(β (cos − pivot)) is the paper's affinity up to a factor.
    """

    keys: Float32
    values: Float32
    words: Float32 | None
    sharpness: float
    weight: float
    pivot: float

    name: ClassVar[ProbeMethod] = "cache"

    def logits(self, rows: Float32) -> Float32:
        """Compute logits: (m, dim) unit rows → (m, classes) float32."""
        logits = np.empty((len(rows), self.values.shape[1]), np.float32)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            word_logits = np.float32(0) if self.words is None else np.float32(self.weight) * (block @ self.words.T)
            logits[start : start + _BLOCK] = (
                affinities(block @ self.keys.T, self.sharpness, self.pivot) @ self.values + word_logits
            )
        return logits

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        words = {} if self.words is None else {"words": self.words}
        return {"keys": self.keys, "values": self.values, **words}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> CacheModel:
        return cls(
            arrays["keys"],
            arrays["values"],
            arrays.get("words"),
            settings["sharpness"],
            settings["weight"],
            settings["pivot"],
        )


def affinities(cosines: Float32, sharpness: float, pivot: float) -> Float32:
    """exp(β (cos − pivot)), element by element."""
    values: Float32 = np.exp(np.float32(sharpness) * (cosines - np.float32(pivot)))
    return values


def class_shares(targets: Targets, classes: int) -> Float32:
    """Class shares (n, classes) float32: 1 over the size of its class for each image; zeros for an empty class.

    With several classes per image, images without a class count against it.
    """
    if targets.ndim == 1:
        marks = np.zeros((len(targets), classes), np.float32)
        marks[np.arange(len(targets)), targets] = 1
        against = np.zeros_like(marks)
    else:
        marks = targets.astype(np.float32)
        against = 1 - marks
    shares: Float32 = marks / np.maximum(marks.sum(axis=0), 1) - against / np.maximum(against.sum(axis=0), 1)
    return shares


def pivot_of(cosines: Float32) -> float:
    """Mean cosine of each of n labelled images with its nearest other, from (n, n) cosines."""
    others = cosines.copy()
    np.fill_diagonal(others, -1)
    return float(others.max(axis=1).mean()) if len(others) > 1 else 1.0


def build_cache_model(
    rows: Float32,
    targets: Targets,
    classes: int,
    words: Float32 | None,
    sharpness: float,
    weight: float,
    pivot: float,
) -> CacheModel:
    """Build a cache model with the given settings."""
    return CacheModel(
        np.ascontiguousarray(rows, np.float32),
        class_shares(targets, classes),
        words if weight else None,
        sharpness,
        weight,
        pivot,
    )

"""The cache model, which is not trained: the labelled vectors are keys, their classes the values.

Tip-Adapter (Zhang et al. 2021, equations 3 and 5): an image's affinity to a key is exp(−β (1 − cos)); the logits of the
classes are the affinities to their keys, and the cosines with the words of the classes where an encoder knows words.
Affinities are averaged within a class here, since tags are not as balanced as the paper's sets, and the words have a
weight instead of the affinities (the paper's α). Where classes are of equal size, that is the same family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.explore.probes.labels import Targets
from imseek.types import Float32

#: Sharpnesses β that are tried.
SHARPNESSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
#: Weights of the words that are tried; affinities count 1.
WORDS: Final = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
#: So many keys at most: a sample of the labelled, class by class.
MOST_KEYS: Final = 5000
_BLOCK: Final = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """``keys`` (m, dim) unit rows, ``values`` (m, classes) float32 shares of a class each, ``words`` (classes, dim)
    unit rows or None. ``pivot`` is the cosine at which an affinity is 1, so that the weight of words means the same for
    every sharpness and encoder: exp(β (cos − pivot)) is the paper's affinity but for a factor."""

    keys: Float32
    values: Float32
    words: Float32 | None
    sharpness: float
    weight: float
    pivot: float

    name = "cache"

    def logits(self, rows: Float32) -> Float32:
        """(m, dim) unit rows → (m, classes) float32."""
        found = np.empty((len(rows), self.values.shape[1]), np.float32)
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            said = np.float32(0) if self.words is None else np.float32(self.weight) * (some @ self.words.T)
            found[start : start + _BLOCK] = (
                affinities(some @ self.keys.T, self.sharpness, self.pivot) @ self.values + said
            )
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        words = {} if self.words is None else {"words": self.words}
        return {"keys": self.keys, "values": self.values, **words}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> Cache:
        return cls(
            arrays["keys"],
            arrays["values"],
            arrays.get("words"),
            settings["sharpness"],
            settings["weight"],
            settings["pivot"],
        )


def affinities(cosines: Float32, sharpness: float, pivot: float) -> Float32:
    """exp(β (cos − pivot)), of any shape."""
    found: Float32 = np.exp(np.float32(sharpness) * (cosines - np.float32(pivot)))
    return found


def shares(targets: Targets, classes: int) -> Float32:
    """(n, classes) float32: 1 over the size of its class for each image; where it may have several, those that lack a
    class speak against it. A class without images has zeros."""
    if targets.ndim == 1:
        marks = np.zeros((len(targets), classes), np.float32)
        marks[np.arange(len(targets)), targets] = 1
        against = np.zeros_like(marks)
    else:
        marks = targets.astype(np.float32)
        against = 1 - marks
    found: Float32 = marks / np.maximum(marks.sum(axis=0), 1) - against / np.maximum(against.sum(axis=0), 1)
    return found


def pivot_of(cosines: Float32) -> float:
    """How near the nearest other one is, on average, of (n, n) cosines of n labelled images with each other."""
    others = cosines.copy()
    np.fill_diagonal(others, -1)
    return float(others.max(axis=1).mean()) if len(others) > 1 else 1.0


def fitted(
    rows: Float32,
    targets: Targets,
    classes: int,
    words: Float32 | None,
    sharpness: float,
    weight: float,
    pivot: float,
) -> Cache:
    return Cache(
        np.ascontiguousarray(rows, np.float32),
        shares(targets, classes),
        words if weight else None,
        sharpness,
        weight,
        pivot,
    )

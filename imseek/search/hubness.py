"""Images that are near to every query, and how to push them back.

In a space of many dimensions a few vectors, hubs, are among the nearest of far more queries than their share
(Radovanović, Nanopoulos and Ivanović, *Hubs in space*, 2010). The correction is that of cross-domain similarity local
scaling (Conneau et al., *Word translation without parallel data*, 2018, section 2.3): from each image's score, a share
of what a bank of other queries scores with it at best is taken away. The other half of CSLS, the same of the query, is
equal for all images and changes no order.

It needs the vectors of the candidates only. On our data it gains nothing that could be told from chance, so it is off
unless asked for: docs/decisions/0013-hubness.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from imseek.errors import UsageError
from imseek.types import Float32

#: Everyday words: a bank for queries in words. For pictures, a sample of stored images is one.
BANK_TEXTS: Final = (
    "person", "man", "woman", "child", "crowd", "face", "hand", "animal", "dog", "cat", "bird",
    "fish", "insect", "horse", "tree", "flower", "grass", "forest", "mountain", "sea", "river",
    "lake", "sky", "cloud", "snow", "fire", "house", "building", "street", "city", "bridge",
    "church", "room", "kitchen", "table", "chair", "bed", "lamp", "window", "door", "car", "truck",
    "bus", "train", "bicycle", "boat", "airplane", "food", "fruit", "bread", "meat", "bottle",
    "book", "newspaper", "computer", "telephone", "camera", "clock", "tool", "shoe", "hat", "shirt",
    "toy", "ball",
)  # fmt: skip
#: How many of the bank's scores count, and how much: chosen on half A of the stamps.
NEAREST: Final = 20
WEIGHT: Final = 0.25


def hub_bias(vectors: Float32, bank: Float32, k: int = NEAREST) -> Float32:
    """(n,) float32: the mean of the ``k`` highest cosines of each image with the bank, in [-1, 1].

    ``vectors`` (n, dim) are unit rows of images, ``bank`` (b, dim) unit rows of queries of the kind that is asked;
    where b < k, all of them count. Raises UsageError for an empty bank and for k < 1.
    """
    if not len(bank) or k < 1:
        raise UsageError("a correction for hubs needs a bank of queries, and at least one of them")
    scores = vectors @ bank.T
    best = scores if k >= len(bank) else np.partition(scores, len(bank) - k, axis=1)[:, len(bank) - k :]
    bias: Float32 = best.mean(axis=1, dtype=np.float64).astype(np.float32)
    return bias


def corrected(scores: Float32, bias: Float32, weight: float = WEIGHT) -> Float32:
    """(n,) float32 to order images by, from their scores (n,) and :func:`hub_bias` (n,). No longer cosines.

    Take several times as many candidates as are wanted: an image may rise from beyond the last one shown.
    """
    return scores - np.float32(weight) * bias

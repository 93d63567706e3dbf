"""Propose pairs of pictures that share local features: each feature votes for the pictures that have one like it.

A vote counts as much as the feature is nearer than what is usual for it: what many pictures have, such as the corner of
a letter, says nothing (after H. Jégou, M. Douze, C. Schmid, "On the burstiness of visual elements", 2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.descriptor_index import DescriptorIndex
from imseek.duplicates.local_features.features import mirror_descriptors
from imseek.types.arrays import Float32

#: Nearest features looked at: the last of them tells what is usual.
_NEAREST: Final = 24
#: Pictures proposed for each, and the least votes, also as a share of the most that another picture has.
_MOST: Final = 6
LEAST: Final = 0.3
_LEAST_SHARE: Final = 0.08
#: Descriptors are held as bytes: the root of a share is seldom above .5.
_SCALE: Final = 510.0

PackedDescriptors = npt.NDArray[np.uint8]


def pack(descriptors: Float32) -> PackedDescriptors:
    """Return descriptors (n, 128) as bytes."""
    packed: PackedDescriptors = np.minimum(descriptors * _SCALE, 255).astype(np.uint8)
    return packed


def find_candidates(packed: Sequence[PackedDescriptors]) -> Iterator[list[tuple[int, bool]]]:
    """Yield for each picture those that share features with it, the likeliest first, and whether one is mirrored."""
    owners = np.repeat(np.arange(len(packed)), [len(one) for one in packed])
    index = DescriptorIndex(_unpack(np.concatenate([np.zeros((0, 128), np.uint8), *packed])))
    for n, descriptors in enumerate(packed):
        rows = _unpack(descriptors)
        both = rows, mirror_descriptors(rows)
        votes = np.stack([count_votes(index, one, owners, len(packed)) for one in both])
        votes[:, n] = 0
        best = votes.max(axis=0)
        order = np.argsort(-best, kind="stable")[:_MOST].tolist()
        least = max(LEAST, _LEAST_SHARE * float(best[order[1]])) if len(order) > 1 else LEAST
        yield [(at, bool(votes[1, at] > votes[0, at])) for at in order if best[at] >= least]


def _unpack(packed: PackedDescriptors) -> Float32:
    rows = packed.astype(np.float32)
    unit: Float32 = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    return unit


def count_votes(index: DescriptorIndex, queries: Float32, owners: npt.NDArray[np.int64], count: int) -> Float32:
    """Return the votes (count,) for each picture."""
    votes = np.zeros(count, np.float32)
    nearest = min(_NEAREST, len(owners))
    if not len(queries) or not nearest:
        return votes
    found, cosines = index.search(queries, nearest)
    distances = np.maximum(0, 1 - cosines)
    gains = np.maximum(0, 1 - distances / np.maximum(distances[:, -1:], 1e-6))
    # Of one picture, each feature of the query counts its nearest only.
    keys = np.arange(len(found))[:, None] * count + np.where(found < 0, 0, owners[found])
    _, first = np.unique(keys, return_index=True)
    there = first[found.ravel()[first] >= 0]
    np.add.at(votes, owners[found.ravel()[there]], gains.ravel()[there])
    return votes

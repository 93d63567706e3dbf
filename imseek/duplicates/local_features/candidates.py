"""Propose pairs of pictures that share local features: each feature votes for the pictures that have one like it.

A vote counts as much as the feature is nearer than what is usual for it: what many pictures have, such as the corner of
a letter, says nothing (after H. Jégou, M. Douze, C. Schmid, "On the burstiness of visual elements", 2009).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.data.vectors.descriptor_index import DescriptorIndex, sample_step
from imseek.duplicates.local_features.features import Descriptors, mirror_descriptors, unit_descriptors
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

#: Nearest features looked at: the last of them tells what is usual.
_NEAREST: Final = 24
#: Pictures proposed for each, and the least votes, also as a share of the most that another picture has.
_MOST: Final = 6
LEAST: Final = 0.3
_LEAST_SHARE: Final = 0.08
#: Most descriptors that are compared, as the time grows by the square; of many pictures, only the strongest of each.
_MOST_ROWS: Final = 1_000_000
#: Progress phase, which counts pictures.
INDEX_PHASE: Final = "indexing local features"


def find_candidates(pictures: Sequence[Descriptors], task: Task = SILENT) -> Iterator[list[tuple[int, bool]]]:
    """Yield for each picture those that share features with it, the likeliest first, and whether one is mirrored.

    ``pictures`` are their descriptors, the strongest first. Yields nothing if the task is cancelled while they are
    indexed. Memory: 150 bytes a descriptor, up to twice as many while they are added, and 60 MB.
    """
    most = max(1, _MOST_ROWS // max(1, len(pictures)))
    pictures = [descriptors[:most] for descriptors in pictures]
    owners = np.repeat(np.arange(len(pictures), dtype=np.int32), [len(one) for one in pictures])
    if (index := _build_index(pictures, len(owners), task)) is None:
        return
    for n, descriptors in enumerate(pictures):
        variants = descriptors, mirror_descriptors(descriptors)
        votes = np.stack([count_votes(index, unit_descriptors(one), owners, len(pictures)) for one in variants])
        votes[:, n] = 0
        best = votes.max(axis=0)
        order = np.argsort(-best, kind="stable")[:_MOST].tolist()
        least = max(LEAST, _LEAST_SHARE * float(best[order[1]])) if len(order) > 1 else LEAST
        yield [(at, bool(votes[1, at] > votes[0, at])) for at in order if best[at] >= least]


def _build_index(pictures: Sequence[Descriptors], count: int, task: Task) -> DescriptorIndex | None:
    """Return an index of the ``count`` descriptors, or None if the task is cancelled."""
    task.report(INDEX_PHASE, 0, len(pictures))
    if task.is_cancelled:
        return None
    step, start = sample_step(count), 0
    sample = [np.zeros((0, 128), np.uint8)]
    for descriptors in pictures:
        sample.append(descriptors[-start % step :: step])
        start += len(descriptors)
    index = DescriptorIndex(unit_descriptors(np.concatenate(sample)), count)
    for n, descriptors in enumerate(pictures, 1):
        if task.is_cancelled:
            return None
        if len(descriptors):
            index.add(unit_descriptors(descriptors))
        task.report(INDEX_PHASE, n, len(pictures))
    return index


def count_votes(index: DescriptorIndex, queries: Float32, owners: npt.NDArray[np.int32], count: int) -> Float32:
    """Return the votes (count,) for each picture."""
    votes = np.zeros(count, np.float32)
    nearest = min(_NEAREST, len(owners))
    if not len(queries) or not nearest:
        return votes
    rows, cosines = index.search(queries, nearest)
    distances = np.maximum(0, 1 - cosines)
    gains = np.maximum(0, 1 - distances / np.maximum(distances[:, -1:], 1e-6))
    # Each feature of the query counts only its nearest one in each picture.
    keys = np.arange(len(rows))[:, None] * count + np.where(rows < 0, 0, owners[rows])
    _, first = np.unique(keys, return_index=True)
    valid = first[rows.ravel()[first] >= 0]
    np.add.at(votes, owners[rows.ravel()[valid]], gains.ravel()[valid])
    return votes

"""Split examples into training, validation and held-out parts that share no content.

Copies, the same image in another size or format (perceptual hashes that differ in few bits), images judged the same,
and images with the same caption stay in one part. Tags occur in all parts: images are held out, not words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.search.near_duplicates import hamming
from imseek.tune.examples import Examples, connected_components

#: Shares of the groups for validation (early stopping) and for the held-out part.
VALIDATION: Final = 0.15
HELD_OUT: Final = 0.3
#: Minimum number of groups: fewer could not show a gain.
MIN_GROUPS: Final = 60
#: Maximum Hamming distance between hashes of one image.
MAX_HAMMING: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Positions of images (of :class:`Examples`) in each part, ascending, and the group of each image, from 0."""

    train: Ids
    validation: Ids
    held_out: Ids
    groups: Ids


def split_examples(reader: Reader, examples: Examples, seed: int) -> Split:
    """Split the examples. Raises UsageError where there are too few groups."""
    groups = connected_components(len(examples.ids), _edges(reader, examples))
    paired = np.unique(groups[examples.pairs[:, 1]])
    _check_enough(examples, len(paired))
    return assign_parts(groups, paired, seed)


def assign_parts(groups: Ids, paired: Ids, seed: int) -> Split:
    """Distribute the groups over three parts, separately for groups that are ``paired`` and the others."""
    generator = np.random.default_rng(seed)
    part_of = np.zeros(int(groups.max()) + 1, np.int64)
    # Images only judged different from others are distributed too: they are hard negatives.
    for part_groups in (paired, np.setdiff1d(groups, paired)):
        order = generator.permutation(part_groups)
        validation_count, held_out_count = round(VALIDATION * len(order)), round(HELD_OUT * len(order))
        part_of[order[:validation_count]] = 1
        part_of[order[validation_count : validation_count + held_out_count]] = 2
    train, validation, held_out = (np.flatnonzero(part_of[groups] == part) for part in range(3))
    return Split(train, validation, held_out, groups)


def _check_enough(examples: Examples, groups: int) -> None:
    wants = {
        "captions": "pictures with captions of their own",
        "tags": "different pictures with tags",
        "judgements": "groups of pictures that were judged the same",
    }
    if examples.source != "judgements" and len(examples.texts) < 2:
        reason = "all captions are the same" if examples.source == "captions" else "there is one tag only"
        raise UsageError(f"{reason}: nothing can be told apart by it", hint="at least two are needed")
    if groups < MIN_GROUPS:
        raise UsageError(
            f"tuning needs {MIN_GROUPS} {wants[examples.source]}, and found {groups}",
            hint="near-copies and pictures with the same caption count once; an adapter can learn --from other things",
        )


def _edges(reader: Reader, examples: Examples) -> Ids:
    """Return pairs of images (e, 2) that must be in one part."""
    rows = reader.intrinsics(examples.ids.tolist(), ["content_hash", "phash"])
    facts = [rows[image_id] for image_id in examples.ids.tolist()]
    contents = {content: n for n, content in enumerate({one["content_hash"] for one in facts})}
    edges = [_link_equal(np.array([contents[one["content_hash"]] for one in facts]))]
    edges.append(_link_near_hashes(np.array([one.get("phash", 0) for one in facts], np.uint64)))
    if examples.source == "captions":
        edges += [_link_equal(examples.pairs[:, 0], examples.pairs[:, 1])]
    if examples.source == "judgements":
        edges.append(examples.pairs)
    return np.concatenate(edges)


def _link_equal(values: Ids, names: Ids | None = None) -> Ids:
    """Link each of ``names`` (by default positions) to the next with the same value."""
    names = np.arange(len(values)) if names is None else names
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero(values[order][1:] == values[order][:-1])
    pairs: Ids = np.stack([names[order[same]], names[order[same + 1]]], axis=1)
    return pairs


def _link_near_hashes(hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> Ids:
    """Find pairs of similar perceptual hashes, ignoring 0 (unknown). Works row by row to bound memory."""
    hashed = np.flatnonzero(hashes)
    edges = []
    for n, at in enumerate(hashed.tolist()):
        later = hashed[n + 1 :]
        near = later[hamming(hashes[later], hashes[at]) <= MAX_HAMMING]
        edges.append(np.stack([np.full(len(near), at), near], axis=1))
    return np.concatenate([np.empty((0, 2), np.int64), *edges])

"""From labelled images of a collection to a probe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.explore.probes import grouping, learning
from imseek.explore.probes.labels import Labelled
from imseek.explore.probes.words import words_of
from imseek.explore.vectors import Vectors
from imseek.types import Float32


def check_classes(labelled: Labelled) -> None:
    """Raises UsageError where there is nothing to tell apart."""
    classes = labelled.classes
    if labelled.several:
        for name, count in zip(classes, labelled.counts(), strict=True):
            if count in (0, len(labelled)):
                what = "no image" if count == 0 else "every labelled image"
                raise UsageError(
                    f"{what} has the tag {name!r}: there is nothing to tell it from",
                    hint="tag some images otherwise, or name a tag for those that lack it (--negatives TAG)",
                )
    elif len(classes) < 2:
        raise UsageError(
            f"only one class is labelled, {classes[0]!r} ({len(labelled):,}): there is nothing to tell it from",
            hint="label a second one (imseek probe propose shows where it may be), or --binary TAG against others",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """What was learned, from rows less ``centre`` (dim,); the ``contents`` of the images it was learned from, and
    what is to be said."""

    learned: learning.Learned
    centre: Float32
    contents: list[bytes]
    notes: tuple[str, ...]


def taught(
    reader: Reader, vectors: Vectors, labelled: Labelled, *, words: bool = True, even: bool = True
) -> Taught:
    """A probe from what is labelled of ``vectors``; ``even`` as for :func:`learning.learn`. Raises
    MissingExtraError."""
    rows = vectors.of(labelled.ids)
    contents, hashes = grouping.facts_of(reader, labelled.ids)
    groups = grouping.groups(contents, hashes, rows)
    centre = learning.centre_of(vectors)
    said: Float32 | None = None
    notes: tuple[str, ...] = ()
    if words and not labelled.several:
        said, notes = words_of(reader, vectors.space, labelled.classes)
    found = learning.learn(
        learning.prepared(rows, centre), labelled.targets, len(labelled.classes), groups, said, even=even
    )
    return Taught(
        found, centre, contents, (*labelled.notes, *found.notes, *_remarks(labelled, groups), *notes)
    )


def _remarks(labelled: Labelled, groups: Ids) -> list[str]:
    kinds = learning.strata(labelled.targets)
    said = []
    if copies := len(groups) - len(np.unique(groups)):
        said.append(f"{copies:,} of the labelled images are copies or near-duplicates of others")
    if not labelled.several:
        single = [
            name
            for number, name in enumerate(labelled.classes)
            if len(np.unique(groups[kinds == number])) == 1
        ]
        if single:
            said.append(
                f"only one image (or copies of one) is labelled {', '.join(single)}: never held out, so not measured"
            )
        pairs = np.unique(np.stack([groups, kinds]), axis=1)[0]
        numbers, times = np.unique(pairs, return_counts=True)
        if (times > 1).any():
            both = [str(i) for i in labelled.ids[np.isin(groups, numbers[times > 1])][:6].tolist()]
            said.append(f"copies or near-duplicates have different labels: images {', '.join(both)} …")
    return said

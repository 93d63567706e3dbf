"""Compare two collections: what each has that the other lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from imseek.analysis import knn_graph
from imseek.analysis.snapshot_session import SnapshotSession, filter_ids
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.dataset import lacking_images
from imseek.dataset.rated_images import rated_images
from imseek.dataset.results import CoverageReport, CoverageSide, LackingGroup
from imseek.errors import UsageError
from imseek.progress import Cancelled, Task
from imseek.search.encoder_loader import shared_spaces
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo


def compare_coverage(
    first: SnapshotSession,
    second: SnapshotSession,
    where: str | None,
    groups: int,
    examples: int,
    expected: float,
    most: int,
    task: Task,
) -> CoverageReport:
    """Compare two open collections and report both directions.

    Raises UsageError for a collection compared with itself, or without a common encoder.
    """
    readers = first.reader, second.reader
    if readers[0].identity.uuid == readers[1].identity.uuid:
        raise UsageError("a collection cannot be compared with itself", hint="name two different ones")
    spaces = _shared_space(*readers)
    each = [Vectors(reader, space, filter_ids(reader, where)) for reader, space in zip(readers, spaces, strict=True)]
    indexes = [one.index(space) for one, space in zip((first, second), spaces, strict=True)]
    sets = [lacking_images.SetNeighbours(vectors, index) for vectors, index in zip(each, indexes, strict=True)]
    samples = [lacking_images.sample_positions(len(vectors), most) for vectors in each]
    stages = 2 * (len(samples[0]) + len(samples[1]))
    # Comparing all images with all others exactly, by block products, is several times faster.
    at_once = all(one.index.exact and len(one.vectors) <= most for one in sets)
    total, before = stages + (sum(map(len, each)) + len(each[0])) * at_once, 0

    def step(done: int) -> None:
        task.step("comparing", before + done, total)

    sides: list[CoverageSide] = []
    nearest: tuple[knn_graph.Nearest | None, knn_graph.Nearest | None] = (None, None)
    with suppress(Cancelled):  # The remaining work then stops at once.
        if at_once:
            for one in sets:
                one.learn(step)
                before += len(one.vectors)
            nearest = knn_graph.knn_between(each[0], each[1], 1, step)
            before += len(each[0])
    for n in (0, 1):
        mine, theirs, known = sets[n], sets[1 - n], nearest[n]
        found = None
        least = math.nan if task.is_cancelled else lacking_images.threshold(theirs, expected)
        if least is not None and not task.is_cancelled:
            with suppress(Cancelled):
                found = lacking_images.strangeness_to(
                    mine, theirs, samples[n], step, known and (known[0][:, 0], known[1][:, 0])
                )
        sides.append(_build_side(mine.vectors, samples[n], found, least, groups, examples))
        before += 2 * len(samples[n])
    return CoverageReport(
        encoder=spaces[0].encoder,
        expected=expected,
        a=sides[0],
        b=sides[1],
        mmd=lacking_images.mmd(*each),
        notes=_notes(sides, each),
        interrupted=task.is_cancelled,
    )


def _notes(sides: Sequence[CoverageSide], each: Sequence[Vectors]) -> tuple[str, ...]:
    names = ("the first", "the second")
    notes = []
    for n, side in enumerate(sides):
        if side.threshold is None and side.lacking:
            held = f"{len(each[1 - n])} image{'s' * (len(each[1 - n]) != 1)}"
            notes.append(
                f"{names[1 - n]} collection has {held}, too few to tell what is near there: all of {names[n]} counts "
                "as lacking"
            )
    return tuple(notes)


def _build_side(
    mine: Vectors,
    sample: Ids,
    found: tuple[Float32, Float32] | None,
    least: float | None,
    groups: int,
    examples: int,
) -> CoverageSide:
    """Report one side.

    ``found`` holds the strangeness of the images at positions ``sample`` and their nearest cosines. ``least`` is the
    threshold: None where all images count as lacking, NaN where the work was stopped first.
    """
    cosines = np.full(len(mine), np.nan, np.float32)
    if least is not None and math.isnan(least):
        least, lacking = None, sample[:0]  # Stopped before the threshold was known.
    elif found is None or least is None:
        lacking = sample if least is None else sample[:0]
    else:
        cosines[sample] = found[1]
        lacking = sample[found[0] > least]
    made = []
    for positions in lacking_images.group_similar(mine, lacking, groups):
        shown = [
            (int(mine.ids[p]), {} if np.isnan(cosines[p]) else {"cosine": round(float(cosines[p]), 6)})
            for p in positions[:examples].tolist()
        ]
        made.append(LackingGroup(len(positions), rated_images(mine.reader, shown)))
    return CoverageSide(
        uuid=mine.reader.identity.uuid,
        images=len(mine),
        asked=len(sample),
        generation=mine.reader.generation,
        threshold=least,
        lacking=len(lacking),
        nearest=None if found is None or not len(sample) else float(np.median(found[1])),
        groups=tuple(made),
    )


def _shared_space(one: Reader, other: Reader) -> tuple[SpaceInfo, SpaceInfo]:
    """Return the spaces of an encoder that both collections have. Raises UsageError where there is none."""
    if not (found := shared_spaces(one, other)):
        theirs = one.current.image_spaces[0].encoder
        raise UsageError(
            f"the collections have no encoder in common ({theirs}, {other.current.image_spaces[0].encoder}), and "
            "vectors of different encoders cannot be compared",
            hint=f"imseek maintain -c {other.root} --add-space {theirs}",
        )
    return found[0]

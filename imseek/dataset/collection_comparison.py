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
    vector_sets = [
        Vectors(reader, space, filter_ids(reader, where)) for reader, space in zip(readers, spaces, strict=True)
    ]
    indexes = [session.index(space) for session, space in zip((first, second), spaces, strict=True)]
    sets = [lacking_images.SetNeighbours(vectors, index) for vectors, index in zip(vector_sets, indexes, strict=True)]
    samples = [lacking_images.sample_positions(len(vectors), most) for vectors in vector_sets]
    stages = 2 * (len(samples[0]) + len(samples[1]))
    # Comparing all images with all others exactly, by block products, is several times faster.
    at_once = all(images.index.exact and len(images.vectors) <= most for images in sets)
    total, offset = stages + (sum(map(len, vector_sets)) + len(vector_sets[0])) * at_once, 0

    def step(count: int) -> None:
        task.step("comparing", offset + count, total)

    sides: list[CoverageSide] = []
    nearest: tuple[knn_graph.Nearest | None, knn_graph.Nearest | None] = (None, None)
    with suppress(Cancelled):  # The remaining work then stops at once.
        if at_once:
            for images in sets:
                images.learn(step)
                offset += len(images.vectors)
            nearest = knn_graph.knn_between(vector_sets[0], vector_sets[1], 1, step)
            offset += len(vector_sets[0])
    for n in (0, 1):
        subject, reference, neighbours = sets[n], sets[1 - n], nearest[n]
        ratings = None
        threshold = math.nan if task.is_cancelled else lacking_images.threshold(reference, expected)
        if threshold is not None and not task.is_cancelled:
            with suppress(Cancelled):
                ratings = lacking_images.strangeness_to(
                    subject, reference, samples[n], step, neighbours and (neighbours[0][:, 0], neighbours[1][:, 0])
                )
        sides.append(_build_side(subject.vectors, samples[n], ratings, threshold, groups, examples))
        offset += 2 * len(samples[n])
    return CoverageReport(
        encoder=spaces[0].encoder,
        expected=expected,
        a=sides[0],
        b=sides[1],
        mmd=lacking_images.mmd(*vector_sets),
        notes=_notes(sides, vector_sets),
        interrupted=task.is_cancelled,
    )


def _notes(sides: Sequence[CoverageSide], vector_sets: Sequence[Vectors]) -> tuple[str, ...]:
    names = ("the first", "the second")
    notes = []
    for n, side in enumerate(sides):
        if side.threshold is None and side.lacking:
            count = f"{len(vector_sets[1 - n])} image{'s' * (len(vector_sets[1 - n]) != 1)}"
            notes.append(
                f"{names[1 - n]} collection has {count}, too few to tell what is near there: all of {names[n]} counts "
                "as lacking"
            )
    return tuple(notes)


def _build_side(
    vectors: Vectors,
    sample: Ids,
    ratings: tuple[Float32, Float32] | None,
    threshold: float | None,
    groups: int,
    examples: int,
) -> CoverageSide:
    """Report one side.

    ``ratings`` holds the strangeness of the images at positions ``sample`` and their nearest cosines. ``threshold`` is
    None where all images count as lacking, NaN where the work was stopped first.
    """
    cosines = np.full(len(vectors), np.nan, np.float32)
    if threshold is not None and math.isnan(threshold):
        threshold, lacking = None, sample[:0]  # Stopped before the threshold was known.
    elif ratings is None or threshold is None:
        lacking = sample if threshold is None else sample[:0]
    else:
        cosines[sample] = ratings[1]
        lacking = sample[ratings[0] > threshold]
    group_list = []
    for positions in lacking_images.group_similar(vectors, lacking, groups):
        rated = [
            (int(vectors.ids[p]), {} if np.isnan(cosines[p]) else {"cosine": round(float(cosines[p]), 6)})
            for p in positions[:examples].tolist()
        ]
        group_list.append(LackingGroup(len(positions), rated_images(vectors.reader, rated)))
    return CoverageSide(
        uuid=vectors.reader.identity.uuid,
        images=len(vectors),
        asked=len(sample),
        generation=vectors.reader.generation,
        threshold=threshold,
        lacking=len(lacking),
        nearest=None if ratings is None or not len(sample) else float(np.median(ratings[1])),
        groups=tuple(group_list),
    )


def _shared_space(first: Reader, second: Reader) -> tuple[SpaceInfo, SpaceInfo]:
    """Return the spaces of an encoder that both collections have. Raises UsageError where there is none."""
    if not (spaces := shared_spaces(first, second)):
        encoder = first.current.image_spaces[0].encoder
        raise UsageError(
            f"the collections have no encoder in common ({encoder}, {second.current.image_spaces[0].encoder}), and "
            "vectors of different encoders cannot be compared",
            hint=f"imseek maintain -c {second.root} --add-space {encoder}",
        )
    return spaces[0]

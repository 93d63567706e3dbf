"""Two collections beside each other: what each has that the other lacks."""

from __future__ import annotations

import threading

import numpy as np

from imseek.data.reader import Reader
from imseek.errors import UsageError
from imseek.explore.opened import Opened
from imseek.explore.reading import allowed as allowed_of
from imseek.explore.statistics import coverage as covering
from imseek.explore.statistics.rated import rated
from imseek.explore.vectors import Vectors
from imseek.search.encoders import shared_space
from imseek.types import (
    CoverageReport,
    CoverageSide,
    Float32,
    LackingGroup,
    Progress,
    ProgressCallback,
    SpaceInfo,
)


def compared(
    first: Opened,
    second: Opened,
    where: str | None,
    groups: int,
    examples: int,
    expected: float,
    progress: ProgressCallback | None,
    stop: threading.Event,
) -> CoverageReport:
    readers = first.reader, second.reader
    if readers[0].identity.uuid == readers[1].identity.uuid:
        raise UsageError("a collection cannot be compared with itself", hint="name two")
    spaces = _shared_space(*readers)
    each = [
        Vectors(reader, space, allowed_of(reader, where))
        for reader, space in zip(readers, spaces, strict=True)
    ]
    indexes = [one.index(space) for one, space in zip((first, second), spaces, strict=True)]
    total = len(each[0]) + len(each[1])
    sides: list[CoverageSide] = []
    interrupted = False
    for n in (0, 1):
        mine, theirs = each[n], each[1 - n]
        least = covering.threshold(covering.own_nearest(theirs, indexes[1 - n]), expected)
        before = len(each[0]) if n else 0

        def tell(done: int, before: int = before) -> None:
            if progress is not None:
                progress(Progress("comparing", before + done, total, 0, 0.0))

        cosines = covering.nearest(mine, indexes[1 - n], theirs, tell, stop) if len(theirs) else None
        interrupted |= cosines is None and stop.is_set()
        sides.append(_side(mine, cosines, least, groups, examples))
    notes = tuple(
        f"{name} has too few images to tell what is near in it: nothing is counted as lacking in it"
        for name, side, theirs in zip(("the second", "the first"), sides, (each[1], each[0]), strict=True)
        if side.threshold is None and len(theirs)
    )
    return CoverageReport(
        encoder=spaces[0].encoder,
        expected=expected,
        a=sides[0],
        b=sides[1],
        mmd=covering.mmd(*each),
        notes=notes,
        interrupted=interrupted,
    )


def _side(
    mine: Vectors, cosines: Float32 | None, least: float | None, groups: int, examples: int
) -> CoverageSide:
    if cosines is None:  # There is nothing in the other one (or nobody looked): all is lacking.
        lacking = np.arange(len(mine)) if least is None else np.empty(0, np.int64)
        cosines = np.full(len(mine), np.nan, np.float32)
    else:
        lacking = np.flatnonzero(cosines < (-np.inf if least is None else least))
    made = covering.grouped(mine, lacking, groups)
    found = []
    for positions in made:
        some = positions[:examples]
        shown = [
            (int(mine.ids[p]), {} if np.isnan(cosines[p]) else {"cosine": round(float(cosines[p]), 6)})
            for p in some.tolist()
        ]
        found.append(LackingGroup(len(positions), rated(mine.reader, shown)))
    return CoverageSide(
        uuid=mine.reader.identity.uuid,
        images=len(mine),
        generation=mine.reader.generation,
        threshold=least,
        lacking=len(lacking),
        nearest=None if not len(cosines) or np.isnan(cosines).all() else float(np.nanmedian(cosines)),
        groups=tuple(found),
    )


def _shared_space(one: Reader, other: Reader) -> tuple[SpaceInfo, SpaceInfo]:
    found = shared_space(one, other)
    if found is None:
        theirs = one.current.image_spaces[0].encoder
        raise UsageError(
            f"the collections have no encoder in common ({theirs}, {other.current.image_spaces[0].encoder}), and "
            "vectors of different encoders cannot be compared",
            hint=f"imseek maintain -c {other.root} --add-space {theirs}",
        )
    return found

"""Find candidate pairs of contents: those with near perceptual hashes, and those with near vectors.

Only proposed pairs are examined further, and each content contributes a bounded number of pairs, so time and memory
grow with the number of contents, not its square. Finished parts are cached in the collection: an interrupted call
resumes there, and after a few new images only those are compared.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex
from imseek.data.vectors.range_search import StoredRows
from imseek.duplicates.candidates.hamming import Bits
from imseek.duplicates.candidates.phash_pairs import Turn, describe_cuts, distances, find_phash_pairs, keep_orientation
from imseek.duplicates.candidates.vector_pairs import find_vector_pairs
from imseek.duplicates.comparison_space import space_notes
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.unique_contents import Ids, UniqueContents
from imseek.progress import SILENT, Cancelled, Task
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.unique_numbers import unique_numbers

PHASE: Final = "measuring pairs"

#: Number of contents from which an exhaustive comparison of all vectors (without a snapshot) is worth a note.
_MANY_CONTENTS: Final = 200_000
_PAIR_BATCH: Final = 1 << 16

Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CandidateLimits:
    """Limits for candidates.

    Hashes may differ in at most ``radius`` of 64 bits; vectors need a cosine of at least ``cosine``. One content
    contributes at most ``alike`` pairs by hash and ``neighbours`` by vector, the nearest ones.
    """

    radius: int = 10
    cosine: float = 0.9
    alike: int = 32
    neighbours: int = 32


@dataclass(frozen=True, slots=True, eq=False)
class CandidateSide:
    """Contents of one collection and the index of the space to compare them in.

    ``index`` is None if vectors are not to be compared because the other collection has another encoder. ``name`` is
    the collection's UUID; ``notes`` are passed on.
    """

    name: str
    contents: UniqueContents
    space: SpaceInfo
    index: VectorIndex | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Distinct pairs in order: int64 positions ``a`` and ``b`` (m,) in the contents of the two sides.

    Within one side, ``a`` < ``b``. ``distance`` (m,) uint8 is the number of bits in which the hash of ``b`` differs
    from that of ``a`` turned by the code ``orientation`` (m,) uint8, the minimum over all codes
    (:mod:`imseek.duplicates.pixels.orientations`); 255 if a hash is unknown. ``cosine`` (m,) float32 is that of the
    stored rows, NaN if vectors are not compared. Both are exact, whatever proposed the pair. ``notes`` say what was
    left out. If ``interrupted``, there are no pairs yet.
    """

    a: Ids
    b: Ids
    distance: Bits
    orientation: Bits
    cosine: Float32
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.a)


def side_of(reader: Reader, contents: UniqueContents, space: SpaceInfo, index: VectorIndex | None) -> CandidateSide:
    """Return the contents of a generation in one of its image spaces, to which ``index`` must belong."""
    notes = space_notes(space, reader.current.image_spaces)
    return CandidateSide(reader.identity.uuid, contents, space, index, notes if index is not None else ())


def find(
    one: CandidateSide,
    other: CandidateSide | None = None,
    *,
    reach: CandidateLimits = CandidateLimits(),
    turn: Turn = keep_orientation,
    turns: int = 1,
    keep: Path | None = None,
    scope: str = "",
    task: Task = SILENT,
) -> Candidates:
    """Find the candidates within a collection, or between ``one`` and ``other``.

    ``turn`` and ``turns`` say how hashes are turned (:func:`imseek.duplicates.pixels.orientations.turn_hashes`, 8).
    ``keep`` is the folder of the collection whose cache holds finished parts; ``scope`` names what ``one`` is limited
    to, if anything. A content with hash 0 is proposed by its vector only;
    one with an all-zero vector is not proposed at all.

    Memory, at most: 250 bytes per image, 100 per pair (at most twice ``alike`` plus ``neighbours`` pairs per content),
    and 300 MB (bench/duplicates_scale.py).
    """
    vectors = one.index is not None and (other is None or other.index is not None)
    key = digest(astuple(reach), turns, one.space.fingerprint, vectors, scope, "" if other is None else other.name)
    cache = PartCache(keep, key)
    try:
        return _find(one, other, reach, turn, turns, cache, task)
    except Cancelled:
        no_ids = np.empty(0, np.int64)
        bits = np.empty(0, np.uint8)
        return Candidates(no_ids, no_ids, bits, bits, np.empty(0, np.float32), interrupted=True)


def _find(
    first: CandidateSide,
    other: CandidateSide | None,
    reach: CandidateLimits,
    turn: Turn,
    turns: int,
    cache: PartCache,
    task: Task,
) -> Candidates:
    second = other or first
    # Results of a block depend on all of the other side: one more image there, and everything is compared again.
    against = "" if other is None else digest(other.contents.ids, other.contents.hashes, other.space.fingerprint)
    alike = find_phash_pairs(
        first.contents,
        None if other is None else (other.contents, against),
        reach.radius,
        reach.alike,
        turn,
        turns,
        cache,
        task,
    )
    notes = [*dict.fromkeys(first.notes + second.notes), *describe_cuts(alike, reach.alike)]
    width = max(1, len(second.contents))
    keys = alike.a * width + alike.b
    cosine: Float32 | None = None
    if first.index is not None and second.index is not None:
        neighbours = find_vector_pairs(
            first.index,
            first.contents,
            None if other is None else (second.index, second.contents, against),
            reach.cosine,
            reach.neighbours,
            cache,
            task,
        )
        if neighbours.cut:
            notes.append(
                f"{neighbours.cut:,} pictures have vectors near those of more than {reach.neighbours} others: "
                f"of these pairs only the nearest were looked at"
            )
        if second.index.exact and len(first.contents) > _MANY_CONTENTS:
            notes.append("every vector was compared with each: `imseek maintain --index auto` makes this faster")
        neighbour_keys = neighbours.a * width + neighbours.b
        keys = unique_numbers(keys, neighbour_keys)
        cosine = np.full(len(keys), np.nan, np.float32)
        cosine[np.searchsorted(keys, neighbour_keys)] = neighbours.cosine
    a, b = np.divmod(keys, width)
    if cosine is not None:
        live = _fill_cosines(cosine, first, second, a, b, task)
        a, b, cosine = a[live], b[live], cosine[live]
    apart, codes = distances(first.contents.phashes[a], second.contents.phashes[b], turn, turns)
    if cosine is None:
        cosine = np.full(len(a), np.nan, np.float32)
    return Candidates(a, b, apart, codes, cosine, tuple(notes))


def _fill_cosines(cosine: Float32, first: CandidateSide, second: CandidateSide, a: Ids, b: Ids, task: Task) -> Bools:
    """Fill in unknown cosines (m,) in place. Return False for pairs without one, as one of their rows is all zeros."""
    assert first.index is not None
    assert second.index is not None
    rows = StoredRows(first.index.segments, first.index.dim)
    second_rows = rows if second is first else StoredRows(second.index.segments, second.index.dim)
    unknown = np.flatnonzero(np.isnan(cosine))
    for start in range(0, len(unknown), _PAIR_BATCH):
        task.step(PHASE, start, len(unknown))
        batch = unknown[start : start + _PAIR_BATCH]
        cosine[batch] = rows.cosines(first.contents.ids[a[batch]], second_rows, second.contents.ids[b[batch]])
    rows.release()
    second_rows.release()
    task.step(PHASE, len(unknown), len(unknown))
    return ~np.isnan(cosine)

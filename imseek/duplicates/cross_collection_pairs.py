"""Find what one collection shares with another: the same bytes, the same picture or the same scene.

Typical uses: training and test sets that share pictures, or a memory card that is mostly on the disk already. Equal
bytes are found by content hash. For the rest, hashes and vectors propose candidates and pixels decide, as within one
collection. Vectors are compared only if both collections have a space of the same encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from imseek.data.reader import Reader
from imseek.data.vectors import VectorIndex
from imseek.duplicates.candidates import pair_candidates
from imseek.duplicates.candidates.candidate_limit import DEFAULT_LOOKS
from imseek.duplicates.pair_reports import reach_of, to_duplicate_pairs
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.pixels.classify import ClassifiedPairs
from imseek.duplicates.pixels.luminance_cache import LuminanceCache
from imseek.duplicates.pixels.orientations import ORIENTATIONS, turn_hashes
from imseek.duplicates.pixels.verdict import DEFAULTS, UNKNOWN, Thresholds
from imseek.duplicates.pixels.verdict_cache import classify_cached
from imseek.duplicates.results import DuplicateKind, DuplicatePair
from imseek.duplicates.unique_contents import Digests, Ids, UniqueContents
from imseek.progress import SILENT, Task
from imseek.types.collection_info import SpaceInfo

#: Note for collections whose encoders differ.
NO_VECTORS: Final = (
    "the two collections have no encoder in common: pictures were proposed by their perceptual hashes alone, which "
    "miss crops, and no scenes were looked for"
)


@dataclass(frozen=True, slots=True, eq=False)
class OverlapSide:
    """One of the two collections.

    ``read`` returns the bytes of one of its images by id, or None. ``index`` is the index of ``space``, the space that
    both collections share (:func:`imseek.search.encoder_loader.shared_spaces`); both are None if they share none.
    """

    reader: Reader
    contents: UniqueContents
    read: Callable[[int], bytes | None]
    space: SpaceInfo | None = None
    index: VectorIndex | None = None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Result: pairs of ``a`` from one collection and ``b`` from the other, each the first image of its content, in
    order.

    ``notes`` say what was left out or is less certain. If ``interrupted``, the next call resumes; the pairs found so
    far are valid.
    """

    pairs: tuple[DuplicatePair, ...]
    notes: tuple[str, ...] = ()
    interrupted: bool = False


def find(
    one: OverlapSide,
    other: OverlapSide,
    kinds: Collection[DuplicateKind],
    *,
    thresholds: Thresholds = DEFAULTS,
    where: str = "",
    looks: int = DEFAULT_LOOKS,
    task: Task = SILENT,
) -> Overlap:
    """Find the contents of ``one`` that ``other`` has too, by the given ``kinds`` (exact, same, scene).

    ``where`` names the condition that selected the contents of ``one``. At most ``looks`` candidates, the most
    promising ones, are compared by pixels. Memory grows with the number of contents
    (:func:`imseek.duplicates.candidates.pair_candidates.find`), never with the product of the two. Finished parts are
    stored in the cache of ``one``. Raises StaleGenerationError and CorruptCollectionError.
    """
    mine, theirs = one.contents, other.contents
    exact_a, exact_b = match_hashes(mine.hashes, theirs.hashes)
    pairs: list[DuplicatePair] = []
    if "exact" in kinds:
        exact = partial(DuplicatePair, kind="exact", confidence=1.0, cosine=1.0, distance=0, correlation=1.0)
        pairs = [exact(int(mine.ids[a]), int(theirs.ids[b])) for a, b in zip(exact_a, exact_b, strict=True)]
    if not set(kinds) - {"exact"} or not len(mine) or not len(theirs):
        return Overlap(tuple(pairs))
    candidates = pair_candidates.find(
        _candidate_side(one),
        _candidate_side(other),
        reach=reach_of(thresholds, len(theirs)),
        turn=turn_hashes,
        turns=len(ORIENTATIONS),
        keep=one.reader.root,
        scope=where,
        task=task,
    )
    notes = candidates.notes if one.index is not None and other.index is not None else (NO_VECTORS, *candidates.notes)
    if candidates.interrupted:
        return Overlap(tuple(pairs), notes, interrupted=True)
    width = len(theirs)
    is_new = ~np.isin(candidates.a * width + candidates.b, exact_a * width + exact_b)
    classified = _classify_candidates(one, other, candidates, is_new, thresholds, where, looks, task)
    pairs += to_duplicate_pairs(classified, np.concatenate([mine.ids, theirs.ids]), kinds)
    pairs.sort(key=lambda pair: (pair.a, pair.b))
    return Overlap(tuple(pairs), notes + classified.notes, classified.interrupted)


def match_hashes(one: Digests, other: Digests) -> tuple[Ids, Ids]:
    """Return the positions (m,) int64 of equal hashes in two arrays (n, 32) of distinct hashes, ordered by the
    first."""
    words, others = (np.ascontiguousarray(side).view("V32").reshape(-1) for side in (one, other))
    # Match by the first 64 bits, then compare whole hashes in case two differ only in the rest.
    heads, tails = (np.ascontiguousarray(side).view(np.uint64)[:, 0] for side in (one, other))
    order = np.argsort(tails, kind="stable")
    low = np.searchsorted(tails[order], heads, "left")
    counts = np.searchsorted(tails[order], heads, "right") - low
    a = np.repeat(np.arange(len(words)), counts)
    b = order[np.repeat(low - (np.cumsum(counts) - counts), counts) + np.arange(len(a))]
    same = words[a] == others[b]
    return a[same], b[same]


def _candidate_side(side: OverlapSide) -> pair_candidates.CandidateSide:
    space = side.space or side.reader.current.image_spaces[0]
    return pair_candidates.CandidateSide(side.reader.identity.uuid, side.contents, space, side.index)


def _classify_candidates(
    one: OverlapSide,
    other: OverlapSide,
    candidates: pair_candidates.Candidates,
    is_new: pair_candidates.Bools,
    thresholds: Thresholds,
    where: str,
    looks: int,
    task: Task,
) -> ClassifiedPairs:
    """Classify the new candidates, with the positions of ``other`` placed after those of ``one`` to share one picture
    cache."""
    count = len(one.contents)

    def read(position: int) -> bytes | None:
        if position < count:
            return one.read(int(one.contents.ids[position]))
        return other.read(int(other.contents.ids[position - count]))

    a, b = candidates.a[is_new], candidates.b[is_new]
    return classify_cached(
        a,
        b + count,
        np.minimum(candidates.distance[is_new], np.uint8(UNKNOWN)),
        candidates.orientation[is_new],
        candidates.cosine[is_new],
        LuminanceCache(read),
        thresholds,
        one.contents.ids[a],
        (one.contents.hashes[a], other.contents.hashes[b]),
        PartCache(one.reader.root, digest("looked", other.reader.identity.uuid, where)),
        task,
        looks,
    )

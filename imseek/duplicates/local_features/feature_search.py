"""Find copies by local features: a picture turned by any angle, seen from the side, in a collage or under other things.

Features propose pairs (:mod:`imseek.duplicates.local_features.candidates`), pictures are laid over each other by the
features that match (:mod:`imseek.duplicates.local_features.alignment`), and a logistic model of what then agrees and
differs decides (:mod:`imseek.duplicates.local_features.verdict`). For pairs that it does not believe, a second model
looks at what differs, as text or a sticker may lie over a copy (:mod:`imseek.duplicates.local_features.overlay`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import numpy as np

from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.candidates import find_candidates
from imseek.duplicates.local_features.features import SIDE, FeatureDetector, Features, PackedFeatures
from imseek.duplicates.local_features.overlay import measure_overlay
from imseek.duplicates.local_features.verdict import (
    LEAST_CONFIDENCE,
    LEAST_OVERLAY_CONFIDENCE,
    LEAST_WORTH,
    copy_confidence,
    overlay_confidence,
)
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.pixels.classify import blas_pools
from imseek.duplicates.pixels.differences import PACKED_PLACES, PlaceInBoth, pack_places, unpack_places
from imseek.duplicates.pixels.orientations import BoxEdges
from imseek.duplicates.unique_contents import Digests
from imseek.errors import ImseekError
from imseek.media import decode
from imseek.progress import SILENT, Task

#: Progress phases, which count pictures.
FEATURES_PHASE: Final = "finding local features"
PAIRS_PHASE: Final = "comparing local features"
#: Most pictures that are searched.
MOST_PICTURES: Final = 5_000
#: Number of pictures held unpacked for comparison, 0.7 MB each.
_HELD: Final = 128
#: Increase when the same pictures give other results.
_VERSION: Final = 4
_COLUMNS: Final = (np.int64, np.int64, np.float64, np.float64, PACKED_PLACES)


@dataclass(frozen=True, slots=True)
class FeaturePair:
    """Two positions in the contents, ``a`` < ``b``, of which one picture shows in the other, with this probability;
    ``correlation`` is the median over windows. ``places`` says where something lies over one of them."""

    a: int
    b: int
    confidence: float
    correlation: float
    places: tuple[PlaceInBoth, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureResult:
    """``missing`` pictures could not be read."""

    pairs: tuple[FeaturePair, ...]
    missing: int = 0
    interrupted: bool = False


def find(
    hashes: Digests,
    read: Callable[[int], bytes | None],
    known_pairs: Set[tuple[int, int]],
    *,
    keep: Path | None = None,
    task: Task = SILENT,
) -> FeatureResult:
    """Find pairs among contents with ``hashes`` (n, 32), except ``known_pairs`` (of positions), which are related.

    ``read`` returns the bytes of the n-th picture, or None. ``keep`` is the folder of the collection whose cache stores
    the result for these contents, unless a picture could not be read. Memory: 300 kB a picture, and 200 MB. Raises
    MissingExtraError.
    """
    cache = PartCache(keep, digest("features", _VERSION))
    name = f"pairs-{digest(hashes, sorted(known_pairs))}"
    if (cached := cache.load(name, _COLUMNS)) is not None:
        *numbers, places = cached
        rows = zip(*(column.tolist() for column in numbers), map(unpack_places, places), strict=True)
        return FeatureResult(tuple(FeaturePair(*row) for row in rows))
    detector = FeatureDetector()
    pictures: list[PackedFeatures | None] = []
    for n in range(len(hashes)):
        task.report(FEATURES_PHASE, n, len(hashes))
        if task.is_cancelled:
            return FeatureResult((), pictures.count(None), interrupted=True)
        pictures.append(_find_features(detector, read, n))
    missing = pictures.count(None)
    compare = _Comparer(pictures)
    no_descriptors = np.zeros((0, 128), np.uint8)
    descriptors = [no_descriptors if one is None else one.descriptors for one in pictures]
    result: dict[tuple[int, int], FeaturePair] = {}
    compared: set[tuple[int, int]] = set()
    for n, candidates in enumerate(find_candidates(descriptors, task)):
        task.report(PAIRS_PHASE, n, len(hashes))
        if task.is_cancelled:
            break
        for candidate, mirrored in candidates:
            a, b = min(n, candidate), max(n, candidate)
            if (a, b) not in compared and (a, b) not in known_pairs:
                compared.add((a, b))
                if (pair := compare(a, b, mirrored=mirrored)) is not None:
                    result[a, b] = pair
    pairs = [result[key] for key in sorted(result)]
    if missing or task.is_cancelled:
        return FeatureResult(tuple(pairs), missing, task.is_cancelled)
    table = [(one.a, one.b, one.confidence, one.correlation) for one in pairs]
    columns = zip(_COLUMNS[:-1], zip(*table, strict=True) if table else [()] * (len(_COLUMNS) - 1), strict=True)
    cache.only("pairs", {name})
    places = pack_places([one.places for one in pairs])
    cache.save(name, (*(np.array(column, kind) for kind, column in columns), places))
    return FeatureResult(tuple(pairs))


def _find_features(detector: FeatureDetector, read: Callable[[int], bytes | None], n: int) -> PackedFeatures | None:
    """Return the features of the n-th picture, or None if it cannot be read."""
    try:
        if (data := read(n)) is None:
            return None
        pixels = decode(data, min_side=SIDE, measured=False).pixels
    except (ImseekError, OSError):
        return None
    return detector.find(pixels).pack()


def _unpack(pictures: Sequence[PackedFeatures | None], n: int) -> Features | None:
    packed = pictures[n]
    return None if packed is None else packed.unpack()


class _Comparer:
    """Lays pictures over each other, by their positions."""

    def __init__(self, pictures: Sequence[PackedFeatures | None]) -> None:
        self._features: Callable[[int], Features | None] = lru_cache(_HELD)(partial(_unpack, pictures))

    def __call__(self, a: int, b: int, *, mirrored: bool) -> FeaturePair | None:
        features_a, features_b = self._features(a), self._features(b)
        if features_a is None or features_b is None:
            return None
        # For products this small, waking the threads of BLAS costs more than the work.
        with blas_pools().limit(limits=1, user_api="blas"):
            alignment = align(features_a.mirrored() if mirrored else features_a, features_b)
            if alignment is None:
                return None
            confidence = copy_confidence(alignment)
            if confidence >= LEAST_CONFIDENCE:
                return FeaturePair(a, b, confidence, alignment.median)
            if confidence < LEAST_WORTH:
                return None
            overlay = measure_overlay(alignment)
        if (confidence := overlay_confidence(alignment, overlay)) < LEAST_OVERLAY_CONFIDENCE:
            return None
        places = [alignment.warped.locate(box) for box in overlay.boxes]
        if mirrored:
            places = [replace(place, a=_mirror(place.a)) for place in places]
        # As precise as in the cache.
        return FeaturePair(a, b, confidence, alignment.median, unpack_places(pack_places([places])[0]))


def _mirror(box: BoxEdges) -> BoxEdges:
    top, left, bottom, right = box
    return top, 1 - right, bottom, 1 - left

"""Shared by comparisons within and between collections: candidate limits, and conversion to reported pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

import numpy as np

from imseek.duplicates.candidates.pair_candidates import CandidateLimits
from imseek.duplicates.pixels.classify import ClassifiedPairs
from imseek.duplicates.pixels.differences import PlaceInBoth, unpack_places
from imseek.duplicates.pixels.orientations import ORIENTATIONS, BoxEdges
from imseek.duplicates.pixels.verdict import KINDS, UNKNOWN, Thresholds
from imseek.duplicates.results import Box, Difference, DuplicateKind, DuplicatePair
from imseek.duplicates.unique_contents import Ids

#: Candidates per content by vector; ``FEWER_NEIGHBOURS`` above ``MANY_CONTENTS`` contents, most of which would not be
#: compared by pixels.
NEIGHBOURS: Final = 32
FEWER_NEIGHBOURS: Final = 8
MANY_CONTENTS: Final = 100_000


def reach_of(thresholds: Thresholds, contents: int) -> CandidateLimits:
    """Return the candidate limits for this number of contents."""
    nearest = NEIGHBOURS if contents <= MANY_CONTENTS else FEWER_NEIGHBOURS
    return CandidateLimits(thresholds.near_bits, thresholds.near_cosine, neighbours=nearest)


def scope_of(where: str) -> str:
    """Return a digest of a condition for cache names, or "" if there is none."""
    return hashlib.sha256(where.encode()).hexdigest() if where else ""


def to_duplicate_pairs(classified: ClassifiedPairs, ids: Ids, kinds: Collection[DuplicateKind]) -> list[DuplicatePair]:
    """Convert found pairs of the given ``kinds`` to DuplicatePairs, in order. ``ids`` maps positions to image ids."""
    pairs = []
    for n in range(len(classified.a)):
        kind = KINDS[classified.kind[n]]
        if kind is not None and kind in kinds:
            pairs.append(
                DuplicatePair(
                    int(ids[classified.a[n]]),
                    int(ids[classified.b[n]]),
                    kind,
                    confidence=round(float(classified.confidence[n]), 6),
                    cosine=cosine_of(classified.cosine[n]),
                    distance=int(classified.distance[n]) if classified.distance[n] < UNKNOWN else None,
                    correlation=cosine_of(classified.correlation[n]),
                    orientation=ORIENTATIONS[classified.orientation[n]],
                    differences=to_differences(unpack_places(classified.places[n])),
                )
            )
    return pairs


def to_differences(places: Iterable[PlaceInBoth]) -> tuple[Difference, ...]:
    """Convert the places where two pictures differ to those of a pair."""
    return tuple(Difference(_to_box(one.a), _to_box(one.b)) for one in places)


def _to_box(edges: BoxEdges) -> Box:
    top, left, bottom, right = edges
    return Box(round(left, 4), round(top, 4), round(right - left, 4), round(bottom - top, 4))


def cosine_of(value: float | np.float32) -> float | None:
    """Clamp a cosine or correlation to [-1, 1], which rounding may have left; None for NaN."""
    return None if np.isnan(value) else max(-1.0, min(1.0, float(value)))

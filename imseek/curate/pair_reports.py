"""What comparing within a collection and comparing two have in common: how far to look, and pairs as they are told."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Final

import numpy as np

from imseek.curate.candidates.pair_candidates import Reach
from imseek.curate.pixels.classify import KINDS, UNKNOWN, Pairs, Thresholds
from imseek.curate.pixels.orientations import ORIENTATIONS
from imseek.curate.unique_contents import Ids
from imseek.types import DuplicateKind, DuplicatePair

#: Told while pictures are compared.
PHASE: Final = "looking at pictures"

#: Of each content so many are candidates by their vectors; of more contents than MANY fewer, since by far not all of
#: them would be looked at.
NEAREST: Final = 32
FEWER: Final = 8
MANY: Final = 100_000


def reach_of(thresholds: Thresholds, contents: int) -> Reach:
    """How far candidates are looked for among so many contents."""
    nearest = NEAREST if contents <= MANY else FEWER
    return Reach(thresholds.near_bits, thresholds.near_cosine, neighbours=nearest)


def scope_of(where: str) -> str:
    """What tells the contents that a condition holds for from others, in the names of what is kept."""
    return hashlib.sha256(where.encode()).hexdigest() if where else ""


def worded(found: Pairs, ids: Ids, kinds: Collection[DuplicateKind]) -> list[DuplicatePair]:
    """Those of the ``kinds``, in their order; ``ids`` are the images at the positions that ``found`` speaks of."""
    pairs = []
    for n in range(len(found.a)):
        kind = KINDS[found.kind[n]]
        if kind is not None and kind in kinds:
            pairs.append(
                DuplicatePair(
                    int(ids[found.a[n]]),
                    int(ids[found.b[n]]),
                    kind,
                    confidence=round(float(found.confidence[n]), 6),
                    cosine=cosine_of(found.cosine[n]),
                    distance=int(found.distance[n]) if found.distance[n] < UNKNOWN else None,
                    correlation=cosine_of(found.correlation[n]),
                    orientation=ORIENTATIONS[found.orientation[n]],
                )
            )
    return pairs


def cosine_of(value: float | np.float32) -> float | None:
    """A cosine or a correlation, which rounding may have carried beyond its bounds; None for NaN."""
    return None if np.isnan(value) else max(-1.0, min(1.0, float(value)))

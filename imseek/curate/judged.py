"""Judgements, which speak of contents, applied to the images that have these contents."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imseek.types import DuplicatePair, Judgement

_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs of image ids that a person has called the ``same``, and ``different``."""

    same: frozenset[frozenset[int]] = frozenset()
    different: frozenset[frozenset[int]] = frozenset()


def judged(
    judgements: Iterable[Judgement], ids: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint8]
) -> Judged:
    """Judgements of contents that are here: ``ids`` (n,) int64, one image of each content, ``hashes`` (n, 32) uint8.

    Those of other contents are passed over: they may come back. Where several images of one content are given, all of
    them are judged.
    """
    found = {"same": set[frozenset[int]](), "different": set[frozenset[int]]()}
    judgements = list(judgements)
    images = _images_of({end for judgement in judgements for end in (judgement.a, judgement.b)}, ids, hashes)
    for judgement in judgements:
        for a in images.get(judgement.a, ()):
            found[judgement.verdict] |= {frozenset((a, b)) for b in images.get(judgement.b, ())}
    return Judged(frozenset(found["same"]), frozenset(found["different"]))


def _images_of(
    wanted: Collection[str], ids: npt.NDArray[np.int64], hashes: npt.NDArray[np.uint8]
) -> dict[str, list[int]]:
    """Ids by content hash in hexadecimal. Few are judged, many are here: a part of the hash is compared first."""
    parts = np.array(sorted({int(one[:16], 16) for one in wanted}), np.uint64)
    found: dict[str, list[int]] = {}
    for start in range(0, len(ids), _BLOCK):
        block = np.ascontiguousarray(hashes[start : start + _BLOCK, :8]).view(">u8").reshape(-1)
        for n in (start + np.flatnonzero(np.isin(block.astype(np.uint64), parts))).tolist():
            if (content := hashes[n].tobytes().hex()) in wanted:
                found.setdefault(content, []).append(int(ids[n]))
    return found


def applied(pairs: Iterable[DuplicatePair], judgements: Judged) -> tuple[list[DuplicatePair], int]:
    """Pairs less those that were called different, how many these were, and plus those that were called the same.

    Pairs are of different contents. One that was found and called the same has kind *same*, is certain, and keeps what
    was measured of it.
    """
    kept, left_out, found = [], 0, set()
    for pair in pairs:
        ends = frozenset((pair.a, pair.b))
        if ends in judgements.different:
            left_out += 1
        elif ends in judgements.same:
            found.add(ends)
            kept.append(replace(pair, kind="same", confidence=1.0, judged=True))
        else:
            kept.append(pair)
    for a, b in sorted(sorted(ends) for ends in judgements.same - found):
        kept.append(DuplicatePair(a, b, "same", 1.0, judged=True))
    return kept, left_out

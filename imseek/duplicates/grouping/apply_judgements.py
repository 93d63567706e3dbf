"""Apply people's judgements of contents to the pairs found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from imseek.duplicates.results import DuplicateKind, DuplicatePair
from imseek.duplicates.unique_contents import UniqueContents
from imseek.types.duplicate_judgements import Judgement

_BLOCK = 65_536


@dataclass(frozen=True, slots=True)
class PairJudgements:
    """Pairs of contents judged ``same`` or ``different`` by a person, each by the first images of both."""

    same: frozenset[frozenset[int]] = frozenset()
    different: frozenset[frozenset[int]] = frozenset()

    def resolve(
        self, pairs: Iterable[DuplicatePair], kinds: Collection[DuplicateKind]
    ) -> tuple[list[DuplicatePair], int]:
        """Drop the pairs judged different, and return the others with the number dropped.

        If *same* is among ``kinds``, all pairs judged the same are included with certainty, whether found or not.
        """
        missing = set(self.same) if "same" in kinds else set()
        kept, left_out = [], 0
        for pair in pairs:
            both = frozenset((pair.a, pair.b))
            if both in self.different:
                left_out += 1
            elif both in missing:
                missing.discard(both)
                kept.append(replace(pair, kind="same", confidence=1.0, judged=True, differences=()))
            else:
                kept.append(pair)
        for a, b in sorted(map(sorted, missing)):
            kept.append(DuplicatePair(a, b, "same", 1.0, judged=True))
        return kept, left_out

    def among(self, contents: Collection[int]) -> PairJudgements:
        """Return the judgements on two of these ``contents`` (first images)."""
        within = frozenset(contents)
        return PairJudgements(*(frozenset(p for p in said if p <= within) for said in (self.same, self.different)))


def match_judgements(judgements: Iterable[Judgement], contents: UniqueContents) -> PairJudgements:
    """Match judgements to present contents; others are ignored, as their contents may come back."""
    said = list(judgements)
    first = _first_images({end for one in said for end in (one.a, one.b)}, contents)
    both: dict[str, set[frozenset[int]]] = {"same": set(), "different": set()}
    for one in said:
        if one.a in first and one.b in first:
            both[one.verdict].add(frozenset((first[one.a], first[one.b])))
    return PairJudgements(frozenset(both["same"]), frozenset(both["different"]))


def _first_images(wanted: Collection[str], contents: UniqueContents) -> Mapping[str, int]:
    """Map content hashes (hexadecimal) to first images. Compares 64 bits first, as few of many contents are judged."""
    parts = np.array(sorted({int(one[:16], 16) for one in wanted}), np.uint64)
    found = {}
    for start in range(0, len(contents) if len(parts) else 0, _BLOCK):
        block = np.ascontiguousarray(contents.hashes[start : start + _BLOCK, :8]).view(">u8").reshape(-1)
        for n in (start + np.flatnonzero(np.isin(block.astype(np.uint64), parts))).tolist():
            if (content := contents.hashes[n].tobytes().hex()) in wanted:
                found[content] = int(contents.ids[n])
    return found

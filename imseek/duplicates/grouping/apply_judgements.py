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
        remaining, left_out = [], 0
        for pair in pairs:
            ends = frozenset((pair.a, pair.b))
            if ends in self.different:
                left_out += 1
            elif ends in missing:
                missing.discard(ends)
                remaining.append(replace(pair, kind="same", confidence=1.0, judged=True, differences=()))
            else:
                remaining.append(pair)
        for a, b in sorted(map(sorted, missing)):
            remaining.append(DuplicatePair(a, b, "same", 1.0, judged=True))
        return remaining, left_out

    def among(self, contents: Collection[int]) -> PairJudgements:
        """Return the judgements on two of these ``contents`` (first images)."""
        content_set = frozenset(contents)
        return PairJudgements(
            *(frozenset(p for p in judged if p <= content_set) for judged in (self.same, self.different))
        )


def match_judgements(judgements: Iterable[Judgement], contents: UniqueContents) -> PairJudgements:
    """Match judgements to present contents; others are ignored, as their contents may come back."""
    all_judgements = list(judgements)
    first = _first_images({end for judgement in all_judgements for end in (judgement.a, judgement.b)}, contents)
    by_verdict: dict[str, set[frozenset[int]]] = {"same": set(), "different": set()}
    for judgement in all_judgements:
        if judgement.a in first and judgement.b in first:
            by_verdict[judgement.verdict].add(frozenset((first[judgement.a], first[judgement.b])))
    return PairJudgements(frozenset(by_verdict["same"]), frozenset(by_verdict["different"]))


def _first_images(hashes: Collection[str], contents: UniqueContents) -> Mapping[str, int]:
    """Map content hashes (hexadecimal) to first images. Compares 64 bits first, as few of many contents are judged."""
    prefixes = np.array(sorted({int(digest[:16], 16) for digest in hashes}), np.uint64)
    first_images = {}
    for start in range(0, len(contents) if len(prefixes) else 0, _BLOCK):
        block = np.ascontiguousarray(contents.hashes[start : start + _BLOCK, :8]).view(">u8").reshape(-1)
        for n in (start + np.flatnonzero(np.isin(block.astype(np.uint64), prefixes))).tolist():
            if (content := contents.hashes[n].tobytes().hex()) in hashes:
                first_images[content] = int(contents.ids[n])
    return first_images

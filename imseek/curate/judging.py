"""What people have said of contents, brought to the pairs that were found."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from imseek.curate.contents import Contents
from imseek.data import judgements
from imseek.data.contents import HashLookup
from imseek.types import DuplicateKind, DuplicatePair


@dataclass(slots=True)
class Judged:
    """Pairs of contents, each by the first images of the two. ``left_out`` counts pairs that were found all the same
    though a person has called them different."""

    same: frozenset[frozenset[int]] = frozenset()
    different: frozenset[frozenset[int]] = frozenset()
    left_out: int = field(default=0, init=False)

    def settled(
        self, pairs: Iterable[DuplicatePair], kinds: Collection[DuplicateKind]
    ) -> list[DuplicatePair]:
        """Pairs of different contents after what was said: without those that are none; and where the *same* are looked
        for, with all that are, marked."""
        missing = set(self.same) if "same" in kinds else set()
        kept = []
        for pair in pairs:
            both = frozenset((pair.a, pair.b))
            if both in self.different:
                self.left_out += 1
            elif both in missing:
                missing.discard(both)
                kept.append(replace(pair, kind="same", confidence=1.0, judged=True))
            else:
                kept.append(pair)
        for a, b in sorted(map(sorted, missing)):
            kept.append(DuplicatePair(a, b, "same", 1.0, judged=True))
        return kept


def of(root: Path, contents: Contents) -> Judged:
    """The judgements of which both contents are among these. Raises as :func:`imseek.data.judgements.read`."""
    said = judgements.read(root)
    first: dict[str, int] = {}
    lookup = HashLookup(root)
    try:
        for content in {content for one in said for content in (one.a, one.b)}:
            ids = np.array(lookup.find_all(bytes.fromhex(content)), np.int64)
            known = ids[contents.positions(ids) >= 0]  # Of an earlier generation, or a part, perhaps none.
            if len(known):
                first[content] = int(known[0])
    finally:
        lookup.close()
    both = {
        verdict: frozenset(
            frozenset((first[one.a], first[one.b]))
            for one in said
            if one.verdict == verdict and one.a in first and one.b in first
        )
        for verdict in judgements.VERDICTS
    }
    return Judged(both["same"], both["different"])

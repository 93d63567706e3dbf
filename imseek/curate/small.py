"""What pairs are and which one of a group is to stay, by simple means, until there are better ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from imseek.curate.alike import distances
from imseek.curate.candidates import Candidates
from imseek.curate.contents import Contents
from imseek.curate.groups import Confirm
from imseek.curate.orientations import ORIENTATIONS, turn_hashes
from imseek.data.vectors import VectorIndex
from imseek.data.vectors.joins import Rows
from imseek.search.collapse import ALIKE, SAME
from imseek.types import Duplicate, DuplicateKind, DuplicatePair, KeepRule

#: Two pictures of one scene: at least this cosine.
SCENE: Final = 0.90


def pairs(found: Candidates, contents: Contents, kinds: Collection[DuplicateKind]) -> Iterator[DuplicatePair]:
    """The candidates that are of one of ``kinds``, by the limits of :mod:`imseek.search.collapse`."""
    for a, b, distance, code, cosine in zip(
        found.a, found.b, found.distance, found.orientation, found.cosine, strict=True
    ):
        known = distance <= 64
        same = any(cosine >= least and distance <= most for least, most in ALIKE) if known else cosine >= SAME
        if same and "same" in kinds:
            kind: DuplicateKind = "same"
        elif cosine >= SCENE and "scene" in kinds:
            kind = "scene"
        else:
            continue
        yield DuplicatePair(
            int(contents.ids[a]),
            int(contents.ids[b]),
            kind,
            confidence=0.9 if kind == "same" else 0.5,
            cosine=None if np.isnan(cosine) else min(1.0, float(cosine)),
            distance=int(distance) if known else None,
            orientation=ORIENTATIONS[code] if known else "",
        )


def confirmed(contents: Contents, index: VectorIndex, kinds: Collection[DuplicateKind]) -> Confirm:
    """Tells by the same limits of two images, the first ones of their contents, that nobody has proposed."""
    rows = Rows(index.segments, index.dim)

    def ask(a: int, b: int) -> DuplicatePair | None:
        ids = np.array([a]), np.array([b])
        one, other = (contents.positions(image) for image in ids)
        apart, codes = distances(
            contents.phashes[one], contents.phashes[other], turn_hashes, len(ORIENTATIONS)
        )
        cosine = rows.cosines(ids[0], rows, ids[1])
        return next(pairs(Candidates(one, other, apart, codes, cosine), contents, kinds), None)

    return ask


def richness(facts: Mapping[str, Any]) -> int:
    """How many of the facts that a re-encoding tends to lose are there."""
    names = ("taken_at", "camera", "lens", "latitude", "caption")
    return sum(facts.get(name) is not None for name in names)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How one of a group is chosen: ``rule``, and folders (absolute paths) that are preferred, in this order, or whose
    pictures are to stay in any case."""

    rule: KeepRule
    prefer: Sequence[bytes] = ()
    protect: Sequence[bytes] = ()

    def ordered(
        self, members: Sequence[Duplicate], facts: Mapping[int, Mapping[str, Any]]
    ) -> tuple[list[Duplicate], str]:
        """The members, the keeper first, and why it is that."""
        tests: list[
            tuple[str, dict[int, Any]]
        ] = []  # What is asked, and of each member a value: the higher, the better
        if self.protect:
            tests.append(
                (
                    "in a protected folder",
                    {m.image_id: _below(m, self.protect) < len(self.protect) for m in members},
                )
            )
        pixels = ("more pixels", {m.image_id: m.width * m.height for m in members})
        rich = ("more metadata", {m.image_id: richness(facts.get(m.image_id, {})) for m in members})
        larger = ("the larger file", {m.image_id: m.bytes for m in members})
        folder = ("in a preferred folder", {m.image_id: -_below(m, self.prefer) for m in members})
        times = [m.taken_at for m in members if m.taken_at is not None]
        rank = {moment: n for n, moment in enumerate(sorted(set(times)), start=1)}
        newest = {m.image_id: rank.get(m.taken_at or "", 0) for m in members}
        oldest = {i: len(rank) + 1 - n if n else 0 for i, n in newest.items()}
        tests += {
            "best": [pixels, rich, larger, folder],
            "largest": [larger, pixels, rich, folder],
            "oldest": [("taken first", oldest), pixels, rich, larger, folder],
            "newest": [("taken last", newest), pixels, rich, larger, folder],
            "path-priority": [folder, pixels, rich, larger],
        }[self.rule]
        best = sorted(members, key=lambda m: (*(-int(values[m.image_id]) for _, values in tests), m.image_id))
        keeper, others = best[0].image_id, [m.image_id for m in best[1:]]
        for reason, values in tests:
            if all(values[keeper] > values[other] for other in others):
                return best, reason
            if any(values[keeper] != values[other] for other in others):
                return best, f"{reason} (not alone in that)"
        return best, "the lowest id; all else is equal"


def _below(member: Duplicate, folders: Sequence[bytes]) -> int:
    """The number of the first of ``folders`` that a member lies in; how many there are, where it is in none."""
    path = b"" if member.place is None else member.place.path
    return next(
        (n for n, one in enumerate(folders) if path == one or path.startswith(one.rstrip(b"/") + b"/")),
        len(folders),
    )

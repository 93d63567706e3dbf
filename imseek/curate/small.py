"""Which one of a group is to stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imseek.types import Duplicate, KeepRule


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

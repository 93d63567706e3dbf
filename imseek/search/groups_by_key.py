"""Groups hits by a key such as folder, day or source."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupPositions:
    """A group: its key and the ascending positions of its members."""

    key: Hashable
    positions: tuple[int, ...]


def group_positions(keys: Sequence[Hashable]) -> list[GroupPositions]:
    """Group positions by key. ``keys`` has one key per hit, best first; groups are ordered by their best hit."""
    found: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [GroupPositions(key, tuple(positions)) for key, positions in found.items()]

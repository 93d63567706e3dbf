"""Groups hits by a key such as folder, day or source."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Members:
    """A group: its key and the ascending positions of its members."""

    key: Hashable
    positions: tuple[int, ...]


def grouped(keys: Sequence[Hashable]) -> list[Members]:
    """Group positions by key. ``keys`` has one key per hit, best first; groups are ordered by their best hit."""
    found: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [Members(key, tuple(positions)) for key, positions in found.items()]

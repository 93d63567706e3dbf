"""Groups of hits: by the folder, the day or the source that they come from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Members:
    """A group: its key, and the positions of its members, which ascend."""

    key: Hashable
    positions: tuple[int, ...]


def grouped(keys: Sequence[Hashable]) -> list[Members]:
    """The groups that ``keys`` (one per hit, best first) make, in the order of their best hits."""
    found: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [Members(key, tuple(positions)) for key, positions in found.items()]

"""Cache the verdicts of the crop search, so that no pair is compared twice.

Keyed by content, so that entries survive moves and re-indexing; one file per range of ids of the containing pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.duplicates.candidates.cache import PartCache, digest
from imseek.types.arrays import Float32

#: Increase when the same pictures and rules give other results.
_VERSION: Final = 1
#: Ids per file: 64.
_BITS: Final = 6
_VALUES: Final = 7
_KINDS: Final = (np.uint64, np.bool_, *[np.float32] * _VALUES)


@dataclass(frozen=True, slots=True)
class CropVerdict:
    """Whether, where and how well a part lies in a picture: see
    :class:`imseek.duplicates.crops.crop_search.CropPair`."""

    found: bool
    agreement: float = 0.0
    correlation: float = 0.0
    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    visible: float = 0.0


class CropCache:
    """Verdicts by image id and content hash of the picture, and content hash of the part, under the given ``rules``.

    Access pictures in the order of their ids: the entries of one file are held at a time. ``root`` is the collection's
    folder; None disables the cache.
    """

    def __init__(self, root: Path | None, rules: Hashable) -> None:
        self._cache = PartCache(root, digest("inside", _VERSION, rules))
        self._group: int | None = None
        self._pairs: dict[int, CropVerdict] = {}
        self._changed = False

    def get(self, whole_id: int, whole: bytes, part: bytes) -> CropVerdict | None:
        self._open_group(whole_id >> _BITS)
        return self._pairs.get(_key(whole, part))

    def put(self, whole_id: int, whole: bytes, part: bytes, seen: CropVerdict) -> None:
        self._open_group(whole_id >> _BITS)
        self._pairs[_key(whole, part)] = seen
        self._changed = True

    def save(self) -> None:
        """Write the unsaved entries."""
        if self._group is None or not self._changed:
            return
        keys = np.fromiter(self._pairs, np.uint64, len(self._pairs))
        found = np.array([seen.found for seen in self._pairs.values()], np.bool_)
        numbers = np.array([astuple(seen)[1:] for seen in self._pairs.values()], np.float32)
        self._cache.save(_name(self._group), (keys, found, *numbers.T))
        self._changed = False

    def _open_group(self, group: int) -> None:
        if group == self._group:
            return
        self.save()
        self._group, self._pairs, self._changed = group, {}, False
        if (arrays := self._cache.load(_name(group), _KINDS)) is not None:
            keys, found, *numbers = arrays
            rows: Float32 = np.stack(numbers, axis=1)
            for key, yes, row in zip(keys.tolist(), found.tolist(), rows.tolist(), strict=True):
                self._pairs[key] = CropVerdict(yes, *row)


def _name(group: int) -> str:
    return f"inside-{group:08d}"


def _key(whole: bytes, part: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(whole + part, digest_size=8).digest(), "little")

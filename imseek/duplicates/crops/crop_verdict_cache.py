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

from imseek.duplicates.part_cache import CacheTable, PartCache, digest

#: Increase when the same pictures and rules give other results.
_VERSION: Final = 2
#: Ids per file: 64.
_BITS: Final = 6
#: Columns of a :class:`CropVerdict`.
_VALUES: Final = (np.bool_, *[np.float32] * 7)


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
        self._table: CacheTable | None = None

    def get(self, whole_id: int, whole: bytes, part: bytes) -> CropVerdict | None:
        row = self._table_of(whole_id).get(_key(whole, part))
        return None if row is None else CropVerdict(*row)

    def put(self, whole_id: int, whole: bytes, part: bytes, verdict: CropVerdict) -> None:
        self._table_of(whole_id).put(_key(whole, part), row=astuple(verdict))

    def save(self) -> None:
        """Write the unsaved entries."""
        if self._table is not None:
            self._table.save()

    def _table_of(self, whole_id: int) -> CacheTable:
        group = whole_id >> _BITS
        if self._table is None or group != self._group:
            self.save()
            self._group, self._table = group, CacheTable(self._cache, f"inside-{group:08d}", (np.uint64,), _VALUES)
        return self._table


def _key(whole: bytes, part: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(whole + part, digest_size=8).digest(), "little")

"""Find copies by local features: a picture turned by any angle, seen from the side, in a collage or under other things.

Features propose pairs (:mod:`imseek.duplicates.local_features.candidates`), pictures are laid over each other by the
features that match (:mod:`imseek.duplicates.local_features.alignment`), and a logistic model of what then agrees and
differs decides (:mod:`imseek.duplicates.local_features.verdict`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from imseek.duplicates.local_features.alignment import align
from imseek.duplicates.local_features.candidates import PackedDescriptors, find_candidates, pack
from imseek.duplicates.local_features.features import FeatureDetector, Features
from imseek.duplicates.local_features.verdict import LEAST_CONFIDENCE, copy_confidence
from imseek.duplicates.part_cache import PartCache, digest
from imseek.duplicates.pixels.classify import blas_pools
from imseek.duplicates.unique_contents import Digests
from imseek.errors import ImseekError
from imseek.media import decode
from imseek.progress import SILENT, Task

#: Progress phases, which count pictures.
FEATURES_PHASE: Final = "finding local features"
PAIRS_PHASE: Final = "comparing local features"
#: Most pictures that are searched: their features are held in memory, 100 kB of each.
MOST_PICTURES: Final = 5_000
#: Pictures whose features are held for comparison.
_HELD: Final = 128
#: Increase when the same pictures give other results.
_VERSION: Final = 1
_COLUMNS: Final = (np.int64, np.int64, np.float64, np.float64)


@dataclass(frozen=True, slots=True)
class FeaturePair:
    """Two positions in the contents, ``a`` < ``b``, of which one picture shows in the other, with this probability;
    ``correlation`` is the median over windows."""

    a: int
    b: int
    confidence: float
    correlation: float


@dataclass(frozen=True, slots=True)
class FeatureResult:
    """``missing`` pictures could not be read."""

    pairs: tuple[FeaturePair, ...]
    missing: int = 0
    interrupted: bool = False


def find(
    hashes: Digests,
    read: Callable[[int], bytes | None],
    known: Set[tuple[int, int]],
    *,
    keep: Path | None = None,
    task: Task = SILENT,
) -> FeatureResult:
    """Find pairs among contents with ``hashes`` (n, 32), except those ``known``, by positions, to be related.

    ``read`` returns the bytes of the n-th picture, or None. ``keep`` is the folder of the collection whose cache stores
    the result for these contents. Raises MissingExtraError.
    """
    cache = PartCache(keep, digest("features", _VERSION))
    name = f"pairs-{digest(hashes, sorted(known))}"
    if (stored := cache.load(name, _COLUMNS)) is not None:
        rows = zip(*(column.tolist() for column in stored), strict=True)
        return FeatureResult(tuple(FeaturePair(*row) for row in rows))
    cache.only("pairs", {name})
    pictures = _Pictures(read)
    packed: list[PackedDescriptors] = []
    for n in range(len(hashes)):
        task.report(FEATURES_PHASE, n, len(hashes))
        if task.is_cancelled:
            return FeatureResult((), len(pictures.missing), interrupted=True)
        found = pictures(n)
        packed.append(pack(np.zeros((0, 128), np.float32) if found is None else found.descriptors))
    result: dict[tuple[int, int], FeaturePair] = {}
    tried: set[tuple[int, int]] = set()
    for n, candidates in enumerate(find_candidates(packed)):
        task.report(PAIRS_PHASE, n, len(hashes))
        if task.is_cancelled:
            return FeatureResult(tuple(result.values()), len(pictures.missing), interrupted=True)
        for other, mirrored in candidates:
            a, b = min(n, other), max(n, other)
            if (a, b) not in tried and (a, b) not in known:
                tried.add((a, b))
                if (pair := _compare(pictures, a, b, mirrored=mirrored)) is not None:
                    result[a, b] = pair
    pairs = [result[key] for key in sorted(result)]
    table = [(one.a, one.b, one.confidence, one.correlation) for one in pairs]
    columns = zip(_COLUMNS, zip(*table, strict=True) if table else [()] * len(_COLUMNS), strict=True)
    cache.save(name, tuple(np.array(column, kind) for kind, column in columns))
    return FeatureResult(tuple(pairs), len(pictures.missing))


def _compare(pictures: _Pictures, a: int, b: int, *, mirrored: bool) -> FeaturePair | None:
    one, other = pictures(a), pictures(b)
    if one is None or other is None:
        return None
    # For products this small, waking the threads of BLAS costs more than the work.
    with blas_pools().limit(limits=1, user_api="blas"):
        laid = align(one.mirrored() if mirrored else one, other)
    if laid is None or (confidence := copy_confidence(laid)) < LEAST_CONFIDENCE:
        return None
    return FeaturePair(a, b, confidence, laid.median)


class _Pictures:
    """Features of pictures by position, the latest ones held; ``missing`` could not be read."""

    def __init__(self, read: Callable[[int], bytes | None]) -> None:
        self._read, self._detector = read, FeatureDetector()
        self._held: OrderedDict[int, Features] = OrderedDict()
        self.missing: set[int] = set()

    def __call__(self, n: int) -> Features | None:
        if n in self._held:
            self._held.move_to_end(n)
            return self._held[n]
        try:
            data = None if n in self.missing else self._read(n)
            found = None if data is None else self._detector.find(decode(data, measured=False).pixels)
        except (ImseekError, OSError):
            found = None
        if found is None:
            self.missing.add(n)
            return None
        self._held[n] = found
        if len(self._held) > _HELD:
            self._held.popitem(last=False)
        return found

"""Counts over the images of a collection."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.dataset.class_balance import TAG, ClassMembership
from imseek.report.results import CollectionStatistics, ValueDistribution
from imseek.search.where.column_values import values

#: Histogram edges for megapixels, bytes, and mean luminance.
MEGAPIXELS: Final = (0, 0.1, 0.3, 1, 2, 4, 8, 12, 16, 24, 48, float("inf"))
BYTES: Final = (0.0, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, float("inf"))
LIGHT: Final = tuple(n / 20 for n in range(21))
_COLUMNS: Final = (
    "format", "camera", "year", "megapixels", "bytes", "luma_mean", "latitude", "caption", "taken_at",
)  # fmt: skip
#: Facts that images may have, each with the column that holds it.
_HAVING: Final = {"date": "taken_at", "camera": "camera", "position": "latitude", "caption": "caption"}

Floats = npt.NDArray[np.float64]


def collect_statistics(reader: Reader) -> CollectionStatistics:
    """Count over the columns of all live images, one shard at a time.

    Raises StaleGenerationError, CorruptCollectionError.
    """
    counters: dict[str, Counter[str]] = {name: Counter() for name in ("format", "camera", "year")}
    numbers: dict[str, list[Floats]] = {name: [np.empty(0)] for name in ("megapixels", "bytes", "luma_mean")}
    having = dict.fromkeys(_HAVING, 0)
    images = 0
    for ids, columns in values(reader, _COLUMNS):
        images += len(ids)
        by_name = dict(zip(_COLUMNS, columns, strict=True))
        for name, counter in counters.items():
            counter.update(_count_values(by_name[name]))
        for name, parts in numbers.items():
            parts.append(_floats(by_name[name]))
        for label, name in _HAVING.items():
            having[label] += len(ids) - by_name[name].null_count
    tags = ClassMembership(reader, TAG)
    sizes = dict(zip(tags.names, tags.sizes().tolist(), strict=True))
    sized = np.concatenate(numbers["bytes"])
    return CollectionStatistics(
        images=images,
        formats=_most_frequent(counters["format"]),
        cameras=_most_frequent(counters["camera"]),
        years=sorted(counters["year"].items()),
        megapixels=distribution_of(np.concatenate(numbers["megapixels"]), MEGAPIXELS),
        bytes=distribution_of(sized, BYTES),
        total_bytes=int(np.nansum(sized)),
        light=distribution_of(np.concatenate(numbers["luma_mean"]), LIGHT),
        tags=_most_frequent(Counter(sizes)),
        having={**having, "tag": len(set(tags.ids.tolist()))},
    )


def distribution_of(numbers: Floats, edges: tuple[float, ...]) -> ValueDistribution:
    """Compute the distribution of values, ignoring NaN."""
    finite = numbers[~np.isnan(numbers)]
    places = np.clip(np.searchsorted(edges, finite, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    return ValueDistribution(edges, tuple(counts.tolist()), float(np.median(finite)) if len(finite) else None)


def _count_values(column: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    for pair in column.value_counts().to_pylist():
        if pair["values"] is not None:
            counts[str(pair["values"])] += pair["counts"]
    return counts


def _floats(column: Any) -> Floats:
    numbers: Floats = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _most_frequent(counter: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))

"""Put images in the order in which they were taken."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from imseek.data.reader import Reader
from imseek.search.where import Filters
from imseek.search.where.column_cache import ColumnCache, kinds_of
from imseek.search.where.column_values import values
from imseek.search.where.columns_and_functions import Kind
from imseek.types.timeline import NO_DAY, Int64, Timeline


def read_timeline(reader: Reader) -> Timeline:
    """Return all images of a generation in order. Raises StaleGenerationError."""
    kinds = kinds_of(ColumnCache(0).types(reader))
    has_dates = kinds.get("taken_at") is Kind.TIME
    ids: list[Int64] = [np.empty(0, np.int64)]
    seconds: list[Int64] = [np.empty(0, np.int64)]
    ratios = [np.empty(0, np.float32)]
    for part_ids, columns in values(reader, ["aspect", *(["taken_at"] if has_dates else [])]):
        ids.append(part_ids)
        ratios.append(columns[0].cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False))
        times = (
            columns[1].to_numpy(zero_copy_only=False)
            if has_dates
            else np.full(len(part_ids), np.datetime64("NaT", "s"))
        )
        seconds.append(times.astype("datetime64[s]").astype(np.int64))
    image_ids, timestamps, shapes = np.concatenate(ids), np.concatenate(seconds), np.concatenate(ratios)
    order = np.lexsort((-image_ids, -np.maximum(timestamps, -(1 << 60))))
    days = np.where(timestamps == NO_DAY, NO_DAY, np.floor_divide(timestamps, 86_400))
    return Timeline(image_ids[order], np.nan_to_num(shapes, nan=1.0)[order], days[order])


def read_ids(reader: Reader, filters: Filters, where: str | None, hits: Iterable[int] | None) -> Int64 | None:
    """Return the ids of the images that satisfy a filter and are among ``hits``; None without either.

    Raises QueryError, StaleGenerationError.
    """
    filtered = None if where is None else filters.ids(reader, where)
    if hits is None:
        return filtered
    hit_ids = np.fromiter(hits, np.int64)
    return hit_ids if filtered is None else hit_ids[np.isin(hit_ids, filtered)]

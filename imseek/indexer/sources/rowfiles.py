"""Metadata that lies row by row beside an array of vectors: Parquet, CSV or JSON Lines, some rows at a time."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from imseek.data.shards import open_parquet
from imseek.errors import MediaError
from imseek.indexer.sources.base import Scalar
from imseek.types import SkipReason

#: Endings of metadata, in the order in which they are looked for.
ENDINGS: Final = (b".parquet", b".csv", b".jsonl")


def count_rows(path: bytes) -> int:
    """How many rows a file has. Raises OSError, and MediaError where it cannot be read."""
    if path.endswith(b".parquet"):
        try:
            with open_parquet(path) as file:
                return int(file.metadata.num_rows)
        except ValueError as error:  # Arrow's errors are ValueErrors, those of files OSErrors.
            raise _unreadable(path, error) from error
    return sum(1 for _ in _texts(path))


def read_rows(path: bytes, size: int) -> Iterator[list[dict[str, Any]]]:
    """All rows, ``size`` at a time (the last time fewer). Raises OSError, MediaError."""
    if path.endswith(b".parquet"):
        try:
            with open_parquet(path) as file:
                waiting: list[dict[str, Any]] = []
                for batch in file.iter_batches(batch_size=size, use_threads=False):
                    waiting += batch.to_pylist()
                    while len(waiting) >= size:
                        yield waiting[:size]
                        waiting = waiting[size:]
                if waiting:
                    yield waiting
        except ValueError as error:
            raise _unreadable(path, error) from error
        return
    rows = _texts(path)
    while block := list(islice(rows, size)):
        yield block


def scalar(value: Any) -> Scalar:
    """A value as a metadata column holds it; None for what it cannot hold (lists, bytes, NaN)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) else None


def _texts(path: bytes) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file (all values are text) or of JSON Lines."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            if path.endswith(b".csv"):
                for told in csv.DictReader(file, strict=True):
                    yield {name: value for name, value in told.items() if name and value}
                return
            for line in file:
                row = json.loads(line)
                if not isinstance(row, Mapping):
                    raise ValueError("a line is no JSON object")
                yield dict(row)
        except (ValueError, csv.Error, RecursionError) as error:
            raise _unreadable(path, error) from error


def _unreadable(path: bytes, error: Exception) -> MediaError:
    shown = os.fsdecode(os.path.basename(path))
    return MediaError(SkipReason.CORRUPT, f"its metadata {shown} cannot be read: {error}")

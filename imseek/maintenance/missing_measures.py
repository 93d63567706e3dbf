"""Measure pictures (:class:`imseek.types.Luma`) that were indexed before indexing measured them.

The pictures are decoded but not encoded. The measures become a set of derived columns of the same names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple
from typing import Final

import numpy as np
import numpy.typing as npt

from imseek.analysis.originals import Originals
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.data.shards.derived_columns import Floats, Ids, measures_change
from imseek.data.writing.writer import Writer
from imseek.encoders.input_checks import available_cpus
from imseek.errors import MediaError
from imseek.indexer.ordered_map import OrderedMap
from imseek.media import decode
from imseek.progress import Task
from imseek.search.where.column_values import numbers
from imseek.types.maintenance_reports import MeasureReport
from imseek.types.pictures import Luma

PHASE: Final = "measuring"
NAMES: Final = tuple(shard_files.LUMA_COLUMNS.names)
#: Minimum side of decoded pictures, in pixels: the size that the most demanding encoders need.
_SIDE: Final = 448
#: Pictures or seconds between commits; each commit writes the whole set.
_COMMIT_IMAGES: Final = 4096
_COMMIT_SECONDS: Final = 60.0
#: Time limit for one picture, in seconds.
_DEADLINE: Final = 60.0
#: Number of pictures whose places are looked up together.
_LOOKUP_BATCH: Final = 1024


def count_unmeasured(reader: Reader) -> int:
    """Count the live images without measures."""
    _, values = numbers(reader, NAMES[:1])
    return int(np.isnan(values[0]).sum())


def measure(writer: Writer, task: Task) -> MeasureReport:
    """Measure the images without measures."""
    start = time.monotonic()
    with closing(Reader(writer.root)) as reader:
        ids, values = numbers(reader, NAMES)
        missing_ids = ids[np.isnan(values[0])]
        table = _MeasureTable(*_load_measures(reader))
        measured = unreadable = pending = 0
        committed = time.monotonic()
        task.report(PHASE, 0, len(missing_ids))
        for image_id, luma in _measure_images(reader, missing_ids, task):
            if luma is None:
                unreadable += 1
            else:
                table.add(image_id, luma)
                measured += 1
                pending += 1
            if pending >= _COMMIT_IMAGES or (pending and time.monotonic() - committed > _COMMIT_SECONDS):
                table.store(writer)
                pending, committed = 0, time.monotonic()
                task.report(PHASE, measured, len(missing_ids), skipped=unreadable)
        if pending:
            table.store(writer)
        task.report(PHASE, measured, len(missing_ids), skipped=unreadable)
    return MeasureReport(
        images=len(ids),
        missing=len(missing_ids),
        measured=measured,
        unreadable=unreadable,
        seconds=time.monotonic() - start,
        generation=writer.current().generation,
        interrupted=task.is_cancelled and measured + unreadable < len(missing_ids),
    )


class _MeasureTable:
    """The derived columns under construction: ids (n,) in ascending order and values (measures, n)."""

    def __init__(self, ids: Ids, values: npt.NDArray[np.float64]) -> None:
        self._ids, self._values = ids, values
        self._pending: list[tuple[int, tuple[float, ...]]] = []

    def add(self, image_id: int, luma: Luma) -> None:
        self._pending.append((image_id, tuple(np.nan if v is None else v for v in astuple(luma))))

    def store(self, writer: Writer) -> None:
        new_ids = np.array([image_id for image_id, _ in self._pending], np.int64)
        values = np.array([row for _, row in self._pending], np.float64).reshape(-1, len(NAMES)).T
        ids = np.concatenate([self._ids, new_ids])
        ids, last = np.unique(ids[::-1], return_index=True)
        self._values = np.concatenate([self._values, values], axis=1)[:, ::-1][:, last]
        self._ids, self._pending = ids, []
        columns: dict[str, Floats] = dict(zip(NAMES, self._values, strict=True))
        writer.apply(measures_change(writer, ids, columns))


def _load_measures(reader: Reader) -> tuple[Ids, npt.NDArray[np.float64]]:
    """Return the ids and values of the stored set."""
    ids: list[Ids] = [np.empty(0, np.int64)]
    values = [np.empty((len(NAMES), 0))]
    for shard in reader.current.shards:
        if (path := shard.columns.get(layout.MEASURED)) is not None:
            table = reader.load(path, shard_files.read_table)
            ids.append(table.column("image_id").to_numpy())
            values.append(np.stack([table.column(name).cast("float64").to_numpy() for name in NAMES]))
    everything = np.concatenate(ids)
    order = np.argsort(everything, kind="stable")
    return everything[order], np.concatenate(values, axis=1)[:, order]


def _measure_images(reader: Reader, missing_ids: Ids, task: Task) -> Iterator[tuple[int, Luma | None]]:
    workers = available_cpus()
    for start in range(0, len(missing_ids), _LOOKUP_BATCH):
        ids = missing_ids[start : start + _LOOKUP_BATCH].tolist()
        with Originals(reader, ids) as originals:

            def measure_one(image_id: int, originals: Originals = originals) -> Luma | None:
                # Also None if another picture is there now, which the next `index` will notice.
                picture = originals.find(image_id)
                if picture is None or not picture.is_verified:
                    return None
                try:
                    return decode(picture.data, min_side=_SIDE).facts.luma
                except MediaError:
                    return None

            mapper: OrderedMap[int, Luma | None] = OrderedMap(
                measure_one, workers=workers, lookahead=4 * workers, deadline=_DEADLINE, late=lambda _: None
            )
            for image_id, luma in zip(ids, mapper(ids), strict=True):
                if task.is_cancelled:
                    return
                yield image_id, luma

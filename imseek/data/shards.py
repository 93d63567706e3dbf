"""Shard files: Parquet metadata and float16 vectors, row-aligned, sorted by image id, immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from imseek.data import durable
from imseek.types import ImageFacts

#: Rows per Parquet row group: reading ten hits of a shard of a million rows decodes ten such groups.
ROW_GROUP = 4096

#: The intrinsic columns. Others are ``extra`` columns of a source, typed by their first non-null value.
INTRINSIC = pa.schema(
    [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("content_hash", pa.binary(32), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("phash", pa.uint64(), nullable=False),
        pa.field("orientation", pa.int8(), nullable=False),
        # As the camera's clock showed it; the zone, where EXIF states one, in minutes east of UTC.
        pa.field("taken_at", pa.timestamp("ms")),
        pa.field("taken_at_zone", pa.int16()),
        pa.field("camera", pa.string()),
        pa.field("lens", pa.string()),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("caption", pa.string()),
    ]
)


def row_of(facts: ImageFacts, content_hash: bytes, size: int) -> dict[str, Any]:
    """The metadata row of an image, without its id. An ``extra`` name that is taken gets ``extra_`` before it."""
    taken_at, zone = _split_time(facts.taken_at)
    row: dict[str, Any] = {
        "content_hash": content_hash,
        "width": facts.width,
        "height": facts.height,
        "format": facts.format,
        "mode": facts.mode,
        "frames": facts.frames,
        "bytes": size,
        "phash": facts.phash,
        "orientation": facts.orientation,
        "taken_at": taken_at,
        "taken_at_zone": zone,
        "camera": facts.camera,
        "lens": facts.lens,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
        "caption": facts.caption,
    }
    for name, value in facts.extra.items():
        row[f"extra_{name}" if name in INTRINSIC.names else name] = value
    return row


def table_of(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows (each with its ``image_id``) as a table: intrinsic columns first, extra ones by name."""
    extras = sorted({name for row in rows for name in row} - set(INTRINSIC.names))
    arrays = [pa.array([row.get(field.name) for row in rows], field.type) for field in INTRINSIC]
    arrays += [pa.array([row.get(name) for row in rows]) for name in extras]
    fields = [
        *INTRINSIC,
        *(pa.field(name, array.type) for name, array in zip(extras, arrays[len(INTRINSIC) :], strict=True)),
    ]
    return pa.table(arrays, schema=pa.schema(fields))


def write_table(path: Path, table: pa.Table) -> durable.Written:
    """Stage a Parquet file."""

    def write(out: Any) -> None:
        pq.write_table(table, out, compression="zstd", row_group_size=ROW_GROUP)

    return durable.stage(path, write)


def write_array(path: Path, array: npt.NDArray[Any]) -> durable.Written:
    """Stage a ``.npy`` file (version 1.0, C order)."""

    def write(out: Any) -> None:
        np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)

    return durable.stage(path, write)


def read_rows(path: Path, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Some rows of a Parquet file, in the order asked for; nulls and the id are left out."""
    with pq.ParquetFile(path) as file:
        group_of: dict[int, list[int]] = {}
        for position, row in enumerate(rows):
            group_of.setdefault(row // ROW_GROUP, []).append(position)
        found: list[dict[str, Any]] = [{} for _ in rows]
        for group, positions in group_of.items():
            table = file.read_row_group(group)
            taken = table.take(pa.array([rows[p] - group * ROW_GROUP for p in positions]))
            for position, row in zip(positions, taken.to_pylist(), strict=True):
                found[position] = {k: v for k, v in row.items() if v is not None and k != "image_id"}
    return found


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: hashes in hex, times in ISO 8601 with their zone where it is known."""
    shown: dict[str, Any] = {k: v.hex() if isinstance(v, bytes) else v for k, v in row.items()}
    zone = shown.pop("taken_at_zone", None)
    if (taken_at := shown.get("taken_at")) is not None:
        if zone is not None:
            taken_at = taken_at.replace(tzinfo=timezone(timedelta(minutes=zone)))
        shown["taken_at"] = taken_at.isoformat()
    return shown


def _split_time(text: str | None) -> tuple[datetime | None, int | None]:
    if text is None:
        return None, None
    moment = datetime.fromisoformat(text)
    offset = moment.utcoffset()
    minutes = None if offset is None else round(offset.total_seconds() / 60)
    return moment.replace(tzinfo=None), minutes

"""Parquet and Arrow IPC (files and streams), a few rows at a time.

Read without pyarrow's threads, of which prefetching is one: see imseek/data/shards.py.
"""

from __future__ import annotations

import io
import json
import math
import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from imseek.errors import MediaError
from imseek.indexer.sources.sheets.base import Closing, Column, Kind, Malformed, Row
from imseek.types import SkipReason

#: Bytes of rows that are turned into Python's objects at once.
_SLICE: Final = 8 << 20
#: Rows that are at most.
_ROWS: Final = 1024
#: Bytes that are read of a Parquet file at once, where its pages allow it.
_BUFFER: Final = 1 << 20


class ParquetSheet(Closing):
    """In memory is one page of each column that is asked for, and a few rows."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        with arrow_errors():
            self._file = pq.ParquetFile(
                raw, pre_buffer=False, buffer_size=_BUFFER, page_checksum_verification=True
            )
            self._schema = self._file.schema_arrow
        self.columns = _columns(self._schema)
        self._labels = {column.name: column.labels for column in self.columns if column.labels}

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | Malformed]]:
        """Row groups before ``start`` are not read."""
        number = 0
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if number + count <= start:
                number += count
                continue
            for batch in self._batches(group, names):
                yield from _numbered(batch, number, start, self._labels)
                number += len(batch)

    def has_bytes(self, name: str) -> bool:
        """Told from the statistics of the first rows: where there are none, pictures lie in the table."""
        metadata = self._file.metadata
        if not metadata.num_row_groups:
            return True
        group = metadata.row_group(0)
        for index in range(group.num_columns):
            column = group.column(index)
            if column.path_in_schema == f"{name}.bytes":
                told = column.statistics
                return told is None or not told.has_null_count or told.null_count < group.num_rows
        return True

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def _batches(self, group: int, names: Collection[str]) -> Iterator[pa.RecordBatch]:
        told = self._file.metadata.row_group(group)
        a_row = max(told.total_byte_size // max(told.num_rows, 1), 1)
        with arrow_errors():
            yield from self._file.iter_batches(
                min(max(_SLICE // a_row, 1), _ROWS),
                row_groups=[group],
                columns=list(names),
                use_threads=False,
            )


class ArrowSheet(Closing):
    """In memory is one record batch. Rows further down are looked up in the mapped file instead."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._is_file = raw.read(6) == b"ARROW1"
        with arrow_errors():
            self._schema = self._open(raw, None).schema
        self.columns = _columns(self._schema)
        self._labels = {column.name: column.labels for column in self.columns if column.labels}

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | Malformed]]:
        with self._mapped() if start else nullcontext(self._raw) as raw:
            number = 0
            for batch in self._batches(raw, names):
                step = min(max(_SLICE * len(batch) // max(batch.nbytes, 1), 1), _ROWS)
                for at in range(0, len(batch), step):
                    yield from _numbered(batch.slice(at, step), number + at, start, self._labels)
                number += len(batch)

    def has_bytes(self, name: str) -> bool:
        """Told from the first rows."""
        with self._mapped() as raw:
            for batch in self._batches(raw, [name]):
                pictures = batch.column(0)
                return len(pictures) == 0 or pictures.field("bytes").null_count < len(pictures)
        return True

    def close(self) -> None:
        self._raw.close()

    def _open(self, raw: Any, fields: list[int] | None) -> Any:
        raw.seek(0)
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        opener = pa.ipc.open_file if self._is_file else pa.ipc.open_stream
        return opener(raw, options=options)

    def _batches(self, raw: Any, names: Collection[str]) -> Iterator[pa.RecordBatch]:
        with arrow_errors():
            reader = self._open(raw, sorted(self._schema.get_field_index(name) for name in names))
            if self._is_file:
                for n in range(reader.num_record_batches):
                    yield reader.get_batch(n)
            else:
                yield from reader

    @contextmanager
    def _mapped(self) -> Iterator[Any]:
        """The file as memory, of which only what is looked at is read; as it is, where it cannot be mapped."""
        try:
            mapped = mmap.mmap(self._raw.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, AttributeError, io.UnsupportedOperation):
            yield self._raw
            return
        # Not closed here: what was read from it may hold on to it, and the last to let go closes it.
        yield pa.BufferReader(pa.py_buffer(mapped))


@contextmanager
def arrow_errors() -> Iterator[None]:
    """What Arrow raises for a damaged file becomes a MediaError; what the system raises (with a number) stays."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(error) from error
    except (pa.ArrowException, EOFError, ValueError) as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> MediaError:
    return MediaError(SkipReason.CORRUPT, f"the table is damaged: {(str(error).splitlines() or ['?'])[0]}")


def _columns(schema: pa.Schema) -> tuple[Column, ...]:
    features = _features(schema)
    found = []
    for field in schema:
        told = features.get(field.name)
        told = told if isinstance(told, dict) else {}
        names = told.get("names") if told.get("_type") == "ClassLabel" else None
        labels = tuple(map(str, names)) if isinstance(names, list) else ()
        found.append(Column(field.name, _kind_of(field.type), told.get("_type") == "Image", labels))
    return tuple(found)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What the library `datasets` says of its columns, in the metadata of the schema."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _kind_of(kind: pa.DataType) -> Kind:
    t = pa.types
    if t.is_dictionary(kind):
        return _kind_of(kind.value_type)
    if _is_text(kind):
        return Kind.TEXT
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind):
        return Kind.BYTES
    if t.is_struct(kind):
        held = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        return Kind.PICTURE if "bytes" in held and _kind_of(held["bytes"]) is Kind.BYTES else Kind.NESTED
    if (t.is_list(kind) or t.is_large_list(kind)) and _is_text(kind.value_type):
        return Kind.TEXTS
    plain = (
        t.is_boolean, t.is_integer, t.is_floating, t.is_decimal, t.is_temporal, t.is_null,
    )  # fmt: skip
    return Kind.PLAIN if any(is_one(kind) for is_one in plain) else Kind.NESTED


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


def _numbered(
    batch: pa.RecordBatch, first: int, start: int, labels: dict[str, tuple[str, ...]]
) -> Iterator[tuple[int, Row]]:
    """The rows of a batch, whose first one has the number ``first``, from the number ``start`` on."""
    skipped = min(max(start - first, 0), len(batch))
    if skipped < len(batch):
        yield from enumerate(_rows(batch.slice(skipped), labels), first + skipped)


def _rows(batch: pa.RecordBatch, labels: dict[str, tuple[str, ...]]) -> Iterator[Row]:
    with arrow_errors():
        columns = [_values(batch.column(n), labels.get(name)) for n, name in enumerate(batch.schema.names)]
    for cells in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, cells, strict=True))


def _values(array: pa.Array, labels: tuple[str, ...] | None) -> list[Any]:
    kind = _kind_of(array.type)
    if kind in (Kind.BYTES, Kind.PICTURE):
        return list(array.to_pylist())
    if pa.types.is_timestamp(array.type):
        # Python's times have microseconds, and no time zones but those that it knows.
        zone = None if array.type.tz is None else "UTC"
        array = array.cast(pa.timestamp("us", zone), safe=False)
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        values = [_one(scalar) for scalar in array]
    if labels is not None:
        return [labels[v] if isinstance(v, int) and 0 <= v < len(labels) else None for v in values]
    return values if kind in (Kind.TEXT, Kind.TEXTS) else [_plain(value) for value in values]


def _one(scalar: pa.Scalar) -> Any:
    """A value beside which there is one that Python has no room for (text that is not UTF-8, the year 30000)."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        return None


def _plain(value: Any) -> bool | int | float | str | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _plain(float(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if isinstance(value, bool | int | str) else None

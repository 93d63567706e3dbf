"""Read Parquet and Arrow IPC (files and streams), a few rows at a time.

Without pyarrow's threads, which its prefetching uses too: see imseek/data/shards/shard_files.py.
"""

from __future__ import annotations

import io
import json
import math
import mmap
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imseek.errors import MediaError
from imseek.indexer.sources.archive_limits import check_unpacked
from imseek.indexer.sources.tables.arrow_buffers import check_array, check_buffers
from imseek.indexer.sources.tables.base import Column, Kind, MalformedRow, Row, SheetBase
from imseek.indexer.sources.tables.parquet_page_check import Chunk, check_pages, read_chunks
from imseek.types.pictures import SkipReason

#: Bytes of rows to convert to Python objects at once.
_SLICE_BYTES: Final = 8 << 20
#: Most characters of one list of texts: captions are cut far below.
_MAX_TEXTS: Final = 1 << 16
#: Most rows to convert at once.
_MAX_ROWS: Final = 1024
#: Bytes before the stream in an Arrow file.
_FILE_HEAD: Final = 8
#: Bytes of a Parquet file to read at once, where its pages allow.
_BUFFER_SIZE: Final = 1 << 20


class ParquetSheet(SheetBase):
    """A Parquet file. Keeps one page of each requested column and a few rows in memory."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        with translate_arrow_errors():
            self._file = self._opened([])
            self.columns = _columns(self._file.schema_arrow)
            self._chunks: Mapping[int, list[Chunk]] = read_chunks(raw)
            if lists := [column.name for column in self.columns if column.kind is Kind.TEXTS]:
                paths = (self._file.schema.column(n).path for n in range(len(self._file.schema)))
                self._file = self._opened([path for path in paths if path.partition(".")[0] in lists])
        self._labels = {column.name: column.labels for column in self.columns if column.labels}

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | MalformedRow]]:
        """Yield numbered rows, skipping row groups before ``start``."""
        number, numbered = 0, _RowNumberer(_size(self._raw), self._labels)
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if number + count <= start:
                number += count
                continue
            for batch in self._batches(group, names):
                yield from numbered.rows(batch, number, start)
                number += len(batch)

    def has_bytes(self, name: str) -> bool:
        """Tell by the first row group's statistics; without statistics, pictures are assumed to be embedded."""
        for chunk in self._chunks.get(0, ()):
            if chunk.path == (name, "bytes"):
                return chunk.nulls is None or chunk.nulls < self._file.metadata.row_group(0).num_rows
        return True

    def close(self) -> None:
        self._file.close()
        self._raw.close()

    def _opened(self, dictionaries: list[str]) -> pq.ParquetFile:
        """Open the file; values of the columns in ``dictionaries`` are read once, however many rows refer to them."""
        return pq.ParquetFile(
            self._raw,
            pre_buffer=False,
            buffer_size=_BUFFER_SIZE,
            page_checksum_verification=True,
            read_dictionary=dictionaries,
        )

    def _batches(self, group: int, names: Collection[str]) -> Iterator[pa.RecordBatch]:
        """Check the pages of a row group, then yield its rows in batches."""
        metadata, chunks = self._file.metadata.row_group(group), self._chunks.get(group, ())
        a_row = max(metadata.total_byte_size // max(metadata.num_rows, 1), 1)
        with translate_arrow_errors():
            # For a remote file, inspecting every page would download it twice.
            a_row = max(a_row, check_pages(self._raw, chunks, names, only_first=not _is_local(self._raw)))
            yield from self._file.iter_batches(
                min(max(_SLICE_BYTES // a_row, 1), _MAX_ROWS),
                row_groups=[group],
                columns=list(names),
                use_threads=False,
            )


class ArrowSheet(SheetBase):
    """An Arrow IPC file or stream. Keeps one record batch in memory; later rows are looked up in the mapped file."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._begin = _FILE_HEAD if raw.read(6) == b"ARROW1" else 0
        with translate_arrow_errors():
            if _is_local(raw):
                with self._mapped() as mapped:
                    mapped.seek(self._begin)
                    check_buffers(mapped)
            self._schema = self._open(raw, None).schema
            self.columns = _columns(self._schema)
        self._labels = {column.name: column.labels for column in self.columns if column.labels}

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | MalformedRow]]:
        with self._mapped() if start else nullcontext(self._raw) as raw:
            number, numbered = 0, _RowNumberer(_size(self._raw), self._labels)
            for batch in self._batches(raw, names):
                step = min(
                    _SLICE_BYTES * len(batch) // max(batch.get_total_buffer_size(), 1),
                    _SLICE_BYTES // _row_bytes(batch),
                    _MAX_ROWS,
                )
                step = max(step, 1)
                for at in range(0, len(batch), step):
                    yield from numbered.rows(batch.slice(at, step), number + at, start)
                number += len(batch)

    def has_bytes(self, name: str) -> bool:
        """Tell by the first rows."""
        with self._mapped() as raw:
            for batch in self._batches(raw, [name]):
                pictures = batch.column(0)
                return len(pictures) == 0 or pictures.field("bytes").null_count < len(pictures)
        return True

    def close(self) -> None:
        self._raw.close()

    def _open(self, raw: Any, fields: list[int] | None) -> Any:
        """Open the record stream, which in a file follows its first bytes; the file footer is not used."""
        raw.seek(self._begin)
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=fields)
        return pa.ipc.open_stream(raw, options=options)

    def _batches(self, raw: Any, names: Collection[str]) -> Iterator[pa.RecordBatch]:
        with translate_arrow_errors():
            for batch in self._open(raw, sorted(self._schema.get_field_index(name) for name in names)):
                for column in batch.columns:
                    check_array(column)
                yield batch

    @contextmanager
    def _mapped(self) -> Iterator[Any]:
        """Map the file into memory, so that only what is used is read; where that fails, yield the file itself."""
        try:
            mapped = mmap.mmap(self._raw.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, AttributeError, io.UnsupportedOperation):
            yield self._raw
            return
        # Not closed here: values read from it may refer to it, and the last of them closes it.
        yield pa.BufferReader(pa.py_buffer(mapped))


def _size(raw: IO[bytes]) -> int:
    """Return the size of a file in bytes, keeping its position."""
    at = raw.tell()
    size = raw.seek(0, io.SEEK_END)
    raw.seek(at)
    return size


def _is_local(raw: IO[bytes]) -> bool:
    """Tell whether a file lies on this machine, where extra reads are cheap."""
    try:
        raw.fileno()
    except (OSError, AttributeError, io.UnsupportedOperation):
        return False
    return True


@contextmanager
def translate_arrow_errors() -> Iterator[None]:
    """Translate Arrow's errors for a damaged file to MediaError; system errors (with an errno) pass through."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged_error(error) from error
    except (pa.ArrowException, EOFError, ValueError, RecursionError) as error:
        raise _damaged_error(error) from error
    except MemoryError as error:
        raise MediaError(SkipReason.TOO_MANY_BYTES, "the table does not fit into memory") from error


def _damaged_error(error: Exception) -> MediaError:
    return MediaError(SkipReason.CORRUPT, f"the table is damaged: {(str(error).splitlines() or ['?'])[0]}")


def _columns(schema: pa.Schema) -> tuple[Column, ...]:
    features = _features(schema)
    columns = []
    for field in schema:
        feature = features.get(field.name)
        feature = feature if isinstance(feature, dict) else {}
        names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
        labels = tuple(map(str, names)) if isinstance(names, list) else ()
        columns.append(Column(field.name, _kind_of(field.type), feature.get("_type") == "Image", labels))
    return tuple(columns)


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return what the library `datasets` wrote about its columns in the schema's metadata."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _kind_of(kind: pa.DataType) -> Kind:
    t = pa.types
    if t.is_dictionary(kind):
        return _kind_of(kind.value_type)
    if _is_text(kind):
        return Kind.TEXT
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind):
        return Kind.BYTES
    if t.is_struct(kind):
        fields = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)}
        return Kind.PICTURE if "bytes" in fields and _kind_of(fields["bytes"]) is Kind.BYTES else Kind.NESTED
    if (t.is_list(kind) or t.is_large_list(kind)) and _kind_of(kind.value_type) is Kind.TEXT:
        return Kind.TEXTS
    plain = (
        t.is_boolean, t.is_integer, t.is_floating, t.is_decimal, t.is_temporal, t.is_null,
    )  # fmt: skip
    return Kind.PLAIN if any(is_one(kind) for is_one in plain) else Kind.NESTED


def _is_text(kind: pa.DataType) -> bool:
    t = pa.types
    return bool(t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind))


class _RowNumberer:
    """Numbers the rows of a file's batches; ``size`` is the file's size in bytes.

    Many rows may refer to one value: raises MediaError where all values together expand too far.
    """

    def __init__(self, size: int, labels: dict[str, tuple[str, ...]]) -> None:
        self._size, self._labels = size, labels
        self._unpacked = 0

    def rows(self, batch: pa.RecordBatch, first: int, start: int) -> Iterator[tuple[int, Row]]:
        """Yield a batch's rows from the number ``start`` on; its first row has the number ``first``."""
        skipped = min(max(start - first, 0), len(batch))
        if skipped == len(batch):
            return
        for number, row in enumerate(_rows(batch.slice(skipped), self._labels), first + skipped):
            self._unpacked += sum(map(_length, row.values()))
            check_unpacked(self._unpacked, self._size)
            yield number, row


def _length(cell: Any) -> int:
    """Return the bytes or characters of a cell whose length varies; 0 for other cells."""
    if isinstance(cell, bytes | str):
        return len(cell)
    if isinstance(cell, dict | list):
        return sum(map(_length, cell.values() if isinstance(cell, dict) else cell))
    return 0


def _rows(batch: pa.RecordBatch, labels: dict[str, tuple[str, ...]]) -> Iterator[Row]:
    with translate_arrow_errors():
        columns = [_values(batch.column(n), labels.get(name)) for n, name in enumerate(batch.schema.names)]
    for cells in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, cells, strict=True))


def _values(array: pa.Array, labels: tuple[str, ...] | None) -> list[Any]:
    kind = _kind_of(array.type)
    if kind in (Kind.BYTES, Kind.PICTURE):
        return list(array.to_pylist())
    if kind is Kind.TEXTS and pa.types.is_dictionary(array.type.value_type):
        return [_limited_texts(scalar) for scalar in array]
    if pa.types.is_timestamp(array.type):
        # Python's times have microseconds, and only the time zones that it knows.
        zone = None if array.type.tz is None else "UTC"
        array = array.cast(pa.timestamp("us", zone), safe=False)
    try:
        values = array.to_pylist()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        values = [_to_python(scalar) for scalar in array]
    if labels is not None:
        return [labels[v] if isinstance(v, int) and 0 <= v < len(labels) else None for v in values]
    return values if kind in (Kind.TEXT, Kind.TEXTS) else [_to_scalar(value) for value in values]


def _row_bytes(batch: pa.RecordBatch) -> int:
    """Return the most bytes that one row of a batch can take as Python objects, lists excepted."""
    return max(sum(_cell_bytes(column) for column in batch.columns), 1)


def _cell_bytes(array: pa.Array) -> int:
    t = pa.types
    if t.is_dictionary(array.type):
        return _cell_bytes(array.dictionary)
    if t.is_struct(array.type):
        return sum(_cell_bytes(array.field(n)) for n in range(array.type.num_fields))
    if t.is_string_view(array.type) or t.is_binary_view(array.type):
        lengths = np.frombuffer(array.buffers()[1], np.int32)[::4]  # each view is 16 bytes, its length first
        return int(lengths[array.offset : array.offset + len(array)].max(initial=0))
    if _is_text(array.type) or t.is_binary(array.type) or t.is_large_binary(array.type):
        return int(pc.max(pc.binary_length(array)).as_py() or 0)
    return 8


def _limited_texts(scalar: pa.Scalar) -> list[Any] | None:
    """Return the texts of a list up to a total length: all may be the same large dictionary value."""
    if not scalar.is_valid:
        return None
    texts, size = [], 0
    for text in scalar.values:
        value = _to_python(text)
        texts.append(value)
        size += 0 if value is None else len(value)
        if size > _MAX_TEXTS:
            break
    return texts


def _to_python(scalar: pa.Scalar) -> Any:
    """Convert a single value; None where Python cannot represent it (text that is not UTF-8, the year 30000)."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        return None


def _to_scalar(value: Any) -> bool | int | float | str | None:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return _to_scalar(float(value))
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if isinstance(value, bool | int | str) else None

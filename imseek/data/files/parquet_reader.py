"""Read Parquet files of a collection, and refuse those that unpack to far more than their size.

Parquet stores a repeated text once, in a dictionary page, and Arrow copies it for every row: a megabyte from a stranger
can become terabytes. So texts are read in dictionary form, their sizes are summed, and they are copied only below the
limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: Bytes in memory allowed per byte of a file, and allowed for any file. The ratio of imseek's own tables is below 30.
_MAX_RATIO: Final = 200
_FREE_BYTES: Final = 1 << 26

#: Bytes of text that fit into one array: offsets have 31 bits.
_LONGEST_PIECE: Final = 1 << 31

#: Bytes per value by column type; a collection has no other types. Sizes of texts are summed separately.
_WIDTHS: Final[Mapping[pa.DataType, float]] = {
    pa.null(): 0,
    pa.bool_(): 1 / 8,
    pa.int8(): 1,
    pa.int16(): 2,
    pa.int32(): 4,
    pa.int64(): 8,
    pa.uint64(): 8,
    pa.float64(): 8,
    pa.timestamp("ms"): 8,
    pa.binary(32): 32,
    pa.string(): 0,
}


def may_unpack(unpacked: float, packed: int) -> bool:
    """Whether a file of ``packed`` bytes may take ``unpacked`` bytes in memory."""
    return unpacked <= _FREE_BYTES + _MAX_RATIO * packed


class TableFile:
    """An open Parquet file, from :func:`open_table`. ``rows`` and ``groups`` count its rows and row groups.

    Methods raise OSError where the file is damaged, or unpacks to more than its size allows.
    """

    def __init__(self, schema: pa.Schema, dictionaries: pq.ParquetFile, packed: int) -> None:
        """``dictionaries`` is the file opened with texts in dictionary form, ``packed`` its size in bytes."""
        metadata = dictionaries.metadata
        self.schema = schema
        self.rows: int = metadata.num_rows
        self.groups: int = metadata.num_row_groups
        self._file = dictionaries
        self._packed = packed
        self._check(sum(metadata.row_group(n).total_byte_size for n in range(self.groups)))

    def read(self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> pa.Table:
        """Read some columns (None: all) of some row groups (None: all)."""
        table = self.read_encoded(columns, groups)
        schema = pa.schema([self.schema.field(name) for name in table.column_names])
        arrays = [
            _decode(column) if field.type == pa.string() else column
            for field, column in zip(schema, table.columns, strict=True)
        ]
        return pa.table(arrays, schema=schema)

    def read_encoded(self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> pa.Table:
        """Read as :meth:`read`, but leave texts in dictionary form. Decoding them would import pyarrow.compute, which
        takes a cold search 25 ms."""
        fields = [field for field in self.schema if columns is None or field.name in columns]
        group_numbers = list(range(self.groups) if groups is None else groups)
        rows = sum(self._file.metadata.row_group(n).num_rows for n in group_numbers)
        size = rows * sum(_WIDTHS[field.type] for field in fields)
        self._check(size)
        names = None if columns is None else list(columns)
        table = self._file.read_row_groups(group_numbers, columns=names, use_threads=False)
        texts = [table.column(field.name) for field in fields if field.type == pa.string()]
        self._check(size + sum(_text_bytes(chunk) for column in texts for chunk in column.chunks))
        return table

    def _check(self, unpacked: float) -> None:
        if not may_unpack(unpacked, self._packed):
            raise OSError(f"its {self._packed:,} bytes unpack to {unpacked:,.0f}")


@contextmanager
def open_table(file: BinaryIO) -> Iterator[TableFile]:
    """Open a Parquet file; ``file`` stays open afterwards. Raises OSError where it is damaged or has other columns."""
    # No threads, and no prefetching, which uses one: a thread that still holds a Python object when the
    # interpreter ends aborts the process (apache/arrow#34314). A damaged page raises OSError.
    options = {"page_checksum_verification": True, "pre_buffer": False}
    with pq.ParquetFile(file, **options) as plain:
        schema, metadata = plain.schema_arrow, plain.metadata
    if len(set(schema.names)) < len(schema.names):
        raise OSError("it has two columns of one name")
    for field in schema:
        if field.type not in _WIDTHS:
            raise OSError(f"its column {field.name!a} is of type {field.type}, which no collection has")
    texts = [field.name for field in schema if field.type == pa.string()]
    with pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, **options) as dictionaries:
        yield TableFile(schema, dictionaries, os.fstat(file.fileno()).st_size)


def _text_bytes(texts: pa.DictionaryArray) -> int:
    """Sum the bytes of all rows. Raises OSError for an index beyond the dictionary, which Arrow may not check."""
    indices, dictionary = texts.indices, texts.dictionary
    used = np.frombuffer(indices.buffers()[1] or b"", np.int32)[indices.offset :][: len(indices)]
    if (valid := indices.buffers()[0]) is not None:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
        used = used[bits[indices.offset :][: len(indices)].view(bool)]
    if not len(used):
        return 0
    if used.min() < 0 or used.max() >= len(dictionary):
        raise OSError("a text that its dictionary does not have")
    ends = np.frombuffer(dictionary.buffers()[1], np.int32)[dictionary.offset :][: len(dictionary) + 1]
    return int(np.diff(ends)[used].sum(dtype=np.int64))


def _decode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Copy texts into one array, as Arrow reads them, or into several where one cannot hold them."""
    pieces = [chunk.dictionary_decode() for chunk in column.chunks]
    if len(pieces) > 1 and sum(piece.nbytes for piece in pieces) < _LONGEST_PIECE:
        pieces = [pa.concat_arrays(pieces)]
    return pa.chunked_array(pieces, pa.string())

"""Read Parquet files of a collection, which somebody else may have made: no more of them than their size allows.

A page that refers to a dictionary of texts holds each text once, and Arrow would copy it for every row: a megabyte can
become terabytes. Texts are read as the dictionaries that they are stored as, counted, and copied if they are within
the limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

#: How many bytes in memory a byte of a file may become, beside some that are free. Tables of imseek stay below 30.
_MAX_RATIO: Final = 200
_FREE_BYTES: Final = 1 << 26

#: Bytes of texts in one array: their offsets have 31 bits.
_LONGEST_PIECE: Final = 1 << 31

#: Bytes that a value takes, of each type that a collection's columns have, but for texts, which are counted.
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
    """Whether a file of ``packed`` bytes may become so many bytes in memory."""
    return unpacked <= _FREE_BYTES + _MAX_RATIO * packed


class TableFile:
    """A Parquet file that is open for reading; :func:`open_table` opens it.

    ``schema`` has the names and types of its columns, ``rows`` their number and ``groups`` that of row groups.
    Methods raise OSError where the file is damaged, or becomes more in memory than its size allows.
    """

    def __init__(self, file: BinaryIO, stored: pq.ParquetFile, texts: pq.ParquetFile) -> None:
        self._packed = os.fstat(file.fileno()).st_size
        self._file = texts
        self.schema: pa.Schema = stored.schema_arrow
        self.rows: int = texts.metadata.num_rows
        self.groups: int = texts.metadata.num_row_groups

    @classmethod
    @contextmanager
    def open(cls, file: BinaryIO) -> Iterator[Self]:
        # Read without threads, of which prefetching is one: a thread that still holds something of Python's when the
        # interpreter ends aborts the process (apache/arrow#34314). A page that is damaged is an OSError.
        options = {"page_checksum_verification": True, "pre_buffer": False}
        with pq.ParquetFile(file, **options) as stored:
            schema, metadata = stored.schema_arrow, stored.metadata
            if len(set(schema.names)) < len(schema.names):
                raise OSError("it has two columns of one name")
            for field in schema:
                if field.type not in _WIDTHS:
                    raise OSError(
                        f"its column {field.name!a} is of type {field.type}, which no collection has"
                    )
            texts = [field.name for field in schema if field.type == pa.string()]
            with pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, **options) as dictionaries:
                table = cls(file, stored, dictionaries)
                table._check(sum(metadata.row_group(n).total_byte_size for n in range(table.groups)))
                yield table

    def read(self, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> pa.Table:
        """All columns or some, of all row groups or some."""
        fields = [f for f in self.schema if columns is None or f.name in columns]
        row_groups = range(self.groups) if groups is None else groups
        rows = sum(self._file.metadata.row_group(n).num_rows for n in row_groups)
        size = rows * sum(_WIDTHS[field.type] for field in fields)
        self._check(size)
        names = None if columns is None else list(columns)
        table = (
            self._file.read(columns=names, use_threads=False)
            if groups is None
            else self._file.read_row_groups(list(groups), columns=names, use_threads=False)
        )
        texts = {f.name: table.column(f.name) for f in fields if f.type == pa.string()}
        self._check(size + sum(_text_bytes(chunk) for column in texts.values() for chunk in column.chunks))
        arrays = [
            _decode(texts[name]) if name in texts else table.column(name) for name in table.column_names
        ]
        return pa.table(arrays, schema=pa.schema([self.schema.field(name) for name in table.column_names]))

    def _check(self, unpacked: float) -> None:
        if not may_unpack(unpacked, self._packed):
            raise OSError(f"its {self._packed:,} bytes unpack to {unpacked:,.0f}")


open_table = TableFile.open


def _text_bytes(texts: pa.DictionaryArray) -> int:
    """The bytes of all texts. Raises OSError where one is beyond the dictionary, which Arrow may not look at."""
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
    """Texts in one piece, as Arrow reads them, unless they are too long for that."""
    pieces = [chunk.dictionary_decode() for chunk in column.chunks]
    if len(pieces) > 1 and sum(piece.nbytes for piece in pieces) < _LONGEST_PIECE:
        pieces = [pa.concat_arrays(pieces)]
    return pa.chunked_array(pieces, pa.string())

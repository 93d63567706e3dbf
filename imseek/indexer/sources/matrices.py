"""Read vectors from files in blocks of rows: a NumPy array, or a column of a Parquet file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from imseek.data.catalog.place_paths import container_suffix
from imseek.errors import MediaError, UsageError
from imseek.indexer.sources.encoder_claims import claim_of
from imseek.indexer.sources.local_files import open_binary
from imseek.input_file import map_array
from imseek.types.pictures import SkipReason, display_path

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Rows per block.
BLOCK_ROWS: Final = 4096
#: Most numbers per block.
_MAX_NUMBERS: Final = 1 << 24
PARQUET_SUFFIXES: Final = frozenset({b".parquet", b".pq"})


class Matrix(Protocol):
    """A matrix of ``rows`` vectors with ``dim`` numbers each."""

    @property
    def rows(self) -> int: ...

    @property
    def dim(self) -> int: ...

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Yield (m, dim) floating-point blocks of at most BLOCK rows, with NaN for missing vectors.

        Raises MediaError, OSError.
        """
        ...


def is_parquet(path: bytes) -> bool:
    return container_suffix(path) in PARQUET_SUFFIXES


def open_matrix(path: bytes, column: str | None) -> Matrix:
    """Open the vectors in a file, in the ``column`` of a Parquet file.

    Raises OSError, MediaError, and UsageError where the column is ambiguous.
    """
    return _ParquetMatrix(path, column) if is_parquet(path) else _NpyMatrix(path)


class _NpyMatrix:
    """A NumPy array mapped into memory."""

    def __init__(self, path: bytes) -> None:
        try:
            array = map_array(os.fsdecode(path))
        except ValueError as error:
            raise MediaError(SkipReason.CORRUPT, str(error)) from error
        if array.ndim != 2 or array.dtype.kind != "f":
            raise MediaError(SkipReason.CORRUPT, "not a matrix of floating-point numbers")
        self._array = array
        self.rows, self.dim = array.shape

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        for start in range(0, self.rows, BLOCK_ROWS):
            yield self._array[start : start + BLOCK_ROWS]


class _ParquetMatrix:
    """A Parquet column of lists of numbers, all of the same length."""

    def __init__(self, path: bytes, name: str | None) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self._path, self._name, self.dim = path, "", 0
        with self._opened() as file:
            self._name = _choose_column(path, file.schema_arrow, name)
            self.rows = file.metadata.num_rows
            kind = file.schema_arrow.field(self._name).type
            self.dim = kind.list_size if pa.types.is_fixed_size_list(kind) else 0
        if not self.dim:  # only the rows themselves tell
            lengths = (np.asarray(pc.list_value_length(lists.drop_null())) for lists in self._batches())
            self.dim = next((int(some[some > 0][0]) for some in lengths if (some > 0).any()), 0)

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        import pyarrow.compute as pc

        first_row = 0
        for lists in self._batches():
            is_valid = np.asarray(lists.is_valid())
            lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), self.dim))
            if (odd := np.flatnonzero(lengths != self.dim)).size:
                message = f"row {first_row + odd[0]} has a vector of {lengths[odd[0]]} numbers, not of {self.dim}"
                raise MediaError(SkipReason.CORRUPT, message)
            numbers = pc.fill_null(lists.drop_null().flatten(), float("nan")).to_numpy(zero_copy_only=False)
            block = np.full((len(lists), self.dim), np.nan, numbers.dtype)
            block[is_valid] = numbers.reshape(-1, self.dim)
            yield block
            first_row += len(lists)

    def _batches(self) -> Iterator[pa.Array]:
        rows = min(BLOCK_ROWS, max(1, _MAX_NUMBERS // max(self.dim, 1)))
        with self._opened() as file:
            for batch in file.iter_batches(rows, columns=[self._name], use_threads=False):
                yield batch.column(0)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        """Open the file after checking its pages, without pyarrow's threads: see imseek/data/shards/shard_files.py."""
        import pyarrow.parquet as pq

        from imseek.indexer.sources.tables.arrow import translate_arrow_errors
        from imseek.indexer.sources.tables.parquet_page_check import check_pages, read_chunks

        with (
            open_binary(self._path) as raw,
            translate_arrow_errors(),
            pq.ParquetFile(raw, pre_buffer=False, page_checksum_verification=True) as file,
        ):
            for chunks in read_chunks(raw).values() if self._name else ():
                check_pages(raw, chunks, [self._name])
            yield file


def _choose_column(path: bytes, schema: pa.Schema, name: str | None) -> str:
    """Choose the column named by the user or by the file, else the only one that holds vectors."""
    lists = [field.name for field in schema if _holds_vectors(field.type)]
    claim = claim_of(path)
    name = name or (None if claim is None else claim.column)
    if name is not None and lists.count(name) == schema.names.count(name) == 1:
        return name
    location = display_path(path)
    if name is not None and name in lists:
        raise UsageError(f"{location} has several columns {name!r}", hint="write it with a name for each")
    if name is not None:
        raise UsageError(
            f"{location} has no column {name!r} of vectors",
            hint=f"there is {', '.join(lists)}" if lists else "no column holds lists of floating-point numbers",
        )
    if len(lists) != 1:
        problem = f"vectors may be in {' or '.join(lists)}" if lists else "no column holds vectors"
        raise UsageError(f"{location}: {problem}", hint="name it with --vector-column (SourceOptions.vector_column)")
    (column,) = lists
    return str(column)


def _holds_vectors(kind: pa.DataType) -> bool:
    import pyarrow as pa

    t = pa.types
    is_list = t.is_list(kind) or t.is_large_list(kind) or t.is_fixed_size_list(kind)
    return bool(is_list and t.is_floating(kind.value_type))

"""Read stored columns of any images of one generation into an Arrow table, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imseek.data.collection_records import Shard
from imseek.data.reader import Reader
from imseek.data.shards import metadata_columns, shard_files
from imseek.unique_numbers import unique_numbers

Int64 = npt.NDArray[np.int64]


class ColumnReader:
    """Reads columns for image ids. ``types`` are the columns of the generation; entirely empty ones are left out.

    Only row groups that hold wanted rows are read.
    """

    def __init__(self, reader: Reader, types: Mapping[str, pa.DataType]) -> None:
        self._reader = reader
        self._schemas: dict[str, Mapping[str, pa.DataType]] = {}
        fields = [pa.field(name, kind) for name, kind in types.items() if kind != pa.null()]
        self.schema = pa.schema([field for field in fields if field.name != "image_id"])

    def table(self, ids: Int64) -> pa.Table:
        """Return one row for each of ``ids`` (m,), in that order.

        All must be live (AssertionError). Raises StaleGenerationError, CorruptCollectionError.
        """
        unique_ids = unique_numbers(ids)
        id_parts: list[Int64] = [np.empty(0, np.int64)]
        tables = [self.schema.empty_table()]
        for shard in self._reader.current.shards:
            shard_ids = np.asarray(self._reader.shard_ids(shard))
            positions = np.searchsorted(shard_ids, unique_ids)
            rows = (
                positions[shard_ids[np.minimum(positions, len(shard_ids) - 1)] == unique_ids]
                if len(shard_ids)
                else positions[:0]
            )
            rows = np.setdiff1d(rows, self._reader.dead_rows(shard), assume_unique=True)
            if rows.size:
                id_parts.append(shard_ids[rows])
                tables.append(self._read_shard(shard, rows))
        all_ids = np.concatenate(id_parts)
        assert len(all_ids) == len(unique_ids), "an image that is not live"
        order = np.argsort(all_ids)
        return pa.concat_tables(tables).take(pa.array(order[np.searchsorted(all_ids, ids, sorter=order)]))

    def _read_shard(self, shard: Shard, rows: Int64) -> pa.Table:
        """Read rows of one shard. Where two files have a value for an image, the later file wins."""
        columns: dict[str, pa.ChunkedArray] = {}
        for file in metadata_columns.files_of(shard):
            file_schema = self._schema(file)
            schema = pa.schema([field for field in self.schema if field.name in file_schema])
            if schema.names:
                read = partial(shard_files.read_table_rows, rows=rows, columns=schema.names)
                table = shard_files.conform_table(self._reader.load(file, read), schema)
                for name in schema.names:
                    above, below = table.column(name), columns.get(name)
                    columns[name] = above if below is None else pc.coalesce(above, below)
        arrays = [
            columns[field.name] if field.name in columns else pa.nulls(len(rows), field.type) for field in self.schema
        ]
        return pa.table(arrays, schema=self.schema)

    def _schema(self, file: str) -> Mapping[str, pa.DataType]:
        if file not in self._schemas:
            self._schemas[file] = metadata_columns.schema_of(self._reader, file)
        return self._schemas[file]

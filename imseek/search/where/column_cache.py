"""Load the columns that filters read, live rows only, as Arrow, and cache them by least recent use up to a limit.

Shard files never change, so a column is identified by the names of its file and of the shard's file of dead rows.
Places change between generations: those of a shard are reloaded when one of its images has moved.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from imseek.data.collection_records import Shard
from imseek.data.reader import Reader, SourceRow
from imseek.data.shards import metadata_columns, shard_files
from imseek.search.where.columns_and_functions import Kind, Source

Int64 = npt.NDArray[np.int64]

_Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _CachedPlaces:
    """Places of the live rows of a shard as of ``generation``, with the ``sources`` at that time."""

    generation: int
    sources: Mapping[int, SourceRow]
    columns: Mapping[str, pa.ChunkedArray]

    @property
    def nbytes(self) -> int:
        return sum(int(column.nbytes) for column in self.columns.values())


class ColumnCache:
    """Loads and caches columns. Not thread-safe."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._used_bytes = 0
        self._turn = 0
        #: The last filter that used each column, and the column; least recently used first.
        self._entries: OrderedDict[_Key, tuple[int, Any]] = OrderedDict()
        self._schemas: dict[str, Mapping[str, pa.DataType]] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the cached columns."""
        return self._used_bytes

    def clear(self) -> None:
        self._entries.clear()
        self._schemas.clear()
        self._used_bytes = 0

    def types(self, reader: Reader) -> dict[str, pa.DataType]:
        """Return the types of the stored columns of a generation.

        Where shards differ, it is the narrowest type that holds all values.
        """
        types_by_name: dict[str, dict[pa.DataType, None]] = {
            field.name: {field.type: None} for field in shard_files.INTRINSIC_SCHEMA
        }
        files = [file for shard in reader.current.shards for file in metadata_columns.files_of(shard)]
        # Forget the schemas of deleted files.
        self._schemas = {file: schema for file in files if (schema := self._schemas.get(file)) is not None}
        for file in files:
            if file not in self._schemas:
                self._schemas[file] = metadata_columns.schema_of(reader, file)
            for name, kind in self._schemas[file].items():
                types_by_name.setdefault(name, {})[kind] = None
        for name in shard_files.ANNOTATION_COLUMNS.names:  # known even where no picture has them
            types_by_name.setdefault(name, {pa.null(): None})
        return {name: shard_files.common_type(kinds) for name, kinds in types_by_name.items()}

    def read(self, reader: Reader, types: Mapping[str, pa.DataType]) -> ColumnReader:
        """Return a reader for one filter on one generation."""
        self._turn += 1
        return ColumnReader(self, reader, types)

    def get(self, key: _Key) -> Any:
        turn, value = self._entries.get(key, (0, None))
        if turn:
            self._entries[key] = self._turn, value
            self._entries.move_to_end(key)
        return value

    def keep(self, key: _Key, value: Any) -> None:
        """Cache a column, unless this filter alone has filled the cache.

        Otherwise a filter that reads more than fits would evict all its own columns and find none of them next time.
        """
        _, old = self._entries.pop(key, (0, None))
        self._used_bytes -= 0 if old is None else old.nbytes
        while self._entries and self._used_bytes + value.nbytes > self._memory:
            oldest = next(iter(self._entries))
            if self._entries[oldest][0] == self._turn:
                return
            self._used_bytes -= self._entries.pop(oldest)[1].nbytes
        if self._used_bytes + value.nbytes <= self._memory:
            self._entries[key] = self._turn, value
            self._used_bytes += value.nbytes


class ColumnReader:
    """Reads the columns of one generation for one filter."""

    def __init__(self, columns: ColumnCache, reader: Reader, types: Mapping[str, pa.DataType]) -> None:
        self._columns = columns
        self._reader = reader
        self._types = types
        self._sources: Mapping[int, SourceRow] | None = None
        self._changed: dict[int, Int64] = {}
        self._ids_by_tag: dict[str, Int64] = {}

    def table(self, group: Sequence[Shard], inputs: Sequence[Source]) -> tuple[Int64, pa.Table]:
        """Return the ids (rows,) of the live images of some shards, and a table of their columns ``c0``, ``c1``…"""
        ids = [self._live(shard) for shard in group]
        columns: list[list[Any]] = [[] for _ in inputs]
        for shard, live in zip(group, ids, strict=True):
            stored_columns = self._read_columns(shard, [one.name for one in inputs if one.what == "stored"])
            for column, source in zip(columns, inputs, strict=True):
                if source.what == "stored":
                    column += stored_columns[source.name].chunks
                elif source.what == "place":
                    column += self._places(shard, live)[source.name].chunks
                else:
                    column.append(self._compute_column(source, live))
        all_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
        arrays = [
            pa.chunked_array(chunks, type=self._type(source)) for chunks, source in zip(columns, inputs, strict=True)
        ]
        return all_ids, pa.table(arrays, names=[f"c{n}" for n in range(len(inputs))])

    def _type(self, source: Source) -> pa.DataType:
        if source.what == "stored":
            return _arrow_type(self._types[source.name])
        return {"tag": pa.bool_(), "id": pa.int64()}.get(source.what, _PLACE_TYPES.get(source.name))

    def _live(self, shard: Shard) -> Int64:
        return _live_ids(np.asarray(self._reader.shard_ids(shard)), self._reader.dead_rows(shard))

    def _compute_column(self, source: Source, live: Int64) -> pa.Array:
        if source.what == "id":
            return pa.array(live)
        if source.name not in self._ids_by_tag:
            self._ids_by_tag[source.name] = metadata_columns.ids_with_tag(self._reader, source.name)
        return pa.array(np.isin(live, self._ids_by_tag[source.name], assume_unique=True))

    # -- stored columns --------------------------------------------------------------------------------

    def _read_columns(self, shard: Shard, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        files = metadata_columns.files_of(shard)
        keys = {name: (files, shard.dead, name, str(self._types[name])) for name in names}
        columns = {name: self._columns.get(key) for name, key in keys.items()}
        missing = [name for name, column in columns.items() if column is None]
        layers: dict[str, list[pa.ChunkedArray]] = {name: [] for name in missing}
        for file in files if missing else ():
            present = [name for name in missing if name in self._columns._schemas[file]]
            if present:
                table = metadata_columns.columns_of(self._reader, file, present)
                for name in present:
                    layers[name].append(_nan_to_null(_convert(table.column(name), _arrow_type(self._types[name]))))
        dead = self._reader.dead_rows(shard) if missing else np.empty(0, np.int64)
        for name, parts in layers.items():
            columns[name] = self._merge_layers(shard, name, parts, dead)
            self._columns.keep(keys[name], columns[name])
        return columns

    def _merge_layers(self, shard: Shard, name: str, parts: list[pa.ChunkedArray], dead: Int64) -> pa.ChunkedArray:
        if not parts:
            column = pa.chunked_array([pa.nulls(shard.rows, _arrow_type(self._types[name]))])
        else:
            column = parts[0] if len(parts) == 1 else pc.coalesce(*reversed(parts))
        if len(dead):
            mask = np.ones(shard.rows, np.bool_)
            mask[dead] = False
            column = column.filter(pa.array(mask))
        return pa.chunked_array([column.combine_chunks()]) if _can_combine(column) else column

    # -- places ----------------------------------------------------------------------------------------

    def _places(self, shard: Shard, live: Int64) -> Mapping[str, pa.ChunkedArray]:
        if self._sources is None:
            self._sources = self._reader.sources()
        key = ("places", shard.shard_id, shard.dead)
        cached: _CachedPlaces | None = self._columns.get(key)
        if cached is not None and cached.sources == self._sources and not self._has_moved(cached.generation, live):
            return cached.columns
        current = _CachedPlaces(self._reader.generation, self._sources, self._place_columns(live, self._sources))
        if cached is None or cached.generation <= current.generation:
            self._columns.keep(key, current)
        return current.columns

    def _has_moved(self, since: int, live: Int64) -> bool:
        """Return whether an image of the shard may have moved since generation ``since``."""
        if since >= self._reader.generation:
            return since > self._reader.generation
        if since not in self._changed:
            self._changed[since] = metadata_columns.changed_places(self._reader, since)
        return bool(np.isin(live, self._changed[since], assume_unique=True).any())

    def _place_columns(self, live: Int64, sources: Mapping[int, SourceRow]) -> Mapping[str, pa.ChunkedArray]:
        ids: list[Int64] = [np.empty(0, np.int64)]
        numbers: list[Int64] = [np.empty(0, np.int64)]
        texts: list[pa.Array] = []
        if len(live):
            for part_ids, source, text in metadata_columns.places_between(
                self._reader, sources, int(live[0]), int(live[-1])
            ):
                ids.append(part_ids)
                numbers.append(source)
                texts.append(text)
        all_ids = np.concatenate(ids)
        at = np.searchsorted(all_ids, live)
        is_lost = at == len(all_ids)
        is_lost[~is_lost] = all_ids[at[~is_lost]] != live[~is_lost]
        rows = pa.array(at, mask=is_lost)
        return {
            "path": pa.chunked_array(texts, pa.string()).take(rows),
            "source": pa.chunked_array([pa.array(np.concatenate(numbers).astype(np.int32))]).take(rows),
        }


_PLACE_TYPES: Final = {"path": pa.string(), "source": pa.int32()}


def kinds_of(types: Mapping[str, pa.DataType]) -> dict[str, Kind]:
    """Return the kinds of stored columns in filters, by name."""
    return {name: _kind_of(name, kind) for name, kind in types.items()}


def _kind_of(name: str, kind: pa.DataType) -> Kind:
    if pa.types.is_null(kind) and name in shard_files.ANNOTATION_COLUMNS.names:
        kind = shard_files.ANNOTATION_COLUMNS.field(name).type
    if name in shard_files.LIST_COLUMNS and pa.types.is_string(kind):  # a table may have numbers of this name
        return Kind.LIST
    if pa.types.is_boolean(kind):
        return Kind.BOOL
    if pa.types.is_integer(kind):
        return Kind.INT
    if pa.types.is_floating(kind):
        return Kind.FLOAT
    if pa.types.is_timestamp(kind):
        return Kind.TIME
    return Kind.TEXT


def _arrow_type(kind: pa.DataType) -> pa.DataType:
    """Return the Arrow type in which a column is loaded; a column without values is loaded as text."""
    return pa.string() if kind == pa.null() else kind


def _convert(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if column.type == pa.null() or kind == pa.float64():
        return column.cast(kind, safe=False)
    return pa.chunked_array([shard_files.column_of(column.to_pylist(), kind)])


def _nan_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace NaN by null: DuckDB would treat NaN as greater than every number."""
    if not pa.types.is_floating(column.type) or not pc.any(pc.is_nan(column)).as_py():
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _live_ids(ids: Int64, dead: Int64) -> Int64:
    return np.delete(ids, dead) if len(dead) else ids


def _can_combine(column: pa.ChunkedArray) -> bool:
    """Return whether many small chunks, one per row group, can be combined: text offsets have 31 bits."""
    return bool(column.num_chunks > 8 and column.nbytes < 2**30)

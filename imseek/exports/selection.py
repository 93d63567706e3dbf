"""The images to export and their metadata, in blocks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.shards.column_reader import ColumnReader
from imseek.data.shards.shard_files import LIST_COLUMNS, to_json_row
from imseek.data.vectors.base import Float16, Ids, IdSet
from imseek.search.where.column_cache import ColumnCache
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo
from imseek.types.pictures import Place, place_columns

#: Number of images read and written together.
BLOCK: Final = 4096
#: Columns added by exports; a stored column of such a name becomes ``extra_…``.
RESERVED_COLUMNS: Final = (
    "image_id", "path", "path_b64", "uri", "score", "tags", "vector", "image_path", "image", "file_name",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive images: ``ids`` (m,), their ``scores`` if they answer a query, and a ``table`` of stored columns, m
    rows."""

    ids: Ids
    scores: Float32 | None
    table: pa.Table
    places: Sequence[Place | None]
    tags: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each image as a JSON object, without null and non-finite values."""
        columns = self.table.to_pylist()
        for n, (image_id, place, tags, values) in enumerate(
            zip(self.ids.tolist(), self.places, self.tags, columns, strict=True)
        ):
            row: dict[str, Any] = {"image_id": image_id}
            if place is not None:
                row |= place_columns(place)
            if self.scores is not None:
                row["score"] = float(self.scores[n])
            if tags:
                row["tags"] = list(tags)
            yield row | to_json_row({name: value for name, value in values.items() if _has_value(value)})


class Selection:
    """Images of one generation to export: all, or ``ids`` in output order, with optional ``scores``.

    ``space`` is the space whose vectors are exported. With ``columns``, names as exported, nothing else is read.
    Memory: 24 bytes per image. Raises StaleGenerationError and CorruptCollectionError.
    """

    def __init__(
        self,
        reader: Reader,
        space: SpaceInfo,
        ids: Ids | None = None,
        scores: Float32 | None = None,
        columns: Collection[str] | None = None,
    ) -> None:
        self.reader = reader
        self.space = space
        self.ids: Ids = live_ids(reader) if ids is None else ids
        self.scores = scores
        self._columns = columns
        #: Whether all live images are selected, in ascending order of their ids.
        self.complete = ids is None

    def __len__(self) -> int:
        return len(self.ids)

    def with_vectors(self) -> Selection:
        """Return the selection without images that have no vector in the space."""
        has_vector = IdSet(self.vectors.ids).marks(self.ids)
        if has_vector.all():
            return self
        scores = None if self.scores is None else self.scores[has_vector]
        return Selection(self.reader, self.space, self.ids[has_vector], scores, self._columns)

    @cached_property
    def vectors(self) -> Vectors:
        """Vectors of all images in the space: ``vectors.stored_rows(block.ids)`` returns float16 rows."""
        return Vectors(self.reader, self.space)

    @cached_property
    def names(self) -> dict[str, str]:
        """The exported names of all stored columns, by the names that they are stored under."""
        stored_names = ColumnReader(self.reader, self._types).schema.names
        used_names = {*RESERVED_COLUMNS, *stored_names} - {"image_id"}
        exported_names = {}
        for name in stored_names:
            exported = name
            while exported in RESERVED_COLUMNS or (exported != name and exported in used_names):
                exported = f"extra_{exported}"
            exported_names[name] = exported
        return exported_names

    @cached_property
    def stored(self) -> ColumnReader:
        """Reads the columns that the selection has."""
        types = {name: kind for name, kind in self._types.items() if self.has(self.names.get(name, name))}
        return ColumnReader(self.reader, types)

    @cached_property
    def schema(self) -> pa.Schema:
        """Schema of the blocks' tables: the stored columns under their exported names, lists as lists."""
        return pa.schema(
            pa.field(self.names[field.name], pa.list_(pa.string()) if _is_list(field.name, field.type) else field.type)
            for field in self.stored.schema
        )

    def has(self, *columns: str) -> bool:
        """Whether any of these columns, by their exported names, is selected."""
        return self._columns is None or any(column in self._columns for column in columns)

    @property
    def empty_columns(self) -> tuple[str, ...]:
        """Columns that imseek knows, and in which no image of the collection has a value."""
        return tuple(name for name, kind in self._types.items() if kind == pa.null() and name not in self.names)

    @cached_property
    def _types(self) -> dict[str, pa.DataType]:
        return dict(ColumnCache(0).types(self.reader))

    def blocks(self, size: int = BLOCK) -> Iterator[Block]:
        """Yield all images in order, ``size`` at a time."""
        return self.blocks_of(self.ids, self.scores, size)

    def blocks_of(self, ids: Ids, scores: Float32 | None, size: int = BLOCK) -> Iterator[Block]:
        """As :meth:`blocks`, for the given ids."""
        for start in range(0, len(ids), size):
            part = ids[start : start + size]
            image_ids = part.tolist()
            places = self.reader.places(image_ids) if self.has("path", "path_b64", "uri") else {}
            tags = self.reader.tags(image_ids) if self.has("tags") else {}
            yield Block(
                part,
                None if scores is None else scores[start : start + size],
                self._table(part),
                [places.get(i) for i in image_ids],
                [tuple(tags.get(i, ())) for i in image_ids],
            )

    def _table(self, ids: Ids) -> pa.Table:
        columns = [
            pc.split_pattern(column, "\n") if _is_list(name, column.type) else column
            for name, column in zip(self.stored.schema.names, self.stored.table(ids).columns, strict=True)
        ]
        return pa.table(columns, schema=self.schema)

    def rows_of(self, block: Block) -> Float16:
        """Return the stored vectors of a block, (m, dim)."""
        return self.vectors.stored_rows(block.ids)


def _is_list(name: str, kind: pa.DataType) -> bool:
    """Whether a stored column is a list; a table may have numbers of its name."""
    return name in LIST_COLUMNS and pa.types.is_string(kind)


def live_ids(reader: Reader) -> Ids:
    """Return the ids (n,) of all live images, ascending. Raises StaleGenerationError."""
    shards = reader.current.shards
    parts = [np.delete(np.asarray(reader.shard_ids(s)), reader.dead_rows(s)) for s in shards]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def _has_value(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))

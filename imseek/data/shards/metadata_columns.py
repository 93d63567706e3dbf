"""Read metadata of all images column by column, for filters: from the shards' Parquet files, places and tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, locate
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import select_in
from imseek.data.collection_records import Shard
from imseek.data.reader import Reader, SourceRow
from imseek.data.shards import shard_files
from imseek.types.pictures import display_path

Int64 = npt.NDArray[np.int64]

#: Places converted to text per block.
_BLOCK = 50_000
#: Prefix of the provenance of tags with which `imseek duplicates apply` marks duplicates.
DUPLICATES_PREFIX = "duplicates"


def files_of(shard: Shard) -> tuple[str, ...]:
    """Return the Parquet files with a shard's columns. Where two have a value for an image, the later file wins."""
    return (layout.metadata(shard.shard_id), *shard.columns.values())


def schema_of(reader: Reader, file: str) -> Mapping[str, pa.DataType]:
    """Return names and types of a file's columns. Raises StaleGenerationError, CorruptCollectionError."""

    return {field.name: field.type for field in reader.load(file, shard_files.read_schema)}


def columns_of(reader: Reader, file: str, names: Sequence[str]) -> pa.Table:
    """Read some columns of all rows of a file, including dead ones. Raises StaleGenerationError,
    CorruptCollectionError."""
    return reader.load(file, partial(shard_files.read_table, columns=list(names)))


def places_between(
    reader: Reader, sources: Mapping[int, SourceRow], low: int, high: int
) -> Iterator[tuple[Int64, Int64, pa.Array]]:
    """Yield ids, source ids and displayed paths of images with ids from ``low`` to ``high``, in blocks, ordered by id.

    Images without a place are left out. Raises StaleGenerationError.
    """
    prefixes = {number: locate(source.root, b"x")[:-1] for number, source in sources.items()}
    with connect_read_only(reader.root) as connection:
        rows = connection.execute(
            "SELECT image_id, source_id, path FROM places WHERE image_id BETWEEN ? AND ? "
            "AND born <= ? AND died > ? ORDER BY image_id",
            (low, high, reader.generation, reader.generation),
        )
        while block := rows.fetchmany(_BLOCK):
            texts = [_display_text(prefixes[source], sources[source].root, path) for _, source, path in block]
            yield (
                _int64([row[0] for row in block]),
                _int64([row[1] for row in block]),
                pa.array(texts, pa.string()),
            )
        reader.check_history(connection)


def names_in_places(reader: Reader) -> Iterator[pa.Array]:
    """Yield the paths of all live images as their documents take names from them, in blocks.

    Members of archives are separated by slashes, like folders. Raises StaleGenerationError.
    """
    from imseek.data.words.analysis import full_name

    with connect_read_only(reader.root) as connection:
        roots = {number: source.root for number, source in reader.sources().items()}
        prefixes = {number: full_name(root, b"x")[:-1] for number, root in roots.items()}
        rows = connection.execute(
            "SELECT source_id, path FROM places WHERE born <= ? AND died > ?", (reader.generation, reader.generation)
        )
        while block := rows.fetchmany(_BLOCK):
            names = [
                prefixes[source] + path
                if path and path[0] not in b"/\0" and b"://" not in path and source in prefixes
                else full_name(roots.get(source, b""), path)
                for source, path in block
            ]
            yield pa.array(
                [name.replace(MEMBER_SEPARATOR, b"/").decode(errors="replace") for name in names], pa.string()
            )
        reader.check_history(connection)


def changed_places(reader: Reader, since: int) -> Int64:
    """Return the ids, ascending, of images whose places may differ between generation ``since`` and the reader's."""
    return _select_ids(
        reader,
        "SELECT DISTINCT image_id FROM places WHERE (born > ? AND born <= ?) OR (died > ? AND died <= ?)",
        (since, reader.generation) * 2,
    )


def ids_with_tag(reader: Reader, tag: str) -> Int64:
    """Return the ids, ascending, of images that have a tag. Raises StaleGenerationError."""
    return _select_ids(
        reader,
        "SELECT DISTINCT image_id FROM tags WHERE tag = ? AND born <= ? AND died > ?",
        (tag, reader.generation, reader.generation),
    )


def is_duplicate_mark(provenance: str) -> bool:
    """Whether a tag with this provenance only marks an image as a duplicate and says nothing about its picture."""
    return f"{DUPLICATES_PREFIX} [undo " in provenance


def tags_of(reader: Reader, image_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the sorted tags of each image that has any, except tags that mark duplicates.

    Raises StaleGenerationError.
    """
    tags: dict[int, list[str]] = {}
    query = "SELECT DISTINCT image_id, tag, provenance FROM tags"
    query += " WHERE born <= ? AND died > ? AND image_id IN (??) ORDER BY image_id, tag"
    with connect_read_only(reader.root) as connection:
        rows = select_in(connection, query, reader.generation, reader.generation, [int(i) for i in image_ids])
        for image_id, tag, provenance in rows:
            if not is_duplicate_mark(provenance or ""):
                tags.setdefault(image_id, []).append(tag)
        reader.check_history(connection)
    return tags


def _select_ids(reader: Reader, query: str, values: tuple[object, ...]) -> Int64:
    with connect_read_only(reader.root) as connection:
        ids = _int64([row[0] for row in connection.execute(query, values)])
        reader.check_history(connection)
    return np.sort(ids)


def _int64(values: Sequence[int]) -> Int64:
    return np.fromiter(values, np.int64, len(values))


def _display_text(prefix: bytes, root: bytes, path: bytes) -> str:
    """Return the same text as :attr:`imseek.types.Place.display`, by a fast path for printable paths below the root."""
    is_plain = path and path[0] != 0x2F and b"\0" not in path and b"://" not in path
    location = prefix + path if is_plain else locate(root, path)
    text = location.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else display_path(location)

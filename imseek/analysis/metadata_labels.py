"""Labels already present in metadata: values of a stored column, and folder names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, split
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.search.where.columns_and_functions import ALIASES, VIRTUAL, Kind, Source
from imseek.types.pictures import display_path

#: Images whose paths are read at once.
_BLOCK: Final = 50_000


@dataclass(frozen=True, slots=True)
class Folders:
    """Names of the folders that contain an image, below its source, outermost first.

    ``around`` are the folders of the file, ``inside`` those within an archive or table, None where the image is not in
    one. ``root`` is the path of the source. ``named`` is False where the source is the image file itself.
    """

    around: tuple[str, ...]
    inside: tuple[str, ...] | None
    root: bytes
    named: bool


def values_of(reader: Reader, name: str, ids: Ids) -> dict[int, str]:
    """Return the values of a stored column as text, by image id; images without a value are left out.

    Column names are matched as in filters. Raises QueryError where the column does not exist, UsageError where its
    values cannot be classes.
    """
    from imseek.search.where.column_cache import ColumnCache, kinds_of  # here: they import sqlglot and pyarrow.compute
    from imseek.search.where.names import ColumnNames

    columns = ColumnCache(0)
    types = columns.types(reader)
    kinds = kinds_of(types)
    column = ColumnNames(kinds).column(name)
    is_derived = name.lower() in VIRTUAL or name.lower() in ALIASES or column.inputs[0].what != "stored"
    if is_derived or column.kind not in (Kind.TEXT, Kind.INT, Kind.BOOL):
        raise UsageError(
            f"{name!r} holds no classes",
            hint="a stored column of text, whole numbers, or true and false; --truth folder for folders",
        )
    column_reader = columns.read(reader, types)
    values: dict[int, str] = {}
    for shard in reader.current.shards:
        rows, table = column_reader.table([shard], (Source("stored", column.inputs[0].name),))
        for image_id, value in zip(rows.tolist(), table.column(0).to_pylist(), strict=True):
            if value is not None and (text := str(value).strip()):
                values[image_id] = text
    return {i: values[i] for i in ids.tolist() if i in values}


def folders_of(reader: Reader, ids: Ids) -> Iterator[tuple[int, Folders]]:
    """Yield each image that has a path, with its folders."""
    sources = reader.sources()
    for start in range(0, len(ids), _BLOCK):
        places = reader.catalog_places(ids[start : start + _BLOCK].tolist())
        for image_id, (source, path) in places.items():
            container, member, location = split(path)
            inner = location or member
            yield (
                image_id,
                Folders(
                    _folders(container),
                    _folders(inner) if MEMBER_SEPARATOR in path else None,
                    sources[source].root,
                    bool(inner if MEMBER_SEPARATOR in path else container),
                ),
            )


def _folders(path: bytes) -> tuple[str, ...]:
    return tuple(display_path(part) for part in path.split(b"/")[:-1] if part)

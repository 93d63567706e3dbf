"""What is known of images before anything is learned: values of a stored column, and the folders that they lie in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from imseek.data.places import INSIDE, split
from imseek.data.reader import Reader
from imseek.data.vectors.base import Ids
from imseek.errors import UsageError
from imseek.search.where.columns import Columns, kind_of
from imseek.search.where.names import Names
from imseek.search.where.vocabulary import ALIASES, VIRTUAL, Kind, Source
from imseek.types import display_path

#: Images whose places are read at once.
_BLOCK: Final = 50_000


@dataclass(frozen=True, slots=True)
class Folders:
    """Names of the folders that an image lies in, below its source, the outermost first: ``around`` are those of its
    file, ``inside`` those in the archive or table that the file is, None where it is none. ``root`` is the path of the
    source, and ``named`` says whether the image has a name below it (a source may be the picture itself)."""

    around: tuple[str, ...]
    inside: tuple[str, ...] | None
    root: bytes
    named: bool


def values_of(reader: Reader, name: str, ids: Ids) -> dict[int, str]:
    """Of the images ``ids`` those that have a value in a stored column, as text.

    Names of columns agree as in filters. Raises QueryError where there is no such column, UsageError for one whose
    values are no classes.
    """
    columns = Columns(0)
    types = columns.types(reader)
    kinds = {one: kind_of(kind) for one, kind in types.items()}
    found = Names(kinds).column(name)
    made = name.lower() in VIRTUAL or name.lower() in ALIASES or found.inputs[0].what != "stored"
    if made or found.kind not in (Kind.TEXT, Kind.INT, Kind.BOOL):
        raise UsageError(
            f"{name!r} holds no classes",
            hint="a stored column of text, whole numbers, or true and false; --truth folder for folders",
        )
    reading = columns.read(reader, types)
    values: dict[int, str] = {}
    for shard in reader.current.shards:
        rows, table = reading.table([shard], (Source("stored", found.inputs[0].name),))
        for image_id, value in zip(rows.tolist(), table.column(0).to_pylist(), strict=True):
            if value is not None and (text := str(value).strip()):
                values[image_id] = text
    return {i: values[i] for i in ids.tolist() if i in values}


def folders_of(reader: Reader, ids: Ids) -> Iterator[tuple[int, Folders]]:
    """Of each image that has a place, the folders it lies in."""
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
                    _folders(inner) if INSIDE in path else None,
                    sources[source].root,
                    bool(inner if INSIDE in path else container),
                ),
            )


def _folders(path: bytes) -> tuple[str, ...]:
    return tuple(display_path(part) for part in path.split(b"/")[:-1] if part)

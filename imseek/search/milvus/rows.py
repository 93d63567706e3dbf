"""Build the rows of a publication from a collection in a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data.milvus import layout
from imseek.data.milvus.layout import Column
from imseek.data.reader import Reader
from imseek.data.vectors import Segment
from imseek.errors import CorruptCollectionError, repair_command
from imseek.search.where import column_values
from imseek.search.where.columns_and_functions import Kind
from imseek.types.collection_info import SpaceInfo
from imseek.types.pictures import Image

Int64 = npt.NDArray[np.int64]

_KINDS: Final[Mapping[str, str]] = {
    Kind.INT: "int", Kind.FLOAT: "float", Kind.TEXT: "text", Kind.BOOL: "bool", Kind.TIME: "time", Kind.DATE: "time",
}  # fmt: skip
#: Not published as columns: the key, an unsigned 64-bit number, and whatever has no kind above (lists).
_EXCLUDED: Final = ("image_id", "phash")
#: Floats of all vectors in one block: 16 MiB of float32.
_MAX_FLOATS: Final = 1 << 22
_MAX_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A row for Milvus: ``fields`` are its values and ``digest`` identifies this state of the image.

    ``shortened`` is True if some text or tags exceeded the limits of Milvus.
    """

    image_id: int
    digest: int
    fields: Mapping[str, Any]
    shortened: bool


def columns_of(reader: Reader) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Return the columns that filters of a publication can name, and those for which Milvus has no field left."""
    kinds = column_values.list_columns(reader)
    filterable = [(name, _KINDS[kind]) for name, kind in kinds.items() if name not in _EXCLUDED and kind in _KINDS]
    return layout.assign_fields(filterable, len(layout.fixed_fields(reader.current.spaces)))


def blocks(reader: Reader, columns: Sequence[Column]) -> Iterator[list[Row]]:
    """Yield all live images as rows, a few hundred at a time. Raises StaleGenerationError, CorruptCollectionError."""
    spaces = reader.current.spaces
    segments = [reader.segments(space.space_id) for space in spaces]
    if any(len(one) != len(reader.current.shards) for one in segments):
        raise CorruptCollectionError("some images have no vector in a space", hint=repair_command(reader.root))
    step = max(1, min(_MAX_ROWS, _MAX_FLOATS // max(1, sum(space.dim for space in spaces))))
    live_segments = [each for each in zip(*segments, strict=True) if len(each[0].ids) > len(each[0].dead)]
    values = column_values.values(reader, [column.name for column in columns])
    for (ids, arrays), parts in zip(values, live_segments, strict=True):
        for start in range(0, len(ids), step):
            rows = slice(start, start + step)
            facts = [_to_milvus_values(array.slice(start, step)) for array in arrays]
            yield list(_rows(reader, spaces, columns, ids[rows], facts, parts))


def _rows(
    reader: Reader,
    spaces: Sequence[SpaceInfo],
    columns: Sequence[Column],
    ids: Int64,
    facts: Sequence[Sequence[Any]],
    segments: Sequence[Segment],
) -> Iterator[Row]:
    images = reader.images(ids.tolist())
    places = reader.catalog_places(ids.tolist())
    at = np.searchsorted(segments[0].ids, ids)
    vectors = [np.asarray(segment.rows[at]) for segment in segments]
    lacks_caption = [np.isin(at, segment.dead) for segment in segments]
    for n, image_id in enumerate(ids.tolist()):
        members, shortened = _hit_fields(images[image_id], places.get(image_id))
        for column, values in zip(columns, facts, strict=True):
            members[column.field] = values[n]
            if isinstance(values[n], str) and len(values[n].encode()) > layout.MAX_TEXT_BYTES:
                members[column.field], shortened = _truncate(values[n], layout.MAX_TEXT_BYTES), True
        digest = hashlib.blake2b(json.dumps(members, sort_keys=True).encode(), digest_size=8)
        fields: dict[str, Any] = {layout.ID: image_id, **members}
        for space, rows, is_lacking in zip(spaces, vectors, lacks_caption, strict=True):
            row = rows[n].astype(np.float32)
            digest.update(rows[n].tobytes())
            if space.modality == "text":
                # A zero row has no direction and Milvus may reject it, so another row stands in for it.
                fields[layout.has_caption_field(space)] = not is_lacking[n]
                row[0] = 1.0 if is_lacking[n] else row[0]
            fields[layout.vector_field(space)] = row
        number = int.from_bytes(digest.digest(), "big", signed=True)
        yield Row(image_id, number, {**fields, layout.DIGEST: number}, shortened)


def _hit_fields(image: Image, place: tuple[int, bytes] | None) -> tuple[dict[str, Any], bool]:
    """Return the fields with the tags and the document that hits carry, and whether anything was shortened."""
    tags = list(image.tags[: layout.MAX_TAGS])
    while len(marks := layout.encode_tags(tags)) > layout.MAX_TEXT_BYTES:
        tags.pop()
    shortened = len(tags) < len(image.tags)
    metadata = {**image.metadata, "content_hash": image.content_hash}
    place_members = None if place is None else [place[0], base64.b64encode(place[1]).decode()]
    while (
        len(document := json.dumps({"metadata": metadata, "place": place_members}, default=str)) > layout.MAX_TEXT_BYTES
    ):
        shortened = True
        longest = max(metadata, key=lambda name: len(json.dumps(metadata[name], default=str)))
        text = str(metadata[longest])
        metadata[longest] = text[: len(text) // 2]
    return {layout.TAGS: tags, layout.MARKS: marks, layout.DOCUMENT: document}, shortened


def _truncate(text: str, most: int) -> str:
    """Cut ``text`` to at most ``most`` bytes of UTF-8."""
    return text.encode()[:most].decode(errors="ignore")


def _to_milvus_values(column: pa.Array) -> list[Any]:
    """Convert values for Milvus: times to microseconds, NaN and infinity to None."""
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us")).cast(pa.int64())
    values = column.to_pylist()
    if pa.types.is_floating(column.type):
        return [None if one is None or not math.isfinite(one) else one for one in values]
    return list(values)

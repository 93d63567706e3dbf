"""Layout of a publication in Milvus: a collection with one row per image, and one that describes it.

A publication called ``photos`` has the collections ``photos_about`` and ``photos_rows1``. When columns or encoders
change, rows go to ``photos_rows2``, and ``photos_about`` says which of them is searched. It uses only types that Milvus
Lite and clusters share: float32 vectors, which represent float16 rows exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imseek.types.collection_info import SpaceInfo

#: Version of this layout. A record of a later version is rejected, one of an earlier version is published again.
VERSION: Final = 1

#: Maximum bytes of a text.
MAX_TEXT_BYTES: Final = 65_535
#: Maximum fields of a Milvus collection (`proxy.maxFieldNum`).
MAX_FIELDS: Final = 64
#: Maximum tags of an image, and bytes of a tag, which imseek limits to 200 characters.
MAX_TAGS: Final = 1024
MAX_TAG_BYTES: Final = 800

ID: Final = "image_id"
DOCUMENT: Final = "document"
DIGEST: Final = "digest"
TAGS: Final = "tags"
MARKS: Final = "tag_marks"

_SAFE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
#: Keywords of Milvus' expressions, and our own fields.
_RESERVED: Final = frozenset(
    "and or not in like is null exists true false iso interval array_contains array_contains_all array_contains_any "
    "array_length json_contains json_contains_all json_contains_any text_match phrase_match count random_sample "
    f"element_filter match_all match_any {ID} {DOCUMENT} {DIGEST} {TAGS} {MARKS}".split()
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a Milvus collection; ``kind`` is a member name of pymilvus' ``DataType``."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that filters can use: its name and kind in imseek, and its field in Milvus."""

    name: str
    kind: str
    field: str


def about_collection(name: str) -> str:
    return f"{name}_about"


def rows_collection(name: str, number: int) -> str:
    return f"{name}_rows{number}"


def vector_field(space: SpaceInfo) -> str:
    return f"vector_{space.space_id}"


def has_caption_field(space: SpaceInfo) -> str:
    """Field of a caption space: whether an image has a caption."""
    return f"said_{space.space_id}"


def assign_fields(columns: Iterable[tuple[str, str]], reserved: int) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Assign fields to columns, beside ``reserved`` others; also returns the names of columns for which none is left.

    Kinds are ``int``, ``float``, ``text``, ``bool`` and ``time``.
    """
    assigned: list[Column] = []
    unassigned: list[str] = []
    used_names = set(_RESERVED)
    for number, (name, kind) in enumerate(columns):
        if len(assigned) + reserved >= MAX_FIELDS:
            unassigned.append(name)
            continue
        is_safe = _SAFE.fullmatch(name) and name.lower() not in used_names and not name.startswith(("vector_", "said_"))
        field_name = name if is_safe else f"column_{number}"
        used_names.add(field_name.lower())
        assigned.append(Column(name, kind, field_name))
    return tuple(assigned), tuple(unassigned)


#: Milvus type and options by column kind. Times are microseconds since 1970, by the camera's clock.
_KINDS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "int": ("INT64", {}),
    "float": ("DOUBLE", {}),
    "bool": ("BOOL", {}),
    "time": ("INT64", {}),
    "text": ("VARCHAR", {"max_length": MAX_TEXT_BYTES}),
}


def fixed_fields(spaces: Sequence[SpaceInfo]) -> list[Field]:
    """Fields of every row: id, vectors, tags, and the JSON that hits carry."""
    fields = [Field(ID, "INT64", {"is_primary": True})]
    for space in spaces:
        fields.append(Field(vector_field(space), "FLOAT_VECTOR", {"dim": space.dim}))
        if space.modality == "text":
            fields.append(Field(has_caption_field(space), "BOOL"))
    tags = {"element_type": "VARCHAR", "max_capacity": MAX_TAGS, "max_length": MAX_TAG_BYTES}
    return [
        *fields,
        Field(TAGS, "ARRAY", tags),
        Field(MARKS, "VARCHAR", {"max_length": MAX_TEXT_BYTES}),
        Field(DIGEST, "INT64"),
        Field(DOCUMENT, "VARCHAR", {"max_length": MAX_TEXT_BYTES}),
    ]


def row_fields(spaces: Sequence[SpaceInfo], columns: Sequence[Column]) -> list[Field]:
    fields = fixed_fields(spaces)
    for column in columns:
        kind, options = _KINDS[column.kind]
        fields.append(Field(column.field, kind, {**options, "nullable": True}))
    return fields


#: A Milvus collection must have a vector: that of the record is a dummy.
DUMMY_VECTOR: Final = {"nothing": [0.0, 1.0]}
ABOUT_FIELDS: Final = (
    Field("key", "VARCHAR", {"is_primary": True, "max_length": 64}),
    Field("value", "VARCHAR", {"max_length": MAX_TEXT_BYTES}),
    Field("nothing", "FLOAT_VECTOR", {"dim": 2}),
)


def encode_tag(tag: str) -> str:
    """Encode a tag for ``tag_marks`` in letters and digits only, so that LIKE finds any tag."""
    return f" {tag.encode().hex()} "


def encode_tags(tags: Iterable[str]) -> str:
    return "".join(encode_tag(tag) for tag in tags)

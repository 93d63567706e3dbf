"""What lies in Milvus: one row per image in a collection of rows, and one collection that tells about them.

Of a publication called ``photos`` the collections are ``photos_about`` and ``photos_rows1``; where columns or encoders
change, rows are written to ``photos_rows2``, and ``photos_about`` says which of them is searched. Everything is of
kinds that Milvus Lite and a cluster both have: float32 vectors, which hold float16 rows bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imseek.types import SpaceInfo

#: Version of this layout. A record of a later one is refused, one of an earlier is published anew.
VERSION: Final = 1

#: The most bytes of a text.
LONGEST: Final = 65_535
#: Fields that a collection of Milvus has at most (`proxy.maxFieldNum`).
MOST_FIELDS: Final = 64
#: The most tags of an image, and bytes of one, which imseek lets have 200 characters.
MOST_TAGS: Final = 1024
LONGEST_TAG: Final = 800

ID: Final = "image_id"
DOCUMENT: Final = "document"
DIGEST: Final = "digest"
TAGS: Final = "tags"
MARKS: Final = "tag_marks"

_SAFE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
#: Words of Milvus' expressions, and our own fields.
_TAKEN: Final = frozenset(
    "and or not in like is null exists true false iso interval array_contains array_contains_all array_contains_any "
    "array_length json_contains json_contains_all json_contains_any text_match phrase_match count random_sample "
    f"element_filter match_all match_any {ID} {DOCUMENT} {DIGEST} {TAGS} {MARKS}".split()
)


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a collection of Milvus; ``kind`` is a name in pymilvus' ``DataType``."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that filters can name: its name and kind in imseek, and the field that holds it."""

    name: str
    kind: str
    field: str


def about(name: str) -> str:
    return f"{name}_about"


def rows(name: str, number: int) -> str:
    return f"{name}_rows{number}"


def vector(space: SpaceInfo) -> str:
    return f"vector_{space.space_id}"


def said(space: SpaceInfo) -> str:
    """Of a space of captions: whether an image has one."""
    return f"said_{space.space_id}"


def columns(known: Iterable[tuple[str, str]], taken: int) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """Fields for columns of some kinds (``int``, ``float``, ``text``, ``bool``, ``time``), and the names of those for
    which there is none left beside ``taken`` others."""
    found: list[Column] = []
    left: list[str] = []
    used = set(_TAKEN)
    for number, (name, kind) in enumerate(known):
        if len(found) + taken >= MOST_FIELDS:
            left.append(name)
            continue
        safe = (
            _SAFE.fullmatch(name) and name.lower() not in used and not name.startswith(("vector_", "said_"))
        )
        place = name if safe else f"column_{number}"
        used.add(place.lower())
        found.append(Column(name, kind, place))
    return tuple(found), tuple(left)


#: By the kind of a column. Times are microseconds since 1970, by the camera's clock.
_KINDS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "int": ("INT64", {}),
    "float": ("DOUBLE", {}),
    "bool": ("BOOL", {}),
    "time": ("INT64", {}),
    "text": ("VARCHAR", {"max_length": LONGEST}),
}


def fixed_fields(spaces: Sequence[SpaceInfo]) -> list[Field]:
    """Those of every row: its id, vectors, tags, and what hits carry, as JSON."""
    found = [Field(ID, "INT64", {"is_primary": True})]
    for space in spaces:
        found.append(Field(vector(space), "FLOAT_VECTOR", {"dim": space.dim}))
        if space.modality == "text":
            found.append(Field(said(space), "BOOL"))
    tags = {"element_type": "VARCHAR", "max_capacity": MOST_TAGS, "max_length": LONGEST_TAG}
    return [
        *found,
        Field(TAGS, "ARRAY", tags),
        Field(MARKS, "VARCHAR", {"max_length": LONGEST}),
        Field(DIGEST, "INT64"),
        Field(DOCUMENT, "VARCHAR", {"max_length": LONGEST}),
    ]


def row_fields(spaces: Sequence[SpaceInfo], known: Sequence[Column]) -> list[Field]:
    found = fixed_fields(spaces)
    for column in known:
        kind, options = _KINDS[column.kind]
        found.append(Field(column.field, kind, {**options, "nullable": True}))
    return found


#: Every collection of Milvus has a vector: that of the record means nothing.
NOTHING: Final = {"nothing": [0.0, 1.0]}
ABOUT_FIELDS: Final = (
    Field("key", "VARCHAR", {"is_primary": True, "max_length": 64}),
    Field("value", "VARCHAR", {"max_length": LONGEST}),
    Field("nothing", "FLOAT_VECTOR", {"dim": 2}),
)


def mark(tag: str) -> str:
    """A tag as a piece of ``tag_marks``: of letters and digits alone, so that LIKE finds it whatever it holds."""
    return f" {tag.encode().hex()} "


def marks(tags: Iterable[str]) -> str:
    return "".join(mark(tag) for tag in tags)

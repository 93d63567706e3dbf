"""Groups of hits: by the folder, the day or the source that they come from."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from imseek.data.places import INSIDE, ROW_KINDS, is_url, join, locate, split


@dataclass(frozen=True, slots=True)
class Members:
    """A group: its key, and the positions of its members, which ascend."""

    key: Hashable
    positions: tuple[int, ...]


def grouped(keys: Sequence[Hashable]) -> list[Members]:
    """The groups that ``keys`` (one per hit, best first) make, in the order of their best hits."""
    found: dict[Hashable, list[int]] = {}
    for position, key in enumerate(keys):
        found.setdefault(key, []).append(position)
    return [Members(key, tuple(positions)) for key, positions in found.items()]


_WEB_ROOT: Final = b"://"


def folder_of(kind: str, root: bytes, path: bytes) -> bytes:
    """The folder that an image lies in, from its source's kind and root and its path in the catalog.

    Of a member of an archive that is the folder within it (``/a/b.zip!/c``), of a row of a table the table, of a
    picture that a row only names the folder of that picture, on the web the URL up to the last slash.
    """
    container, member, location = split(path)
    if INSIDE in path and not location:
        holder = join(root, container)
        if kind in ROW_KINDS:
            return holder
        inner = os.path.dirname(member)
        return holder + b"!/" + inner if inner else holder
    place = locate(root, path)
    if is_url(place):
        place = place.partition(b"?")[0].partition(b"#")[0]
        start = place.index(_WEB_ROOT) + len(_WEB_ROOT)
        return place[: max(place.rfind(b"/"), start)] if b"/" in place[start:] else place
    return os.path.dirname(place)

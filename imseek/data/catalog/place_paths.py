"""Convert the catalog's places of images into paths for people and URIs for programs.

The catalog's path of an image is relative to its source. Inside an archive or a table it has two or three parts
separated by NUL, which no file name can contain: the container's path, the member's name (for a table: its row number),
and, for a row that only names its picture, the picture's location. See docs/format.md, Places.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

from imseek.types.pictures import Place

#: Separates a container's path from the name of a member inside it.
MEMBER_SEPARATOR: Final = b"\0"

#: Kinds of sources whose members are rows of tables, not named files.
ROW_KINDS: Final = frozenset({"table", "vectors"})
#: Kinds of sources whose images lie in archives or tables.
CONTAINER_KINDS: Final = ROW_KINDS | {"archive"}

_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


def base_folder(root: Path) -> bytes:
    """Return the folder that relative places start from: the one that contains ``.imseek``."""
    return os.fsencode(root.absolute().parent)


def is_url(path: bytes) -> bool:
    return _URL.match(path) is not None


def member_path(container: bytes, member: bytes, location: bytes = b"") -> bytes:
    """Return the catalog's path of a member of a container."""
    path = container + MEMBER_SEPARATOR + member
    return path + MEMBER_SEPARATOR + location if location else path


def split(path: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a catalog path into container, member and location; the last two are empty where there are none."""
    container, _, rest = path.partition(MEMBER_SEPARATOR)
    member, _, location = rest.partition(MEMBER_SEPARATOR)
    return container, member, location


def join_root(base: bytes, root: bytes, relative: int) -> bytes:
    """Return the absolute location of a source: its root, below ``base`` if that is relative."""
    if not relative:
        return root
    return os.path.join(base, root) if root else base


def join(root: bytes, path: bytes) -> bytes:
    """Return the location of a file of a source. ``path`` may be empty (the source is the file), absolute, or a URL."""
    if not path:
        return root
    if path[:1] != b"/" and b":" not in path and root[-1:] not in (b"", b"/"):
        return root + b"/" + path  # As below, several times faster.
    return path if _URL.match(path) else os.path.join(root, path)


def locate(root: bytes, path: bytes) -> bytes:
    """Return an image's location as one path or URL: ``/a/b.zip!/c.jpg`` for a member of an archive."""
    container, member, location = split(path)
    holder = join(root, container)
    if location:
        place = join(os.path.dirname(holder), location)
        return os.path.normpath(place) if location.startswith(b"../") and not is_url(place) else place
    return holder + b"!/" + member if MEMBER_SEPARATOR in path else holder


def place_of(source_id: int, kind: str, root: bytes, path: bytes) -> Place:
    """Return the place of an image: its location, and its URI.

    The URI is ``file:///…``, a URL, ``zip://member::file:///…`` or ``file:///table.parquet#row=3``.
    """
    if MEMBER_SEPARATOR in path:
        return Place(source_id, locate(root, path), _member_uri(kind, root, path))
    place = join(root, path)
    return Place(source_id, place, file_uri(place))


def _member_uri(kind: str, root: bytes, path: bytes) -> str:
    container, member, location = split(path)
    if location:
        return file_uri(locate(root, path))
    holder = file_uri(join(root, container))
    if kind in ROW_KINDS:
        return f"{holder}#row={quote_from_bytes(member)}"
    scheme = "zip" if container_suffix(join(root, container)) in (b".zip", b".cbz") else "tar"
    return f"{scheme}://{quote_from_bytes(member)}::{holder}"


def folder(kind: str, root: bytes, path: bytes) -> bytes:
    """Return the folder that contains an image.

    For a member of an archive: the folder within it (``/a/b.zip!/c``). For a row of a table: the table. For a picture
    that a row only names: that picture's folder. On the web: the URL up to the last slash.
    """
    container, member, location = split(path)
    if MEMBER_SEPARATOR in path and not location:
        holder = join(root, container)
        inner = b"" if kind in ROW_KINDS else os.path.dirname(member)
        return holder + b"!/" + inner if inner else holder
    place = locate(root, path)
    if is_url(place):
        head, _, rest = place.partition(b"?")[0].partition(b"#")[0].partition(b"://")
        return head + b"://" + (os.path.dirname(rest) or rest)
    return os.path.dirname(place)


def container_suffix(path: bytes) -> bytes:
    """Return a file name's suffix in lower case; a URL's query is ignored."""
    if is_url(path):
        path = path.partition(b"?")[0].partition(b"#")[0]
    return os.path.splitext(path)[1].lower()


def file_uri(path: bytes) -> str:
    """Return the URI of a whole file; a URL is one already."""
    if path[:1] != b"/" and _URL.match(path):
        return os.fsdecode(path)
    return "file://" + quote_from_bytes(path)

"""Where images lie: how a place of the catalog becomes a path for people and a URI for programs.

The catalog's path of an image is relative to its source. Inside an archive or a table it has two or three parts with
NUL between them, which no file name holds: the container's path, the member's (of a table: its row number), and, for
a row that only names its picture, where that lies. docs/format.md, Places.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

#: What lies behind this byte is inside what lies before it.
INSIDE: Final = b"\0"

#: Kinds of sources whose members are rows of tables, and not named files.
ROW_KINDS: Final = frozenset({"table", "vectors"})
#: Kinds of sources whose images lie in archives or tables.
CONTAINER_KINDS: Final = ROW_KINDS | {"archive"}

_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]+://")


def base_folder(root: Path) -> bytes:
    """The folder that relative places hang on: the one that holds ``.imseek``."""
    return os.fsencode(root.absolute().parent)


def is_url(path: bytes) -> bool:
    return _URL.match(path) is not None


def inside(container: bytes, member: bytes, location: bytes = b"") -> bytes:
    """The catalog's path of a member of a container."""
    path = container + INSIDE + member
    return path + INSIDE + location if location else path


def split(path: bytes) -> tuple[bytes, bytes, bytes]:
    """Container, member and location of a catalog's path; the last two are empty where there are none."""
    container, _, rest = path.partition(INSIDE)
    member, _, location = rest.partition(INSIDE)
    return container, member, location


def join_root(base: bytes, root: bytes, relative: int) -> bytes:
    """Where a source lies: its root, below ``base`` if that is relative."""
    if not relative:
        return root
    return os.path.join(base, root) if root else base


def join(root: bytes, path: bytes) -> bytes:
    """Where a file of a source lies. ``path`` may be empty (the source is the file), absolute, or a URL."""
    if not path:
        return root
    return path if is_url(path) else os.path.join(root, path)


def locate(root: bytes, path: bytes) -> bytes:
    """Where an image lies, as one path or URL: ``/a/b.zip!/c.jpg`` for a member of an archive."""
    container, member, location = split(path)
    holder = join(root, container)
    if location:
        place = join(os.path.dirname(holder), location)
        return os.path.normpath(place) if location.startswith(b"../") and not is_url(place) else place
    return holder + b"!/" + member if INSIDE in path else holder


def uri(kind: str, root: bytes, path: bytes) -> str:
    """The same as a URI: ``file:///…``, a URL, ``zip://member::file:///…``, ``file:///table.parquet#row=3``."""
    container, member, location = split(path)
    if location or INSIDE not in path:
        return file_uri(locate(root, path))
    holder = file_uri(join(root, container))
    if kind in ROW_KINDS:
        return f"{holder}#row={quote_from_bytes(member)}"
    scheme = "zip" if container_suffix(join(root, container)) in (b".zip", b".cbz") else "tar"
    return f"{scheme}://{quote_from_bytes(member)}::{holder}"


def folder(kind: str, root: bytes, path: bytes) -> bytes:
    """The folder that an image lies in.

    Of a member of an archive that is the folder within it (``/a/b.zip!/c``), of a row of a table the table, of a
    picture that a row only names the folder of that picture, on the web the URL up to the last slash.
    """
    container, member, location = split(path)
    if INSIDE in path and not location:
        holder = join(root, container)
        inner = b"" if kind in ROW_KINDS else os.path.dirname(member)
        return holder + b"!/" + inner if inner else holder
    place = locate(root, path)
    if is_url(place):
        head, _, rest = place.partition(b"?")[0].partition(b"#")[0].partition(b"://")
        return head + b"://" + (os.path.dirname(rest) or rest)
    return os.path.dirname(place)


def container_suffix(path: bytes) -> bytes:
    """The ending of a file's name in lower case; of a URL without its query."""
    if is_url(path):
        path = path.partition(b"?")[0].partition(b"#")[0]
    return os.path.splitext(path)[1].lower()


def file_uri(path: bytes) -> str:
    """Of a whole file; a URL is one already."""
    return os.fsdecode(path) if is_url(path) else "file://" + quote_from_bytes(path)

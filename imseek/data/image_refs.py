"""Resolve users' references to images: by id, or by path, falling back to images with the content of that file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from imseek.data.catalog.content_lookup import HashLookup
from imseek.data.catalog.place_paths import MEMBER_SEPARATOR, base_folder, is_url, join_root
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import select_in
from imseek.data.collection_records import FOREVER
from imseek.data.files.durable_files import digest_of_file
from imseek.input_file import open_input

#: Separates an archive and its member in displayed paths.
_BANG = b"!/"


def find_ids(root: Path, paths: Iterable[bytes]) -> dict[bytes, tuple[int, ...]]:
    """Map each path (of a file, a URL, or ``a.zip!/b.jpg``) to the ids of the live images there, ascending, as of now.

    A file that is not indexed matches all images with its content, since it may be a copy. No match gives an empty
    tuple. Raises StorageError.
    """
    ids_of = _find_at_places(root, list(dict.fromkeys(paths)))
    lookup = HashLookup(root)
    try:
        for path, ids in ids_of.items():
            if not ids and not is_url(path):
                ids_of[path] = _find_same_content(lookup, path)
    finally:
        lookup.close()
    return ids_of


def filter_live(root: Path, ids: Iterable[int]) -> set[int]:
    """Filter ``ids`` to live images, including quarantined ones, as of now."""
    query = "SELECT image_id FROM images WHERE died = ? AND image_id IN (??)"
    valid_ids = [int(image_id) for image_id in ids if 0 <= image_id < FOREVER]
    with connect_read_only(root) as connection:
        return {image_id for (image_id,) in select_in(connection, query, FOREVER, valid_ids)}


def _find_at_places(root: Path, paths: list[bytes]) -> dict[bytes, tuple[int, ...]]:
    base = base_folder(root)
    query = (
        "SELECT image_id FROM places JOIN images USING (image_id) WHERE source_id = ? AND path = ? "
        "AND places.died = ? AND images.died = ? AND images.state = 'live'"
    )
    ids_of = {}
    with connect_read_only(root) as connection:
        rows = connection.execute("SELECT source_id, root, relative FROM sources WHERE died = ?", (FOREVER,))
        sources = [(source, join_root(base, folder, relative)) for source, folder, relative in rows]
        for path in paths:
            ids = set()
            for source, folder in sources:
                for inner in _relative_paths(folder, os.path.expanduser(path)):
                    ids.update(connection.execute(query, (source, inner, FOREVER, FOREVER)).fetchall())
            ids_of[path] = tuple(sorted(image_id for (image_id,) in ids))
    return ids_of


def _relative_paths(folder: bytes, path: bytes) -> set[bytes]:
    """List the relative paths under which a source may have recorded a path."""
    if is_url(path):
        return {path}
    container, bang, member = path.partition(_BANG)
    absolute_paths = {os.path.abspath(container), os.path.realpath(container)}
    inner = set()
    for absolute in absolute_paths:
        if not folder:
            inner.add(absolute)
        elif absolute == folder:
            inner.add(b"")
        elif absolute.startswith(folder.rstrip(b"/") + b"/"):
            inner.add(absolute[len(folder.rstrip(b"/")) + 1 :])
    return {absolute + MEMBER_SEPARATOR + member for absolute in inner} if bang else inner


def _find_same_content(lookup: HashLookup, path: bytes) -> tuple[int, ...]:
    try:
        with open_input(os.fsdecode(path)) as file:
            content = digest_of_file(file).sha256
    except OSError:
        return ()
    return tuple(lookup.find_all(bytes.fromhex(content)))

"""Read the newest generation of a collection, which a reader needs before it opens anything else.

It is in ``current.json``. A collection whose catalog is on a server has no such file: the catalog holds its content,
written in the same transaction as the rest of a generation.
"""

from __future__ import annotations

from pathlib import Path

from imseek.data.catalog.backend import backend_of
from imseek.data.collection_records import Current, parse_current


def read_current(root: Path) -> Current:
    """Read the newest generation. Raises CollectionNotFoundError, FormatVersionError or CorruptCollectionError."""
    return parse_current(root, backend_of(root).read_current_document())

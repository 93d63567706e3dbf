"""Read a collection's index policy, and decide from it, without reading an index, whether a search scans."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from imseek.data.catalog.index_policy_text import POLICY, parse_policy
from imseek.data.catalog.read_connection import connect_read_only, read_meta
from imseek.data.collection_records import Current
from imseek.errors import CorruptCollectionError, repair_command
from imseek.types.index_policy import IndexPolicy

#: Up to this many bytes of float16 rows, an exact scan answers within milliseconds.
EXACT_BYTES: Final = 64 << 20


def policy_of(root: Path) -> IndexPolicy:
    """Read a collection's index policy. Raises CorruptCollectionError where it is not one that imseek writes."""
    with connect_read_only(root) as connection:
        text = read_meta(connection, POLICY)
    try:
        return IndexPolicy() if text is None else parse_policy(text)
    except (ValueError, TypeError) as error:
        raise CorruptCollectionError(
            f"the catalog of {root} has a damaged {POLICY}: {error}", hint=repair_command(root)
        ) from error


def is_scanned(current: Current, policy: IndexPolicy) -> bool:
    """Whether the collection has no index and is too small to get one; imports no FAISS."""
    largest = max((space.dim for space in current.spaces), default=0) * current.images
    return policy.kind == "auto" and not current.snapshots and 2 * largest <= EXACT_BYTES

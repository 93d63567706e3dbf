"""A collection's index policy, as the catalog stores it, and what follows from it without reading an index."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Final

from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.collection_records import Current
from imseek.data.files.json_object import JsonObject
from imseek.errors import CorruptCollectionError
from imseek.types.index_policy import IndexPolicy

#: Its name in ``meta``.
POLICY: Final = "index_policy"
#: Up to this many bytes of float16 rows, an exact scan answers within milliseconds.
EXACT_BYTES: Final = 64 << 20
_KIND: Final = re.compile(r"[ -~]{1,200}")


def format_policy(policy: IndexPolicy) -> str:
    """Encode a policy for the catalog."""
    return json.dumps(asdict(policy), sort_keys=True)


def parse_policy(text: str) -> IndexPolicy:
    """Decode the output of :func:`format_policy`, ignoring members of a later imseek. Raises ValueError if invalid."""
    try:
        found = JsonObject(json.loads(text))
    except RecursionError as error:
        raise ValueError("brackets in brackets") from error
    usual = IndexPolicy()
    kind = found.text("kind", pattern=_KIND) if "kind" in found else usual.kind
    recall = found.number("recall", least=0, most=1) if "recall" in found else usual.recall
    renew = found.get("renew") if "renew" in found else usual.renew
    if not isinstance(renew, bool):
        raise ValueError("not an index policy")
    return IndexPolicy(kind, found.optional_whole("memory"), recall, renew)


def policy_of(root: Path) -> IndexPolicy:
    """Read a collection's index policy. Raises CorruptCollectionError where it is not one that imseek writes."""
    with connect_read_only(root) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (POLICY,)).fetchone()
    try:
        return IndexPolicy() if row is None else parse_policy(row[0])
    except (ValueError, TypeError) as error:
        raise CorruptCollectionError(
            f"the catalog of {root} has a damaged {POLICY}: {error}", hint=f"imseek collection repair {root}"
        ) from error


def is_scanned(current: Current, policy: IndexPolicy) -> bool:
    """Whether the collection has no index and is too small to get one; imports no FAISS."""
    largest = max((space.dim for space in current.spaces), default=0) * current.images
    return policy.kind == "auto" and not current.snapshots and 2 * largest <= EXACT_BYTES

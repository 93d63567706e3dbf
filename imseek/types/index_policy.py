"""How a collection wants its vectors to be indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class IndexPolicy:
    """A collection's policy for vector indexes."""

    kind: str = "auto"
    """``auto`` (scan small collections, else choose an index that fits into ``memory``), ``none`` (always scan), or a
    FAISS factory string."""
    memory: int | None = None
    """Bytes; null: a quarter of the machine's."""
    recall: float = 0.99
    """Target recall@10 of queries by image and by text."""
    renew: bool = True
    """Whether indexing runs rebuild the index when too much has been added since."""


#: That of a new collection.
DEFAULT_POLICY: Final = IndexPolicy()

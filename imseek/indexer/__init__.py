"""Indexing: scan sources, hash and decode files in threads, encode them in batches, and commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imseek._lazy import lazy_names

if TYPE_CHECKING:
    from imseek.indexer.sources.detect import source_kind
    from imseek.indexer.sources.filters import EXCLUDED_FOLDERS, looks_like_picture
    from imseek.indexer.sources.tables import open_sheet
    from imseek.indexer.sources.tables.base import MalformedRow
    from imseek.indexer.sources.vectors import open_vectors

__all__ = [
    "EXCLUDED_FOLDERS", "MalformedRow", "looks_like_picture", "open_sheet", "open_vectors", "source_kind",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazy_names(
        __name__,
        {
            "imseek.indexer.sources.detect": "source_kind",
            "imseek.indexer.sources.filters": "EXCLUDED_FOLDERS looks_like_picture",
            "imseek.indexer.sources.tables": "open_sheet",
            "imseek.indexer.sources.tables.base": "MalformedRow",
            "imseek.indexer.sources.vectors": "open_vectors",
        },
    )

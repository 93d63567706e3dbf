"""Store what users state about pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imseek.data.catalog import spaces
from imseek.data.catalog.sql import Connection
from imseek.data.shards.sidecar_annotations import replace_edits
from imseek.data.words import documents
from imseek.data.writing.writer import Writer


def put(writer: Writer, values: Mapping[int, Mapping[str, Any]]) -> int:
    """Replace users' edits of images, by id, in one change, and return how many images changed."""
    changed: dict[int, set[str]] = {}

    def change(connection: Connection, generation: int) -> None:
        changed.update(replace_edits(writer, connection, generation, values))
        documents.refresh(connection, generation, writer.root, list(changed))
        spaces.note_stale_captions(connection, sum("caption" in columns for columns in changed.values()))

    writer.apply(change)
    return len(changed)

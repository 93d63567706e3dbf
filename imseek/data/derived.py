"""Storing what was found out about images: derived columns, with a record of how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from imseek.data import columns, model_files
from imseek.data.models import Model
from imseek.data.patience import writing


def store(root: Path, values: Mapping[str, Mapping[int, Any]], model: Model) -> int:
    """Store a column set (by column a value by image id) and a model, both under the model's name, as one commit; each
    replaces what had the name. Returns the generation.

    Columns can be filtered by (``--where``) and come with hits; the model says how they were made. Raises UsageError
    for a name that cannot be one of both, LockedError, ReadOnlyError, StorageError, and as
    :func:`imseek.data.columns.put_columns`.
    """
    with writing(root, model.kind) as writer:
        record = model_files.putting(writer, model)
        put = columns.replacing(writer, model.name, values)

        def change(connection: Connection, generation: int) -> None:
            put(connection, generation)
            record(connection, generation)

        return writer.apply(change)


def drop(root: Path, name: str) -> int:
    """Forget a column set and the model of that name, as one commit. Raises as :func:`store`."""
    with writing(root, "drop") as writer:
        forget = model_files.dropping(name)
        put = columns.replacing(writer, name, {})

        def change(connection: Connection, generation: int) -> None:
            put(connection, generation)
            forget(connection, generation)

        return writer.apply(change)

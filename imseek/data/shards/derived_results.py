"""Store computed results about images: derived columns, with the model that records how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imseek.data.catalog import model_files, tags
from imseek.data.catalog.models import Model
from imseek.data.catalog.sql import Connection
from imseek.data.shards import derived_columns
from imseek.data.writing.writer import Change, Writer
from imseek.data.writing.writer_wait import open_writer


def store(root: Path, values: Mapping[str, Mapping[int, Any]], model: Model, *, also: Sequence[Change] = ()) -> int:
    """Store a column set (values by column and image id) and its model in one commit; returns the generation.

    Both have the model's name, and each replaces its predecessor. ``also`` are further changes for the commit. Columns
    can be filtered (``--where``) and appear in hits; the model records how they were made. Raises UsageError for a name
    not valid for both, LockedError, ReadOnlyError, StorageError, and as
    :func:`imseek.data.shards.derived_columns.put_columns`.
    """
    with open_writer(root, model.kind) as writer:
        put_model = model_files.prepare_put(writer, model)
        replace_columns = derived_columns.columns_change(writer, model.name, values)

        def change(connection: Connection, generation: int) -> None:
            for step in (replace_columns, put_model, *also):
                step(connection, generation)

        return writer.apply(change)


def update(writer: Writer, name: str, columns: Mapping[str, Mapping[int, Any]], *, also: Sequence[Change] = ()) -> int:
    """Set values of some images in a column set, with further changes, in one commit; returns the generation.

    Raises as :func:`imseek.data.shards.derived_columns.update_change`.
    """
    values = derived_columns.update_change(writer, name, columns)

    def change(connection: Connection, generation: int) -> None:
        for step in (values, *also):
            step(connection, generation)

    return writer.apply(change)


def forget(
    root: Path,
    name: str,
    kind: str,
    *,
    given_by: str | None = None,
    prefix: str | None = None,
    columns_too: bool = True,
    also: Sequence[Change] = (),
) -> tuple[int, int]:
    """Drop a model and its results in one commit; returns the generation and the number of tags removed.

    Removed are the model, its column set (with ``columns_too``), and tags whose provenance is ``given_by`` or begins
    with ``prefix``. ``kind`` names the run; ``also`` are further changes for the commit. Raises as :func:`store`.
    """
    ended = 0
    with open_writer(root, kind) as writer:
        drop = None
        if columns_too and derived_columns.is_valid_name(name):
            drop = derived_columns.columns_change(writer, name, {})

        def change(connection: Connection, generation: int) -> None:
            nonlocal ended
            model_files.retire(connection, generation, name)
            for step in (*([] if drop is None else [drop]), *also):
                step(connection, generation)
            ended = tags.end_by_provenance(connection, generation, given_by, prefix=prefix)

        return writer.apply(change), ended

"""Store models (:mod:`imseek.data.catalog.models`) in files that the catalog lists.

``models/<name>.<generation>.json`` carries its checksum, so ``verify`` notices any change. A new model replaces the one
of the same name, whose file is retired.
"""

from __future__ import annotations

import json
from contextlib import suppress
from operator import methodcaller

import numpy as np

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import get_meta, now
from imseek.data.catalog.model_fact_schemas import check_facts
from imseek.data.catalog.models import KIND, Model, check_name, encode_array, find, load, names
from imseek.data.catalog.shard_catalog import Folders, StagedFile
from imseek.data.catalog.sql import Connection, scalar, select_in
from imseek.data.collection_records import FOREVER
from imseek.data.files import durable_files
from imseek.data.files.collection_files import digest, find_files
from imseek.data.writing.writer import Change, Writer
from imseek.errors import CorruptCollectionError, UsageError

__all__ = [
    "KIND",
    "adopt_models",
    "drop",
    "drop_models_of_dead_images",
    "drop_unused",
    "prepare_put",
    "put",
    "retire",
]


def put(writer: Writer, model: Model) -> int:
    """Store a model, replacing one of the same name; return the generation."""
    return writer.apply(prepare_put(writer, model))


def prepare_put(writer: Writer, model: Model) -> Change:
    """Return the change by which :func:`put` stores a model, for use in a larger change.

    Raises UsageError, also when applied, for the name of an adapter in use; TypeError or ValueError for content that
    cannot be stored.
    """
    check_name(model.name)
    facts = json.loads(json.dumps(dict(model.facts)))  # Turns tuples into lists, as storing will.
    check_facts(model.kind, facts)
    content = {
        "name": model.name,
        "kind": model.kind,
        "created": now(),
        "facts": facts,
        "arrays": {name: encode_array(array) for name, array in model.arrays.items()},
    }

    def change(connection: Connection, generation: int) -> None:
        retire(connection, generation, model.name)
        document = {
            "format": layout.FORMAT,
            "uuid": get_meta(connection, "uuid"),
            "generation": generation,
            **content,
        }
        path = layout.model(model.name, generation)
        staged = writer.staging / path.replace("/", "_")
        file_digest = durable_files.stage(staged, methodcaller("write", durable_files.add_checksum(document)))
        file = StagedFile(staged, path, KIND, len(model.arrays), file_digest, name=model.name)
        shard_catalog.publish(writer, connection, generation, None, [file])

    return change


def drop(writer: Writer, name: str) -> int:
    """Remove a model if there is one of this name; return the generation.

    Raises UsageError for an adapter that a space uses.
    """
    return writer.apply(lambda connection, generation: retire(connection, generation, name))


def drop_models_of_dead_images(writer: Writer) -> tuple[str, ...]:
    """Drop models that may contain data of dead images: their array ``learned`` lists such an id. Return their names.

    Damaged models are left to ``repair``.
    """
    dropped = []
    for name in names(writer.root):
        with suppress(CorruptCollectionError):
            model = find(writer.root, name)
            learned_ids = [] if model is None else np.unique(model.arrays.get("learned", [])).tolist()
            with writer.catalog.transaction() as connection:
                query = "SELECT image_id FROM images WHERE image_id IN (??) AND died = ?"
                live = list(select_in(connection, query, learned_ids, FOREVER))
            if len(live) < len(learned_ids):
                drop(writer, name)
                dropped.append(name)
    return tuple(dropped)


def drop_unused(connection: Connection, generation: int, name: str) -> None:
    """Remove an adapter that no space uses any more, as part of the change that dropped a space."""
    if _find_using_space(connection, name) is None:
        _retire(connection, generation, name)


def adopt_models(connection: Connection, folders: Folders, generation: int) -> tuple[str, ...]:
    """Add to a catalog being restored the sound models on disk that are newer than its own; return their names."""
    uuid = get_meta(connection, "uuid")
    rows = connection.execute("SELECT name, path, died FROM files WHERE kind = ?", (KIND,)).fetchall()
    current_files = {name: layout.parse(path) for name, path, died in rows if died == FOREVER}
    catalog_paths = {path for _, path, _ in rows}
    newest: dict[str, tuple[int, str]] = {}
    for path in find_files(folders.root, layout.MODELS).files:
        file = layout.parse(path)
        if file is None or file.name is None or file.generation is None or path in catalog_paths:
            continue
        name, born = file.name, file.generation
        try:
            load(folders.root, path, uuid)
        except CorruptCollectionError:
            continue
        current = current_files.get(name)
        if (current is None or (current.generation or 0) < born) and newest.get(name, (-1, ""))[0] < born:
            newest[name] = (born, path)
    for name, (_, model_path) in newest.items():
        _retire(connection, generation, name)
        staged = StagedFile(folders.root / model_path, model_path, KIND, 0, digest(folders.root, model_path), name=name)
        shard_catalog.publish(folders, connection, generation, None, [staged])
    return tuple(sorted(newest))


def retire(connection: Connection, generation: int, name: str) -> None:
    """Retire a model's file, as part of a larger change. Raises UsageError as :func:`drop`."""
    if (space_id := _find_using_space(connection, name)) is not None:
        raise UsageError(
            f"{name} is the adapter of space {space_id}, which needs it",
            hint="choose another name, or remove the space and its adapter: `imseek maintain --drop-space`",
        )
    _retire(connection, generation, name)


def _find_using_space(connection: Connection, name: str) -> int | None:
    """Return the id of a space, in use or not, that the adapter of this name makes; None if there is none."""
    query = "SELECT space_id FROM spaces WHERE died = ? AND adapter = ? ORDER BY space_id"
    space_id: int | None = scalar(connection, query, (FOREVER, name))
    return space_id


def _retire(connection: Connection, generation: int, name: str) -> None:
    shard_catalog.retire_files(connection, generation, "kind = ? AND name = ?", (KIND, name))

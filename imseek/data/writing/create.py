"""Create a new, empty collection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from imseek.data import layout
from imseek.data.catalog.backend import new_backend
from imseek.data.catalog.catalog_writer import now, set_meta
from imseek.data.catalog.sql import Connection, insert
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.collection_records import FOREVER, Identity
from imseek.data.files import durable_files
from imseek.data.files.system_errors import translate_os_errors
from imseek.data.trust import FOLDERS_VARIABLE, is_trusted, trust
from imseek.data.words.values import INDEXED, LATEST_RULES, RULES
from imseek.errors import CollectionExistsError, StorageError, repair_command
from imseek.types.adapters import adapter_of

#: Files that an interrupted creation may leave, removed under the lock.
_UNFINISHED = (
    layout.CATALOG,
    *layout.CATALOG_COMPANIONS,
    layout.CHECKSUMS,
    layout.CURRENT,
    layout.ADDRESS,
)
_OWN_NAMES = {*_UNFINISHED, layout.STAGING, layout.LOCK}


def create(
    root: Path,
    spaces: Sequence[Mapping[str, Any]],
    *,
    relative_places: bool = False,
    catalog: str | None = None,
) -> Identity:
    """Create a collection at ``root`` with these spaces, the default first; returns its identity.

    Each space has encoder, revision, fingerprint, dim, quality, note, logit_scale, preprocessing and facts; the caption
    space has modality ``text``. The identity is written last: a folder without it is no collection, and creating it
    again starts over. ``catalog`` is the URL of a PostgreSQL database to hold the catalog; a killed creation leaves an
    empty schema there. Raises CollectionExistsError for a folder that holds a collection or other files, LockedError
    where another process is creating one, UsageError for a URL that must not be recorded, MissingExtraError, and
    StorageError.
    """
    backend = new_backend(root, catalog)
    with translate_os_errors(root):
        _check_free(root)
    durable_files.make_folder(root, 0o700)
    lock = WriterLock(root, any_file_system=catalog is not None)
    lock.acquire()
    try:
        _check_free(root)  # Again: another process may have created it before we had the lock.
        durable_files.sync_above(root)  # Another process may have created them without an fsync.
        durable_files.discard_files(root / name for name in _UNFINISHED)
        places = "relative" if relative_places else "absolute"
        with translate_os_errors(root):
            identity = backend.create(places, partial(_fill, spaces))
        _trust_new(root)
        return identity
    finally:
        lock.release()


def _trust_new(root: Path) -> None:
    """Trust a collection just created. Raises StorageError where that must be recorded but cannot be."""
    try:
        trust(root)
    except StorageError as error:
        if not is_trusted(root):
            raise StorageError(
                f"{root} was created, but it could not be recorded as yours: {error}",
                hint=f"set IMSEEK_HOME to a folder that can be written, or name it in {FOLDERS_VARIABLE}",
            ) from error


def _check_free(root: Path) -> None:
    if (root / layout.COLLECTION).exists():
        raise CollectionExistsError(f"there is a collection at {root} already")
    if root.exists() and not root.is_dir():
        raise CollectionExistsError(f"{root} is a file", hint="name a folder of its own")
    foreign = sorted({path.name for path in root.iterdir()} - _OWN_NAMES) if root.exists() else []
    if foreign:
        is_remains = all(layout.is_ours(name) for name in foreign)
        hint = repair_command(root) if is_remains else "name a folder of its own"
        fault = "contains the remains of a collection" if is_remains else "is not empty"
        raise CollectionExistsError(f"{root} {fault} ({', '.join(foreign[:3])})", hint=hint)


def _fill(spaces: Sequence[Mapping[str, Any]], connection: Connection, identity: Identity) -> None:
    insert_meta(connection, identity)
    set_meta(connection, INDEXED, 0)
    set_meta(connection, RULES, LATEST_RULES)
    for space_id, space in enumerate(spaces):
        add_space(connection, space_id, space)


def insert_meta(connection: Connection, identity: Identity, generation: int = 0) -> None:
    """Insert the first rows of a catalog's ``meta`` table."""
    values = {
        "uuid": identity.uuid,
        "created": identity.created,
        "places": identity.places,
        "generation": generation,
        "committed": now(),
        "next_image_id": 0,
        "next_shard_id": 0,
    }
    for name, value in values.items():
        set_meta(connection, name, value)


def add_space(connection: Connection, space_id: int, space: Mapping[str, Any]) -> None:
    """Insert a row for a space; ``space`` is as for :func:`create` and may name further columns."""
    defaults = {
        "space_id": space_id,
        "modality": "image",
        "adapter": None if (reference := adapter_of(space["encoder"])) is None else reference[0],
        "position": space_id,
        "is_current": 1,
        "born": 0,
        "died": FOREVER,
    }
    documents = {name: json.dumps(space[name], sort_keys=True) for name in ("preprocessing", "facts")}
    insert(connection, "spaces", [{**defaults, **space, **documents}])

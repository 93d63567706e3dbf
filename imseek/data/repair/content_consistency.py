"""Check shards, columns and indexes against each other and the catalog, once their checksums are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from imseek.data import layout
from imseek.data.catalog import duplicate_judgement_file, model_files, models, shard_catalog
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_writer import get_meta
from imseek.data.catalog.sql import Connection, column, scalar
from imseek.data.collection_records import FOREVER, Current, Shard
from imseek.data.files.collection_files import load_array, open_file
from imseek.data.shards import shard_files
from imseek.data.trust import is_trusted
from imseek.data.vectors.faiss_file_validation import check_structure
from imseek.data.vectors.index_metadata import (
    CENTRES_FILE,
    INDEX_FILE,
    METADATA_FILE,
    TABLE_FILE,
    CoveredIds,
    IndexFolder,
    part_folders,
    read_index_metadata,
)
from imseek.data.vectors.snapshot_publication import KIND as SNAPSHOT
from imseek.data.words import documents
from imseek.data.writing.space_build_rows import PART, part_dtype
from imseek.errors import CorruptCollectionError
from imseek.types.collection_info import SpaceInfo
from imseek.types.maintenance_reports import Problem

#: Exceptions of NumPy, Arrow and the system for damaged bytes.
_DAMAGE: Final = (OSError, ValueError, KeyError, pa.ArrowException, CorruptCollectionError)
#: Rows of vectors checked at a time.
_BLOCK: Final = 16_384

Ids = npt.NDArray[np.int64]


def find_content_problems(root: Path, connection: Connection, current: Current, bad: Set[str]) -> Iterator[Problem]:
    """Yield problems where shards and the catalog disagree about rows, or a file's content is not of its kind.

    Files in ``bad``, which are damaged, are not opened.
    """
    query = (
        "SELECT COUNT(*) FROM images WHERE died = ? AND shard_id IS NOT NULL "
        "AND shard_id NOT IN (SELECT shard_id FROM shards WHERE died = ?)"
    )
    if count := int(scalar(connection, query, (FOREVER, FOREVER))):
        message = f"{count} images belong to missing shards"
        yield Problem("images", layout.CATALOG, message, repairable=True)
    for shard in current.shards:
        yield from _shard_problems(root, connection, current.spaces, shard, bad)
    yield from _part_problems(root, connection, bad)
    yield from _document_problems(root, connection, bad)
    if (fault := documents.find_problem(connection, is_trusted(root))) is not None:
        yield Problem(
            documents.KIND, layout.CATALOG if backend_of(root).is_file else layout.ADDRESS, fault, repairable=True
        )
    damaged = {path.rpartition("/")[0] for path in bad}
    for folder in current.snapshots.values():
        yield from _index_problems(IndexFolder(root, folder), damaged)


def _shard_problems(
    root: Path, connection: Connection, spaces: Sequence[SpaceInfo], shard: Shard, bad: Set[str]
) -> Iterator[Problem]:
    shard_id = shard.shard_id
    for space in spaces:
        path = layout.vectors(space.space_id, shard_id, space.modality)
        if space.space_id not in shard.spaces:
            yield Problem("vectors", path, f"shard {shard_id} has no vectors of it", repairable=True)
        elif path not in bad and (fault := _vectors_fault(root, path, (shard.rows, space.dim))) is not None:
            yield Problem("vectors", path, fault, repairable=True)
    name, table = layout.ids(shard_id), layout.metadata(shard_id)
    if {name, table} & bad:
        return
    try:
        ids: Ids = load_array(root, name, mapped=False)
    except ValueError as error:
        yield Problem("ids", name, _reason(error), repairable=True)
        return
    if (fault := _table_fault(root, table, shard.rows)) is not None:
        yield Problem("metadata", table, fault, repairable=True)
        return
    if _ids_of(root, table) != ids.tolist():
        yield Problem("ids", name, "differs from the ids in the metadata", repairable=True)
        return
    for path in shard.columns.values():
        if path in bad:
            continue
        if (fault := _table_fault(root, path, shard.rows)) is not None:
            yield Problem("column", path, fault, repairable=True)
        elif _ids_of(root, path) != ids.tolist():
            yield Problem("column", path, "its ids are not those of the shard", repairable=True)
    catalog_ids = column(connection, "SELECT image_id FROM images WHERE shard_id = ? AND died = ?", (shard_id, FOREVER))
    if missing := set(catalog_ids) - set(ids.tolist()):
        message = f"{len(missing)} images that the catalog lists for it are missing"
        yield Problem("metadata", table, message, repairable=True)
    if shard.dead not in bad:
        try:
            dead = load_array(root, shard.dead, mapped=False).tolist() if shard.dead else []
        except ValueError:
            dead = None
        if shard_catalog.dead_rows(connection, shard_id, ids).tolist() != dead:
            yield Problem("dead", shard.dead or name, "the catalog has other dead rows", repairable=True)


def _vectors_fault(root: Path, path: str, shape: tuple[int, int]) -> str | None:
    """Return what is wrong with the vectors of a shard, or None."""
    try:
        rows = load_array(root, path)
    except _DAMAGE as error:
        return _reason(error)
    if rows.dtype != np.float16 or rows.shape != shape:
        return f"an array of {rows.dtype} and shape {rows.shape}, where {shape} is stated"
    for start in range(0, len(rows), _BLOCK):
        if not np.isfinite(rows[start : start + _BLOCK]).all():
            return "it holds NaN or infinity"
    return None


def _table_fault(root: Path, path: str, rows: int) -> str | None:
    """Return what is wrong with the columns or the row count of a table, or None."""
    try:
        with open_file(root, path) as file:
            shard_files.check_table(file, path, rows)
    except _DAMAGE as error:
        return _reason(error)
    return None


def _ids_of(root: Path, path: str) -> list[int] | None:
    """Return the ids in a table; None where it is damaged."""
    try:
        ids: list[int] = shard_files.load_table(root, path, ["image_id"]).column("image_id").to_pylist()
    except _DAMAGE:
        return None
    return ids


def _reason(error: Exception) -> str:
    """Return an error's message without the path, which the problem names already."""
    return str(error.__cause__ or error if isinstance(error, CorruptCollectionError) else error)


def _part_problems(root: Path, connection: Connection, bad: Set[str]) -> Iterator[Problem]:
    """Check that parts of spaces being built are arrays of the right type."""
    dims: dict[int, int] = dict(connection.execute("SELECT space_id, dim FROM spaces").fetchall())
    query = "SELECT path, space_id FROM files WHERE died = ? AND kind = ?"
    for path, space_id in connection.execute(query, (FOREVER, PART)):
        if path in bad:
            continue
        try:
            part = load_array(root, path)
            is_part = part.dtype == part_dtype(dims[space_id]) and part.ndim == 1
            fault = None if is_part else f"an array of {part.dtype} and shape {part.shape}"
        except _DAMAGE as error:
            fault = _reason(error)
        if fault is not None:
            yield Problem(PART, path, fault, repairable=True)


def _document_problems(root: Path, connection: Connection, bad: Set[str]) -> Iterator[Problem]:
    """Check that judgements agree with the catalog and that models can be read."""
    uuid = get_meta(connection, "uuid")
    query = "SELECT path, kind FROM files WHERE died = ? AND kind IN (?, ?)"
    for path, kind in connection.execute(query, (FOREVER, duplicate_judgement_file.KIND, model_files.KIND)):
        if path in bad:
            continue
        if kind == duplicate_judgement_file.KIND:
            if duplicate_judgement_file.differs(root, connection, path):
                yield Problem(kind, path, "the catalog has other judgements", repairable=True)
            continue
        try:
            models.load(root, path, uuid)
        except CorruptCollectionError as error:
            yield Problem(kind, path, _reason(error), repairable=True)


def _index_problems(folder: IndexFolder, damaged: Set[str]) -> Iterator[Problem]:
    """Check that a snapshot's files fit together, unless one of its folders is ``damaged``.

    FAISS reads them only if the collection is trusted.
    """
    if folder.name in damaged:
        return
    name = folder.name
    try:
        parts = part_folders(folder, read_index_metadata(folder))
        for part in parts:
            if part.name not in damaged:
                name = part.name
                _check_index(part)
        if damaged.isdisjoint(part.name for part in parts) and is_trusted(folder.root):
            from imseek.data.vectors.sharded_index import open_snapshot  # It imports FAISS.

            name = folder.name
            open_snapshot(folder)
    except (CorruptCollectionError, FileNotFoundError, ValueError) as error:
        yield Problem(SNAPSHOT, f"{name}/{METADATA_FILE}", str(error), repairable=True)


def _check_index(folder: IndexFolder) -> None:
    """Raise CorruptCollectionError, FileNotFoundError or ValueError where files of a part are damaged."""
    facts = read_index_metadata(folder)
    CoveredIds.read(folder, facts.rows)
    for name in {TABLE_FILE, CENTRES_FILE} & facts.sizes.keys():
        folder.array(name)
    with folder.open(INDEX_FILE) as file:
        check_structure(file)

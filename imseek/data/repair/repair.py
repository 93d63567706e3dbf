"""Repair a collection: restore what shards, columns, backups and the catalog allow, and list the rest as lost.

Order: the identity and the catalog as a whole, then single files, then the checksums and ``current.json``. Images whose
vector is lost keep id, place and tags, and the next ``index`` encodes them again; images whose place is lost are
recognised by content when it scans their folder. An interrupted repair is harmless: every step leaves a collection that
can be repaired again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from imseek.data import layout
from imseek.data.catalog import duplicate_judgement_file, model_files, shard_catalog
from imseek.data.catalog.backend import backend_of
from imseek.data.catalog.catalog_writer import modalities
from imseek.data.catalog.sql import Connection, column, execute_in, scalar
from imseek.data.collection_records import FOREVER
from imseek.data.files.collection_files import (
    HARD_LINK,
    break_hard_link,
    digest,
    find_files,
    find_strange_at_top,
    open_file,
    publish,
    remove_files,
    sync_folders,
)
from imseek.data.repair.catalog_recovery import RecoveryLog, restore
from imseek.data.repair.verify import STRANGE, examine, verify
from imseek.data.shards import shard_files
from imseek.data.shards.sidecar_annotations import SIDECARS, forget_stats
from imseek.data.trust import check_trusted, complete_record
from imseek.data.user_files.file_stat import UNKNOWN_STAT
from imseek.data.vectors import index_renewal, snapshot_publication
from imseek.data.words import documents
from imseek.data.writing import space_build_rows
from imseek.data.writing.commit import stat_values
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, StorageError
from imseek.types.maintenance_reports import Problem, RepairReport


def repair(root: Path) -> RepairReport:
    """Repair the collection at ``root``.

    Raises CollectionNotFoundError, FormatVersionError, LockedError, ReadOnlyError; CorruptCollectionError where not
    even the encoder of the vectors can be determined; and StorageError, with nothing changed, where a file exists but
    cannot be read.
    """
    check_trusted(root, "repairing it")
    ledger = RecoveryLog()
    report = verify(root)
    if any(problem.kind == STRANGE for problem in report.problems):
        _remove_strange(root, report.problems, ledger)
        report = verify(root)
    if report.ok:
        return RepairReport(tuple(ledger.restored), (), report)
    _check_readable(root)
    _refuse_hopeless(report.problems)
    lock = backend_of(root).lock()
    lock.acquire()
    try:
        restore(root, ledger)
    finally:
        lock.release()
    complete_record(root)
    with Writer(root, "collection repair") as writer:
        # Twice: repairs of the first pass let the second one see more.
        for _ in range(2):
            problems = examine(root).problems
            _refuse_unreadable(root, problems)
            for problem in sorted(problems, key=_repair_position):
                _repair_problem(writer, problem, ledger)
    for name, origin in ((layout.CURRENT, "the catalog"), (layout.CHECKSUMS, "the files")):
        if any(problem.file == name for problem in report.problems):
            ledger.restored.append(f"{name} from {origin}")
    return RepairReport(tuple(ledger.restored), tuple(ledger.lost), verify(root))


def _refuse_hopeless(problems: Sequence[Problem]) -> None:
    for problem in problems:
        if not problem.repairable and problem.kind in ("identity", "catalog"):
            raise CorruptCollectionError(
                f"{problem.file}: {problem.message}",
                hint="imseek maintain --catalog URL, with the URL of the database where its catalog is",
            )


def _remove_strange(root: Path, problems: Sequence[Problem], ledger: RecoveryLog) -> None:
    """Remove links, pipes and the like from a collection, but nothing that they lead to.

    A catalog with a second hard link is copied: its content belongs to the collection.
    """
    strange = [problem for problem in problems if problem.kind == STRANGE]
    for problem in strange:
        if not problem.repairable:
            raise CorruptCollectionError(
                f"{root / problem.file}: {problem.message}", hint="move it away, then repair again"
            )
    top = find_strange_at_top(root)
    hard_links = {layout.CATALOG, f"{layout.CATALOG}-wal"} & {name for name in top if top[name] == HARD_LINK}
    removals = [problem for problem in strange if problem.file not in hard_links]
    remove_files(root, (problem.file for problem in removals), durable=True)
    for name in hard_links:  # Last: staging, where copies are made, may have been a link.
        break_hard_link(root, name)
    ledger.restored += [f"{name} copied: it was {HARD_LINK}" for name in sorted(hard_links)]
    ledger.restored += [f"{problem.file} removed: {problem.message}" for problem in removals]


def _check_readable(root: Path) -> None:
    """Raise StorageError for a file that cannot be read now: giving it up would discard sound content."""
    try:
        names = [name for name in os.listdir(root) if name in layout.TOP_FILES]
        for name in (*names, *find_files(root, *layout.FOLDERS).files):
            with open_file(root, name) as file:
                file.read(1)
    except OSError as error:
        raise _unreadable(str(root / os.fsdecode(error.filename or b"")), str(error.strerror)) from error


def _refuse_unreadable(root: Path, problems: Sequence[Problem]) -> None:
    for problem in problems:
        if problem.kind == "unreadable":
            raise _unreadable(str(root / problem.file), problem.message)


def _unreadable(path: str, message: str) -> StorageError:
    return StorageError(
        f"{path} cannot be read ({message}): it was not discarded",
        hint="make it readable and repair again; if it cannot be recovered, delete it first",
    )


#: Order of repairs: rows come before the lists of dead rows, and backups come last.
_REPAIR_ORDER = (
    "images",
    "metadata",
    "vectors",
    "ids",
    "dead",
    "column",
    "snapshot",
    "judgements",
    "model",
    "orphan",
    documents.KIND,
    "backup",
)


def _repair_position(problem: Problem) -> int:
    return _REPAIR_ORDER.index(problem.kind) if problem.kind in _REPAIR_ORDER else len(_REPAIR_ORDER)


def _repair_problem(writer: Writer, problem: Problem, ledger: RecoveryLog) -> None:
    shard_id = layout.shard_of(problem.file)
    if problem.kind == "orphan":
        remove_files(writer.root, [problem.file], durable=True)
        ledger.restored.append(f"{problem.file} removed: it was not part of the collection")
    elif problem.kind == "backup":
        writer.renew_backup(problem.file)
        ledger.restored.append(f"{problem.file} from the catalog")
    elif problem.kind == "images":
        condition = "shard_id NOT IN (SELECT shard_id FROM shards WHERE died = ?)"
        _retire_damaged_shards(writer, condition, (FOREVER,), (), problem.file, ledger)
    elif problem.kind == snapshot_publication.KIND:
        _drop_snapshot(writer, problem.file, ledger)
    elif problem.kind == duplicate_judgement_file.KIND:
        duplicate_judgement_file.rewrite(writer)
        ledger.restored.append(f"{problem.file} from the catalog")
    elif problem.kind == documents.KIND:
        writer.apply(lambda connection, generation: documents.fill(connection, generation, writer.root))
        ledger.restored.append(f"the words of images in {problem.file} from places and shards")
    elif problem.kind == model_files.KIND:
        ledger.lost.append(f"{problem.file}: {_describe_model_loss(writer, problem.file)}")
        _retire_file(writer, problem.file)
    elif problem.kind == space_build_rows.PART:
        _forget_file(writer, problem.file)
        ledger.lost.append(f"{problem.file}: rows of a space that is being built, to be made again")
    elif shard_id is None or not _is_live(writer, shard_id):
        return  # Another repair removed it, or every writer recreates it from the catalog.
    elif problem.kind == "dead":
        writer.apply(
            lambda connection, generation: shard_catalog.write_dead_rows(writer, connection, generation, shard_id)
        )
        ledger.restored.append(f"the dead rows of shard {shard_id} from the catalog")
    elif problem.kind == "ids" and _rewrite_ids(writer, shard_id):
        ledger.restored.append(f"{problem.file} from the metadata")
    elif problem.kind == "vectors" and _holds_captions(writer, problem.file):
        _reset_caption_space(writer, problem.file, ledger)
    elif problem.kind == "column" and _column_set(problem.file) == SIDECARS:
        _retire_sidecars(writer, problem.file, shard_id)
        ledger.lost.append(f"{problem.file}: what lies beside pictures; `imseek index` reads it again")
    elif problem.kind == "column":
        _retire_file(writer, problem.file)
        ledger.lost.append(f"{problem.file}: {_describe_column_loss(problem.file)}")
    elif problem.kind == "vectors" and (space := _unused_space(writer, problem.file)) is not None:
        _forget_file(writer, problem.file)
        ledger.lost.append(
            f"{problem.file}: vectors of a space that is not in use; `imseek maintain --reencode {space}` makes "
            "them again"
        )
    else:
        _retire_damaged_shards(writer, "shard_id = ?", (shard_id,), (shard_id,), problem.file, ledger)


def _describe_model_loss(writer: Writer, file: str) -> str:
    entry = layout.parse(file)
    query = "SELECT space_id FROM spaces WHERE died = ? AND adapter = ?"
    with writer.catalog.transaction() as connection:
        space_ids = column(connection, query, (FOREVER, entry and entry.name))
    if not space_ids:
        return "the model of that name, which has to be trained again"
    return (
        f"the adapter of space {space_ids[0]}, whose vectors cannot be searched now; "
        "`imseek tune --back` returns to the untuned ones"
    )


def _retire_file(writer: Writer, file: str) -> None:
    writer.apply(lambda connection, generation: shard_catalog.retire_files(connection, generation, "path = ?", (file,)))


def _describe_column_loss(file: str) -> str:
    if _column_set(file) == layout.EDITS:
        return "captions and ratings that users stated; only a backup has them"
    return "derived values, to be computed again"


def _column_set(file: str) -> str | None:
    entry = layout.parse(file)
    return None if entry is None else entry.name


def _retire_sidecars(writer: Writer, file: str, shard_id: int) -> None:
    def change(connection: Connection, generation: int) -> None:
        shard_catalog.retire_files(connection, generation, "path = ?", (file,))
        forget_stats(connection, shard_id)

    writer.apply(change)


def _drop_snapshot(writer: Writer, file: str, ledger: RecoveryLog) -> None:
    """Drop the approximate index that a file belongs to, or its part, unless that has happened already."""
    space_id = _space_of(file)
    if space_id is not None and str(space_id) in writer.current().snapshots:
        loss = index_renewal.drop_file(writer, space_id, file)
        if loss:
            ledger.lost.append(f"{file}: {loss} of space {space_id}; `imseek maintain` builds it again")


def _space_of(file: str) -> int | None:
    entry = layout.parse(file)
    return None if entry is None else entry.space_id


def _is_live(writer: Writer, shard_id: int) -> bool:
    return any(shard.shard_id == shard_id for shard in writer.current().shards)


def _holds_captions(writer: Writer, file: str) -> bool:
    with writer.catalog.transaction() as connection:
        return modalities(connection).get(_space_of(file) or 0) == "text"


def _reset_caption_space(writer: Writer, file: str, ledger: RecoveryLog) -> None:
    """Give up a file with vectors of captions, which can be made again without the pictures.

    Its space goes from in use to being built, so that no search silently misses captions.
    """

    def change(connection: Connection, generation: int) -> None:
        connection.execute("UPDATE spaces SET is_current = 0 WHERE space_id = ?", (_space_of(file),))
        shard_catalog.forget_files(connection, [file])

    writer.apply(change)
    remove_files(writer.root, [file])
    ledger.lost.append(f"{file}: vectors of captions; `imseek maintain --captions` makes them again")


def _unused_space(writer: Writer, path: str) -> str | None:
    """Return the encoder of a vector file's space if that is being built or stays beside those in use, else None."""
    query = "SELECT encoder FROM spaces s JOIN files f ON f.space_id = s.space_id WHERE path = ? AND is_current = 0"
    with writer.catalog.transaction() as connection:
        encoder: str | None = scalar(connection, query, (path,))
    return encoder


def _forget_file(writer: Writer, path: str) -> None:
    """Give up a file that no reader uses. Its name is free at once: building the space writes it again."""
    writer.apply(lambda connection, generation: shard_catalog.forget_files(connection, [path]))
    remove_files(writer.root, [path], durable=True)


def _rewrite_ids(writer: Writer, shard_id: int) -> bool:
    """Recreate the ids file from the metadata; return whether the metadata was intact."""
    path = layout.metadata(shard_id)
    with writer.catalog.transaction() as connection:
        row = connection.execute("SELECT size, sha256 FROM files WHERE path = ?", (path,)).fetchone()
    try:
        if row is None or digest(writer.root, path, row[0]).sha256 != row[1]:
            return False
    except (OSError, CorruptCollectionError):
        return False
    ids = shard_files.load_table(writer.root, path, ["image_id"]).column("image_id").to_numpy()
    staged = shard_catalog.stage(writer, layout.ids(shard_id), "ids", np.asarray(ids, np.int64))
    sync_folders(writer.root, publish(writer.root, [(staged.staged, staged.path)]))
    return True


def _retire_damaged_shards(
    writer: Writer, condition: str, values: Sequence[Any], shard_ids: Sequence[int], file: str, ledger: RecoveryLog
) -> None:
    """Retire shards with a damaged file: their images, for which an SQL condition holds, live on without a vector and
    will be encoded again."""
    lost_ids: list[int] = []
    unknown_stat = stat_values(UNKNOWN_STAT)
    forget_stat = f"UPDATE places SET {', '.join(f'{name} = ?' for name in unknown_stat)}"  # noqa: S608

    def change(connection: Connection, generation: int) -> None:
        query = f"SELECT image_id FROM images WHERE {condition} AND died = ?"  # noqa: S608
        lost_ids.extend(column(connection, query, (*values, FOREVER)))
        execute_in(connection, "UPDATE images SET shard_id = NULL WHERE image_id IN (??)", lost_ids)
        forget_stats = f"{forget_stat} WHERE image_id IN (??) AND died = ?"
        execute_in(connection, forget_stats, *unknown_stat.values(), lost_ids, FOREVER)
        shard_catalog.retire_shards(connection, generation, shard_ids)

    writer.apply(change)
    ledger.lost.append(
        f"{file}: vectors and metadata of {len(lost_ids)} images; `imseek index` makes them again under their ids"
    )

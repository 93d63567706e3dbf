"""Write the parts of a snapshot into folders of staging, and publish them in one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.sql import Connection, insert, scalar
from imseek.data.collection_records import FOREVER
from imseek.data.files import durable_files
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.faiss_snapshot import Snapshot
from imseek.data.vectors.index_info import IndexPart, IndexSnapshot
from imseek.data.vectors.index_metadata import (
    COVERED_FILE,
    METADATA_FILE,
    TRUTH_FILE,
    IndexFolder,
    IndexMetadata,
    pack_bits,
)
from imseek.data.vectors.recall_queries import RecallQueries
from imseek.data.vectors.snapshot_build import BuiltIndex, stage, write_array
from imseek.data.vectors.tuning import UNTUNED
from imseek.data.writing.writer import Writer
from imseek.types.collection_info import IndexPolicy, SpaceInfo
from imseek.unique_numbers import unique_numbers

#: Kind of a snapshot's files in the catalog.
KIND: Final = "snapshot"


@dataclass(frozen=True, slots=True)
class StagedPart:
    """A part written to a folder of staging, except its metadata, which names other parts."""

    folder: IndexFolder
    facts: IndexMetadata
    digests: dict[str, durable_files.FileDigest]


def stage_part(
    folder: IndexFolder, built: BuiltIndex, rows: LiveRows, space: SpaceInfo, policy: IndexPolicy, memory: int
) -> StagedPart:
    """Write the index of ``rows`` and of the part that it extends. Reads every row once more.

    Raises CorruptCollectionError where a row has NaN or infinity.
    """
    lo, hi = rows.norm_range()
    ids = np.sort(rows.ids())
    if built.base is not None:  # A suspended image in it may come back.
        lo, hi = min(lo, built.base.facts.lo), max(hi, built.base.facts.hi)
        ids = unique_numbers(ids, built.base.covered.ids())
    durable_files.recreate_folder(folder.path)
    count = int(built.index.ntotal)
    digests = stage(built.index, folder.path)
    marks = pack_bits(ids, int(ids.max()) // 8 * 8 + 8)
    digests[COVERED_FILE] = durable_files.stage(folder.path / COVERED_FILE, partial(write_array, marks))
    facts = IndexMetadata(
        factory=built.factory,
        dim=space.dim,
        rows=count,
        trained=built.trained,
        imbalance=built.imbalance,
        lo=lo,
        hi=hi,
        target=policy.recall,
        memory=memory,
        built=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        image=UNTUNED,
        text=UNTUNED,
        texts="",
        sizes={name: digest.size for name, digest in digests.items()},
        layout=built.layout,
    )
    return StagedPart(folder, facts, digests)


def open_staged(part: StagedPart) -> Snapshot:
    """Map a staged part as it will be searched."""
    return Snapshot.of_folder(part.folder, part.facts)


def publish(
    writer: Writer,
    space: SpaceInfo,
    facts: IndexMetadata,
    remaining: Sequence[IndexPart],
    staged: Sequence[StagedPart] = (),
    truth: RecallQueries | None = None,
) -> int:
    """Publish the ``remaining`` parts and the ``staged`` ones as the snapshot of a space.

    ``facts`` describe it, and ``truth`` are the queries by which it was measured, with their answers.

    A single part without such answers is the snapshot itself. Returns the generation.
    """
    main_folder = writer.staging / f"index-{space.space_id}"

    def change(connection: Connection, generation: int) -> None:
        retire(connection, generation, space.space_id, [part.name for part in remaining])
        final = layout.snapshot(space.space_id, generation)
        if not remaining and len(staged) == 1 and truth is None:
            (part,) = staged
            metadata = replace(facts, parts=(), layout="", sizes=part.facts.sizes)
            files = _staged_files(
                part.folder.path,
                {**part.digests, METADATA_FILE: _stage_metadata(part.folder.path, metadata)},
                final,
                metadata,
            )
        else:
            files = []
            folders = [Path(layout.snapshot_part(space.space_id, generation, n)) for n in range(1, len(staged) + 1)]
            for n, (part, folder) in enumerate(zip(staged, folders, strict=True)):
                # Parts built together share the lists of the first.
                metadata = replace(part.facts, layout=part.facts.layout or (folders[0].name if n else ""))
                files += _staged_files(
                    part.folder.path,
                    {**part.digests, METADATA_FILE: _stage_metadata(part.folder.path, metadata)},
                    str(folder),
                    metadata,
                )
            names = [*(part.name for part in remaining), *(folder.name for folder in folders)]
            durable_files.recreate_folder(main_folder)
            digests: dict[str, durable_files.FileDigest] = {}
            if truth is not None:
                digests[TRUTH_FILE] = durable_files.stage(main_folder / TRUTH_FILE, truth.write)
            sizes = {name: digest.size for name, digest in digests.items()}
            metadata = replace(facts, parts=tuple(names), layout="", sizes=sizes)
            files += _staged_files(
                main_folder, {**digests, METADATA_FILE: _stage_metadata(main_folder, metadata)}, final, metadata
            )
        files = [replace(file, space_id=space.space_id) for file in files]
        shard_catalog.publish(writer, connection, generation, None, files)
        last_id = scalar(connection, "SELECT COALESCE(MAX(snapshot_id), 0) FROM snapshots")
        row = {"snapshot_id": last_id + 1, "space_id": space.space_id, "folder": final, "factory": facts.factory}
        insert(connection, "snapshots", [{**row, "facts": "{}", "born": generation, "died": FOREVER}])

    return writer.apply(change)


def keep_parts(writer: Writer, space: SpaceInfo, snapshot: IndexSnapshot, parts: Sequence[IndexPart]) -> int:
    """Reduce the snapshot of a space to these parts; rows of the others are scanned. Return the generation.

    Search parameters stay: what was measured holds for fewer parts, too. The answers it was measured by are dropped.
    """
    return publish(writer, space, replace(snapshot.facts, rows=sum(part.rows for part in parts)), parts)


def retire(connection: Connection, generation: int, space_id: int, excluded: Sequence[str] = ()) -> None:
    """Retire the snapshot of a space, except its parts in the folders ``excluded``."""
    folders = [f"{layout.index_folder(space_id)}/{name}/" for name in excluded]
    condition = " AND ".join(["kind = ? AND space_id = ?", *("substr(path, 1, ?) <> ?" for _ in folders)])
    values = [value for folder in folders for value in (len(folder), folder)]
    shard_catalog.retire_files(connection, generation, condition, (KIND, space_id, *values))
    ended = "UPDATE snapshots SET died = ? WHERE space_id = ? AND died = ?"
    connection.execute(ended, (generation, space_id, FOREVER))


def _stage_metadata(folder: Path, facts: IndexMetadata) -> durable_files.FileDigest:
    return durable_files.stage(folder / METADATA_FILE, methodcaller("write", facts.seal()))


def _staged_files(
    source: Path, digests: dict[str, durable_files.FileDigest], final: str, facts: IndexMetadata
) -> list[shard_catalog.StagedFile]:
    return [
        shard_catalog.StagedFile(source / name, f"{final}/{name}", KIND, facts.rows, digest)
        for name, digest in digests.items()
    ]

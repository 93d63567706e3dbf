"""Create a vector space by applying an adapter to the vectors of another space, and switch between the two.

No picture is read. On first use, the vectors, the adapter and the switch are one commit: a process killed before it
changes nothing. The base space is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.data import layout
from imseek.data.catalog import model_files, models, shard_catalog, spaces
from imseek.data.catalog.models import Model
from imseek.data.catalog.sql import Connection, scalar
from imseek.data.files.collection_files import load_array
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.data.writing.create import add_space
from imseek.data.writing.space_build import SpaceBuild
from imseek.data.writing.space_build_rows import Row
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, UsageError
from imseek.progress import Cancelled, Task
from imseek.types.adapters import adapter_of, adapter_reference
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

Rows: TypeAlias = npt.NDArray[np.float16]
#: Maps stored rows (n, dim) to float32 rows (n, dim).
RowTransform: TypeAlias = Callable[[Rows], Float32]

#: Rows per batch: 32 MiB of float64 at 1,024 dimensions.
BLOCK: Final = 4096
PHASE: Final = "vectors"
#: Columns that an adapted space takes over from its base.
_COPIED: Final = (
    "revision", "dim", "modality", "quality", "note", "logit_scale", "preprocessing", "facts",
)  # fmt: skip


def check_name(root: Path, name: str) -> None:
    """Check the name of a new adapter. Raises UsageError where it is invalid or already taken."""
    models.check_name(name)
    if name in models.names(root):
        raise UsageError(f"{name!r} is the name of a model of this collection already", hint="--name OTHER")


def create_adapted_space(
    writer: Writer,
    base: SpaceInfo,
    model: Model,
    fingerprint: str,
    transform: RowTransform,
    task: Task,
) -> SpaceInfo | None:
    """Apply the adapter ``model`` to every row of ``base`` and make the result the space in use. ``base`` is kept.

    One commit, in bounded memory; ``transform`` maps the rows. Returns None where the task was cancelled before the
    commit: nothing has changed then. Raises UsageError where the model's name was taken meanwhile,
    CorruptCollectionError where a vector file is damaged.
    """
    shard_ids = [shard.shard_id for shard in writer.current().shards]
    with writer.catalog.transaction() as connection:
        shard_catalog.check_intact(connection, writer, shard_ids, kind="vectors")
        query = f"SELECT {', '.join(_COPIED)} FROM spaces WHERE space_id = ?"  # noqa: S608
        row = dict(zip(_COPIED, connection.execute(query, (base.space_id,)).fetchone(), strict=True))
        space_id = int(scalar(connection, "SELECT MAX(space_id) FROM spaces")) + 1
    staged: dict[int, shard_catalog.StagedFile] = {}
    count, images = 0, writer.current().images

    def blocks(rows: Rows) -> Iterator[Rows]:
        nonlocal count
        for start in range(0, len(rows), BLOCK):
            task.check()
            yield transform(np.array(rows[start : start + BLOCK])).astype(np.float16)
            count += min(BLOCK, len(rows) - start)
            task.report(PHASE, min(count, images), images)

    try:
        for shard_id in shard_ids:
            stored = load_array(writer.root, layout.vectors(base.space_id, shard_id, base.modality))
            content = shard_files.MatrixBlocks(len(stored), base.dim, blocks(stored))
            target = layout.vectors(space_id, shard_id, base.modality)
            staged[shard_id] = shard_catalog.stage(writer, target, "vectors", content, space_id=space_id)
    except Cancelled:
        return None
    space = {
        **row,
        "encoder": adapter_reference(model.name, base.encoder),
        "fingerprint": fingerprint,
        "preprocessing": json.loads(row["preprocessing"]),
        "facts": json.loads(row["facts"]),
    }
    put_model = model_files.prepare_put(writer, model)

    def change(connection: Connection, generation: int) -> None:
        put_model(connection, generation)
        add_space(connection, space_id, {**space, "is_current": 0, "born": generation})
        for shard_id, file in staged.items():
            shard_catalog.publish(writer, connection, generation, shard_id, [file])
        spaces.put_in_use(connection, space_id, base.space_id)

    writer.apply(change)
    return spaces.find(writer, space_id).info


def find_base_space(writer: Writer, space: SpaceInfo) -> SpaceInfo | None:
    """Find the kept base space of an adapted space, even if its adapter is damaged. None where there is none."""
    reference = adapter_of(space.encoder)
    if reference is None:
        return None
    try:
        model = models.find(writer.root, reference[0])
    except CorruptCollectionError:
        model = None
    for candidate in spaces.list_spaces(writer):
        is_same_encoder = candidate.info.modality == space.modality and candidate.info.encoder == reference[1]
        has_fingerprint = model is None or candidate.info.fingerprint == model.facts.get("fingerprint")
        if is_same_encoder and has_fingerprint and not candidate.is_current:
            return candidate.info
    return None


def switch_space(
    writer: Writer,
    base: SpaceInfo,
    replaces: SpaceInfo,
    transform: RowTransform | None,
    task: Task,
) -> bool:
    """Put the space ``base`` back in use instead of ``replaces``. ``transform`` computes its missing rows from that.

    Returns False where rows are missing and ``transform`` is None, or where the task was cancelled; finished rows are
    kept, and a later call continues.
    """
    build = SpaceBuild(writer, base)
    if build.done < build.total:
        if transform is None:
            return False
        make_rows = _TransformedRows(Reader(writer.root), replaces.space_id, transform)
        if not build.run(make_rows, task, PHASE):
            return False
    build.switch(replaces.space_id)
    return True


class _TransformedRows:
    """Computes rows of one space from those of another (:data:`imseek.data.writing.space_build.MakeRows`)."""

    def __init__(self, reader: Reader, space_id: int, transform: RowTransform) -> None:
        self._reader = reader
        self._space_id = space_id
        self._transform = transform

    def __call__(self, ids: Iterator[int]) -> Iterator[tuple[int, Row | None]]:
        while chunk := list(islice(ids, BLOCK)):
            row_of = self._read_rows(chunk)
            yield from ((image_id, row_of.get(image_id)) for image_id in chunk)

    def _read_rows(self, ids: list[int]) -> dict[int, Row]:
        """Read and transform rows by id, including those of images that are not searchable. The last shard wins."""
        id_array = np.array(ids, np.int64)
        row_of: dict[int, Row] = {}
        for segment in self._reader.segments(self._space_id):
            numbers = np.flatnonzero(np.isin(segment.ids, id_array, assume_unique=True))
            if len(numbers):
                rows = self._transform(np.array(segment.rows[numbers])).astype(np.float16)
                row_of.update(zip(segment.ids[numbers].tolist(), rows, strict=True))
        return row_of

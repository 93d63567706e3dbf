"""Write the folder that ``clip-retrieval inference`` writes and ``clip-retrieval index`` reads.

It has ``img_emb/img_emb_0.npy``, ``metadata/metadata_0.parquet``, and ``text_emb/text_emb_0.npy`` if captions are
embedded. The rows of the three are aligned; clip-retrieval numbers rows over all files in the order of their names
(docs/exports.md). Shards without dead rows already have the right bytes, and get a second name.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from imseek.analysis.space_vectors import Vectors
from imseek.data import layout
from imseek.data.catalog.place_paths import is_url
from imseek.data.collection_records import Shard
from imseek.data.files.collection_files import path_of
from imseek.data.vectors.base import Ids, IdSet
from imseek.exports.arrow_tables import schema_of, table_of
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.selection import BLOCK, Selection
from imseek.types.arrays import Float32
from imseek.types.collection_info import SpaceInfo

#: Rows of a file that is not a shard's; the default of clip-retrieval.
ROWS: Final = 1_000_000
#: Errors if a hard link is impossible: another file system, one without hard links, someone else's file, too many
#: links.
_LINK_ERRORS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})


@dataclass(frozen=True, slots=True, eq=False)
class _Partition:
    """The images of one file; if ``shard`` is given, all of its rows."""

    ids: Ids
    scores: Float32 | None
    shard: Shard | None = None


def write_clip_retrieval(job: ExportJob) -> WriteResult:
    """Write vectors and metadata, one file each per partition."""
    partitions = list(_partitions(job.selection))
    width = len(str(len(partitions)))
    captions = job.selection.reader.current.caption_space
    for folder in ("img_emb", "metadata", *(["text_emb"] if captions is not None else [])):
        (job.path / folder).mkdir()
    count = linked = 0
    for number, partition in enumerate(partitions):
        name = f"{number:0{width}}"
        linked += _write_vectors(job, partition, job.selection.space, job.path / f"img_emb/img_emb_{name}.npy")
        if captions is not None:
            linked += _write_vectors(job, partition, captions, job.path / f"text_emb/text_emb_{name}.npy")
        count = _write_metadata(job, partition, job.path / f"metadata/metadata_{name}.parquet", count)
    return WriteResult(count, linked)


def _partitions(selection: Selection) -> Iterator[_Partition]:
    """Partition by shard if all images are exported, so that files can be linked."""
    if not selection.complete:
        for start in range(0, max(len(selection), 1), ROWS):
            part = slice(start, start + ROWS)
            yield _Partition(selection.ids[part], None if selection.scores is None else selection.scores[part])
        return
    reader, selected = selection.reader, IdSet(selection.ids)
    shards = [shard for shard in reader.current.shards if shard.dead_rows < shard.rows]
    for shard in shards:
        ids = np.asarray(reader.shard_ids(shard))
        live = np.delete(ids, reader.dead_rows(shard))
        yield _Partition(live[selected.marks(live)], None, shard if len(live) == len(ids) else None)
    if not shards:
        yield _Partition(np.empty(0, np.int64), None)


def _write_vectors(job: ExportJob, partition: _Partition, space: SpaceInfo, out: Path) -> bool:
    """Write the vectors of a partition; return whether the shard's own file was linked."""
    shard, reader = partition.shard, job.selection.reader
    if shard is not None and space.space_id in shard.spaces:
        name = layout.vectors(space.space_id, shard.shard_id, space.modality)
        if not job.options.copy and reader.load(name, partial(_link, root=reader.root, name=name, out=out)):
            return True
        reader.load(name, partial(_copy, out=out))
        return False
    vectors = Vectors(reader, space)
    shape = {"descr": "<f2", "fortran_order": False, "shape": (len(partition.ids), space.dim)}
    # Not memory-mapped: on a full disk, writing to a mapping kills the process.
    with out.open("xb") as file:
        np.lib.format.write_array_header_1_0(file, shape)
        for start in range(0, len(partition.ids), BLOCK):
            ids = partition.ids[start : start + BLOCK]
            has_vector = vectors.positions(ids) >= 0  # Images without a caption get zeros, as in a shard.
            rows = np.zeros((len(ids), space.dim), "<f2")
            rows[has_vector] = vectors.stored_rows(ids[has_vector])
            file.write(rows.data)
            job.task.check()
    return False


def _write_metadata(job: ExportJob, partition: _Partition, out: Path, count: int) -> int:
    """Write the metadata of a partition; return the total number of images written.

    A web picture gets a ``url``, which clip-retrieval shows, unless a source has brought a column of that name.
    """
    selection = job.selection
    schema = schema_of(selection, path="image_path")
    full_schema = schema if "url" in schema.names else schema.append(pa.field("url", pa.string()))
    with pq.ParquetWriter(out, full_schema, compression="zstd") as writer:
        for block in selection.blocks_of(partition.ids, partition.scores):
            table = table_of(selection, block, schema, path="image_path")
            # clip-retrieval opens this path, and fails if it is null.
            index = schema.get_field_index("image_path")
            table = table.set_column(index, schema.field(index), table.column(index).fill_null(""))
            if full_schema is not schema:
                urls = [p.uri if p is not None and is_url(p.path) else None for p in block.places]
                table = table.append_column(full_schema.field("url"), pa.array(urls, pa.string()))
            writer.write_table(table)
            count += len(block)
            job.report(count)
    return count


def _link(file: BinaryIO, root: Path, name: str, out: Path) -> bool:
    """Hard-link an open file, even if its path now leads to another. Return False if it cannot be linked."""
    try:
        # Given a dir_fd, the system follows the link to the open file.
        os.link(path_of(file, root, name), out, src_dir_fd=file.fileno(), follow_symlinks=True)
    except OSError as error:
        if error.errno not in _LINK_ERRORS:
            raise
        return False
    return True


def _copy(file: BinaryIO, out: Path) -> None:
    with out.open("xb") as target:
        shutil.copyfileobj(file, target)

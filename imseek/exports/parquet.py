"""One Parquet file with everything: vectors as they are stored, metadata, places, tags.

Its key-value metadata say which encoder made the vectors (docs/exports.md), so that ``imseek index`` takes them over.
"""

from __future__ import annotations

from typing import Final

import pyarrow.parquet as pq

from imseek.exports.arrow import VECTOR, schema_of, table_of
from imseek.exports.base import Job, Written
from imseek.exports.selection import Selection

#: Rows of a row group: 16 MiB of vectors at 512 dimensions.
_GROUP: Final = 16_384


def write_parquet(job: Job) -> Written:
    selection = job.selection
    schema = schema_of(selection, vectors=True)
    marked = schema.with_metadata(told(selection))
    done = 0
    with (
        job.stream() as out,
        # No dictionary of the vectors' numbers: it would be as large as they are.
        pq.ParquetWriter(
            out,
            marked,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[field.name for field in schema if field.name != VECTOR],
        ) as writer,
    ):
        for block in selection.blocks(_GROUP):
            writer.write_table(table_of(selection, block, marked), row_group_size=_GROUP)
            done += len(block)
            job.told(done)
    return Written(done)


def told(selection: Selection) -> dict[str, str]:
    """Under these keys a file says what its vectors are."""
    space = selection.space
    return {
        "imseek.vector": VECTOR,
        "imseek.encoder": space.encoder,
        "imseek.fingerprint": space.fingerprint,
        "imseek.dim": str(space.dim),
        "imseek.collection": selection.reader.identity.uuid,
        "imseek.generation": str(selection.reader.generation),
    }

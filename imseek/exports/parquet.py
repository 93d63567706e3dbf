"""Write one Parquet file with vectors as stored, metadata, places and tags.

Its key-value metadata name the encoder of the vectors (docs/exports.md), so that ``imseek index`` can import them.
"""

from __future__ import annotations

from typing import Final

import pyarrow.parquet as pq

from imseek.exports.arrow_tables import VECTOR, schema_of, table_of
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.selection import Selection

#: Rows of a row group: 16 MiB of vectors at 512 dimensions.
_GROUP: Final = 16_384


def write_parquet(job: ExportJob) -> WriteResult:
    """Write the file."""
    selection = job.selection
    schema = schema_of(selection, vectors=True)
    file_schema = schema.with_metadata(vector_metadata(selection))
    count = 0
    with (
        job.stream() as out,
        # No dictionary encoding for vectors: it would be as large as they are.
        pq.ParquetWriter(
            out,
            file_schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[field.name for field in schema if field.name != VECTOR],
        ) as writer,
    ):
        for block in selection.blocks(_GROUP):
            writer.write_table(table_of(selection, block, file_schema), row_group_size=_GROUP)
            count += len(block)
            job.report(count)
    return WriteResult(count)


def vector_metadata(selection: Selection) -> dict[str, str]:
    """Return the key-value metadata that describe the vectors."""
    space = selection.space
    return {
        "imseek.vector": VECTOR,
        "imseek.encoder": space.encoder,
        "imseek.fingerprint": space.fingerprint,
        "imseek.dim": str(space.dim),
        "imseek.collection": selection.reader.identity.uuid,
        "imseek.generation": str(selection.reader.generation),
    }

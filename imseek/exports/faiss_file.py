"""Write an index for ``faiss.read_index`` and the ids of its rows: ``images.index`` and ``ids.npy``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from imseek.data.vectors import require_faiss
from imseek.data.vectors.base import Float16
from imseek.exports.base import ExportJob, WriteResult
from imseek.exports.selection import BLOCK

INDEX: Final = "images.index"
IDS: Final = "ids.npy"


def write_faiss(job: ExportJob) -> WriteResult:
    """Write the index and ids; row ``n`` of the index is the image ``ids[n]``."""
    require_faiss()
    from imseek.data.vectors.faiss_export import write_flat

    selection = job.selection
    with (job.path / INDEX).open("xb") as out:
        write_flat(out, selection.space.dim, len(selection), _rows(job), half=job.options.half)
    np.save(job.path / IDS, selection.ids)
    return WriteResult(len(selection))


def _rows(job: ExportJob) -> Iterator[Float16]:
    selection = job.selection
    for start in range(0, len(selection), BLOCK):
        part = selection.ids[start : start + BLOCK]
        yield selection.vectors.stored_rows(part)
        job.report(start + len(part))

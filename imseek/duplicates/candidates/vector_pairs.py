"""Find contents with near vectors, within a collection or between two, through the vector index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from imseek.data.files.array_cache import Arrays
from imseek.data.vectors import IdSet, VectorIndex
from imseek.data.vectors.range_search import RangeSearch, StoredRows
from imseek.duplicates.candidates.block_pairs import Block, concatenate_parts, process_blocks
from imseek.duplicates.part_cache import PartCache
from imseek.duplicates.unique_contents import Ids, UniqueContents
from imseek.progress import Task
from imseek.types.arrays import Float32

PHASE: Final = "comparing vectors"

_KINDS: Final = (np.int64, np.int64, np.float32)
#: Stands in place of the second id: a limit left out neighbours of the first.
_CUT_MARK: Final = -1
#: Number of rows that are compared with all others at a time.
_EXACT_BATCH: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class VectorPairs:
    """Distinct pairs of int64 positions ``a`` (m,) and ``b`` (m,) with their ``cosine`` (m,) float32.

    Within one side ``a`` < ``b``. ``cut``: number of contents with more neighbours than were kept.
    """

    a: Ids
    b: Ids
    cosine: Float32
    cut: int


def find_vector_pairs(
    index: VectorIndex,
    contents: UniqueContents,
    other: tuple[VectorIndex, UniqueContents, str] | None,
    least: float,
    most: int,
    cache: PartCache,
    task: Task,
) -> VectorPairs:
    """Find pairs of contents with a cosine of at least ``least``; each content contributes at most its ``most``
    nearest.

    ``other`` has the index, contents and name of the other side, if there is one. Rows of zeros, and contents without a
    vector, have no neighbours. Exact if the index is; otherwise as the approximate index proposes. Memory: 28 bytes per
    pair, and 250 MB. Raises Cancelled.
    """
    theirs, others, name = other or (index, contents, "")
    mine, search = StoredRows(index.segments, index.dim), RangeSearch(theirs, IdSet(others.ids))

    def work(block: Block) -> Arrays:
        last = None if block.upto is None else int(others.ids[block.upto - 1])
        # The more queries an approximate index gets together, the fewer times its rows are read.
        batch = _EXACT_BATCH if theirs.exact else block.stop - block.start
        parts: list[Arrays] = []
        for start in range(block.start, block.stop, batch):
            task.step(PHASE, start, len(contents))
            ids, rows = mine.of(contents.ids[start : min(start + batch, block.stop)])
            ids, rows = ids[rows.any(axis=1)], rows[rows.any(axis=1)]
            if len(ids):
                matches = search.near(rows, least, most + (not name), last)
                a = ids[matches.query]
                is_other = (a != matches.ids) if not name else np.ones(len(a), np.bool_)
                parts.append((a[is_other], matches.ids[is_other], matches.cosines[is_other]))
                cut_ids = ids[matches.cut]
                parts.append((cut_ids, np.full(len(cut_ids), _CUT_MARK), np.zeros(len(cut_ids), np.float32)))
        mine.release()
        return concatenate_parts(parts, _KINDS)

    marks = [contents.hashes]
    blocks = process_blocks("vectors", PHASE, contents.ids, marks, name, work, _KINDS, cache, task)
    return _to_positions(concatenate_parts(list(blocks), _KINDS), contents, others, not name)


def _to_positions(pairs: Arrays, contents: UniqueContents, others: UniqueContents, alone: bool) -> VectorPairs:
    ids, theirs, cosine = pairs
    a, b = contents.positions(ids), others.positions(theirs)
    cut = int(np.count_nonzero(theirs == _CUT_MARK))
    is_present = (a >= 0) & (b >= 0)
    a, b, cosine = a[is_present], b[is_present], cosine[is_present]
    if alone:
        a, b = np.minimum(a, b), np.maximum(a, b)
    _, first = np.unique(a * max(1, len(others)) + b, return_index=True)
    return VectorPairs(a[first], b[first], cosine[first], cut)

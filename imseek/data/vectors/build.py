"""Build an approximate index from the live rows of a space, in bounded memory.

The index is trained on a sample, and rows are added block by block from memory-mapped shards. So only the codes, one
block and the sample are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import faiss
import numpy as np

from imseek.data.vectors.base import Ids, Segment
from imseek.data.vectors.code_rotation import train_rotation
from imseek.data.vectors.index_kinds import ROWS_PER_LIST, cagra_degree, inverted_file, make_index
from imseek.data.vectors.inverted_lists import ListAppender, centres_of_lists, find_block_lists
from imseek.data.vectors.kmeans import GROUPED_ROWS, CentreSearch, centres_of, nearest_centres
from imseek.data.vectors.mmap_residency import release
from imseek.data.vectors.scores import row_norms
from imseek.errors import CorruptCollectionError, UsageError
from imseek.types.arrays import Float32

_BLOCK = 1 << 16
#: The sample may take one in this many parts of the memory.
_SAMPLE_SHARE = 3
#: Training rows that are enough for codes, as opposed to lists.
_CODE_ROWS = 1 << 16
#: Iterations of k-means: more of them change recall by less than its error.
_ITERATIONS = 8
#: Among more lists than these, the list of each row is chosen nearly exactly, in half the time. Among 4,096, that would
#: leave .993 of a picture's hits in the nearest 24 lists, where exact choices leave .995.
_EXACT_LISTS = 4096

#: Inverted files that store rows as they come, besides those of fast scan.
_PLAIN_LISTS = (faiss.IndexIVFFlat, faiss.IndexIVFPQ, faiss.IndexIVFScalarQuantizer)

#: Receives the share that is done, 0 to 1; raises to stop.
ReportShare = Callable[[float], None]


class LiveRows:
    """The live rows of some segments, numbered consecutively from 0."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self.segments = tuple(segments)
        self._numbers = [np.flatnonzero(segment.searchable()) for segment in segments]
        self._starts = np.concatenate([[0], np.cumsum([len(numbers) for numbers in self._numbers])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def section(self, start: int, stop: int) -> LiveRows:
        """Return the rows numbered from ``start`` to before ``stop``."""
        part = LiveRows(())
        firsts = self._starts[:-1]
        part.segments = self.segments
        part._numbers = [
            numbers[max(0, start - first) : max(0, stop - first)]
            for numbers, first in zip(self._numbers, firsts.tolist(), strict=True)
        ]
        part._starts = np.concatenate([[0], np.cumsum([len(numbers) for numbers in part._numbers])]).astype(np.int64)
        return part

    def ids(self) -> Ids:
        """Return the ids of all rows, in the order of their numbers."""
        parts = (s.ids[numbers] for s, numbers in zip(self.segments, self._numbers, strict=True))
        return np.concatenate([np.empty(0, np.int64), *parts])

    def take(self, numbers: Ids) -> tuple[Ids, Float32]:
        """Return ids and float32 rows (m, dim) of ``numbers``, in ascending order of number."""
        numbers = np.sort(numbers)
        ids, rows = [np.empty(0, np.int64)], []
        for n, (segment, live) in enumerate(zip(self.segments, self._numbers, strict=True)):
            first, last = np.searchsorted(numbers, self._starts[n : n + 2])
            positions = live[numbers[first:last] - self._starts[n]]
            ids.append(segment.ids[positions])
            rows.append(np.asarray(segment.rows[positions]).astype(np.float32))
            release(segment.rows)
        return np.concatenate(ids), np.concatenate(rows)

    def blocks(self) -> Iterator[tuple[Ids, Float32]]:
        """Yield ids and rows (m, dim) of all, some tens of thousands at a time.

        Each block overwrites the previous one: touching new memory takes several times as long as reading rows.
        """
        size, width = min(_BLOCK, len(self)), self.segments[0].rows.shape[1] if self.segments else 0
        stored, vectors = np.empty((size, width), np.float16), np.empty((size, width), np.float32)
        ids: list[Ids] = []
        count = 0
        for segment, numbers in zip(self.segments, self._numbers, strict=True):
            start = 0
            while start < len(numbers):
                part = numbers[start : start + size - count]
                # Without "clip", NumPy would write to a buffer first.
                rows = np.take(segment.rows, part, axis=0, out=stored[: len(part)], mode="clip")
                release(segment.rows)  # Otherwise everything read would stay resident.
                vectors[count : count + len(part)] = rows
                ids.append(segment.ids[part])
                start, count = start + len(part), count + len(part)
                if count == size:
                    yield np.concatenate(ids), vectors
                    ids, count = [], 0
        if count:
            yield np.concatenate(ids), vectors[:count]

    def norm_range(self) -> tuple[float, float]:
        """Return the smallest and the largest norm of a row that is not all zeros. Reads every row.

        Raises CorruptCollectionError where one has NaN or infinity.
        """
        lo, hi = np.inf, 0.0
        for ids, rows in self.blocks():
            norms = row_norms(rows)
            if not np.isfinite(norms).all():
                broken = int(ids[~np.isfinite(norms)][0])
                raise CorruptCollectionError(f"the vector of image {broken} holds NaN or infinity")
            nonzero = norms[norms > 0]
            if nonzero.size:
                lo, hi = min(lo, float(nonzero.min())), max(hi, float(nonzero.max()))
        return (lo, hi) if hi else (1.0, 1.0)


def build_index(rows: LiveRows, dim: int, factory: str, memory: int, excluded: Ids, report: ReportShare) -> Any:
    """Build an index of ``factory`` over all ``rows``. Rows numbered ``excluded`` (ascending) are not trained on.

    Raises UsageError for a factory string that cannot be used.
    """
    if (degree := cagra_degree(factory)) is not None:
        return _cagra(rows, dim, degree, memory, report)
    index = train_index(rows, dim, factory, memory, excluded, lambda share: report(0.4 * share), room=len(rows))
    add_rows(index, rows, lambda share: report(0.4 + 0.6 * share))
    return index


def train_index(
    rows: LiveRows, dim: int, factory: str, memory: int, excluded: Ids, report: ReportShare, *, room: int
) -> Any:
    """Train an index of ``factory`` without rows on ``rows``, except those numbered ``excluded`` (ascending).

    Its lists have room for ``room`` rows like these. Raises UsageError for a factory string that cannot be used.
    """
    index = make_index(factory, dim)
    lists = inverted_file(index)
    sample_size = _CODE_ROWS if lists is None else max(_CODE_ROWS, ROWS_PER_LIST * lists.nlist)
    sample_size = min(sample_size, memory // _SAMPLE_SHARE // (4 * dim), len(rows) - len(excluded))
    rng = np.random.default_rng(len(rows))
    numbers = np.setdiff1d(rng.choice(len(rows), min(len(rows), sample_size + len(excluded)), replace=False), excluded)
    _, sample = rows.take(numbers[:sample_size])
    transformed = _apply_transforms(index, sample)
    if lists is not None:
        _train_centres(lists, transformed, report)
    del transformed
    index.train(sample)
    if lists is not None:
        _reserve(index, lists, sample, room)
    return index


def add_rows(index: Any, rows: LiveRows, report: ReportShare) -> None:
    """Add ``rows`` to a trained index in memory. Reports 1.0 once all of them are in their lists."""
    lists = _plain_lists(index)
    centres = None if lists is None else centres_of_lists(lists)
    if lists is None or centres is None:
        for ids, vectors in _blocks_in_turn(rows, report):
            index.add_with_ids(vectors, ids)
        report(1.0)
        return
    # Choosing the lists is nine tenths of adding, and FAISS's wheels take four times as long.
    is_exact = len(centres) <= _EXACT_LISTS or len(rows) < GROUPED_ROWS
    search, appender = CentreSearch(centres, is_exact=is_exact), ListAppender(lists)
    for ids, vectors in _blocks_in_turn(rows, report):
        transformed = _apply_transforms(index, vectors)
        appender.append(transformed, ids, search.nearest(transformed)[0])
    appender.flush()
    index.ntotal = lists.ntotal
    report(1.0)


def _blocks_in_turn(rows: LiveRows, report: ReportShare) -> Iterator[tuple[Ids, Float32]]:
    """Yield the ids and vectors of blocks of ``rows``, and report the share of the rows that is done.

    The caller reports the end: the last rows may still wait to be packed.
    """
    count = 0
    for ids, vectors in rows.blocks():
        yield ids, vectors
        count += len(ids)
        if count < len(rows):
            report(count / len(rows))


def _plain_lists(index: Any) -> Any | None:
    """Return the inverted file inside ``index`` if rows can be added to chosen lists of it, else None."""
    inner = faiss.downcast_index(index.index) if isinstance(index, faiss.IndexPreTransform) else index
    is_plain = type(inner) in _PLAIN_LISTS or find_block_lists(inner) is not None
    return inner if isinstance(inner, faiss.IndexIVF) and is_plain else None


def _cagra(rows: LiveRows, dim: int, degree: int, memory: int, report: ReportShare) -> Any:
    """Build a CAGRA graph on the first GPU, and store it as FAISS's HNSW of one level, which a CPU can search too.

    It needs all rows at once, in float32. Raises UsageError where they do not fit twice.
    """
    if (needed_bytes := 2 * len(rows) * dim * 4) > memory:
        raise UsageError(
            f"a CAGRA graph of {len(rows):,} vectors takes {needed_bytes / 1e9:.1f} GB to build",
            hint="raise --memory, or use IVF4096,SQ8",
        )
    ids, vectors = np.empty(len(rows), np.int64), np.empty((len(rows), dim), np.float32)
    count = 0
    for block_ids, block in rows.blocks():
        ids[count : count + len(block)], vectors[count : count + len(block)] = block_ids, block
        count += len(block)
        report(0.2 * count / len(rows))
    settings = faiss.GpuIndexCagraConfig()
    settings.graph_degree, settings.intermediate_graph_degree = degree, 2 * degree
    card = faiss.GpuIndexCagra(faiss.StandardGpuResources(), dim, faiss.METRIC_INNER_PRODUCT, settings)
    card.train(vectors)
    del vectors
    report(0.8)
    graph = faiss.IndexHNSWCagra(dim, degree // 2, faiss.METRIC_INNER_PRODUCT)
    graph.base_level_only = True
    index = faiss.IndexIDMap2(graph)
    card.copyTo(graph)
    index.ntotal = graph.ntotal
    faiss.copy_array_to_vector(ids, index.id_map)
    index.construct_rev_map()
    report(1.0)
    return index


def _train_centres(lists: Any, sample: Float32, report: ReportShare) -> None:
    """Train the lists' centres on transformed rows."""
    if len(sample) < lists.nlist:
        return  # FAISS reports that it needs more.
    centres = centres_of(sample, lists.nlist, iterations=_ITERATIONS, report=report)
    lists.quantizer.reset()
    lists.quantizer.train(centres)
    lists.quantizer.add(centres)


def _reserve(index: Any, lists: Any, sample: Float32, rows: int) -> None:
    """Reserve about the expected room in each list: lists that grow by doubling would take twice the memory."""
    if not isinstance(lists.invlists, faiss.ArrayInvertedLists) or isinstance(lists, faiss.IndexIVFFastScan):
        return
    part = sample[: min(len(sample), 8 * lists.nlist)]
    part = _apply_transforms(index, part)
    centres = centres_of_lists(lists)
    nearest = lists.quantizer.assign(part, 1) if centres is None else nearest_centres(part, centres, 1)[0]
    counts = np.bincount(nearest.ravel(), minlength=lists.nlist)
    expected = (counts / max(1, len(part)) * rows * 1.15).astype(np.int64) + 16
    for n, size in enumerate(expected.tolist()):
        lists.invlists.resize(n, size)
        lists.invlists.resize(n, 0)  # Keeps the room.


def _apply_transforms(index: Any, rows: Float32) -> Float32:
    """Transform ``rows`` as the index does before its lists (rotation, reduction), training untrained transforms."""
    if isinstance(index, faiss.IndexPreTransform):
        for n in range(index.chain.size()):
            transform = faiss.downcast_VectorTransform(index.chain.at(n))
            if not transform.is_trained:
                _train_transform(transform, rows)
            rows = transform.apply(rows)
    return rows


def _train_transform(transform: Any, rows: Float32) -> None:
    if isinstance(transform, faiss.OPQMatrix):
        train_rotation(transform, rows)
    else:
        transform.train(rows)

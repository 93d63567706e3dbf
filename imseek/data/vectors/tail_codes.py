"""Codes of the rows that a snapshot does not cover, made as the snapshot's own.

A scan of codes of 4 bits reads an eighth of the bytes that the rows take. Scores by codes compare with those of the
snapshot's candidates, so both are rescored together by the stored rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import faiss
import numpy as np

from imseek.data.vectors.base import Float16, Ids, IdSet, Segment
from imseek.data.vectors.code_rotation import RotatedIndex
from imseek.data.vectors.faiss_snapshot import Candidates
from imseek.data.vectors.index_metadata import Bits
from imseek.data.vectors.inverted_lists import Codes
from imseek.types.arrays import Float32

#: Minimum rows for codes: fewer are scanned just as fast.
MIN_ROWS: Final = 1024
#: Maximum ratio of the squared error of later rows' codes to that of the snapshot's rows.
_MAX_ERROR: Final = 1.5
#: Rows that are encoded at a time.
_BLOCK: Final = 4096


class TailCodes:
    """The live rows of ``segments`` by the codes of ``codec``, a snapshot's index with codes for fast scan."""

    def __init__(self, codec: RotatedIndex, segments: Sequence[Segment], previous: TailCodes | None = None) -> None:
        lists = codec.inner
        stored = {} if previous is None else previous._codes
        self._codes: dict[int, tuple[Float16, Codes]] = {
            id(s.rows): stored.get(id(s.rows)) or (s.rows, encode(codec, s.rows)) for s in segments
        }
        live = [segment.searchable() for segment in segments]
        self.ids: Ids = np.concatenate(
            [np.empty(0, np.int64), *(s.ids[m] for s, m in zip(segments, live, strict=True))]
        )
        codes = np.concatenate([self._codes[id(s.rows)][1][m] for s, m in zip(segments, live, strict=True)])
        # One list of all rows, for only lists support filters. Its centre is not used.
        self._centre = faiss.IndexFlatIP(lists.d)
        self._centre.add(np.zeros((1, lists.d), np.float32))
        packed = faiss.IndexIVFPQ(self._centre, lists.d, 1, lists.pq.M, lists.pq.nbits, faiss.METRIC_INNER_PRODUCT)
        packed.pq, packed.by_residual, packed.is_trained = lists.pq, False, True
        numbers = np.arange(len(codes), dtype=np.int64)
        packed.invlists.add_entries(0, len(codes), faiss.swig_ptr(numbers), faiss.swig_ptr(codes))
        packed.ntotal = len(codes)
        self._index = faiss.IndexIVFPQFastScan(packed, lists.bbs)

    def __len__(self) -> int:
        return len(self.ids)

    def bitmap_of(self, allowed: IdSet) -> Bits:
        """Return a bit for each row, in the order of :attr:`ids`: whether its id is allowed."""
        return np.packbits(allowed.marks(self.ids), bitorder="little")

    def candidates(self, queries: Float32, count: int, allowed: Bits | None) -> Candidates:
        """Return the ``count`` rows that rank first for ``queries`` (q, dim), rotated as the codec's rows are;
        ``allowed`` is a bitmap of :meth:`bitmap_of`."""
        selector = None
        if allowed is not None:
            # FAISS keeps pointers only: bits, selector and parameters must outlive the search.
            selector = faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(allowed))
        parameters = None if selector is None else faiss.IVFPQSearchParameters(nprobe=1, sel=selector)
        scores, numbers = self._index.search(queries, min(count, len(self)), params=parameters)
        return Candidates(scores, np.where(numbers >= 0, self.ids[numbers], -1))


def encode(codec: RotatedIndex, rows: Float16) -> Codes:
    """Return the codes (n, bytes) of stored rows (n, width)."""
    quantizer = codec.inner.pq
    starts = range(0, len(rows), _BLOCK)
    blocks = (quantizer.compute_codes(codec.rotate(rows[at : at + _BLOCK].astype(np.float32))) for at in starts)
    return np.concatenate([np.empty((0, quantizer.code_size), np.uint8), *blocks])


def fits_codes(codec: RotatedIndex, rows: Float16, reference: Float16) -> bool:
    """Whether the codes fit ``rows`` about as closely as ``reference``, the rows that they are made for."""
    errors = []
    for sample in (rows, reference):
        difference = codec.rotate(sample.astype(np.float32)) - codec.inner.pq.decode(encode(codec, sample))
        errors.append(float((difference * difference).sum(axis=1).mean()) if len(sample) else 0.0)
    return errors[0] <= _MAX_ERROR * errors[1]

"""Flat FAISS indexes over float16 rows without a copy: the rows are codes of FAISS's fp16 scalar quantizer."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from imseek.data.vectors.base import Float16


def make_flat_index(width: int) -> Any:
    """Return an empty flat index of float16 codes, ranked by inner product."""
    index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True  # fp16 has nothing to learn
    return index


class RowBuffer:
    """Memory for a few rows, with the flat index over the first of them: made once, filled again and again."""

    def __init__(self, capacity: int, width: int) -> None:
        self.rows: Float16 = np.empty((capacity, width), np.float16)
        self._flat = wrap_flat_index(self.rows)

    def flat(self, rows: Float16) -> Any:
        """Return a flat index of ``rows``: the buffer's own, if they are its first rows."""
        if rows.base is not self.rows or rows.ctypes.data != self.rows.ctypes.data:
            return wrap_flat_index(rows)
        self._flat.ntotal = len(rows)
        return self._flat


def wrap_flat_index(rows: Float16) -> Any:
    """Return a flat index that shares the memory of C-contiguous ``rows`` (n, dim), which must outlive it.

    FAISS builds such indexes when it maps its own files; the members that it sets are public.
    """
    index = make_flat_index(rows.shape[1])
    data = rows.view(np.uint8).reshape(-1)
    index.codes.is_owned = False
    index.codes.c_ptr = faiss.swig_ptr(data)
    index.codes.c_size = data.size
    index.ntotal = len(rows)
    return index

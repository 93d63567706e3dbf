"""Write a plain FAISS index to disk for other programs, streaming the rows instead of loading them into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO

import faiss
import numpy as np

from imseek.data.vectors.base import Float16
from imseek.data.vectors.fp16_flat_index import make_flat_index
from imseek.data.vectors.scores import unit_rows
from imseek.errors import ImseekError


def write_flat(out: BinaryIO, dim: int, count: int, blocks: Iterable[Float16], *, half: bool) -> None:
    """Write ``count`` rows, which come in ``blocks`` (m, dim), for ``faiss.read_index``.

    The index is ``IndexFlatIP`` over float32 unit rows, whose scores equal imseek's. With ``half`` it is
    ``IndexScalarQuantizer`` (QT_fp16) over the stored rows, at half the size; its scores are not divided by the norm of
    a row, which rounding has moved off 1. Raises ImseekError for a FAISS with another file format.
    """
    _check_layout(half=half)
    out.write(_head(dim, count, half=half))
    total = 0
    for block in blocks:
        out.write(_codes(block, half=half))
        total += len(block)
    assert total == count, "the number of rows differs from the announced one"


def _head(dim: int, count: int, *, half: bool) -> bytes:
    """Return the bytes before the rows in a file of ``count`` rows.

    FAISS ends such a file with the number of numbers (of bytes, for codes) and the rows; the number of rows follows the
    kind and ``dim``.
    """
    head = bytearray(_serialise(_empty_index(dim, half=half)))
    head[8:16] = count.to_bytes(8, "little")
    head[-8:] = (count * dim * (2 if half else 1)).to_bytes(8, "little")
    return bytes(head)


def _check_layout(*, half: bool) -> None:
    """Check that three rows written this way equal what FAISS would write: its format is not specified anywhere."""
    rows = np.eye(3, 4, dtype=np.float16)
    index = _empty_index(4, half=half)
    index.add(rows.astype(np.float32))
    if _serialise(index) != _head(4, 3, half=half) + _codes(rows, half=half):
        raise ImseekError(f"FAISS {faiss.__version__} writes indexes in a way that is not known here")


def _empty_index(dim: int, *, half: bool) -> Any:
    return make_flat_index(dim) if half else faiss.IndexFlatIP(dim)


def _serialise(index: Any) -> bytes:
    return bytes(faiss.serialize_index(index).tobytes())


def _codes(rows: Float16, *, half: bool) -> bytes:
    return (rows.astype("<f2") if half else unit_rows(rows).astype("<f4")).tobytes()

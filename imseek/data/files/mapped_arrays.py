"""Memory-mapped arrays. Scattered rows of large ones can also be read by system calls, without a page fault for each.

A fault maps the cached pages around it too: 64 KiB for a row of 1 KiB. So reading a few thousand rows of ten million by
faults takes twice the time of calls, and makes hundreds of megabytes resident, whose release takes as long again.
"""

from __future__ import annotations

import os
import weakref
from io import FileIO
from typing import Any, Final, TypeGuard

import numpy as np
import numpy.typing as npt

from imseek.errors import CorruptCollectionError

#: Arrays of so many bytes keep a file descriptor.
_LARGE: Final = 64 << 20


class MappedArray(np.memmap[Any, Any]):
    """An array in a file, mapped read-only. ``descriptor`` is that of the file if the array is large, until it is
    freed; views have none."""

    descriptor: int | None = None


def map_array(file: FileIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> MappedArray:
    """Map the array at the current position of an open file."""
    array = MappedArray(file, dtype, "r", file.tell(), shape)
    if array.nbytes >= _LARGE and hasattr(os, "preadv"):
        array.descriptor = os.dup(file.fileno())
        weakref.finalize(array, os.close, array.descriptor)
    return array


def can_read_rows(array: npt.NDArray[Any]) -> TypeGuard[MappedArray]:
    """Whether :func:`read_rows` can read from ``array``."""
    return isinstance(array, MappedArray) and array.descriptor is not None


def read_rows(array: MappedArray, numbers: npt.NDArray[np.int64], out: npt.NDArray[Any]) -> None:
    """Write the rows ``numbers`` (m,) of ``array`` (n, …), all valid, to ``out`` (m, …), contiguous and of the same
    type. Raises OSError, and CorruptCollectionError where the file has become shorter."""
    assert array.descriptor is not None
    if not len(numbers):
        return
    size = array.nbytes // len(array)
    content = memoryview(out.data).cast("B")
    start = 0
    for offset in (numbers * size + array.offset).tolist():
        if os.preadv(array.descriptor, (content[start : start + size],), offset) != size:
            raise CorruptCollectionError("a file of vectors has become shorter")
        start += size

"""Reading rows here and there from memory maps, without coming to hold whole files.

A page that is touched brings its neighbours along, as far as the system has them at hand (64 KiB, or a huge page), and
stays resident until memory is wanted elsewhere. Pages that are given back cost little to read again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from imseek.data.vectors.base import Float16, Ids

#: Rows that are read between two looks at how much is resident.
_ROWS: Final = 256
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Residence:
    """Keeps what is resident of mapped ``files`` within about ``bound`` bytes."""

    def __init__(self, files: Iterable[Float16], bound: int) -> None:
        self._files = tuple(files)
        self._bound = bound
        self._read = 0

    def gathered(self, rows: Float16, at: Ids) -> Float16:
        """``rows[at]``, an array (m, dim), of rows in one of the files."""
        if self._read + len(at) < _ROWS:
            self._read += len(at)
            return np.asarray(rows[at])
        found = np.empty((len(at), rows.shape[1]), rows.dtype)
        for start in range(0, len(at), _ROWS):
            found[start : start + _ROWS] = rows[at[start : start + _ROWS]]
            self.tend()
        return found

    def tend(self) -> None:
        """Give pages back where too many are resident."""
        self._read = 0
        if resident_of_files() > self._bound:
            for rows in self._files:
                release(rows)


def resident_of_files() -> int:
    """Bytes of mapped files that the process holds now; where the system does not tell, as much as can be."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * _PAGE
    except OSError:
        return 1 << 62


def release(rows: Any) -> None:
    """Give back the pages of a memory map, which stays usable; nothing for an array of another kind."""
    while rows is not None:
        if isinstance(rows, mmap.mmap):
            rows.madvise(mmap.MADV_DONTNEED)
            return
        rows = getattr(rows, "base", None)

"""Read scattered rows from memory maps without keeping whole files in memory.

Touching a page also loads neighbouring pages that the system has cached (64 KiB, or a huge page). They stay resident
until memory is needed elsewhere. Pages that are released cost little to read again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from imseek.data.files.mapped_arrays import can_read_rows, read_rows
from imseek.data.vectors.base import Float16, Ids

#: Rows that are read between two checks of resident memory.
_ROWS: Final = 256
#: Rows that are farther apart than this on the average are read by calls, if their files exceed the bound.
_SPREAD: Final = 256
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class ResidencyLimiter:
    """Keeps the resident memory of mapped ``files`` within about ``bound`` bytes."""

    def __init__(self, files: Iterable[Float16], bound: int) -> None:
        self._files = tuple(files)
        self._bound = bound
        self._is_needed = 2 * sum(rows.nbytes for rows in self._files) > bound
        self._rows_read = 0

    def gather_rows(self, rows: Float16, numbers: Ids, out: Float16) -> None:
        """Write ``rows[numbers]``, rows of one of the files, to ``out`` (m, dim), contiguous. All ``numbers`` must be
        valid, and ascend."""
        if self._is_needed and _are_scattered(numbers) and can_read_rows(rows):
            read_rows(rows, numbers, out)
            return
        for start in range(0, len(numbers), _ROWS):
            part = numbers[start : start + _ROWS]
            # Without "clip", NumPy would write to a buffer first.
            np.take(rows, part, axis=0, out=out[start : start + _ROWS], mode="clip")
            self._rows_read += len(part)
            if self._rows_read >= _ROWS and self._is_needed:
                self.release_excess()

    def release_excess(self) -> None:
        """Release pages if too many are resident."""
        self._rows_read = 0
        if resident_file_bytes() > self._bound:
            for rows in self._files:
                release(rows)


def _are_scattered(numbers: Ids) -> bool:
    """Whether ascending ``numbers`` of rows are too far apart for one page fault to serve several. A single row
    is."""
    return len(numbers) > 0 and int(numbers[-1] - numbers[0]) >= _SPREAD * (len(numbers) - 1)


def resident_file_bytes() -> int:
    """Return the bytes of mapped files resident in this process; a huge number where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[2]) * _PAGE
    except OSError:
        return 1 << 62


def release(rows: Any) -> None:
    """Release the pages of a memory map, which stays usable; does nothing for other arrays."""
    while rows is not None:
        if isinstance(rows, mmap.mmap):
            rows.madvise(mmap.MADV_DONTNEED)
            return
        rows = getattr(rows, "base", None)

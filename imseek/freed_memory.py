"""Give freed memory back to the operating system, between the phases of long work."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def release_freed_memory() -> None:
    """Give back the memory that was freed, as far as the allocators of this machine can.

    glibc keeps what lies between blocks in use, and more with each large array: 65 MB after reading a million hashes.
    Arrow keeps what columns were read into. Takes a few milliseconds.
    """
    if (arrow := sys.modules.get("pyarrow")) is not None:
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError, OSError):  # Only glibc has it.
        ctypes.CDLL(None).malloc_trim(0)

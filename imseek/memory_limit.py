"""The memory that this process may use."""

from __future__ import annotations

import os
from pathlib import Path


def memory_bytes() -> int:
    """Return the bytes of physical memory, or the limit of the process's control group where that is lower."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = min(limit, int(Path(name).read_text("ascii")))
        except (OSError, ValueError):  # No such file, or "max".
            continue
    return limit

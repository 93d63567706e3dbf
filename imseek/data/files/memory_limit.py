"""The memory that this process may use."""

from __future__ import annotations

import os


def memory_bytes() -> int:
    """Return the bytes of physical memory, or the limit of the process's control group where that is lower."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name, encoding="ascii") as file:
                found = min(found, int(file.read()))
        except (OSError, ValueError):  # No such file, or "max".
            continue
    return found

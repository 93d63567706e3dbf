"""What the machine has."""

from __future__ import annotations

import os


def memory_bytes() -> int:
    """Bytes of physical memory, or what the process may use of it where a control group says less."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name, encoding="ascii") as file:
                found = min(found, int(file.read()))
        except (OSError, ValueError):  # None, or "max".
            continue
    return found

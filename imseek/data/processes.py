"""Identify the process that writes a collection, and tell whether it still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def host() -> str:
    return socket.gethostname()


def boot_id() -> str:
    """Return an id that changes at every boot, so that a process id from an earlier boot counts as dead."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where the system does not say.

    Together with pid and boot id it identifies one process. (Linux: field 22 of ``/proc/<pid>/stat``.)
    """
    fields = _stat_of(pid)
    return None if fields is None else int(fields[19])


def may_be_alive(pid: int, of_host: str, of_boot: str, started: int | None = None) -> bool:
    """Whether a process may still be running; always True for another host, where that is unknown.

    ``started`` is its :func:`process_start_time`, which tells it from a later process with the same pid. A zombie
    counts as ended.
    """
    if of_host != host():
        return True
    if of_boot != boot_id():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    fields = _stat_of(pid)
    if fields is None:
        return True
    return fields[0] not in (b"Z", b"X") and started in (None, int(fields[19]))


def _stat_of(pid: int) -> list[bytes] | None:
    """Read the fields of ``/proc/<pid>/stat`` from the state (the third) on; None without such a file."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the name in brackets, which may contain anything.
    return line.rpartition(b")")[2].split()

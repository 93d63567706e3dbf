"""Confine a worker and its decoders with every mechanism that this kernel has.

Each mechanism alone keeps a codec from files and networks; together, a hole in one is not enough.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from imseek.media.sandbox import landlock, seccomp
from imseek.media.sandbox.libc import IS_LINUX, PR_SET_PDEATHSIG, prctl, unshare

SECCOMP: Final = "seccomp"
LANDLOCK: Final = "Landlock"
NAMESPACES: Final = "namespaces"

#: A user namespace, so that the others need no privilege; a network namespace without devices; an IPC namespace.
_NAMESPACES: Final = 0x10000000 | 0x40000000 | 0x08000000
_DESCRIPTORS: Final = 64  # fonts take a few


def confine_worker(readable: Sequence[Path]) -> tuple[str, ...]:
    """Restrict this process and its children to reading below ``readable``; return the active mechanisms.

    ``SECCOMP`` among them means that :func:`confine_decoder` will add it: a worker must be able to start processes.
    Must be called while there is only one thread. Raises OSError where a mechanism of this kernel fails.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    if not IS_LINUX:
        return ()
    layers = []
    with suppress(OSError):  # administrators and containers may forbid it
        unshare(_NAMESPACES)
        layers.append(NAMESPACES)
    if landlock.version():
        landlock.restrict(readable)
        layers.append(LANDLOCK)
    if seccomp.is_available():
        layers.append(SECCOMP)
    return tuple(layers)


def confine_decoder(layers: Sequence[str], *, worker: int, memory: int, seconds: int, reading: bool) -> None:
    """Further restrict this process, a child of ``worker``, to decoding a picture.

    Limits it to ``memory`` bytes of address space and ``seconds`` of processor time, and ends it with its parent.
    Raises OSError.
    """
    end_with_parent(worker, signal.SIGKILL)
    _limit(resource.RLIMIT_AS, memory)
    with suppress(OSError, ValueError):  # see _limit
        # The soft limit sends a signal that tells the reason; the hard limit kills, whatever the process does about
        # signals.
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if SECCOMP in layers:
        seccomp.restrict(reading=reading)


def end_with_parent(parent: int, signal_number: int) -> None:
    """Have ``signal_number`` sent when the thread that started this process ends; exit if ``parent`` has ended."""
    if IS_LINUX:
        prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os._exit(0)


def address_space() -> int:
    """Return the bytes of address space that this process uses; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit(resource_kind: int, most: int) -> None:
    with suppress(OSError, ValueError):  # macOS does not support all of them
        resource.setrlimit(resource_kind, (most, most))

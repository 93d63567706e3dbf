"""A reader that is fuzzed, and a folder in memory for those that read files."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Target:
    """A reader: ``run`` raises only where it has a fault; ``seeds`` gives inputs to begin from."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


@cache
def scratch_folder() -> Path:
    """A folder in memory where the system has one, removed at the end of the process."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="imseek-fuzz-", dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def arbitrary_bytes() -> list[bytes]:
    """Inputs for targets that take their choices from bytes (`mutations.ByteSource`)."""
    return [bytes(range(n, n + 40)) for n in (0, 60, 200)]

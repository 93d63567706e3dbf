"""Processes of the harness: what they inherit, and what they have used."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """Seconds, and resident MB at the most; ``code`` is the exit status."""

    wall: float
    cpu: float
    resident: float
    code: int


def timed(command: Sequence[str], env: Mapping[str, str] | None = None, *, shown: bool = False) -> Run:
    """Runs a command to its end; what it prints goes to our stderr, or nowhere."""
    out = sys.stderr if shown else subprocess.DEVNULL
    began = time.perf_counter()
    child = subprocess.Popen(command, stdout=out, stderr=out, env=env)
    _, status, usage = os.wait4(
        child.pid, 0
    )  # Of this child alone, while RUSAGE_CHILDREN has all of them in it.
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, child.returncode)


def environment(threads: int, own: bool) -> dict[str, str]:
    """For a process that computes in so many threads; that of imseek finds this checkout."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = {**os.environ, **dict.fromkeys(counts, str(threads))}
    found.pop("PYTHONPATH", None)  # Ours is not for the environments of others.
    if own:
        found["PYTHONPATH"] = str(Path(__file__).parents[2])
    return found


def throw_out(folder: Path) -> None:
    """Asks the system to forget what it holds in memory of the files of a folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

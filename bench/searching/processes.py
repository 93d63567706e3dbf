"""Run processes of the harness: their environment, and the time and memory that they use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """Seconds, and peak resident MB; ``code`` is the exit status."""

    wall: float
    cpu: float
    resident: float
    code: int


#: Runs the command in its arguments and writes the time and memory to the file descriptor in the first one. It is a
#: small process of its own, since Linux counts the memory of a program's parent in its peak (getrusage, ru_maxrss).
_LAUNCHER = """
import json, os, sys, time
out, *command = sys.argv[1:]
began = time.perf_counter()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
wall = time.perf_counter() - began
report = wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, os.waitstatus_to_exitcode(status)
os.write(int(out), json.dumps(report).encode())
"""


def run_command(command: Sequence[str], env: Mapping[str, str] | None = None, *, show: bool = False) -> Run:
    """Run a command to its end; its output goes to our stderr (``show``), or nowhere."""
    out = sys.stderr if show else subprocess.DEVNULL
    read, write = os.pipe()
    try:
        launcher = [sys.executable, "-S", "-E", "-c", _LAUNCHER, str(write), *command]
        subprocess.run(launcher, stdout=out, stderr=out, env=env, pass_fds=[write], check=True)
    finally:
        os.close(write)
    with os.fdopen(read) as pipe:
        return Run(*json.loads(pipe.read()))


def environment(threads: int, own: bool) -> dict[str, str]:
    """Return the environment of a process with ``threads`` threads; imseek's own finds this checkout."""
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables = {**os.environ, **dict.fromkeys(counts, str(threads))}
    variables.pop("PYTHONPATH", None)  # Peers do not import this checkout.
    if own:
        variables["PYTHONPATH"] = str(Path(__file__).parents[2])
    return variables


def drop_from_cache(folder: Path) -> None:
    """Ask the system to drop the files of a folder from its cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

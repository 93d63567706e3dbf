"""Making the system refuse: single system calls (by strace), a disk that is full or read-only (by tmpfs)."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from session_seed import generator

from durability.stage import Stage, perform

T = TypeVar("T")

#: Every call by which imseek, SQLite and Arrow change a folder.
WRITING = (
    "openat,write,pwrite64,writev,pwritev,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,"
    "unlinkat,mkdir,mkdirat,rmdir,fchmod"
)
_CALL = re.compile(r"(?P<name>\w+)\(")


#: Whether every trial of a command is to be made, and not a sample of them.
ALL = os.environ.get("IMSEEK_FAULTS") == "all"


def sample(trials: Sequence[T], size: int, name: str) -> Sequence[T]:
    """``size`` of the trials of that name, as many as ``IMSEEK_FAULTS`` says, or ``all`` of them.

    In the order of the trials; another sample in each commit (tests/session_seed.py).
    """
    wanted = len(trials) if ALL else int(os.environ.get("IMSEEK_FAULTS", size))
    if wanted >= len(trials):
        return trials
    chosen = generator(name).sample(range(len(trials)), wanted)
    return [trials[n] for n in sorted(chosen)]


def needs_root() -> pytest.MarkDecorator:
    return pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a tmpfs")


@contextmanager
def tmpfs(folder: Path, options: str = "size=64m") -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True, capture_output=True)


def told(error: BaseException) -> dict[str, Any]:
    """An error of imseek as a person meets it; any other one is raised again."""
    from imseek.errors import StorageError

    if not isinstance(error, StorageError):
        raise error
    return {
        "kind": type(error).__name__,
        "message": str(error),
        "hint": error.hint,
        "code": error.exit_code,
    }


def trial(name: str, home: str, inject: str | None = None) -> dict[str, Any]:
    """Do what a scenario does while strace watches this thread, and make one of its calls fail.

    ``inject`` is strace's own: ``pwrite64:error=EIO:when=7``. Returns the error, the calls (of those that fail only
    where ``inject`` is given), the generation that is found in the end, and what runs reported beside their counts.
    """
    stage = Stage(Path(home))
    log = Path(home) / "calls"
    with _watched(log, inject):
        refusal = attempt(name, home, stage)
    calls = log.read_text(errors="replace").splitlines()
    log.unlink()
    return {"refusal": refusal, "calls": calls, "state": state(stage), "reports": stage.reports}


def attempt(name: str, home: str, stage: Stage | None = None) -> dict[str, Any] | None:
    """Do what a scenario does; returns the error of imseek that it meets."""
    try:
        perform(name, stage or Stage(Path(home)))
    except Exception as error:
        return told(error)
    return None


def few_files(name: str, home: str, spare: int) -> dict[str, Any] | None:
    """As :func:`attempt`, with no more than ``spare`` file descriptors beside those that are open; also reads."""
    import numpy as np

    import imseek

    stage = Stage(Path(home))
    noted: list[int] = []
    Stage.note = lambda _, done: noted.append(done)  # type: ignore[method-assign]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, hard))
    try:
        if name == "verify":
            assert imseek.maintenance.verify(stage.root).ok
        elif name == "search":
            with imseek.open(stage.root) as collection:
                assert len(collection.search(np.ones(64), limit=100).hits) == 11
        else:
            perform(name, stage)
    except Exception as error:
        return told(error)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if any(noted):
            stage.acknowledged.write_text(str(noted[-1]))
    return None


def state(stage: Stage) -> Any:
    """What ``current.json`` says, but for names that are different in each run."""
    from dataclasses import asdict

    from imseek.data.current_generation import read_current
    from imseek.errors import ImseekError

    try:
        found = asdict(read_current(stage.root))
    except ImseekError:
        return None
    return {name: value for name, value in found.items() if name not in ("uuid", "committed")}


def sites(calls: Sequence[str], root: Path) -> list[tuple[str, int, str]]:
    """The calls that change something below ``root``: name, how many of that name came before, and the line."""
    found, seen = [], Counter[str]()
    for line in calls:
        if (call := _CALL.match(line)) is None:
            continue
        name = call["name"]
        seen[name] += 1
        opens = name == "openat" and not re.search("O_CREAT|O_WRONLY", line)
        if str(root) in line and not opens:
            found.append((name, seen[name], line))
    return found


@contextmanager
def _watched(log: Path, inject: str | None) -> Iterator[None]:
    command = ["strace", "-p", str(os.getpid()), "-y", f"-o{log}", f"-etrace={WRITING}"]
    command += [] if inject is None else [f"-einject={inject}"]
    status = os.open("/proc/self/status", os.O_RDONLY)  # Opened once: an open counts as a call.
    strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        while b"TracerPid:\t0\n" in os.pread(status, 4096, 0):
            assert strace.poll() is None, strace.stderr.read() if strace.stderr else ""
            time.sleep(0.001)
        yield
    finally:
        strace.send_signal(signal.SIGINT)
        strace.communicate()
        os.close(status)

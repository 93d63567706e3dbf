"""Judge batches of pairs in child processes, one for each processor.

NumPy holds the interpreter lock for most of what is done to pictures this small, so that threads gain little. Children
run a program of their own, since :mod:`multiprocessing` would import the script of the caller once more. Where one
cannot be started, or ends, batches are judged in this process.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

#: The folder that this process imports imseek from, so that children import the same.
_ROOT: Final = Path(__file__).parents[3]
_MODULE: Final = "imseek.duplicates.pixels.judge_child"
#: The line that a child writes before its first answer: what is printed while it starts comes before.
READY: Final = b"ready to judge\n"


class JudgeProcesses:
    """Up to ``count`` children, each started when a thread first needs one; thread-safe."""

    def __init__(self, count: int) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._broken = False
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    def judge(self, judge: Callable[..., _T], *arguments: object) -> _T:
        """Return ``judge(*arguments)``, where ``judge`` is the function that the program of the children calls."""
        if self._broken:
            return judge(*arguments)
        child = self._idle.get()
        try:
            if child is None:
                child = _start()
                self._started.append(child)
                _wait_until_ready(child)
            verdicts: _T = _ask(child, arguments)
            return verdicts
        except Exception:  # Whatever has become of the child; if the batch is at fault, this process says so.
            self._broken = True
            return judge(*arguments)
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the children, which have nothing to do and nothing to lose."""
        for child in self._started:
            child.kill()
        for child in self._started:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()


def _ask(child: subprocess.Popen[bytes], arguments: tuple[object, ...]) -> Any:
    assert child.stdin is not None
    assert child.stdout is not None
    pickle.dump(arguments, child.stdin, pickle.HIGHEST_PROTOCOL)
    child.stdin.flush()
    return pickle.load(child.stdout)  # noqa: S301 - our own child has written it


def _wait_until_ready(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    if not any(line.endswith(READY) for line in child.stdout):
        raise EOFError


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603 - the program is ours
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )

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


class _Child:
    """A child process, which may still be starting."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._is_ready = False

    def ask(self, arguments: tuple[object, ...]) -> Any:
        """Return its answer. Raises EOFError, OSError or PicklingError where it cannot give one."""
        questions, answers = self.process.stdin, self.process.stdout
        assert questions is not None
        assert answers is not None
        if not self._is_ready:
            if not any(line.endswith(READY) for line in answers):
                raise EOFError
            self._is_ready = True
        pickle.dump(arguments, questions, pickle.HIGHEST_PROTOCOL)
        questions.flush()
        return pickle.load(answers)  # noqa: S301 - our own child has written it


class JudgeProcesses:
    """``count`` children, which start at once, while the first pictures are decoded; thread-safe."""

    def __init__(self, count: int) -> None:
        self._children: list[_Child] = []
        self._idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self._broken = False
        try:
            for _ in range(count):
                self._children.append(_Child(_start()))
                self._idle.put(self._children[-1])
        except OSError:
            self._broken = True

    def judge(self, judge: Callable[..., _T], *arguments: object) -> _T:
        """Return ``judge(*arguments)``, where ``judge`` is the function that the program of the children calls."""
        if self._broken:
            return judge(*arguments)
        child = self._idle.get()
        try:
            verdicts: _T = child.ask(arguments)
            return verdicts
        except Exception:  # Whatever has become of the child; if the batch is at fault, this process says so.
            self._broken = True
            return judge(*arguments)
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the children, which have nothing to do and nothing to lose."""
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.wait()
            for pipe in (child.process.stdin, child.process.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()


def _start() -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(  # noqa: S603 - the program is ours
        [sys.executable, "-P", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )

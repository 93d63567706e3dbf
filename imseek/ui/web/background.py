"""Work that takes long, in a thread of this process: pages look at it as often as they are drawn, and never wait.

It outlives reruns and reloads of the page that has begun it, and is seen from other tabs too. What has to outlive this
process is a job (:mod:`imseek.jobs`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from imseek.types import Progress, ProgressCallback

T = TypeVar("T")
#: Does it: is given what to tell its progress to, and an event that asks it to stop.
Work: TypeAlias = Callable[[ProgressCallback, threading.Event], T]


class Task(Generic[T]):
    """One such work, begun at once."""

    def __init__(self, work: Work[T], name: str) -> None:
        self._work = work
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._progress: Progress | None = None
        self._found: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name=f"imseek {name}", daemon=True).start()

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def progress(self) -> Progress | None:
        """The latest that it has told."""
        return self._progress

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error, which :meth:`result` raises."""
        return self._error is not None

    def stop(self) -> None:
        """Ask it to end early."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended. Short work is then shown at once."""
        return self._ended.wait(seconds)

    def result(self) -> T:
        """What it came to, once it is not running. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._found[0]

    def _run(self) -> None:
        try:
            self._found.append(self._work(self._tell, self._stop))
        except BaseException as error:  # Raised again where somebody looks.
            self._error = error
        finally:
            self._ended.set()

    def _tell(self, progress: Progress) -> None:
        self._progress = progress

"""Progress and cancellation of work on maps."""

from __future__ import annotations

import threading
import time

from imseek.types import Progress, ProgressCallback


class Cancelled(Exception):  # noqa: N818 - no error: somebody has asked for it
    """The caller asked to stop."""


class ProgressReporter:
    """Reports progress and checks for cancellation."""

    def __init__(self, progress: ProgressCallback | None, stop: threading.Event | None) -> None:
        self._progress = progress
        self._stop = stop
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._began

    @property
    def stopped(self) -> bool:
        """Whether the caller asked to stop."""
        return self._stop is not None and self._stop.is_set()

    def tell(self, phase: str, done: int, total: int) -> None:
        """Report progress."""
        if self._progress is not None:
            self._progress(Progress(phase, done, total, 0, self.seconds))

    def check(self) -> None:
        """Raise Stopped if the caller asked to stop."""
        if self.stopped:
            raise Cancelled

"""Telling how far the work is, and being asked to stop."""

from __future__ import annotations

import threading
import time

from imseek.types import Progress, ProgressCallback


class Stopped(Exception):  # noqa: N818 - no error: somebody has asked for it
    """The work was asked to stop."""


class Stages:
    """How far one piece of work is, for whoever looks on."""

    def __init__(self, progress: ProgressCallback | None, stop: threading.Event | None) -> None:
        self._progress = progress
        self._stop = stop
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def tell(self, phase: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(Progress(phase, done, total, 0, self.seconds))

    def check(self) -> None:
        """Raises Stopped."""
        if self.stopped:
            raise Stopped

"""How far long work is, and that it should end."""

from __future__ import annotations

import threading
import time
from typing import Final

from imseek.types import Progress, ProgressCallback

#: Progress is told at most so often, in seconds.
_OFTEN: Final = 0.2


class Telling:
    """Tells progress, and notices that the end is asked for."""

    def __init__(self, progress: ProgressCallback | None = None, stop: threading.Event | None = None) -> None:
        self.progress, self.stop = progress, stop
        self._began, self._told, self._phase = time.monotonic(), 0.0, ""

    def tell(self, phase: str, done: int, total: int | None) -> None:
        """Raises InterruptedError where the event that asks for the end is set."""
        if self.stop is not None and self.stop.is_set():
            raise InterruptedError
        now = time.monotonic()
        if self.progress is None or (phase == self._phase and now - self._told < _OFTEN and done != total):
            return
        self._phase, self._told = phase, now
        self.progress(Progress(phase, done, total, 0, now - self._began))

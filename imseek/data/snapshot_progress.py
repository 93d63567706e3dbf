"""How far long work is, and that it should end."""

from __future__ import annotations

import threading
import time
from typing import Final

from imseek.types import Progress, ProgressCallback

#: Progress is told at most so often, in seconds.
OFTEN: Final = 0.2


class Telling:
    """Tells progress, and notices that the end is asked for."""

    def __init__(
        self,
        progress: ProgressCallback | None = None,
        stop: threading.Event | None = None,
        *,
        often: float = OFTEN,
    ) -> None:
        """Within one phase, progress is told ``often`` seconds apart at least, and at its end."""
        self.progress, self.stop, self._often = progress, stop, often
        self._began, self._told, self._phase = time.monotonic(), 0.0, ""

    def tell(self, phase: str, done: int, total: int | None) -> None:
        """Raises InterruptedError where the event that asks for the end is set."""
        now = time.monotonic()
        soon = phase == self._phase and now - self._told < self._often and done != total
        if self.progress is not None and not soon:
            self._phase, self._told = phase, now
            self.progress(Progress(phase, done, total, 0, now - self._began))
        self.check()

    def check(self) -> None:
        """The same, without telling."""
        if self.stop is not None and self.stop.is_set():
            raise InterruptedError

"""Report the progress of long work, and stop it on request."""

from __future__ import annotations

import threading
import time
from typing import Final

from imseek.types import Progress, ProgressCallback

#: Minimum seconds between two progress reports.
MIN_INTERVAL: Final = 0.2


class ProgressReporter:
    """Reports progress, and notices a request to stop."""

    def __init__(
        self,
        progress: ProgressCallback | None = None,
        stop: threading.Event | None = None,
        *,
        often: float = MIN_INTERVAL,
    ) -> None:
        """Within one phase, progress is reported at most every ``often`` seconds, and at the end of the phase."""
        self.progress, self.stop, self._often = progress, stop, often
        self._began, self._told, self._phase = time.monotonic(), 0.0, ""

    def tell(self, phase: str, done: int, total: int | None) -> None:
        """Report progress. Raises InterruptedError where the stop event is set."""
        now = time.monotonic()
        soon = phase == self._phase and now - self._told < self._often and done != total
        if self.progress is not None and not soon:
            self._phase, self._told = phase, now
            self.progress(Progress(phase, done, total, 0, now - self._began))
        self.check()

    def check(self) -> None:
        """Raise InterruptedError where the stop event is set."""
        if self.stop is not None and self.stop.is_set():
            raise InterruptedError

"""Report a run's progress to its caller, and record it in the catalog for other processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from imseek.data.writer import Writer
from imseek.types import Progress, ProgressCallback, StopRequest


@contextmanager
def progress_reporter(
    writer: Writer, progress: ProgressCallback | None, stop: threading.Event | None
) -> Iterator[ProgressCallback]:
    """Yield a callback that reports to ``progress`` and records the run's progress.

    On exit, sets the writer's exit code if ``stop`` was set.
    """

    def tell(now: Progress) -> None:
        writer.note_progress({**asdict(now), "seconds": round(now.seconds, 3)})
        if progress is not None:
            progress(now)

    yield tell
    if stop is not None and stop.is_set():
        writer.exit_code = stop.exit_code if isinstance(stop, StopRequest) else StopRequest.exit_code

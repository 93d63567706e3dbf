"""What a run tells while it goes on: to whoever started it, and to its record, which others read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from imseek.data.writer import Writer
from imseek.types import Progress, ProgressCallback, StopRequest


@contextmanager
def telling(
    writer: Writer, progress: ProgressCallback | None, stop: threading.Event | None
) -> Iterator[ProgressCallback]:
    """A callback that tells ``progress`` and keeps the record of the run. Afterwards that says if ``stop`` was set."""

    def tell(now: Progress) -> None:
        writer.note_progress({**asdict(now), "seconds": round(now.seconds, 3)})
        if progress is not None:
            progress(now)

    yield tell
    if stop is not None and stop.is_set():
        writer.exit_code = stop.exit_code if isinstance(stop, StopRequest) else StopRequest.exit_code

"""Show a download's progress, speed and remaining time on a terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imseek.encoders import Transfer


@contextmanager
def download_bar() -> Iterator[None]:
    """While entered, draw a bar on stderr for downloads of weights, if that is a terminal.

    Ctrl-C then raises KeyboardInterrupt, so that the terminal's cursor is restored.
    """
    from imseek.encoders import report_downloads

    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bars.add_task("", total=None)

    def show(state: Transfer) -> None:
        if not bars.live.is_started:  # draw nothing unless something is downloaded
            bars.start()
        bars.update(task, description=state.file, completed=state.done, total=state.total)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with report_downloads(show):
            yield
    finally:
        bars.stop()
        signal.signal(signal.SIGINT, before)

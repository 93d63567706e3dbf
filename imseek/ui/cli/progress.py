"""Show progress on a terminal, and let signals stop a run."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Self, TypedDict, TypeVar

import typer

from imseek.library import PROGRESS_VARIABLE
from imseek.progress import Progress, ProgressCallback, StopRequest, Task
from imseek.ui.cli.output import say
from imseek.ui.render.words import format_size

T = TypeVar("T")

NOTHING_STORED: Final = "interrupted: nothing was stored"


class Controls(TypedDict):
    """The arguments of public functions for progress and cancellation: ``find(path, **controls)``."""

    progress: ProgressCallback | None
    stop: StopRequest


@contextmanager
def progress_bar() -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws a progress bar on stderr.

    Without a terminal, yields a callback that writes lines for :mod:`imseek.jobs`, or None if these are not requested.
    """
    if not sys.stderr.isatty():
        yield _json_progress() if os.environ.get(PROGRESS_VARIABLE) == "json" else None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    with Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[read]}", markup=False),
        TextColumn("{task.fields[skipped]} skipped", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("starting", total=None, skipped=0, read="")

        def show(state: Progress) -> None:
            bars.update(
                task,
                description=state.phase,
                completed=state.done,
                total=state.total,
                skipped=state.skipped,
                read=_throughput(state),
            )

        yield show


@contextmanager
def thumbnail_progress(read: Callable[[T], bytes | None], total: int) -> Iterator[Callable[[T], bytes | None]]:
    """Yield ``read``, which makes thumbnails of a page that is being written, with a progress bar."""
    with progress_bar() as progress:
        task, counter = Task(progress), itertools.count(1)

        def read_next(image: T) -> bytes | None:
            data = read(image)
            task.report("thumbnails", min(next(counter), total), total)
            return data

        yield read_next


def _json_progress() -> ProgressCallback:
    """Return a callback that writes each new phase, and its progress at most every half second."""
    last, next_time = "", 0.0

    def write(state: Progress) -> None:
        nonlocal last, next_time
        if state.phase == last and time.monotonic() < next_time:
            return
        last, next_time = state.phase, time.monotonic() + 0.5
        members = {"phase": state.phase, "done": state.done, "total": state.total, "skipped": state.skipped}
        print(json.dumps({"progress": members}), file=sys.stderr, flush=True)

    return write


def _throughput(state: Progress) -> str:
    """Format the speed and the bytes read."""
    if not state.done or not state.seconds:
        return ""
    if not state.bytes:  # Other work counts something else than images.
        return f"{state.done / state.seconds:.1f}/s"
    return f"{state.done / state.seconds:.1f} images/s, {format_size(state.bytes)}"


@contextmanager
def stoppable(message: str = NOTHING_STORED) -> Iterator[Controls]:
    """Show progress, and let signals stop the work.

    Where the work raises InterruptedError for that, prints ``message`` and exits with the signal's code.
    """
    with StopSignals() as signals, progress_bar() as progress:
        try:
            yield {"progress": progress, "stop": signals.event}
        except InterruptedError:
            say(message)
            raise typer.Exit(signals.exit_code) from None


class StopSignals:
    """While entered, SIGINT and SIGTERM set ``event``; a second one ends the process at once.

    ``exit_code`` follows the shell's convention, 128 + the signal number.
    """

    def __init__(self) -> None:
        self.event = StopRequest()
        self._signal: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self._signal or signal.SIGINT)

    def __enter__(self) -> Self:
        # Ignored signals (SIGINT in a shell's background job) stay ignored.
        signals = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        self._previous = {s: signal.signal(s, self._handle) for s in signals}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._signal = number
        self.event.exit_code = self.exit_code
        # Not print(): the handler may have interrupted one that holds the stream's lock.
        os.write(2, b"imseek: stopping; press Ctrl-C again to stop immediately\n")
        self.event.set()

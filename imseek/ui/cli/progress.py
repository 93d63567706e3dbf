"""Progress on a terminal, and a run that can be asked to stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

import typer

from imseek.library import PROGRESS_VARIABLE
from imseek.showing.words import size
from imseek.ui.cli.output import say

if TYPE_CHECKING:
    import threading

    from imseek.types import Progress, ProgressCallback


@contextmanager
def progress_bar() -> Iterator[ProgressCallback | None]:
    """A callback that draws a bar on stderr. Where that is no terminal, one that writes lines for
    :mod:`imseek.jobs`, or None where nobody has asked for these."""
    if not sys.stderr.isatty():
        yield _lines() if os.environ.get(PROGRESS_VARIABLE) == "json" else None
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

        def show(now: Progress) -> None:
            bars.update(
                task,
                description=now.phase,
                completed=now.done,
                total=now.total,
                skipped=now.skipped,
                read=_read(now),
            )

        yield show


def _lines() -> ProgressCallback:
    """Writes each new phase, and how far it is, at most every half second."""
    told, due = "", 0.0

    def write(now: Progress) -> None:
        nonlocal told, due
        if now.phase == told and time.monotonic() < due:
            return
        told, due = now.phase, time.monotonic() + 0.5
        known = {"phase": now.phase, "done": now.done, "total": now.total, "skipped": now.skipped}
        print(json.dumps({"progress": known}), file=sys.stderr, flush=True)

    return write


def _read(now: Progress) -> str:
    """How fast it goes, and how much was read."""
    if not now.done or not now.seconds:
        return ""
    return f"{now.done / now.seconds:.1f} images/s, {size(now.bytes)}"


@contextmanager
def stoppable(
    said: str = "interrupted: nothing was stored",
) -> Iterator[tuple[ProgressCallback | None, threading.Event]]:
    """Progress and an event to stop by, for work that raises InterruptedError where it was stopped: that is said, and
    the command ends with the code of the signal."""
    with StopSignals() as signals, progress_bar() as progress:
        try:
            yield progress, signals.event
        except InterruptedError:
            say(said)
            raise typer.Exit(signals.exit_code) from None


class StopSignals:
    """While entered, SIGINT and SIGTERM set ``event``; a second one ends the process at once.

    ``exit_code`` follows the shell's convention, 128 + the number of the signal.
    """

    def __init__(self) -> None:
        from imseek.types import StopRequest  # NumPy comes with it: not for every --help.

        self.event = StopRequest()
        self._caught: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self._caught or signal.SIGINT)

    def __enter__(self) -> Self:
        # What is ignored (SIGINT in a shell's background job) stays ignored.
        heard = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
        self._previous = {s: signal.signal(s, self._handle) for s in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._caught is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._caught = number
        self.event.exit_code = self.exit_code
        # Not print(): a handler may interrupt one that holds the stream's lock.
        os.write(2, b"imseek: stopping once what is under way is committed; again to stop at once\n")
        self.event.set()

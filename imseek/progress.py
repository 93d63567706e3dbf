"""Progress of long work, and its cancellation.

Public functions take a callback for progress and an event that asks them to stop. Inside they pass on one
:class:`Task`, which knows when to report and how to end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

#: Default minimum of seconds between two reports of a phase.
INTERVAL: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run at one moment.

    ``total`` is None until the scan has ended and all archives are opened. Only committed images are ``done``.
    ``bytes`` counts bytes read from their files, ``seconds`` how long the phase has taken so far.
    """

    phase: str
    done: int
    total: int | None
    skipped: int
    seconds: float
    bytes: int = 0


ProgressCallback: TypeAlias = Callable[[Progress], None]


class StopRequest(threading.Event):
    """An event that asks a run to end after a clean flush.

    ``exit_code`` is that of the process, for the record of the run: 130 (SIGINT) or 143 (SIGTERM).
    """

    exit_code: int = 130


class Cancelled(InterruptedError):  # noqa: N818 - nothing went wrong
    """Raised inside work that was asked to stop. Public functions document it as InterruptedError."""


class Task:
    """Progress reports of one piece of long work, and its cancellation.

    ``stop`` is the event that asks the work to stop, for code that has to pass it on.
    """

    def __init__(
        self,
        progress: ProgressCallback | None = None,
        stop: threading.Event | None = None,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Report to ``progress`` at most every ``interval`` seconds, until ``stop`` is set.

        An ``interval`` of 0 is for work that reports seldom and whose last report before a stop counts, such as one
        after each commit.
        """
        self.stop: Final = threading.Event() if stop is None else stop
        self._progress = progress
        self._interval = interval
        self._clock = clock
        self._began = self._phase_began = self._last_report = clock()
        self._due = self._began
        self._phase, self._done = "", 0

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return self._clock() - self._began

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller asked the work to stop."""
        return self.stop.is_set()

    def check(self) -> None:
        """Raise Cancelled where the caller asked the work to stop."""
        if self.stop.is_set():
            raise Cancelled

    def report(self, phase: str, done: int, total: int | None = None, *, skipped: int = 0, bytes_read: int = 0) -> None:
        """Report how far a phase is: its beginning, its end, and in between at most every ``interval`` seconds.

        At its end ``total`` is ``done``, or ``done`` with what was ``skipped``.
        A phase begins with a new name, or where it counts from a lower number again. Its time runs from the last
        report of the phase before. Never raises Cancelled, so that work may report what it commits before it stops;
        :meth:`step` does.
        """
        if self._progress is None:
            return
        now = self._clock()
        if phase != self._phase or done < self._done:
            self._phase, self._phase_began, self._due = phase, self._last_report, now
        self._last_report, self._done = now, done
        if now >= self._due or total in (done, done + skipped):
            self._due = now + self._interval
            self._progress(Progress(phase, done, total, skipped, now - self._phase_began, bytes_read))

    def step(self, phase: str, done: int, total: int | None = None, *, skipped: int = 0) -> None:
        """Report, as :meth:`report` does, then raise Cancelled where the caller asked the work to stop."""
        self.report(phase, done, total, skipped=skipped)
        self.check()


#: A task without reports, which nobody can stop: the default of functions that take one.
SILENT: Final = Task()

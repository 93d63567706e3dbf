"""Progress of long work, and its cancellation: when a task reports, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from imseek.progress import Cancelled, Progress, StopRequest, Task
from tests.clocks import Clock


class Reports:
    """What a task has reported, on a clock that the test moves."""

    def __init__(self, interval: float = 1.0, stop: threading.Event | None = None) -> None:
        self.clock = Clock()
        self.seen: list[Progress] = []
        self.task = Task(self.seen.append, stop, interval=interval, clock=self.clock.monotonic)

    @property
    def counts(self) -> list[tuple[str, int]]:
        return [(one.phase, one.done) for one in self.seen]


def test_a_report_says_all_that_is_known() -> None:
    reports = Reports()
    reports.clock.sleep(2)
    reports.task.report("index", 3, 7, skipped=1, bytes_read=99)
    assert reports.seen == [Progress("index", 3, 7, 1, 2.0, 99)]


def test_within_a_phase_reports_keep_their_distance() -> None:
    reports = Reports(interval=1.0)
    for done in range(10):
        reports.task.report("reading", done, 10)
        reports.clock.sleep(0.4)
    assert reports.counts == [("reading", 0), ("reading", 3), ("reading", 6), ("reading", 9)]


def test_the_first_and_the_last_of_a_phase_are_always_reported() -> None:
    reports = Reports(interval=60.0)
    for phase in ("reading", "writing"):
        for done in range(5):
            reports.task.report(phase, done, 4)
    assert reports.counts == [("reading", 0), ("reading", 4), ("writing", 0), ("writing", 4)]


def test_without_a_total_there_is_no_last() -> None:
    reports = Reports(interval=60.0)
    for done in range(5):
        reports.task.report("reading", done)
    assert reports.counts == [("reading", 0)]


def test_an_interval_of_zero_reports_everything() -> None:
    reports = Reports(interval=0)
    for done in range(4):
        reports.task.report("commits", done, 9)
    assert reports.counts == [("commits", n) for n in range(4)]


def test_seconds_are_those_of_the_phase() -> None:
    reports = Reports(interval=0)
    for phase, done in (("scan", 0), ("scan", 1), ("index", 1), ("index", 2)):
        reports.clock.sleep(5)
        reports.task.report(phase, done, 2)
    # The time between two phases belongs to the second: the work on its first items has filled it.
    assert [(one.phase, one.seconds) for one in reports.seen] == [
        ("scan", 5), ("scan", 10), ("index", 5), ("index", 10),
    ]  # fmt: skip
    assert reports.task.seconds == 20


def test_a_lower_count_begins_a_phase_of_the_same_name() -> None:
    reports = Reports(interval=60.0)
    for done in (0, 3, 5, 0, 3):
        reports.clock.sleep(1)
        reports.task.report("ranks", done, 5)
    assert reports.counts == [("ranks", 0), ("ranks", 5), ("ranks", 0)]
    assert [one.seconds for one in reports.seen] == [1, 3, 1]


def test_check_and_step_raise_once_the_event_is_set() -> None:
    stop = threading.Event()
    reports = Reports(stop=stop)
    reports.task.check()
    reports.task.step("reading", 1, 5)
    assert not reports.task.is_cancelled
    stop.set()
    assert reports.task.is_cancelled
    with pytest.raises(Cancelled):
        reports.task.check()
    with pytest.raises(Cancelled):
        reports.task.step("reading", 5, 5)
    assert reports.counts == [("reading", 1), ("reading", 5)]  # what is done is reported before the work ends


def test_a_report_never_raises_cancelled() -> None:
    stop = StopRequest()
    stop.set()
    reports = Reports(stop=stop)
    reports.task.report("commits", 1, 5)
    assert reports.counts == [("commits", 1)]


def test_without_callback_and_event_a_task_is_silent_and_goes_on() -> None:
    task = Task()
    task.step("reading", 1, 2)
    task.check()
    assert not task.is_cancelled


def test_cancelled_is_what_public_functions_document() -> None:
    assert issubclass(Cancelled, InterruptedError)


def test_the_module_is_cheap() -> None:
    script = "import sys, imseek.progress; print([m for m in ('numpy', 'imseek.types') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_was_skipped_counts_at_the_end() -> None:
    reports = Reports(interval=60.0)
    for done in range(4):
        reports.task.report("encode", done, 5, skipped=2)
    assert reports.counts == [("encode", 0), ("encode", 3)]

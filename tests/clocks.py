"""Clocks that a test moves, and counts of work, for tests that must not depend on how fast the machine is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Clock:
    """Stands in for the module ``time``: only sleeping moves it. ``limit`` ends what would sleep for ever."""

    def __init__(self, now: float = 0.0, *, limit: float = 3600.0) -> None:
        self.now = now
        self.end = now + limit
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    time = perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        assert self.now <= self.end, f"asleep for {sum(self.sleeps):g} seconds"
        assert len(self.sleeps) < 10_000, "asleep for ever, in steps too short to count"


def instructions(work: Callable[[], Any], *modules: str) -> int:
    """How many bytecode instructions ``work`` executes in this thread, in files whose paths end with ``modules``.

    C code counts as one instruction, so a loop in Python shows and one in NumPy does not.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.endswith(modules):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count

"""What must not happen when imseek reads what a stranger made: kinds of findings, and those that an end tells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

#: Kinds of findings, the worst first. ``leak``: bytes of a canary in what was written. ``code``: a pickle or a library
#: of somebody else was loaded.
KINDS: Final = (
    "code",
    "process",
    "canary deleted",
    "canary written",
    "outside write",
    "leak",
    "socket",
    "canary read",
    "outside read",
    "memory",
    "hang",
    "crash",
    "traceback",
)
#: Exit codes that the command line documents.
EXIT_CODES: Final = frozenset({0, 1, 2, 3, 75, 130, 143})
#: In every canary file; no output may hold it.
MARK: Final = "canary-5d1f0c"
#: Failures that a message shows.
_SHOWN: Final = 40
#: Seconds in which each run must end, and bytes of memory that it may hold.
SECONDS: Final = 5.0
MEMORY: Final = 1 << 30

_TRACEBACK: Final = re.compile(rb"Traceback \(most recent call last\)|internal error|Internal Server Error")
_OUT_OF_MEMORY: Final = re.compile(rb"MemoryError|Unable to allocate|bad_alloc")


class Finding(NamedTuple):
    """One thing that must not happen: its kind (of :data:`KINDS`) and what exactly."""

    kind: str
    what: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit code (negative: a signal), output, findings, CPU seconds and peak memory in bytes."""

    code: int
    out: bytes
    err: bytes
    findings: tuple[Finding, ...]
    cpu: float
    memory: int

    @property
    def worst(self) -> str:
        """The worst kind of finding, or ``ok``."""
        return min((f.kind for f in self.findings), key=KINDS.index, default="ok")


def end_findings(code: int, out: bytes, err: bytes, *, hang: bool, memory: int) -> Iterator[Finding]:
    """What the end of a process says: hangs, crashes, tracebacks, too much memory."""
    text = out + err
    last = (err.strip().splitlines() or [b""])[-1][:300].decode("utf-8", "replace")
    if hang:
        yield Finding("hang", f"it waits without an end, or takes more than {SECONDS:g} s of CPU")
    elif code < 0:
        yield Finding("crash", f"signal {-code}")
    elif code not in EXIT_CODES or _TRACEBACK.search(text):
        yield Finding("traceback", f"exit code {code}: {last}")
    if memory > MEMORY or _OUT_OF_MEMORY.search(text):
        yield Finding("memory", f"{memory >> 20} MiB: {last}")


class AnyTrial(Protocol):
    """A lie and what came of it."""

    @property
    def outcome(self) -> Outcome: ...


def report(bad: Sequence[AnyTrial], trials: Sequence[AnyTrial], seed: str) -> str:
    """What a failing test says of the trials that ended badly, and of where chance began."""
    lines = [f"{trial}: {_worst(trial.outcome)}" for trial in bad[:_SHOWN]]
    return "\n".join([f"{len(bad)} of {len(trials)} trials with IMSEEK_SEED={seed}:", *lines])


def _worst(outcome: Outcome) -> str:
    return next((one.what for one in outcome.findings if one.kind == outcome.worst), "all is well, it says")


def leaks(contents: Iterable[bytes]) -> list[Finding]:
    """A finding where the mark of a canary is in what was written."""
    return [Finding("leak", "bytes of a canary were given out") for one in contents if MARK.encode() in one][:1]

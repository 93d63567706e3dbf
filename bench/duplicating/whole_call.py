"""Run a whole `imseek duplicates --json` in a process of its own, and measure it together with its own children.

    python bench/duplicating/whole_call.py COLLECTION FIGURES >REPORT

is that process: it runs the command as it is, with a callback for progress, and writes to FIGURES what happened:
seconds and processor time by phase, and the candidates. Processor time is that of the process and of its children,
living and ended. :func:`measure` starts it and samples the memory of all of them from outside.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

_BEFORE, _AFTER = "starting, reading contents", "report as JSON"
#: Seconds between two looks at processor time within a phase, and at memory.
_LEAST_S, _SAMPLE_S = 0.05, 0.02
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Call:
    """What a call took. ``own_mb`` is the peak of its memory outside mapped files, interpreter and modules included;
    ``child_mb`` that of the largest child, ``all_mb`` that of all processes together."""

    wall_s: float
    cpu_s: float
    own_mb: float
    child_mb: float
    all_mb: float
    resident_mb: float
    children: int
    figures: dict[str, Any]


def measure(collection: Path, out: Path) -> tuple[Call, dict[str, Any]]:
    """Run the command on a collection; return what it took, and its report. ``out`` is a folder for both."""
    figures, report = out / "figures.json", out / "report.json"
    start = time.perf_counter()
    with report.open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(collection), str(figures)],
            stdout=stdout,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_root(), os.environ.get("PYTHONPATH"))))},
        )
        call = _watch(process, start)
    if process.returncode:
        raise SystemExit(f"imseek duplicates ended with {process.returncode}")
    return replace(call, figures=json.loads(figures.read_text())), json.loads(report.read_bytes())


def _root() -> str:
    import imseek

    return str(Path(imseek.__file__).parents[1])


def _watch(process: subprocess.Popen[bytes], start: float) -> Call:
    own = child = together = resident = 0
    pids: set[int] = set()
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        parent = _memory(process.pid)
        children = {one: _memory(one) for one in _descendants(process.pid)}
        pids |= set(children)
        own, resident = max(own, parent[1]), max(resident, parent[0])
        child = max([child, *(memory for _, memory in children.values())])
        together = max(together, parent[1] + sum(memory for _, memory in children.values()))
        time.sleep(_SAMPLE_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    return Call(wall, cpu, own / 1e6, child / 1e6, together / 1e6, resident / 1e6, len(pids), {})


def _memory(pid: int) -> tuple[int, int]:
    """Return the resident memory of a process, and that outside mapped files; 0 if it has ended."""
    with suppress(OSError, ValueError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return resident * _PAGE, (resident - shared) * _PAGE
    return 0, 0


def _descendants(pid: int) -> Iterator[int]:
    """Yield the living children of a process, whichever thread has started them, and theirs."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for one in map(int, (task / "children").read_text().split()):
                yield one
                yield from _descendants(one)


def _cpu() -> tuple[float, float]:
    """Return the processor seconds of this process, and those of its children, living and ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    children = ended.ru_utime + ended.ru_stime
    for pid in _descendants(os.getpid()):
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            children += sum(map(int, fields[11:15])) / _TICKS
    return time.process_time(), children


class _Phases:
    """Seconds, processor time and memory outside mapped files by phase. As in :class:`imseek.progress.Task`, what comes
    after the last report of a phase belongs to the next one."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self._at, self._cpu = time.perf_counter(), (0.0, 0.0)
        self._phase = ""

    def note(self, phase: str, done: int = 0, total: int | None = None) -> None:
        """Charge to ``phase`` what was used since the last note, unless that was in this phase and just now."""
        now = time.perf_counter()
        if phase == self._phase and now - self._at < _LEAST_S and done != total:
            return
        cpu = _cpu()
        row = self.rows.setdefault(phase, {"wall_s": 0.0, "cpu_s": 0.0, "children_cpu_s": 0.0, "memory_mb": 0.0})
        row["wall_s"] += now - self._at
        row["cpu_s"] += sum(cpu) - sum(self._cpu)
        row["children_cpu_s"] += cpu[1] - self._cpu[1]
        row["memory_mb"] = max(row["memory_mb"], _memory(os.getpid())[1] / 1e6)
        if total is not None:
            row["total"] = total
        self._at, self._cpu, self._phase = now, cpu, phase


def _run(collection: str, figures: Path) -> int:
    """Run the command with what is to be measured around two of its functions."""
    phases, candidates = _Phases(), {}
    from imseek import duplicates
    from imseek.__main__ import main
    from imseek.duplicates.candidates import pair_candidates

    find, find_candidates = duplicates.find, pair_candidates.find

    def find_all(*arguments: Any, progress: Any = None, **options: Any) -> Any:
        started = False

        def show(now: Any) -> None:
            nonlocal started
            if not started:
                phases.note(_BEFORE)
                started = True
            phases.note(now.phase, now.done, now.total)
            if progress is not None:
                progress(now)

        return find(*arguments, progress=show, **options)

    def count_candidates(*arguments: Any, reach: Any, **options: Any) -> Any:
        pairs = find_candidates(*arguments, reach=reach, **options)
        candidates.update(
            candidates=len(pairs),
            by_hash=int((pairs.distance <= reach.radius).sum()),
            by_vector=int((pairs.cosine >= reach.cosine).sum()),
            by_distance=np.bincount(pairs.distance, minlength=reach.radius + 1)[: reach.radius + 1].tolist(),
            radius=reach.radius,
            least_cosine=reach.cosine,
            neighbours=reach.neighbours,
        )
        return pairs

    duplicates.find = find_all
    pair_candidates.find = count_candidates
    sys.argv = ["imseek", "duplicates", "--json", "--collection", collection]
    code = main()
    sys.stdout.flush()
    phases.note(_AFTER)
    figures.write_text(json.dumps({**candidates, "phases": phases.rows}))
    return code


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1], Path(sys.argv[2])))

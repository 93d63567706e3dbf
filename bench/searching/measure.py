"""Measure any system in its own environment, with nothing but NumPy and the standard library."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

KINDS = ("image", "text")
#: Lists that are probed, from fast to thorough.
PROBES = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
#: Scores closer than this are equal: float32 sums of one product differ by more, in another order.
EQUAL = 2e-6
#: A setting whose recall on this many queries is more than FAR below the target is not measured on all of them.
GLANCE = 100
FAR = 0.04
#: Seconds that a round of single queries may take before it is cut short.
PATIENCE = 15.0


class System(Protocol):
    """``values`` are settings of one parameter, from fast to thorough; [None] where there is none."""

    values: Sequence[int | None]
    kind: str

    def load(self) -> None: ...

    def rows_of(self, answers: Any) -> Any:
        """Return the row numbers of the answers of :meth:`search`."""
        ...

    def search(self, queries: Any, k: int, value: int | None) -> Any:
        """(q, k) row numbers for (q, dim) float32 unit ``queries``; -1 where there are fewer."""
        ...


class Task:
    """The queries and their right answers, from the folder that searching/truth.py fills."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.queries = {kind: np.load(work / f"{kind}.npy") for kind in KINDS}
        self._truth = np.load(work / "truth.npz")

    def mask(self, share: float | str) -> Any:
        """(count,) bool: the rows that a filter lets through."""
        return np.load(self.work / f"mask {share}.npy")

    def recall(self, kind: str, answers: Any, k: int, share: float | str = 1.0) -> float:
        """Return the share of the ``k`` best rows (or of all, if fewer) that were found; ties with the last one count.

        ``answers`` belong to the first queries. ``share``: among the rows that this filter passes.
        """
        ids = self._truth[f"{kind} {share} ids"][: len(answers)]
        scores = self._truth[f"{kind} {share} scores"][: len(answers)]
        counts = (ids >= 0).sum(axis=1)
        right = total = 0
        for answer, best, score, count in zip(answers, ids, scores, counts, strict=True):
            limit = min(k, int(count))
            if limit:
                good = best[:count][score[:count] >= score[limit - 1] - EQUAL]
                right += min(limit, len(np.intersect1d(np.asarray(answer)[:k], good)))
                total += limit
        return right / max(1, total)


def measure(system: System, task: Task, k: int, target: float, rounds: int) -> dict[str, Any]:
    """Load a system, and time for each kind of query the fastest setting that reaches ``target``."""
    start = time.perf_counter()
    system.load()
    report: dict[str, Any] = {"load_s": time.perf_counter() - start, "loaded": memory()}
    for kind in KINDS:
        queries = task.queries[kind]

        def recall(value: int | None, kind: str = kind, queries: Any = queries) -> float:
            glance = task.recall(kind, system.search(queries[:GLANCE], k, value), k)
            if glance < target - FAR and len(system.values) > 1:
                return glance
            return task.recall(kind, system.search(queries, k, value), k)

        value, reached = smallest(system.values, recall, target)
        report[kind] = {"value": value, "recall": reached, **time_queries(system, queries, k, value, rounds)}
    return {**report, "asked": memory()}


#: Queries for one point of a curve: those that are timed, and those that measure recall.
POINT = 100
POINT_RECALL = 300
#: A curve ends where it is nearly exact, or where a query takes longer (CPU ms).
_END = (0.998, 150.0)


def curve(system: System, task: Task, k: int, values: Sequence[int | None]) -> dict[str, list[dict[str, Any]]]:
    """Return for each kind of query, from fast to thorough: setting, recall, and median CPU ms of single queries."""
    system.load()
    curves: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        system.kind = kind
        queries = task.queries[kind]
        points = curves[kind] = []
        for value in values:
            answers = system.rows_of(system.search(queries[:POINT_RECALL], k, value))
            seconds = []
            for n in range(-5, POINT):
                at = n % min(POINT, len(queries))
                start = time.process_time()
                system.search(queries[at : at + 1], k, value)
                seconds.append(time.process_time() - start)
            cpu = float(np.median(seconds[5:])) * 1000
            points.append({"setting": value, "recall": task.recall(kind, answers, k), "cpu_ms": cpu})
            if points[-1]["recall"] >= _END[0] or cpu > _END[1]:
                break
    return curves


def smallest(
    values: Sequence[int | None], recall: Callable[[int | None], float], target: float
) -> tuple[int | None, float]:
    """Return the first value that reaches the target, and its recall; else the value with the highest recall."""
    attempts: list[tuple[float, int | None]] = []
    for value in values:
        attempts.append((recall(value), value))
        if attempts[-1][0] >= target:
            return value, attempts[-1][0]
    best = max(recall for recall, _ in attempts)
    return next((value, reached) for reached, value in attempts if reached == best)


def time_queries(system: System, queries: Any, k: int, value: int | None, rounds: int) -> dict[str, float]:
    """Return medians over rounds: wall milliseconds of single queries (p50, p99), their mean processor time (``cpu``),
    which other programs disturb less, and queries a second when they are searched in one batch."""
    for query in queries[:5]:
        system.search(query[np.newaxis], k, value)
    quantiles, rates = [], []
    for _ in range(rounds):
        quantiles.append(_time_round(lambda n: system.search(queries[n : n + 1], k, value), len(queries)))
        sample = queries[: max(32, min(len(queries), int(1000 * PATIENCE / quantiles[-1][0])))]
        start = time.perf_counter()
        system.search(sample, k, value)
        rates.append(len(sample) / (time.perf_counter() - start))
    p50, p99, cpu = (float(one) for one in np.median(quantiles, axis=0))
    spread = float(np.ptp([one[0] for one in quantiles]) / p50)
    return {"p50": p50, "p99": p99, "cpu": cpu, "qps": float(np.median(rates)), "spread": spread}


def filtered_cell(search: Callable[[int], object], count: int) -> dict[str, float]:
    """Return p50 and p99 milliseconds of ``search(0)``, ``search(1)`` …, and their mean processor time (``cpu``)."""
    return dict(zip(("p50", "p99", "cpu"), _time_round(search, count), strict=True))


def _time_round(search: Callable[[int], object], count: int) -> tuple[float, float, float]:
    seconds: list[float] = []
    start, cpu_start = clocks()
    for n in range(count):
        lap = time.perf_counter()
        search(n)
        seconds.append(time.perf_counter() - lap)
        if time.perf_counter() - start > PATIENCE and n >= 20:
            break
    cpu = (time.process_time() - cpu_start) / len(seconds) * 1000
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return float(p50), float(p99), cpu


def memory() -> dict[str, float]:
    """Resident MB of this process: all of it, and its anonymous part (what no file on disk backs)."""
    amounts = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, amount = line.split()[:2]
        amounts[name] = int(amount) * 1024 / 1e6
    return {"rss": amounts["Rss:"], "anonymous": amounts["Anonymous:"]}


def elapsed(start: Sequence[float]) -> dict[str, float]:
    """Wall and processor seconds since ``began``, a :func:`clocks`."""
    now = clocks()
    return {"wall": now[0] - start[0], "cpu": now[1] - start[1]}


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def write_report(report: Any) -> None:
    """Print the line that the harness reads: the last one of the output."""
    print(json.dumps(report), flush=True)

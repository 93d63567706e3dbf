"""An index of several parts beside a single one: the cost of building, growing and searching it.

    python bench/big.py --count 10000000 --dim 256 --encoder fake:256 --out DIR   # minutes, about 10 GB
    python bench/parts.py build --at DIR --parts 10 [--kind IVF4096,PQ128x4fs] [--recall 0.98]
    python bench/parts.py ask --at DIR [--queries 100]       # recall, milliseconds, memory, cold and warm
    python bench/parts.py grow --at DIR --rows 1000000       # one more shard, and what its part takes

`build` makes --parts parts with one layout of lists; 1 is a single index. `ask` starts two processes: one finds the
right answers by an exact scan (stored beside the collection), the other searches. Memory is what the kernel reports of
the process (`smaps_rollup`): anonymous, and mapped from files. Cold means that the files of the collection were dropped
from the disk cache before; the vectors of the candidates are then read from the disk too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent))

import vectors
from searching import measure
from searching.processes import drop_from_cache

K = 10


def build(options: argparse.Namespace) -> dict[str, Any]:
    from imseek import maintenance
    from imseek.data.vectors import snapshot_growth, tuning
    from imseek.types.collection_info import IndexPolicy

    snapshot_growth.count_parts = lambda *_: options.parts
    tuning.QUERIES = options.tuned
    policy = IndexPolicy(options.kind, memory=round(options.memory * 1e9), recall=options.recall)
    with Watch() as watch:
        (report,) = maintenance.build_index(options.at, policy, progress=watch.on_progress)
    return {"index": _index_fields(report), **watch.report()}


def grow(options: argparse.Namespace) -> dict[str, Any]:
    """Add rows as one shard, and renew the index as a run does at its end."""
    import big

    from imseek.data.vectors import index_renewal, tuning
    from imseek.data.writing.writer import Writer
    from imseek.progress import Task

    tuning.QUERIES = options.tuned
    seconds = {"vectors": 0.0, "catalog": 0.0}
    with Writer(options.at, "bench") as writer:
        start, space = writer.current().images, writer.current().space
        if options.rows:
            source = writer.catalog.sources()[0].source_id
            big._add_shard(writer, source, start, options.rows, 0, space.dim, 0, "hard", seconds)
        with Watch() as watch:
            (report,) = index_renewal.renew(writer, Task(watch.on_progress, interval=0))
    return {"added": seconds, "outcome": report.outcome, "index": _index_fields(report), **watch.report()}


def ask(options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "truth", "--at", str(options.at), "--queries", str(options.queries)]
    command += ["--lists", *map(str, options.lists)]
    if not _truth(options).exists():
        subprocess.run(command, check=True)
    drop_from_cache(options.at)
    command[2] = "asked"
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(output.splitlines()[-1]))


def truth(options: argparse.Namespace) -> dict[str, Any]:
    from imseek.data.reader import Reader
    from imseek.data.vectors import open_index

    reader = Reader(options.at)
    space = reader.current.space
    index = open_index("faiss", reader.segments(space.space_id), space.dim, snapshot=reader.snapshot(space.space_id))
    queries = _queries(options.queries, space.dim)
    answers = {}
    for kind, rows in queries.items():
        results = index.search(rows, K, exact=True)
        answers[f"{kind}_ids"] = np.array([one.ids for one in results])
        answers[f"{kind}_scores"] = np.array([one.scores for one in results])
    np.savez(_truth(options), **answers)
    return {}


def measure_queries(options: argparse.Namespace) -> dict[str, Any]:
    from imseek.data.reader import Reader
    from imseek.data.vectors import open_index

    start = time.perf_counter()
    reader = Reader(options.at)
    space = reader.current.space
    before = _memory()
    at = time.perf_counter()
    snapshot = reader.snapshot(space.space_id)
    mapped_at = time.perf_counter()
    index = open_index("faiss", reader.segments(space.space_id), space.dim, snapshot=snapshot)
    ready = time.perf_counter()
    assert snapshot is not None
    report: dict[str, Any] = {
        "images": len(index), "parts": len(snapshot.facts.parts) or 1, "tail": getattr(index, "tail", 0),
        "map_ms": round((mapped_at - at) * 1e3), "open_ms": round((ready - start) * 1e3),
        "before": before, "opened": _memory(),
    }  # fmt: skip
    right = np.load(_truth(options))
    queries = _queries(options.queries, space.dim)
    for kind, rows in queries.items():
        text = kind == "text"
        effort = (snapshot.facts.text if text else snapshot.facts.image).effort
        cold, faults = [], _faults()
        for query in rows[:20]:
            at = time.perf_counter()
            index.search(query[np.newaxis], K, text=text)
            cold.append((time.perf_counter() - at) * 1e3)
        faults = _faults() - faults
        for query in rows:
            index.search(query[np.newaxis], K, text=text)
        warm, cpu = [], time.process_time()
        results = []
        for query in rows:
            at = time.perf_counter()
            results += index.search(query[np.newaxis], K, text=text)
            warm.append((time.perf_counter() - at) * 1e3)
        cpu = (time.process_time() - cpu) / len(rows) * 1e3
        at = time.perf_counter()
        index.search(rows, K, text=text)
        batch = (time.perf_counter() - at) / len(rows) * 1e3
        report[kind] = {
            "recall": round(_recall(results, right[f"{kind}_ids"], right[f"{kind}_scores"]), 4),
            "probe": effort.probe, "rescore": effort.rescore,
            "cold_first_ms": round(cold[0], 1), "cold_p50_ms": round(float(np.median(cold)), 1),
            "major_faults_of_20": faults,
            "warm_p50_ms": round(float(np.median(warm)), 2), "warm_p90_ms": round(float(np.quantile(warm, 0.9)), 2),
            "cpu_ms": round(cpu, 2), "batch_ms": round(batch, 2),
        }  # fmt: skip
        report[f"memory after {kind}"] = _memory()
    words, facts, by_lists = queries["text"], snapshot.facts, {}
    for probe in options.lists:
        effort = replace(facts.text.effort, probe=probe)
        tuned_snapshot = snapshot.with_metadata(replace(facts, text=replace(facts.text, effort=effort)))
        index = open_index("faiss", index.segments, space.dim, snapshot=tuned_snapshot)
        at, results = time.process_time(), []
        for query in words:
            results += index.search(query[np.newaxis], K, text=True)
        cpu = (time.process_time() - at) / len(words) * 1e3
        reached = _recall(results, right["text_ids"], right["text_scores"])
        by_lists[probe] = {"recall": round(reached, 4), "cpu_ms": round(cpu, 2)}
    report["text by lists"] = by_lists
    return report


class Watch:
    """Time and peak memory of the body of a ``with`` statement."""

    def __enter__(self) -> Watch:
        self._start = measure.clocks()
        self._last = 0.0
        self._anonymous = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._elapsed = measure.elapsed(self._start)

    def on_progress(self, progress: Any) -> None:
        share = progress.done / max(1, progress.total or 1)
        if share - self._last > 0.01:
            self._last = share
            self._anonymous = max(self._anonymous, measure.memory()["anonymous"])
            print(f"{share:.2f} {measure.elapsed(self._start)['wall']:.0f} s", file=sys.stderr, flush=True)

    def report(self) -> dict[str, float]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        return {**self._elapsed, "peak_mb": peak, "anonymous_mb": self._anonymous}


def _index_fields(report: Any) -> Any:
    index = report.index
    return None if index is None else {name: getattr(index, name) for name in index.__dataclass_fields__}


def _truth(options: argparse.Namespace) -> Path:
    from imseek.data.current_generation import read_current

    current = read_current(options.at)
    return Path(f"{options.at}.truth-{current.images}-{options.queries}.npz")


def _queries(count: int, dim: int) -> dict[str, Any]:
    return {"image": vectors.image_queries(count, dim), "text": vectors.text_queries(count, dim)[0]}


def _recall(results: Any, ids: Any, scores: Any) -> float:
    shares = []
    for one, best, score in zip(results, ids, scores, strict=True):
        good = one.scores[:K] >= score[-1] - measure.EQUAL
        shares.append(min(K, int(np.count_nonzero(good | np.isin(one.ids[:K], best)))) / K)
    return float(np.mean(shares))


def _memory() -> dict[str, float]:
    return {name: round(value) for name, value in measure.memory().items()}


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_majflt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    tasks = {"build": build, "ask": ask, "grow": grow, "truth": truth, "asked": measure_queries}
    parser.add_argument("task", choices=tasks)
    parser.add_argument("--at", type=Path, required=True, help="the collection")
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--kind", default="IVF4096,PQ128x4fs")
    parser.add_argument("--memory", type=float, default=3.0, help="GB that the index may take")
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--tuned", type=int, default=400, help="queries of each kind that the index is tuned by")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100, help="of each kind")
    parser.add_argument("--lists", type=int, nargs="*", default=[], help="`ask`: text-like queries with so many, too")
    options = parser.parse_args()
    options.at = options.at.absolute()
    report = tasks[options.task](options)
    report["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(report), flush=True)
    if options.task in ("build", "ask", "grow"):  # the others run in child processes
        recorder.put(task=options.task, **report)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

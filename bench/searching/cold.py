"""Time whole processes from start to answer: `imseek search`, and peers that open their file for one query."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import recorder
from searching.processes import drop_from_cache, environment, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Runs after the uncached one.
RUNS = 9


def compare(bench: Any, words: str) -> str:
    """Return a table: medians with the files in the disk cache, and the first run after dropping them from it."""
    query = bench.work / "query.npy"
    np.save(query, np.load(bench.work / "text.npy")[0])
    threads = bench.options.threads[0]
    root = bench.work / "collection"
    programs: dict[str, tuple[list[str], Path]] = {}
    for system in bench.options.systems:
        if "failed" in (build := bench.build(system, max(bench.options.threads))):
            print(f"{system}: {build['failed']}", file=sys.stderr)
        elif system == "imseek":
            own_command = [sys.executable, "-m", "imseek", "search", "--collection", str(root)]
            offered = subprocess.run([*own_command[:4], "--help"], capture_output=True, text=True).stdout
            if "--vector" in offered:
                programs["imseek search --vector"] = [*own_command, "--vector", str(query)], root
            programs[f"imseek search {words!r}"] = [*own_command, words], root
        elif system in ("faiss-ivf", "hnswlib", "usearch", "autofaiss"):
            value = _setting(bench, system)
            spec = {**bench.spec, "task": "cold", "system": system, "threads": threads}
            spec |= {"query": str(query), "value": value}
            script = str(Path(__file__).parent / "peers.py")
            programs[f"{system} at {value}"] = [bench.python(system), script, json.dumps(spec)], bench.work
    lines = [f"\n{bench.count:,} vectors, {threads} thread(s): a process, from start to answer"]
    lines.append(f"{'':32}{'s':>8}{'CPU s':>8}{'peak MB':>9}{'uncached s':>12}{'x imseek':>10}")
    first: float | None = None
    for name, (command, files) in programs.items():
        env = environment(threads, name.startswith("imseek"))
        run_command(command, env)  # Some programs do work once, such as exporting a tower.
        drop_from_cache(files)
        uncached = run_command(command, env)
        runs = [run_command(command, env) for _ in range(RUNS)]
        if any(run.code for run in (uncached, *runs)):
            lines.append(f"{name:32} exit {uncached.code}")
            continue
        wall = statistics.median(run.wall for run in runs)
        first = first or wall
        cpu = statistics.median(run.cpu for run in runs)
        resident = max(run.resident for run in runs)
        lines.append(f"{name:32}{wall:8.3f}{cpu:8.3f}{resident:9.0f}{uncached.wall:12.2f}{wall / first:10.2f}")
        recorder.add_row("cold", program=name, seconds=wall, cpu_s=cpu, peak_mb=resident, uncached_s=uncached.wall)
    return "\n".join(lines)


def _setting(bench: Any, system: str) -> int | None:
    """Return the setting that reached the target recall in recorded runs, else one in the middle of the scale."""
    record = bench.options.work / "results.jsonl"
    rows: Sequence[dict[str, Any]] = (
        [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    )
    for row in reversed(rows):
        if row.get("system") == system and row.get("count") == bench.count and "text" in row:
            return row["text"]["value"]  # type: ignore[no-any-return]
    return 256

"""Figures of a benchmark as JSON, in a file beside what the script prints.

A script calls :func:`put` and :func:`add_row` as it prints, and ends with ``sys.exit(recorder.run(main))``. Names of
figures say their units (``p50_ms``), an interval is a list of two numbers, and ``null`` is no number.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
_figures: dict[str, Any] = {}
_load = os.getloadavg()


def put(**figures: Any) -> None:
    """Record single figures."""
    _figures.update(figures)


def add_row(table: str, /, **columns: Any) -> None:
    """Record a row of a table, which is a list of such rows among the figures."""
    _figures.setdefault(table, []).append(columns)


def add_times(what: str, values: Sequence[float]) -> None:
    """Print the median and the 95th percentile of some milliseconds, and add them to the table `times`."""
    p50, p95 = np.percentile(values, [50, 95])
    print(f"{what:<54} p50 {p50:6.1f}   p95 {p95:6.1f}   ms, of {len(values)}")
    add_row("times", what=what.strip(), p50_ms=p50, p95_ms=p95, of=len(values))


def process_seconds(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(main: Callable[[], int | None]) -> int:
    """Run a script, write what it recorded (into ``IMSEEK_BENCH_RESULTS``, if set), and return its exit code."""
    date = datetime.now(UTC)
    # Processes that the script starts use bytecode, as an installed imseek does. Compiling takes 0.1 to 0.2 s.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    code = main() or 0
    if _figures:
        name = Path(sys.argv[0]).stem
        record = {
            "name": name,
            "date": date.isoformat(timespec="seconds"),
            "machine": _machine(),
            "commit": _commit(),
            "command": _command(),
            "seconds": (datetime.now(UTC) - date).total_seconds(),
            "exit_code": code,
            "figures": _to_json(_figures),
        }
        print(_write(f"{date:%Y-%m-%d}-{name}", json.dumps(record, indent=2, ensure_ascii=False) + "\n"))
    return code


def _write(name: str, text: str) -> Path:
    folder = Path(os.environ.get("IMSEEK_BENCH_RESULTS") or HERE / "results")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        whole = Path(scratch, name)
        whole.write_text(text, "utf-8")
        for mark in ("", *(f"-{number}" for number in range(2, 1000))):
            target = folder / f"{name}{mark}.json"
            with contextlib.suppress(FileExistsError):
                os.link(whole, target)  # Unlike a rename, it replaces no other run's file.
                return target
    raise SystemExit(f"{folder} has a thousand files of {name}")


def _machine() -> dict[str, Any]:
    linux, libraries = sys.platform == "linux", ("numpy", "faiss-cpu", "faiss-gpu", "torch", "onnxruntime")
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text() if linux else "")
    versions = {one.name: one.version for one in metadata.distributions() if one.name in libraries}
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)) if linux else os.cpu_count(),
        "versions": versions,
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        "load_before": _load,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _commit() -> str | None:
    """The commit of this checkout, with ``+changes`` where tracked files differ from it."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    with contextlib.suppress(OSError):
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or None
    return None


def _command() -> str:
    """The command as typed, with ~ for the home folder, since results are committed."""
    home = re.escape(str(Path.home()))
    return re.sub(rf"{home}(?=[/' ]|$)", "~", shlex.join([Path(sys.executable).name, *sys.argv]))


def _to_json(value: Any) -> Any:
    """Convert to JSON's types: NumPy's numbers and arrays too, and null for values that are not finite."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Mapping):
        return {str(name): _to_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

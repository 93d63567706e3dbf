"""Search hard vectors with imseek and its peers: time and memory at the same recall, threads and queries.

    python bench/search.py [--count 1000000] [--threads 1 2] [--profile clip] [--systems imseek faiss-ivf hnswlib ...]
    python bench/search.py --filtered               # by the share of images that a filter leaves
    python bench/search.py --cold ["a red car"]     # whole processes, from their start to their answer
    python bench/search.py --growth                 # imseek alone, 10,000 to 10 million
    python bench/search.py --curves                 # recall against time, drawn by bench/searching/curves.py

Each system runs in a process and a virtual environment of its own (bench/README.md says how to make them), over the
same vectors (bench/vectors.py) and queries. Its index is built once; the files stay in --work. Its one parameter is the
smallest value that reaches the target recall, chosen for each kind of query; imseek tunes itself while it builds its
index. imseek searches a collection with dead rows and with a tail of rows added after its index. Ratios are the row
divided by imseek's whole call in the same column: above 1 the row is slower, or larger.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import recorder
import vectors
from searching import cold, report, truth
from searching.processes import environment

HERE = Path(__file__).parent / "searching"
OWN = ("imseek", "imseek-index")
PEERS = (
    "numpy-flat",
    "faiss-flat",
    "faiss-flat16",
    "faiss-ivf",
    "faiss-fast-scan",
    "hnswlib",
    "usearch",
    "scann",
    "glass",
    "autofaiss",
)
#: Filters: the share of rows that passes, chosen at random, or as rows similar to each other (``near``).
SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001, "near 0.1", "near 0.01")
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)


class Bench:
    """Run the tasks for one number of vectors, and store their reports."""

    def __init__(self, options: argparse.Namespace, count: int) -> None:
        self.options, self.count = options, count
        self.work = options.work / (str(count) if options.profile == "hard" else f"{count}-{options.profile}")
        memory = options.memory or 1.15 * count * options.dim * 2 / 1e9
        self.spec = {
            "work": str(self.work),
            "count": count,
            "dim": options.dim,
            "seed": options.seed,
            "profile": options.profile,
            "k": options.limit,
            "target": options.recall,
            "rounds": options.rounds,
            "tail": options.tail,
            "dead": options.dead,
            "encoder": options.encoder,
            "index": options.index,
            "index_memory": options.index_memory,
            "shares": SHARES,
            "memory": f"{memory * 1000:.0f}MB",
            "build_memory": f"{max(2.0, 2 * memory):.0f}GB",
        }

    def prepare(self) -> None:
        peers = any(system not in OWN for system in self.options.systems)
        shares = SHARES if self.options.filtered else ()
        o = self.options
        truth.prepare(self.work, self.count, o.dim, o.seed, o.profile, o.queries, shares, peers)

    def build(self, system: str, threads: int) -> dict[str, Any]:
        """Return the report of the build, which runs once, and again for other options or with ``--rebuild``."""
        shared = "imseek" if system in OWN else system
        names = {
            "imseek": ("index", "index_memory", "target", "tail", "dead", "encoder"),
            "autofaiss": ("memory",),
        }
        settings = [self.spec[name] for name in names.get(shared, ())]
        record = self.work / f"{shared}.built.json"
        report: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
        if not report or report["made_for"] != settings or shared in self.options.rebuild:
            report = {**self.run("build", shared, threads), "made_for": settings}
            self.options.rebuild = [other for other in self.options.rebuild if other != shared]
            if "failed" not in report:
                record.write_text(json.dumps(report))
        return report

    def run(self, task: str, system: str, threads: int, **more: Any) -> dict[str, Any]:
        """Run one task in a process of its own; return its report, or ``{"failed": why}`` if it fails."""
        spec = {**self.spec, "task": task, "system": system, "threads": threads, **more}
        script = HERE / ("own.py" if system in OWN else "peers.py")
        print(f"{self.count:,}: {task} {system}, {threads} thread(s)", file=sys.stderr, flush=True)
        process = subprocess.run(
            [self.python(system), str(script), json.dumps(spec)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads, system in OWN),
        )
        if process.returncode:
            return {"failed": f"exit {process.returncode}"}
        report: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return report

    def python(self, system: str) -> str:
        if system in OWN:
            return sys.executable
        name = system if system in ("autofaiss", "scann", "glass") else "ann"
        return str(self.options.peers / name / "bin" / "python")


def compare(bench: Bench) -> list[dict[str, Any]]:
    rows = []
    for system in bench.options.systems:
        build = bench.build(system, max(bench.options.threads))
        for threads in bench.options.threads:
            figures = build if "failed" in build else bench.run("ask", system, threads)
            row = {"system": system, "threads": threads, "count": bench.count, "built": build, **figures}
            rows.append(row)
            report.append_result(bench.options.work, row)
    return rows


def curves(bench: Bench) -> None:
    """Record the points of each system's curves; imseek's measure the whole call."""
    for system in bench.options.systems:
        build = bench.build(system, max(bench.options.threads))
        figures = build if "failed" in build else bench.run("curve", system, bench.options.threads[0])
        for kind in ("image", "text"):
            for point in figures.get(kind, ()):
                recorder.add_row("curves", system=system, count=bench.count, queries=kind, **point)
                print(f"{system:16} {kind:6} {point['setting']!s:>6} {point['recall']:.4f} {point['cpu_ms']:8.2f} ms")
        if "failed" not in figures:
            size = {name: build.get(name) for name in ("wall", "cpu", "file_mb")}
            recorder.add_row("built", system=system, count=bench.count, build_s=size["wall"],
                             build_cpu_s=size["cpu"], file_mb=size["file_mb"])  # fmt: skip


def compare_filtered(bench: Bench) -> dict[str, Any]:
    """Return cells by name, kind and share. Peers keep the setting that reaches the target recall without a filter."""
    threads = bench.options.threads[0]
    cells: dict[str, Any] = {}
    for system in ("imseek-index", "faiss-ivf", "hnswlib"):
        build = bench.build(system, max(bench.options.threads))
        more: dict[str, Any] = {}
        if system != "imseek-index" and "failed" not in build:
            unfiltered = bench.run("ask", system, threads)
            if "failed" in unfiltered:
                continue
            more["values"] = {kind: unfiltered[kind]["value"] for kind in ("image", "text")}
        figures = build if "failed" in build else bench.run("filtered", system, threads, **more)
        cells.update({} if "failed" in figures else figures)
    report.append_result(bench.options.work, {"filtered": cells, "count": bench.count, "threads": threads})
    return cells


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--systems", nargs="+", choices=[*OWN, *PEERS], default=None)
    parser.add_argument("--filtered", action="store_true")
    parser.add_argument("--cold", nargs="?", const="a red car", metavar="WORDS")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--queries", type=int, default=500, help="of each kind")
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--recall", type=float, default=0.99)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", choices=vectors.PROFILES, default="hard", help="of bench/vectors.py")
    parser.add_argument("--dead", type=float, default=0.01, help="share of dead rows in imseek's collection")
    parser.add_argument("--tail", type=int, default=8192, help="rows that come after imseek's index")
    parser.add_argument("--encoder", help="of the collection; for --cold, one that knows words")
    parser.add_argument("--index", default="auto", help="imseek's kind of index: auto, none, or of FAISS's factory")
    parser.add_argument("--index-memory", type=float, help="GB that it may take")
    parser.add_argument("--memory", type=float, help="GB for autofaiss; by default that of float16 rows and 15 %%")
    parser.add_argument("--rebuild", nargs="*", default=[], choices=["imseek", *PEERS])
    parser.add_argument("--work", type=Path, default=Path("/tmp/imseek-search"))
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    options = parser.parse_args()
    counts = options.count or (GROWTH if options.growth else (1_000_000,))
    options.systems = options.systems or (OWN if options.growth else (*OWN, *PEERS))
    rows: list[dict[str, Any]] = []
    for count in counts:
        bench = Bench(options, count)
        bench.prepare()
        if options.cold is not None:
            print(cold.compare(bench, options.cold))
        elif options.curves:
            curves(bench)
        elif options.filtered:
            cells = compare_filtered(bench)
            print(report.filtered_table(cells, count, SHARES))
            for name, cell in cells.items():
                recorder.add_row("filtered", count=count, searched=name, **report.with_units(cell))
        else:
            rows += compare(bench)
    for row in rows:
        recorder.add_row("systems", **report.figures(row))
    if rows:
        print(report.table(rows, options.recall))
    return int(any("failed" in row for row in rows))


if __name__ == "__main__":
    sys.exit(recorder.run(main))

"""A cold `imseek search`: wall and processor time of the whole process, and the modules it imports.

python bench/cold.py COLLECTION "a red car" [--runs 9] [--beside BUILTIN_COLLECTION] [--rclip RCLIP FOLDER]

``--beside`` names a collection of the same pictures with another encoder, ``--rclip`` an rclip that has indexed FOLDER
and is run with ``-n``. Programs take turns, so that other work on the machine disturbs all alike; the first round,
which fills the caches of the disk, is not counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import recorder

SCRIPT = """
import sys
sys.argv = ["imseek", *{arguments!r}]
from imseek.ui.cli import main
code = main()
print("|".join(sorted({{name.partition(".")[0] for name in sys.modules if not name.startswith("_")}})), file=sys.stderr)
sys.exit(code)
"""


@dataclass(frozen=True)
class Program:
    name: str
    command: Sequence[str]
    folder: str = "."


@dataclass(frozen=True)
class Run:
    """Seconds of one run."""

    wall: float
    processor: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection")
    parser.add_argument("words")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--beside", metavar="COLLECTION")
    parser.add_argument("--rclip", nargs=2, metavar=("RCLIP", "FOLDER"))
    options = parser.parse_args()
    programs = [Program("imseek", _imseek(options.words, options.collection))]
    if options.beside:
        programs.append(Program("beside", _imseek(options.words, options.beside)))
    if options.rclip:
        rclip, folder = options.rclip
        programs.append(Program("rclip -n", [rclip, "-n", options.words], folder))
    _compare(programs, options.runs)
    _list_imports(["search", options.words, "--collection", options.collection])


def _imseek(words: str, collection: str) -> list[str]:
    return [sys.executable, "-m", "imseek", "search", words, "--collection", collection]


def _compare(programs: Sequence[Program], runs: int) -> None:
    runs_of: dict[str, list[Run]] = {program.name: [] for program in programs}
    for _ in range(runs + 1):
        for program in programs:
            runs_of[program.name].append(_run(program))
    first = [run.wall for run in runs_of[programs[0].name][1:]]
    first_processor = [run.processor for run in runs_of[programs[0].name][1:]]
    print(f"{runs} runs, seconds; ratios are imseek over the row")
    print(f"{'':10} {'median':>7} {'min':>7} {'max':>7} {'CPU':>7} {'ratio':>7} {'of min':>7} {'of CPU':>7}")
    for name, every in runs_of.items():
        wall = [run.wall for run in every[1:]]
        processor = [run.processor for run in every[1:]]
        figures = {
            "median_s": statistics.median(wall),
            "min_s": min(wall),
            "max_s": max(wall),
            "cpu_s": statistics.median(processor),
            "ratio_of_medians": statistics.median(first) / statistics.median(wall),
            "ratio_of_min": min(first) / min(wall),
            "ratio_of_cpu": statistics.median(first_processor) / statistics.median(processor),
        }
        print(f"{name:10} " + " ".join(f"{figure:7.3f}" for figure in figures.values()))
        recorder.add_row("programs", name=name, runs=runs, **figures)


def _run(program: Program) -> Run:
    usage_before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(program.command, check=True, capture_output=True, cwd=program.folder, env=os.environ)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime - usage_before.ru_utime + after.ru_stime - usage_before.ru_stime)


def _list_imports(arguments: Sequence[str]) -> None:
    listing = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=arguments)], check=True, capture_output=True, text=True
    )
    names = listing.stderr.splitlines()[-1].split("|")
    ours = [name for name in names if name not in sys.stdlib_module_names]
    print(f"imported beyond the standard library ({len(ours)}): {', '.join(ours)}")
    recorder.put(modules=ours)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

"""Time of everyday commands as whole processes: one new photo, a search, a query by a picture, clusters, a map.

    python bench/everyday.py [--encoder builtin] [--photos 600] [--runs 5] [--work DIR] [--beside CHECKOUT]

A folder of photographs (bench/photos.py) is indexed. One run of each command is not counted: it exports networks and
fills caches. Then commands run in turn, each with a photo that is new. ``--beside`` is another checkout of imseek, such
as an older one, which runs each command right before or after ours, on a collection of its own; ratios are ours
divided by its. ``--encoder`` is any reference, such as ``openclip:ViT-B-32@FILE``.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import recorder
from photos import SIZES, make_photos

HERE = Path(__file__).resolve().parents[1]
COMMANDS = {
    "one new photo": ["index"],
    "text query": ["search", "a bowl of fruit"],
    "query by a picture": ["similar", "{photo}"],
    "clusters": ["clusters"],
    "map": ["map", "--refit"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--photos", type=int, default=600)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT")
    parser.add_argument("--only", choices=list(COMMANDS), action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        trees = {"imseek": HERE} | ({"beside": options.beside.resolve()} if options.beside else {})
        sides = {name: Side(tree, Path(work) / name, options.encoder) for name, tree in trees.items()}
        commands = options.only or list(COMMANDS)
        photos = make_photos(options.photos + (options.runs + 1) * len(commands), SIZES["small"], 0)
        for number in range(options.photos):
            picture = next(photos)
            for side in sides.values():
                picture.save(side.photos / f"{number:05}.jpg", quality=90)
        for side in sides.values():
            side.run(["index", str(side.photos)])
        for what in commands:
            seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
            for turn in range(options.runs + 1):
                picture = next(photos)
                for name, side in list(sides.items())[:: 1 if turn % 2 else -1]:
                    picture.save(side.photos / f"new-{what.replace(' ', '-')}-{turn}.jpg", quality=90)
                    seconds[name].append(side.run(COMMANDS[what]))
            report(what, {name: runs[1:] for name, runs in seconds.items()})


class Side:
    """A checkout with its photographs, its collection, its home and its cache."""

    def __init__(self, tree: Path, work: Path, encoder: str) -> None:
        self._tree = tree
        self.photos = work / "photos"
        self.photos.mkdir(parents=True)
        self._collection = work / "collection"
        self._encoder = encoder
        self._environment = os.environ | {
            "PYTHONPATH": str(tree),
            "IMSEEK_HOME": str(work / "home"),
            "IMSEEK_CACHE": str(work / "cache"),
        }

    def run(self, command: Sequence[str]) -> tuple[float, float]:
        """Run a command; returns its wall and processor seconds."""
        first = not self._collection.exists()
        words = [word.format(photo=self.photos / "00000.jpg") for word in command]
        words += ["-c", str(self._collection), *(["--encoder", self._encoder] if first else [])]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-P", "-m", "imseek", *words],
            env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        wall = time.perf_counter() - start
        if process.returncode:
            sys.exit(f"{self._tree}: imseek {' '.join(words)}: {process.stderr}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def report(what: str, seconds: dict[str, list[tuple[float, float]]]) -> None:
    line, figures = f"{what:20}", {}
    for name, runs in seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        line += f"  {name} {wall:6.2f} s (CPU {cpu:6.2f})"
        figures |= {f"{name}_s": wall, f"{name}_cpu_s": cpu}
    if len(seconds) == 2:
        ratio = statistics.median(a[0] / b[0] for a, b in zip(*seconds.values(), strict=True))
        line += f"  ratio {ratio:.2f}"
        figures["ratio"] = ratio
    print(line, flush=True)
    recorder.add_row("commands", what=what, **figures)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

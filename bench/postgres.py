"""One collection with its catalog in SQLite and on PostgreSQL: indexing, a cold search, warm searches, small commits.

    python bench/postgres.py [--images 1000] [--runs 7]

Starts a PostgreSQL of its own (Debian's, with fsync, on loopback). The pictures are small and made here, the encoder is
``fake``, so that the catalog decides the time. Both take turns; figures are medians and their ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import recorder
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import databases

import imseek


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    if (why := databases.missing()) is not None:
        sys.exit(why)
    with tempfile.TemporaryDirectory() as folder, databases.started(durable=True) as server:
        work = Path(folder)
        pictures = paint(work / "pictures", options.images)
        print(f"{options.images} pictures of 64 by 64, load {os.getloadavg()[0]:.1f}")
        recorder.put(pictures=options.images)
        paths: dict[str, list[Path]] = {"sqlite": [], "postgres": []}
        indexed = measure(3, lambda kind: index(work, kind, server.database(), pictures, paths[kind]))
        print_medians("index, s", indexed)
        print_medians("index with nothing new, s", measure(3, lambda kind: reindex(paths[kind][0])))
        print_medians("cold search, s", measure(options.runs, lambda kind: cold(paths[kind][0])))
        print_medians("warm search, ms", measure(options.runs, lambda kind: 1000 * warm(paths[kind][0])))
        print_medians("a tag added, ms", measure(options.runs, lambda kind: 1000 * tag(paths[kind][0])))


def measure(runs: int, task: Callable[[str], float]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {"sqlite": [], "postgres": []}
    for _ in range(runs):
        for kind, times in seconds.items():
            times.append(task(kind))
    return seconds


def print_medians(what: str, seconds: dict[str, list[float]]) -> None:
    sqlite, postgres = (statistics.median(seconds[kind]) for kind in ("sqlite", "postgres"))
    print(f"{what:28} sqlite {sqlite:8.3f}  postgres {postgres:8.3f}  ratio {postgres / sqlite:.2f}")
    recorder.add_row("medians", what=what, sqlite=sqlite, postgres=postgres, ratio=postgres / sqlite)


def paint(folder: Path, count: int) -> Path:
    folder.mkdir()
    noise = np.random.default_rng(1)
    for n in range(count):
        pixels = noise.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(pixels).save(folder / f"{n:05d}.png")
    return folder


def index(work: Path, kind: str, url: str, pictures: Path, paths: list[Path]) -> float:
    paths.append(work / f"{kind}-{len(paths)}")
    catalog = url if kind == "postgres" else None
    with imseek.create(paths[-1], encoder="fake", catalog=catalog) as collection:
        start = time.perf_counter()
        added = collection.index([pictures]).added
        seconds = time.perf_counter() - start
    assert added == len(list(pictures.iterdir()))
    return seconds


def reindex(path: Path) -> float:
    with imseek.open(path) as collection:
        start = time.perf_counter()
        collection.index()
        return time.perf_counter() - start


def cold(path: Path) -> float:
    command = [sys.executable, "-P", "-m", "imseek", "search", "red", "-c", str(path)]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def warm(path: Path) -> float:
    with imseek.open(path) as collection:
        collection.search("red")
        start = time.perf_counter()
        for _ in range(20):
            collection.search("red")
        return (time.perf_counter() - start) / 20


def tag(path: Path) -> float:
    with imseek.open(path) as collection:
        start = time.perf_counter()
        imseek.tags.add(collection, f"tag {start}", [1])
        return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(recorder.run(main))

"""Speed and memory of exporting a collection in each format.

    python bench/export.py [--count 100000] [--dim 512] [--cache DIR]

Vectors are random, metadata are like those of photographs with captions. Every format exports all of them, in a process
of its own, whose peak resident memory is printed beside that of an export of a hundredth of them: the difference grows
with the collection. Mapped files count as resident while they are read.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import recorder

import imseek
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.types.pictures import ImageFacts

BATCH = 20_000
#: Exports one format, and prints seconds, bytes, images and the peak of resident memory in MiB.
_CHILD = """
import json, sys, time
import imseek
from imseek import export
root, target, form, count = sys.argv[1:]
ids = None if count == "all" else range(int(count))
began = time.monotonic()
report = export.write(root, target, format=form, ids=ids)
seconds = time.monotonic() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, report.bytes, report.images, int(peak.split()[1]) / 1024]))
"""


def make(root: Path, count: int, dim: int) -> None:
    """Make a collection of ``count`` images without files."""
    imseek.create(root, encoder=f"fake:{dim}").close()
    rng = np.random.default_rng(0)
    with Writer(root, "bench") as writer:
        sources.add(writer, "folder", b"/photographs")
        for start in range(0, count, BATCH):
            numbers = range(start, min(start + BATCH, count))
            rows = rng.standard_normal((len(numbers), dim)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            commit(writer, Changeset(new=[_image(n, row) for n, row in zip(numbers, rows, strict=True)]))


def _image(n: int, row: np.ndarray) -> NewImage:
    content = n.to_bytes(32, "big")
    facts = ImageFacts(
        width=4000 + n % 7,
        height=3000,
        format="JPEG",
        mode="RGB",
        phash=n * 2654435761 % 2**64,
        taken_at=f"20{n % 20:02}-0{n % 9 + 1}-1{n % 10}T12:{n % 60:02}:00",
        camera=f"Camera {n % 13}",
        latitude=n % 90 + 0.5,
        longitude=n % 180 + 0.25,
        caption=f"photograph number {n} of a walk along the river, with {n % 12} people and a dog",
    )
    path = f"20{n % 20:02}/walk {n // 500}/IMG_{n:07}.JPG".encode()
    stat = FileStat(3_000_000 + n, 1, 2, 3, 4)
    return NewImage(1, path, stat, content, row_of(facts, content, stat.size), {0: row.astype(np.float16)})


def export(root: Path, form: str, count: str) -> tuple[float, int, int, float]:
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        arguments = [str(root), str(Path(folder) / "out"), form, count]
        process = subprocess.run([sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=True)
    seconds, size, images, peak = json.loads(process.stdout)
    return seconds, size, images, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "imseek-bench-export")
    parser.add_argument("--formats", nargs="*", default=["csv", "jsonl", "parquet", "clip-retrieval", "faiss"])
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    root = options.cache / f"{options.count}x{options.dim}"
    if not root.exists():
        start = time.monotonic()
        unfinished = options.cache / "making"
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished, options.count, options.dim)
        unfinished.rename(root)
        print(f"made in {time.monotonic() - start:.0f} s", file=sys.stderr)
    print(f"{options.count:,} images, {options.dim} dimensions; load {os.getloadavg()[0]:.1f}\n")
    print("| format | s | images/s | MB | MB/s | peak RSS, MiB | of a hundredth |\n|---|---|---|---|---|---|---|")
    for form in options.formats:
        seconds, size, images, peak = export(root, form, "all")
        *_, small_peak = export(root, form, str(options.count // 100))
        assert images == options.count
        rate = f"{images / seconds:,.0f} | {size / 1e6:.0f} | {size / 1e6 / seconds:.0f}"
        print(f"| {form} | {seconds:.1f} | {rate} | {peak:.0f} | {small_peak:.0f} |", flush=True)
        recorder.add_row(
            "formats",
            format=form,
            images=images,
            seconds=seconds,
            mb=size / 1e6,
            peak_mib=peak,
            peak_of_a_hundredth_mib=small_peak,
        )


if __name__ == "__main__":
    sys.exit(recorder.run(main))

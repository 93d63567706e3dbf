"""Tags and probes on a large collection: time, processor time and memory of each step.

    python bench/probes_scale.py [--images 200000]

Vectors are seeded clouds of 64 dimensions around 20 centres, imported without pictures (encoder `fake`). One image
in a thousand is tagged with its cloud. Memory is the peak of the process so far.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import recorder

import imseek
from imseek import probes, tags
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.probes.results import ProbeInfo

CLASSES, DIM, NOISE = 20, 64, 1.2
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--every", type=int, default=997, help="one image in this many is tagged with its cloud")
    options = parser.parse_args()
    images, every = options.images, options.every
    recorder.put(images=images)
    print("| step | wall s | CPU s | peak MB | result |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        vectors = make(Path(folder) / "vectors", images)
        root = Path(folder) / "collection"
        with imseek.create(root, encoder="fake") as collection:
            source = imseek.SourceOptions(kind="vectors", encoder="fake")
            time_step("take over", lambda: collection.index([vectors], source=source).added)
        ids = Vectors(Reader(root)).ids[:100_000].tolist()
        time_step("tag 100,000", lambda: tags.add(root, "some", ids).changed)
        time_step("untag 100,000", lambda: tags.remove(root, "some", ids).changed)
        for number in range(CLASSES):
            tags.add(root, f"k{number}", where=f"kind = 'k{number}' AND image_id % {every} = 0")
        time_step("probe fit", lambda: figure(probes.fit(root, "kinds")))
        time_step("probe apply", lambda: probes.apply(root, "kinds").images)
        time_step("probe apply --save", lambda: probes.apply(root, "kinds", save="kinds").images)
        time_step("probe apply --tag", lambda: probes.apply(root, "kinds", tag=True, threshold=0.8).tagged)
        time_step("probe propose", lambda: len(probes.propose(root, "kinds").proposals))
        time_step("probe fit --column", lambda: figure(probes.fit(root, "columns", "column:kind")))
        time_step(
            "probe evaluate",
            lambda: f"{probes.evaluate(root, 'kinds', 'column:kind').accuracy.value:.4f}",
        )


def make(folder: Path, images: int) -> Path:
    """Write a folder as clip-retrieval's `inference` does."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CLASSES, DIM))
    kinds = generator.integers(0, CLASSES, images)
    rows = (centres[kinds] + NOISE * generator.normal(size=(images, DIM))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for name in ("img_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    np.save(folder / "img_emb" / "img_emb_0.npy", rows.astype(np.float16))
    table = {
        "image_path": [f"/nowhere/{n}.jpg" for n in range(images)],
        "kind": [f"k{kind}" for kind in kinds],
    }
    pq.write_table(pa.table(table), folder / "metadata" / "metadata_0.parquet")
    return folder


def figure(info: ProbeInfo) -> str:
    accuracy = "not measured" if info.score.accuracy is None else f"{info.score.accuracy.value:.4f}"
    return f"{info.method}, {sum(info.counts):,} labels, {accuracy}"


def time_step(name: str, work: Callable[[], T]) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"| {name} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {result} |", flush=True)
    recorder.add_row("steps", step=name, wall_s=wall, cpu_s=cpu, peak_mb=peak, result=result)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

"""Trustworthiness of maps and of images placed later, and the cost of maps.

    python bench/maps.py [--stamps DIR]                            # quality: a minute or two
    python bench/maps.py --count 100000 --work DIR [--sample N] [--index]   # time and memory

Quality: the Tux Paint stamps with `builtin`. Half A is laid out and half B placed on its map, as `imseek map` does when
images come later, beside umap-learn's own transform, and beside laying both halves out anew. Nothing is tuned:
neighbours and min-dist are umap-learn's defaults. Figures for the images of half B: trustworthiness (Venna & Kaski
2001, ten neighbours, cosine, among both halves), and how many of the ten nearest on the map, among both halves, lie in
the same folder; 95 % bootstrap intervals over images. The control has the places of half B shuffled.

Cost: a collection of the hard vectors of bench/vectors.py (bench/big.py), with `--index` after
`imseek maintain --index auto`. Each map is made in a process of its own: wall and processor time, peak memory outside
mapped files, and peak resident memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent))

from imseek.analysis import umap_layout
from imseek.analysis.pca import principal_axes
from imseek.data.vectors import IdSet, Segment, open_index
from imseek.maps import neighbours
from imseek.maps.pipeline import DEFAULT_NEIGHBOURS, MIN_DIST
from imseek.maps.transform import neighbour_weights, place_images
from imseek.maps.trustworthiness import NEIGHBOURS
from imseek.progress import Progress, Task
from imseek.types.arrays import Float32

QUIET = Task(None, None)


# -- quality ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Halves:
    """``rows`` (n, dim) unit, those of half A first; ``later`` (n,) is true for half B; ``kinds`` (n,) folders."""

    rows: Float32
    later: np.ndarray
    kinds: np.ndarray
    names: tuple[str, ...]


def read_stamps(folder: Path | None) -> Halves:
    import stamps
    from quality import find_stamps, half_of, stamp_names

    folder = folder or find_stamps()
    every = stamp_names(folder)
    names = [name for half in "AB" for name in every if half_of(name) == half]
    rows = stamps.encode_stamps(folder, tuple(names)).astype(np.float16).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    later = np.array([half_of(name) == "B" for name in names])
    return Halves(rows, later, np.array([name.rpartition("/")[0] for name in names]), tuple(names))


def find_nearest(rows: Float32, among: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, Float32]:
    """Search the index of a collection: positions in ``among``, and distances."""
    ids = np.arange(len(rows))
    index = open_index("faiss", [Segment(ids, rows.astype(np.float16), np.empty(0, np.int64))], rows.shape[1])
    row_source = SimpleNamespace(of=lambda wanted: rows[wanted])
    results = list(neighbours.find_nearest(index, row_source, queries, IdSet(among), k))  # type: ignore[arg-type]
    return np.concatenate([one[1] for one in results]), np.concatenate([one[2] for one in results])


def fit_ours(rows: Float32, seed: int = 0, start: Float32 | None = None) -> Float32:
    if start is None:
        start = principal_axes([rows], rows.shape[1]).project(rows)
    every = np.arange(len(rows))
    positions, distances = find_nearest(rows, every, every, DEFAULT_NEIGHBOURS - 1)
    return umap_layout.fit_layout(positions, distances, start, MIN_DIST, seed, QUIET)


def fit_umap_learn(rows: Float32, seed: int = 0) -> Any:
    """Fit umap-learn as it is, with its spectral initialisation."""
    import umap  # umap-learn, no dependency of imseek: pip install umap-learn

    return umap.UMAP(metric="cosine", random_state=seed, n_jobs=1).fit(rows)


def layouts(halves: Halves) -> Iterator[tuple[str, Float32]]:
    """(n, 2) coordinates of both halves, by name."""
    rows, later = halves.rows, halves.later
    first, rest = np.flatnonzero(~later), np.flatnonzero(later)
    axes = principal_axes([rows[first]], rows.shape[1])
    yield "pca, half B projected", axes.project(rows)

    def both(a: Float32, b: Float32) -> Float32:
        return np.concatenate([a, b])

    base = fit_ours(rows[first])
    positions, distances = find_nearest(rows, first, rest, DEFAULT_NEIGHBOURS)
    own = both(base, place_images(positions, distances, base))
    yield "umap, half B placed", own
    yield "  on the nearest neighbour", both(base, base[positions[:, 0]])
    yield (
        "  weighted mean (umap-learn's start)",
        both(base, np.einsum("mk,mkc->mc", neighbour_weights(distances), base[positions])),
    )
    model = fit_umap_learn(rows[first])
    yield "umap-learn, its own transform", both(model.embedding_, model.transform(rows[rest]))
    yield (
        "  half B placed on that",
        both(model.embedding_, place_images(positions, distances, model.embedding_)),
    )
    yield "umap, both laid out anew", fit_ours(rows)
    yield "umap-learn, both laid out anew", fit_umap_learn(rows).embedding_
    shuffled = own.copy()
    shuffled[rest] = np.random.default_rng(0).permutation(own[rest])
    yield "control: places of half B shuffled", shuffled


def trust_penalty(rows: Float32, coordinates: Float32, k: int = NEIGHBOURS) -> np.ndarray:
    """(n,) the penalty of each image for neighbours on the map that are none by vector: its mean is
    1 - trustworthiness."""
    n = len(rows)
    cosine = -rows @ rows.T
    np.fill_diagonal(cosine, -np.inf)
    rank = np.argsort(np.argsort(cosine, axis=1, kind="stable"), axis=1)
    nearest = map_neighbours(coordinates, k)
    beyond = np.maximum(np.take_along_axis(rank, nearest, axis=1) - k, 0).sum(axis=1)
    return np.asarray(2 * beyond / (k * (2 * n - 3 * k - 1)))


def map_neighbours(coordinates: Float32, k: int) -> np.ndarray:
    """(n, k): the nearest others of each image on the map."""
    distances = ((coordinates[:, None].astype(np.float64) - coordinates[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def interval(values: np.ndarray) -> str:
    """Mean, and 95 % of the means of 1,000 bootstrap samples."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (1000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def quality(folder: Path | None) -> None:
    halves = read_stamps(folder)
    n, later = len(halves.rows), halves.later
    print(f"{n} stamps, {later.sum()} of half B, {len(set(halves.kinds))} folders")
    print(f"{'':36}  {'trustworthiness of B':24}{'same folder, of 10 (B)':26}{'of all':8}A alone")
    same = halves.kinds[:, None] == halves.kinds[None]
    losses: dict[str, np.ndarray] = {}
    for name, coordinates in layouts(halves):
        loss = trust_penalty(halves.rows, coordinates)
        in_folder = np.take_along_axis(same, map_neighbours(coordinates, 10), axis=1).mean(axis=1)
        alone = 1 - trust_penalty(halves.rows[~later], coordinates[~later]).mean()
        losses[name] = loss
        print(
            f"{name:36}  {interval(1 - loss[later]):24}{interval(in_folder[later]):26}"
            f"{1 - loss.mean():.3f}   {alone:.3f}",
            flush=True,
        )
        recorder.add_row(
            "maps",
            way=name.strip(),
            trustworthiness_of_b=1 - loss[later].mean(),
            same_folder_of_10=in_folder[later].mean(),
            trustworthiness=1 - loss.mean(),
            trustworthiness_of_a_alone=alone,
        )
    paired = losses["umap-learn, its own transform"] - losses["  half B placed on that"]
    print(f"placed minus transformed, of half B, on one map: {interval(paired[later])}")
    cosine = halves.rows @ halves.rows.T
    np.fill_diagonal(cosine, -np.inf)
    by_vector = np.take_along_axis(same, np.argsort(-cosine, axis=1)[:, :10], axis=1).mean(axis=1)
    recorder.put(stamps=n, of_half_b=later.sum(), same_folder_by_vector=by_vector[later].mean())
    print(f"same folder among the 10 nearest by vector: {interval(by_vector[later])}")


# -- cost ------------------------------------------------------------------------------------------------------


class Memory(threading.Thread):
    """Peak memory of this process, sampled every 20 ms: resident memory, and that outside mapped files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.resident = self.own = 0
        self.start()

    def run(self) -> None:
        while True:
            _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
            self.resident, self.own = (
                max(self.resident, resident * 4096),
                max(self.own, (resident - shared) * 4096),
            )
            time.sleep(0.02)


def work(spec: dict[str, Any]) -> None:
    """Run in a process of its own: make a map, and print a JSON object."""
    from imseek import maps

    memory = Memory()
    start, cpu_start = time.perf_counter(), time.process_time()
    phases: dict[str, list[float]] = {}

    def progress(now: Progress) -> None:
        seconds = time.process_time() - cpu_start
        phases.setdefault(now.phase, [seconds, seconds])[1] = seconds

    report = maps.lay_out(
        spec["root"],
        name=spec["method"],
        method=spec["method"],
        refit=True,
        sample=spec["sample"],
        progress=progress,
    )
    print(
        json.dumps(
            {
                "wall": time.perf_counter() - start,
                "cpu": time.process_time() - cpu_start,
                "own": memory.own,
                "resident": memory.resident,
                "phases": {name: [round(at, 1) for at in span] for name, span in phases.items()},
                "trust": report.info.trustworthiness,
                "fitted": report.info.fitted,
                "placed": report.info.placed,
            }
        )
    )


def cost(count: int, sample: int, work_in: Path, with_index: bool) -> None:
    import big

    from imseek import maintenance
    from imseek.types.collection_info import IndexPolicy

    root = work_in / f"maps-{count}"
    if not root.exists():
        big.make(root, count)
        if with_index:
            maintenance.build_index(root, IndexPolicy(kind="auto"))
    for method in ("pca", "umap"):
        spec = {"root": str(root), "method": method, "sample": sample}
        run = subprocess.run(
            [sys.executable, __file__, "--spec", json.dumps(spec)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise SystemExit(run.stderr)
        report = json.loads(run.stdout.splitlines()[-1])
        print(
            f"{count:,} by {method}: {report['wall']:.0f} s, {report['cpu']:.0f} s of the processor, "
            f"{report['own'] / 1e6:.0f} MB own, {report['resident'] / 1e6:.0f} MB resident; "
            f"{report['fitted']:,} laid out, {report['placed']:,} placed, trustworthiness {report['trust']:.3f}"
        )
        print(f"  processor seconds from and to: {report['phases']}", flush=True)
        recorder.add_row(
            "cost",
            images=count,
            method=method,
            wall_s=report["wall"],
            cpu_s=report["cpu"],
            own_mb=report["own"] / 1e6,
            resident_mb=report["resident"] / 1e6,
            **{name: report[name] for name in ("fitted", "placed", "trust")},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--sample", type=int, default=100_000)
    parser.add_argument("--work", type=Path, default=Path("/tmp"))
    parser.add_argument("--index", action="store_true")
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "n_jobs value", UserWarning)
    if options.spec is not None:
        work(json.loads(options.spec))
    elif options.count is not None:
        cost(options.count, options.sample, options.work, options.index)
    else:
        quality(options.stamps)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

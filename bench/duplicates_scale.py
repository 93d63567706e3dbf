"""Time, memory and recall of finding duplicates among many images.

    python bench/duplicates_scale.py --count 100000 --work DIR [--against-faiss] [--turns 8] [--cosine 0.9]

The collection has the hard vectors of bench/vectors.py, where 2 in 100 are copies or near-copies of another one, and
perceptual hashes with planted pairs: every 50th image has a partner whose hash differs in 0 to 10 bits. Its vector
index is built first, as `imseek maintain --index auto` does it. Then `candidates.find` runs in a process of its own.
Measured are wall and processor time, peak memory outside mapped files, and peak resident memory: without a cache, once
more with all parts cached, and after adding one image.

Recall counts the planted pairs of hashes and, for --asked images, the pairs above a cosine that a scan finds (the
nearest 32 of each image, which is the limit). `--against-faiss` asks FAISS's multi-index hashing (IndexBinaryMultiHash)
for the same pairs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import recorder

sys.path.insert(0, str(Path(__file__).parent))

import big

from imseek import maintenance
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.duplicates import unique_contents
from imseek.duplicates.candidates import hamming, pair_candidates
from imseek.duplicates.pixels.orientations import turn_hashes
from imseek.progress import Progress, Task
from imseek.types.collection_info import IndexPolicy

Ids = npt.NDArray[np.int64]

#: One in this many images has a partner with a planted hash.
EVERY = 50


def plant_pairs(hashes: npt.NDArray[np.uint64], radius: int) -> Ids:
    """Return (m, 2) pairs of positions; the second's hash becomes, in place, the first's with a few bits flipped."""
    rng = np.random.default_rng(len(hashes))
    positions = rng.permutation(len(hashes))[: 2 * (len(hashes) // EVERY)].reshape(-1, 2)
    for n, (first, second) in enumerate(positions.tolist()):
        flipped = rng.choice(64, n % (radius + 1), replace=False).astype(np.uint64)
        hashes[second] = hashes[first] ^ np.bitwise_or.reduce(np.uint64(1) << flipped, initial=np.uint64(0))
    return positions


def plant_contents(
    contents: unique_contents.UniqueContents, count: int, radius: int
) -> tuple[unique_contents.UniqueContents, Ids]:
    phashes = contents.phashes.copy()
    pairs = plant_pairs(phashes[:count], radius)
    return unique_contents.UniqueContents(contents.ids, contents.hashes, phashes, contents.copies), pairs


def open_side(root: Path, count: int, radius: int) -> tuple[pair_candidates.CandidateSide, Ids]:
    reader = Reader(root)
    space = reader.current.space
    contents, pairs = plant_contents(unique_contents.load_contents(reader), count, radius)
    index = open_index("faiss", reader.segments(space.space_id), space.dim, snapshot=reader.snapshot(space.space_id))
    return pair_candidates.side_of(reader, contents, space, index), pairs


class Memory(threading.Thread):
    """Peak memory of this process, sampled every 20 ms: resident memory, and that outside mapped files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.resident = self.own = 0
        self.begin = self.read()[1]
        self.start()

    def read(self) -> tuple[int, int]:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text().split())
        return resident * 4096, (resident - shared) * 4096

    def run(self) -> None:
        while True:
            resident, own = self.read()
            self.resident, self.own = max(self.resident, resident), max(self.own, own)
            time.sleep(0.02)


def work(spec: dict[str, Any]) -> None:
    """Run in a process of its own: print a JSON object, and write the pairs beside the collection."""
    root = Path(spec["root"])
    memory = Memory()
    start, cpu_start = time.perf_counter(), time.process_time()
    side, _ = open_side(root, spec["count"], spec["radius"])
    phases: dict[str, list[float]] = {"reading contents, opening": [0.0, time.perf_counter() - start]}

    def progress(now: Progress) -> None:
        phases.setdefault(now.phase, [now.seconds, now.seconds])[1] = now.seconds

    reach = pair_candidates.CandidateLimits(radius=spec["radius"], cosine=spec["cosine"])
    pairs = pair_candidates.find(
        side,
        reach=reach,
        turn=turn_hashes,
        turns=spec["turns"],
        keep=root if spec["keep"] else None,
        task=Task(progress, interval=0),
    )
    end, cpu_end = time.perf_counter(), time.process_time()
    np.savez(
        root.with_name("found.npz"),
        a=pairs.a,
        b=pairs.b,
        cosine=pairs.cosine,
        distance=pairs.distance,
    )
    print(
        json.dumps(
            {
                "wall": end - start,
                "cpu": cpu_end - cpu_start,
                "own_mb": (memory.own - memory.begin) / 1e6,
                "resident_mb": memory.resident / 1e6,
                "pairs": len(pairs),
                "notes": pairs.notes,
                "phases": {name: round(last - first, 1) for name, (first, last) in phases.items()},
            }
        )
    )


def memory_bound(images: int, pairs: int) -> float:
    """The limit of memory in MB that `candidates.find` states."""
    return 300 + (250 * images + 100 * pairs) / 1e6


def run_child(title: str, spec: dict[str, Any], keep: bool) -> None:
    run = subprocess.run(
        [sys.executable, __file__, "--spec", json.dumps({**spec, "keep": keep})],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    report = json.loads(run.stdout)
    print(
        f"{title}: {report['wall']:.1f} s ({report['cpu']:.1f} s of processor), {report['pairs']:,} pairs, "
        f"{report['own_mb']:.0f} MB of memory of its own, {report['resident_mb']:.0f} MB resident with mapped files"
    )
    print(f"  {report['phases']}", *report["notes"], sep="\n  ")
    recorder.add_row(
        "runs",
        title=title,
        wall_s=report["wall"],
        cpu_s=report["cpu"],
        pairs=report["pairs"],
        own_mb=report["own_mb"],
        resident_mb=report["resident_mb"],
        phases_s=report["phases"],
    )
    bound = memory_bound(spec["count"], report["pairs"])
    if report["own_mb"] > bound:
        raise SystemExit(f"{report['own_mb']:.0f} MB are more than the {bound:.0f} that are promised")


def print_recalls(root: Path, count: int, radius: int, least: float, images: int) -> None:
    side, pairs = open_side(root, count, radius)
    assert side.index is not None
    archive = np.load(root.with_name("found.npz"))
    width = len(side.contents)
    keys = archive["a"] * width + archive["b"]
    planted_keys = np.sort(pairs, axis=1) @ np.array([width, 1])
    print(f"  planted hashes: {np.isin(planted_keys, keys).mean():.4f} of {len(planted_keys):,} pairs found")
    recorder.put(images=count, planted_pairs=len(planted_keys), planted_recall=np.isin(planted_keys, keys).mean())
    sample = np.sort(np.random.default_rng(0).choice(width, min(images, width), replace=False))
    rows = pair_candidates.StoredRows(side.index.segments, side.index.dim)
    queries = _units(rows.of(side.contents.ids[sample])[1])
    a, b, cosine = [], [], []
    for segment in side.index.segments:
        for start in range(0, len(segment.ids), 4096):
            part = slice(start, start + 4096)
            products = queries @ _units(segment.rows[part]).T
            query, column = np.nonzero(products >= least)
            a.append(sample[query])
            b.append(side.contents.positions(segment.ids[part][column]))
            cosine.append(products[query, column])
    first, second, near = np.concatenate(a), np.concatenate(b), np.concatenate(cosine)
    live = (second >= 0) & (first != second)
    first, second, near = first[live], second[live], near[live]
    key = np.minimum(first, second) * width + np.maximum(first, second)
    order = np.lexsort((-near, first))
    counts = np.unique(first[order], return_counts=True)[1]
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    nearest = order[place < pair_candidates.CandidateLimits().neighbours]
    key, near = key[nearest], near[nearest]
    for level in sorted({least, 0.8, 0.85, 0.9, 0.95}):
        above = near >= level
        if level >= least and above.any():
            print(f"  cosine {level} and more: {np.isin(key[above], keys).mean():.4f} of {above.sum():,} found")
            recall = np.isin(key[above], keys).mean()
            recorder.add_row("cosines", least_cosine=level, pairs=above.sum(), recall=recall)


def _units(rows: Any) -> Any:
    wide = rows.astype(np.float32)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.divide(wide, norms, out=np.zeros_like(wide), where=norms > 0)


def compare_hashing(root: Path, count: int, radius: int, query_count: int = 5000) -> None:
    """Compare our multi-index hashing with FAISS's: seconds for the same queries, and the number of pairs found."""
    import faiss

    side, _ = open_side(root, count, radius)
    hashes = np.unique(side.contents.phashes)
    queries = hashes[:: max(1, len(hashes) // query_count)][:query_count]
    start = time.perf_counter()
    table = hamming.MultiIndex(hashes)
    tables_s = time.perf_counter() - start
    near = table.near(queries, radius, 1 << 20)
    near_s = time.perf_counter() - start - tables_s
    codes = hashes.view(np.uint8).reshape(-1, 8)
    start = time.perf_counter()
    theirs = faiss.IndexBinaryMultiHash(64, 4, 16)
    theirs.nflip = radius // 4
    theirs.add(codes)
    faiss_tables_s = time.perf_counter() - start
    limits, distances, _ = theirs.range_search(np.ascontiguousarray(queries).view(np.uint8).reshape(-1, 8), radius + 1)
    faiss_near_s = time.perf_counter() - start - faiss_tables_s
    right = int(np.count_nonzero(distances <= radius))
    recorder.put(
        hash_queries=len(queries),
        tables_s=tables_s,
        near_s=near_s,
        near_pairs=len(near.query),
        faiss_tables_s=faiss_tables_s,
        faiss_near_s=faiss_near_s,
        faiss_pairs=right,
    )
    print(
        f"{len(queries):,} queries among {len(hashes):,} hashes: tables {tables_s:.2f} s, near {near_s:.2f} s, "
        f"{len(near.query):,} pairs; FAISS {faiss_tables_s:.2f} s, {faiss_near_s:.2f} s, {right:,} pairs "
        f"({limits[-1]:,} returned)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--radius", type=int, default=10)
    parser.add_argument("--cosine", type=float, default=0.9)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--asked", type=int, default=2000)
    parser.add_argument("--against-faiss", action="store_true")
    parser.add_argument("--reuse", action="store_true", help="take the collection that is there")
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.spec:
        work(json.loads(options.spec))
        return
    root = options.work / "collection"
    if not options.reuse:
        shutil.rmtree(root, ignore_errors=True)
        options.work.mkdir(parents=True, exist_ok=True)
        big.make(root, options.count)
        (report,) = maintenance.build_index(root, IndexPolicy())
        print(f"{options.count:,} images; index: {report.outcome} in {report.seconds:.0f} s")
    shutil.rmtree(root / "cache", ignore_errors=True)
    spec = {
        "root": str(root),
        "count": options.count,
        "radius": options.radius,
        "cosine": options.cosine,
        "turns": options.turns,
    }
    run_child("nothing kept", spec, keep=False)
    print_recalls(root, options.count, options.radius, options.cosine, options.asked)
    run_child("keeping", spec, keep=True)
    run_child("again", spec, keep=True)
    big.append(root, 1)
    run_child("after one image more", spec, keep=True)
    if options.against_faiss:
        compare_hashing(root, options.count, options.radius)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

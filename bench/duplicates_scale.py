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

    python bench/duplicates_scale.py --files --count 1000000 --work DIR [--make | --reuse] [--cosine 0.9]

measures the whole `imseek duplicates --json` on pictures that are there: `--count` small JPEG files (4 KB and 4 KB of
disk each, 2 in 100 altered copies of others: duplicating/small_files.py), and a collection of them with their sizes,
times, content hashes and perceptual hashes, and with hard vectors, where a copy is as near to its original as .90 to
.99. The call runs in a process of its own, with the thresholds that an encoder would have whose least cosine of a
candidate is `--cosine` (.80 is that of `builtin`, among whose vectors fewer are so near each other): without a cache,
once more, and after one more file. Reported are processor time of the process and its children by phase, memory outside
mapped files, candidates, pairs and groups, how many of the copies are found, by way, and groups of pictures that have
nothing to do with each other. `--make` only makes files, collection and index, `--reuse` measures on what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import recorder

sys.path.insert(0, str(Path(__file__).parent))

import big
from duplicating import small_files, whole_call

from imseek import maintenance
from imseek.data.reader import Reader
from imseek.data.vectors import open_index
from imseek.data.writing.writer import Writer
from imseek.duplicates import unique_contents
from imseek.duplicates.candidates import hamming, pair_candidates
from imseek.duplicates.pixels.cosine_calibration import store_thresholds
from imseek.duplicates.pixels.orientations import turn_hashes
from imseek.duplicates.pixels.verdict import DEFAULTS
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


def make_files(work: Path, count: int, cosine: float) -> None:
    """Make files, a collection of them, and its index, in the folder ``work``."""
    for folder in (work / "photos", work / "collection"):
        shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    copies = small_files.choose_copies(count)
    records = small_files.write(work / "photos", count, copies)
    save_files(work, copies, records)
    files_s = time.perf_counter() - start
    files = big.Files(work / "photos", records)
    big.make(work / "collection", count, files=files, live_rows=small_files.live_rows(copies))
    make_s = time.perf_counter() - start - files_s
    (report,) = maintenance.build_index(work / "collection", IndexPolicy())
    print(
        f"{count:,} files of {records['size'].mean():.0f} bytes in {files_s:.0f} s, collection in {make_s:.0f} s; "
        f"index: {report.outcome} in {report.seconds:.0f} s"
    )
    recorder.put(files_s=files_s, collection_s=make_s, index_s=report.seconds, mean_bytes=records["size"].mean())
    set_cosine(work / "collection", cosine)


def save_files(work: Path, copies: npt.NDArray[np.void], records: npt.NDArray[np.void]) -> None:
    np.save(work / "copies.npy", copies)
    np.save(work / "files.npy", records)


def set_cosine(root: Path, cosine: float) -> None:
    """Store the thresholds of the collection's encoder, as measuring it would have found them."""
    others = {name: max(cosine, getattr(DEFAULTS, name)) for name in ("fine_cosine", "scene_cosine", "unread_cosine")}
    fingerprint = Reader(root).current.space.fingerprint
    with Writer(root, "bench") as writer:
        store_thresholds(writer, fingerprint, replace(DEFAULTS, near_cosine=cosine, **others))


def add_file(work: Path) -> None:
    """Add a copy of one more picture to the files and to the collection."""
    copies, records = np.load(work / "copies.npy"), np.load(work / "files.npy")
    number = len(records)
    original = np.setdiff1d(np.arange(number), [copies["copy"], copies["original"]])[0]
    copy = np.array([(number, original, "light", 0.95)], small_files.COPY)
    record = small_files.write_copies(work / "photos", copy, seed=0)
    record["checked_ns"] = small_files.wait_until_old()
    records = np.concatenate([records, record])
    files = big.Files(work / "photos", records)
    big.append(work / "collection", 1, files=files, live_rows=small_files.live_rows(copy))
    save_files(work, np.concatenate([copies, copy]), records)


def number_of(member: dict[str, Any]) -> int:
    """Return the number of a picture in a report by the path of its file."""
    return int(Path(member["path"]).stem)


def run_call(title: str, work: Path) -> None:
    """Run `imseek duplicates` once; print what it took and what it found."""
    call, report = whole_call.measure(work / "collection", work)
    figures, copies = call.figures, np.load(work / "copies.npy")
    count = report["searched"]
    source = np.arange(count)
    source[copies["copy"]] = copies["original"]
    print(
        f"{title}: {call.wall_s:.1f} s, {call.cpu_s:.1f} s of processor; memory outside mapped files "
        f"{call.own_mb:.0f} MB, of the largest of {call.children} children {call.child_mb:.0f} MB, "
        f"of all together {call.all_mb:.0f} MB"
    )
    for phase, row in figures["phases"].items():
        print(
            f"  {phase:28} {row['wall_s']:8.1f} s, {row['cpu_s']:8.1f} s of processor, {row['children_cpu_s']:.1f} of "
            f"it in children, {row['memory_mb']:.0f} MB; {row.get('total', 0):,.0f}"
        )
        recorder.add_row("phases", call=title, phase=phase, **row)
    names = ("candidates", "by_hash", "by_vector", "radius", "least_cosine", "neighbours")
    print("  " + ", ".join(f"{name.replace('_', ' ')} {figures[name]:,}" for name in names))
    print(f"  candidates by differing bits of their hashes, from 0: {figures['by_distance']}")
    kinds = {(number, other): kind for number, other, kind in _group_pairs(report)}
    right = {pair: kind for pair, kind in kinds.items() if source[pair[0]] == source[pair[1]]}
    wrong = Counter(kind for pair, kind in kinds.items() if pair not in right)
    found = Counter(right.values())
    missing = 0
    for way in small_files.WAYS:
        ends = np.sort(np.stack([copies["copy"], copies["original"]], axis=1)[copies["way"] == way], axis=1).tolist()
        by_kind = Counter(right[a, b] for a, b in ends if (a, b) in right)
        missing += len(ends) - by_kind.total()
        print(f"  {way:10} {by_kind.total():,} of {len(ends):,}: {dict(by_kind)}")
        recorder.add_row("ways", call=title, way=way, copies=len(ends), found=by_kind.total(), kinds=by_kind)
    recall = 1 - missing / max(1, len(copies))
    print(
        f"  {len(report['groups']):,} groups; pairs {report['pairs']}; in groups {dict(found)}, recall {recall:.4f}; "
        f"of unrelated pictures {dict(wrong)}",
        *report["notes"],
        sep="\n  ",
    )
    recorder.add_row(
        "calls",
        call=title,
        images=count,
        wall_s=call.wall_s,
        cpu_s=call.cpu_s,
        children_cpu_s=sum(row["children_cpu_s"] for row in figures["phases"].values()),
        own_mb=call.own_mb,
        resident_mb=call.resident_mb,
        child_mb=call.child_mb,
        all_mb=call.all_mb,
        children=call.children,
        groups=len(report["groups"]),
        pairs=report["pairs"],
        recall=recall,
        wrong=wrong.total(),
        wrong_kinds=wrong,
        notes=report["notes"],
        **{name: figures[name] for name in (*names, "by_distance")},
    )


def _group_pairs(report: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    """Yield the pairs of a report's groups by the numbers of their pictures, the lower one first, and their kind: that
    of a picture and the one to keep, or of the group."""
    for group in report["groups"]:
        members = [(number_of(member), member["pair"]) for member in group["members"]]
        for (a, first), (b, second) in combinations(members, 2):
            kind = second["kind"] if first is None else group["kind"]
            yield min(a, b), max(a, b), kind


def measure_files(options: argparse.Namespace) -> None:
    work = options.work.absolute()
    if not options.reuse:
        work.mkdir(parents=True, exist_ok=True)
        make_files(work, options.count, options.cosine)
    if options.make:
        return
    recorder.put(images=len(np.load(work / "files.npy", mmap_mode="r")), load=os.getloadavg())
    if options.reuse:
        set_cosine(work / "collection", options.cosine)
    shutil.rmtree(work / "collection" / "cache", ignore_errors=True)
    run_call("without a cache", work)
    run_call("again", work)
    add_file(work)
    run_call("after one more file", work)


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
    parser.add_argument("--files", action="store_true", help="the whole call, on files that are there")
    parser.add_argument("--make", action="store_true", help="with --files: make what is to be measured, and end")
    parser.add_argument("--spec", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.spec:
        work(json.loads(options.spec))
        return
    if options.files:
        measure_files(options)
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

"""Indexing by workers on Ray: speed beside threads, and the state of a collection whose workers are killed.

    python bench/ray_index.py FOLDER [--part speed] [--part kills] [--images 400] [--kills 20] [--encoder builtin]

speed  images/s of `Collection.index` by threads, and by one and two workers on a cluster of this machine that is up
       already, in turn, `--rounds` times; medians, their ratios to threads, and the CPU time of the process that
       commits, which is what bounds a large cluster.
kills  a run in a process of its own, with the fake encoder, two workers and small shards; `--kills` times a random
       worker gets SIGKILL, at a random moment after another part of the pictures has been committed. Then the process
       itself is killed, in a second collection, and the same command runs again. Both collections are compared with
       that which threads make of the same folder: no picture lost, none doubled, vectors the same.

Every process that is started is ended by its id. The load of the machine is printed, since it matters as much.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import recorder

import imseek
from imseek.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from crews import children_of, worker_processes

PARTS = ("speed", "kills")


def link_pictures(folder: Path, count: int, to: Path) -> Path:
    """Link the first pictures of a folder into a folder of their own."""
    to.mkdir()
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png") and path.is_file())
    for n, path in enumerate(files[:count]):
        os.link(path, to / f"{n:06}{path.suffix}")
    print(f"{min(count, len(files))} pictures of {folder}")
    return to


def load() -> str:
    return "load " + " ".join(f"{one:.1f}" for one in os.getloadavg()) + f", {os.cpu_count()} cores"


# -- speed -----------------------------------------------------------------------------------------------


def speed(pictures: Path, options: argparse.Namespace, scratch: Path) -> None:
    from imseek.indexer.executors.ray_cluster import connect_ray

    ways = {"threads": None, "1 worker": imseek.Ray(workers=1), "2 workers": imseek.Ray(workers=2)}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    own: dict[str, list[float]] = {name: [] for name in ways}
    with connect_ray(imseek.Ray(workers=2)):
        for n in range(options.rounds):
            for name, executor in ways.items():
                with imseek.create(scratch / f"{name} {n}", encoder=options.encoder) as collection:
                    collection.search(np.ones(collection.info().encoder.dim))
                    start, cpu_start = time.monotonic(), time.process_time()
                    report = collection.index([pictures], executor=executor)
                    own[name].append((time.process_time() - cpu_start) / report.added)
                    rates[name].append(report.added / (time.monotonic() - start))
                print(f"  {name}: {rates[name][-1]:.1f} images/s ({load()})", flush=True)
    base = statistics.median(rates["threads"])
    for name, values in rates.items():
        middle = statistics.median(values)
        cpu = 1000 * statistics.median(own[name])
        print(
            f"{name:10} {middle:7.1f} images/s, {middle / base:.2f} of threads; {cpu:.2f} ms of CPU per image in the "
            "process that commits"
        )
        recorder.add_row("speed", way=name, images_per_s=middle, of_threads=middle / base, cpu_ms=cpu)


# -- kills -----------------------------------------------------------------------------------------------


def kills(pictures: Path, options: argparse.Namespace, scratch: Path) -> None:
    with imseek.create(scratch / "model", encoder="fake") as model:
        total = model.index([pictures]).live
        expected = content_of(model)
    chance = random.Random(options.seed)
    print(f"{total} images, seed {options.seed}, {load()}")

    kill_count = runs = 0
    while kill_count < options.kills:
        runs += 1
        first = scratch / f"workers killed {runs}"
        imseek.create(first, encoder="fake").close()
        start, before = time.monotonic(), kill_count
        with driver(first, pictures) as run:
            for count in progress_of(run):
                if kill_count < options.kills and count >= (kill_count - before + 1) * total / 16:
                    time.sleep(chance.uniform(0, 1))
                    if victims := worker_processes(run.pid):
                        os.kill(chance.choice(victims), signal.SIGKILL)
                        kill_count += 1
        seconds = time.monotonic() - start
        print(f"run {runs}: {kill_count - before} workers killed in {seconds:.0f} s, exit code {run.returncode}")
        compare(first, expected)
    print(f"{kill_count} kills in {runs} runs")
    recorder.put(images=total, seed=options.seed, kills=kill_count, runs=runs)

    second = scratch / "driver killed"
    imseek.create(second, encoder="fake").close()
    with driver(second, pictures) as run:
        for count in progress_of(run):
            if count >= total / 3:
                orphans = children_of(run.pid)
                run.kill()
                break
    wait_for_end(orphans)
    with imseek.open(second) as collection:
        committed = collection.info().images
    with driver(second, pictures) as again:
        for _ in progress_of(again):
            pass
    print(f"the run itself killed with {committed} images committed; the next run: exit code {again.returncode}")
    compare(second, expected)


def driver(collection: Path, pictures: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(pictures), "--drive", str(collection)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def drive(collection: Path, pictures: Path) -> None:
    """Index, in the process that is killed, and print a line for every commit."""
    from imseek.indexer import pipeline

    pipeline.COMMIT_IMAGES = 64

    def print_progress(progress: Progress) -> None:
        print(f"done {progress.done}", flush=True)

    with imseek.open(collection) as target:
        report = target.index([pictures], executor=imseek.Ray(workers=2, shard=16), progress=print_progress)
    print(f"report added {report.added}, skipped {report.skipped}, notes {report.notes}", flush=True)


def progress_of(run: subprocess.Popen[str]):  # type: ignore[no-untyped-def]
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("done "):
            yield int(line.split()[1])
        elif line.startswith("report "):
            print(" ", line.strip())


def wait_for_end(processes: list[int]) -> None:
    """Wait for the processes of a cluster whose run was killed; end by their id those that are left after a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until and any(Path(f"/proc/{pid}").exists() for pid in processes):
        time.sleep(0.2)
    for pid in processes:
        if Path(f"/proc/{pid}").exists():
            command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            print(f"  still there after a minute, ended: {command[:120]}")
            os.kill(pid, signal.SIGKILL)


def content_of(collection: imseek.Collection) -> list[tuple[str, str, np.ndarray]]:
    """Path, sha256 of the content, and vector of each live image."""
    hits = collection.search(np.ones(collection.info().encoder.dim), limit=10**6, vectors=True)
    hashes = collection._engine.reader.intrinsics([hit.image_id for hit in hits], ["content_hash"])
    rows = [(str(hit.path), hashes[hit.image_id]["content_hash"].hex(), hit.vector.astype(np.float64)) for hit in hits]
    return sorted(rows, key=lambda one: one[0])


def compare(path: Path, expected: list[tuple[str, str, np.ndarray]]) -> None:
    with imseek.open(path) as collection:
        contents = content_of(collection)
    problems = imseek.maintenance.verify(path).problems
    names, model = Counter(one[0] for one in contents), Counter(one[0] for one in expected)
    lost, doubled = model - names, names - model
    others = [a[0] for a, b in zip(contents, expected, strict=False) if a[1] != b[1]]
    gap = max((float(np.abs(a[2] - b[2]).max()) for a, b in zip(contents, expected, strict=False)), default=0)
    print(
        f"  {len(contents)} images: {lost.total()} lost, {doubled.total()} doubled, {len(others)} of other content, "
        f"vectors at most {gap:.1e} apart, {len(problems)} problems found by verify"
    )
    recorder.add_row(
        "collections",
        images=len(contents),
        lost=lost.total(),
        doubled=doubled.total(),
        of_other_content=len(others),
        vectors_apart=gap,
        problems=len(problems),
    )
    assert not lost
    assert not doubled
    assert not others
    assert not problems
    assert gap < 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoder", default="builtin")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive is not None:
        drive(options.drive, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        pictures = link_pictures(options.folder, options.images, scratch / "pictures")
        for part in options.part or PARTS:
            {"speed": speed, "kills": kills}[part](pictures, options, scratch)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

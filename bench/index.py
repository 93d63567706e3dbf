"""`imseek index` as a whole: beside its peers, against the work that it cannot avoid, and at scale.

    python bench/index.py [--part peers] [--part pipeline] [--part rescan] [--part memory] [--work DIR]

peers     The whole commands `imseek index`, `clip-retrieval inference` and `rclip` over one folder of photographs of
          several sizes, with the same encoder; starting up, scanning and storing count. Peers: bench/README.md.
pipeline  `Collection.index` with the fake encoder over JPEGs, beside bare threads that only read, hash, decode (which
          takes facts and the perceptual hash) and prepare the same files, as many at a time. The two take turns; the
          share is bare over indexing within a round, of the wall clock and of processor time, which other programs
          disturb less.
rescan    --files files that have not changed (bench/rescan.py): seconds, and which were opened.
memory    Resident memory of a process that indexes --pictures small pictures, by how many were committed.

Files are made below --work, where later runs find them again (default: a temporary folder).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import encode as peers
import photos
import recorder
import rescan

import imseek
from imseek.encoders import registry
from imseek.encoders.base import shared_draft_size
from imseek.media import decode

PARTS = ("peers", "pipeline", "rescan", "memory")
#: Sides of the photographs, and how many in a hundred there are of each.
MIXTURE = {(4000, 3000): 10, (2048, 1536): 20, (1024, 768): 30, (640, 480): 40}
#: Of the pipeline's files; one that decodes quickly shows what lies around decoding.
SIDES = {"2048 x 1536": (2048, 1536), "640 x 480": (640, 480)}
DIFFERENT = 40  # photographs of one size that are made; a comment tells their copies apart

# Run in a process of its own: prints how many images are committed, and what the last commit left resident.
CHILD = """
import sys, imseek
def tell(progress): print(progress.phase, progress.done, flush=True)
print("start 0", flush=True)
with imseek.create(sys.argv[2], encoder="fake") as collection:
    collection.index([sys.argv[1]], progress=tell)
"""


def jpeg(picture: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)  # type: ignore[attr-defined]
    return buffer.getvalue()


# -- peers -----------------------------------------------------------------------------------------------


def compare_peers(options: argparse.Namespace, work: Path, scratch: Path) -> None:
    folder = work / f"mixture-{options.photos}"
    if not folder.exists():
        folder.mkdir(parents=True)
        for size, share in MIXTURE.items():
            count = max(1, options.photos * share // 100)
            for n, picture in enumerate(photos.make_photos(count, size, seed=size[0])):
                (folder / f"{size[0]}-{n:04}.jpg").write_bytes(jpeg(picture))
    files = sorted(folder.iterdir())
    hub, models = options.peers / "hf", options.rclip_models.expanduser()
    ours = [peers.imseek(precision, hub) for precision in ("auto", "fp32")]
    tools = [*ours, peers.clip_retrieval(options.peers, hub), peers.rclip(options.peers)]
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for tool in tools:
            seconds = tool.seconds(folder, scratch, models)
            rates[tool.name].append(len(files) / seconds)
            print(
                f"  {tool.name:15} {rates[tool.name][-1]:7.1f} img/s ({len(files)} in {seconds:.1f} s)",
                flush=True,
            )
    sizes = sum(path.stat().st_size for path in files) / 1e6
    peers.report(f"{len(files)} photographs, {sizes:.0f} MB", rates, [tool.name for tool in ours])


# -- pipeline --------------------------------------------------------------------------------------------


def measure_pipeline(options: argparse.Namespace, work: Path, scratch: Path) -> None:
    print(f"\n| JPEGs | bare, img/s | indexed, img/s | share | min … max | share of CPU | CPU, ms/img |\n{'|---' * 7}|")
    for name, size in SIDES.items():
        count = options.jpegs * 640 * 480 // (size[0] * size[1])  # so that each takes as long
        folder = work / f"jpegs-{size[0]}-{count}"
        if not folder.exists():
            rescan.make(folder, count, [jpeg(p) for p in photos.make_photos(min(DIFFERENT, count), size, seed=1)])
        bare, indexed = [], []
        for n in range(options.rounds + 1):  # the first one warms up
            bare.append(time_call(bare_threads, folder))
            indexed.append(time_call(index, folder, scratch / f"{folder.name}-{n}"))
        shares = [b[0] / i[0] for b, i in zip(bare[1:], indexed[1:], strict=True)]
        of_cpu = statistics.median(b[1] / i[1] for b, i in zip(bare[1:], indexed[1:], strict=True))
        rates = [count / statistics.median(seconds for seconds, _ in runs[1:]) for runs in (bare, indexed)]
        cpu = 1000 * statistics.median(seconds for _, seconds in indexed[1:]) / count
        print(
            f"| {count} of {name} | {rates[0]:.0f} | {rates[1]:.0f} | {statistics.median(shares):.3f} "
            f"| {min(shares):.3f} … {max(shares):.3f} | {of_cpu:.3f} | {cpu:.2f} |",
            flush=True,
        )
        recorder.add_row(
            "pipeline",
            jpegs=name,
            count=count,
            bare_images_per_s=rates[0],
            indexed_images_per_s=rates[1],
            share=statistics.median(shares),
            least_share=min(shares),
            most_share=max(shares),
            share_of_cpu=of_cpu,
            cpu_ms=cpu,
        )


def time_call(work: Callable[..., None], *arguments: Path) -> tuple[float, float]:
    """Seconds by the clock, and of all processors."""
    start = time.perf_counter(), time.process_time()
    work(*arguments)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def index(folder: Path, place: Path) -> None:
    with imseek.create(place, encoder="fake") as collection:
        report = collection.index([folder])
        assert not report.skipped, report.failures[:3]


def bare_threads(folder: Path) -> None:
    """Do the work that indexing cannot avoid, and nothing else: no queue, no order, no results."""
    encoder = registry.load("fake", modalities=("image",))
    min_side = shared_draft_size([encoder])
    lock, paths = threading.Lock(), iter(sorted(folder.rglob("*.jpg")))

    def work() -> None:
        while True:
            with lock:
                path = next(paths, None)
            if path is None:
                return
            data = path.read_bytes()
            hashlib.sha256(data).digest()
            encoder.prepare(decode(data, min_side=min_side).pixels)

    threads = [threading.Thread(target=work) for _ in range(peers.cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- size ------------------------------------------------------------------------------------------------


def measure_rescan(options: argparse.Namespace, work: Path, scratch: Path) -> None:
    folder = work / f"small-{options.files}"
    rescan.make(folder, options.files)
    rescan.measure(folder, scratch)


def measure_memory(options: argparse.Namespace, work: Path, scratch: Path) -> None:
    folder = work / f"small-{options.pictures}"
    rescan.make(folder, options.pictures)
    command = [sys.executable, "-P", "-c", CHILD, str(folder), str(scratch / "memory")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    commits: list[tuple[str, int]] = [("start", 0)]
    samples: list[tuple[str, int, int]] = []

    def listen() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            phase, count = line.split()
            commits.append((phase, int(count)))

    listener = threading.Thread(target=listen)
    listener.start()
    while child.poll() is None:
        status = Path(f"/proc/{child.pid}/status").read_text()
        if match := re.search(r"VmRSS:\s+(\d+)", status):
            samples.append((*commits[-1], int(match[1]) // 1024))
        time.sleep(0.05)
    listener.join()
    if child.returncode:
        raise SystemExit(f"indexing ended with {child.returncode}")
    print(f"\n| committed of {options.pictures} | most resident meanwhile, MiB |\n|---|---|")
    for phase, name in {"start": "(before the scan)", "scan": "(scan: the list of what to read)"}.items():
        print(f"| {name} | {max((rss for p, _, rss in samples if p == phase), default='?')} |")
    marks = [0, *(options.pictures * n // 10 for n in range(1, 11))]
    for low, high in pairwise(marks):
        # Until the next commit a sample belongs to the last one, so the range begins below its images.
        if within := [rss for phase, done, rss in samples if phase == "index" and low <= done < high]:
            print(f"| {low} to {high} | {max(within)} |")
            recorder.add_row("memory", committed_from=low, committed_to=high, most_resident_mib=max(within))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="may be repeated (default: all)")
    parser.add_argument("--work", type=Path, help="where the files are made, and found again")
    parser.add_argument("--rounds", type=int, default=5, help="of peers and pipeline")
    parser.add_argument("--photos", type=int, default=400, help="of peers")
    parser.add_argument("--jpegs", type=int, default=4000, help="of pipeline, 640 x 480; of larger ones fewer")
    parser.add_argument("--files", type=int, default=200_000, help="of rescan")
    parser.add_argument("--pictures", type=int, default=100_000, help="of memory")
    parser.add_argument("--peers", type=Path, default=Path("/tmp/peers"))
    parser.add_argument("--rclip-models", type=Path, default=Path("~/.local/share/rclip"))
    options = parser.parse_args()
    runs = {"peers": compare_peers, "pipeline": measure_pipeline, "rescan": measure_rescan, "memory": measure_memory}
    print(f"{peers.processor()}, {peers.cores()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        for part in options.part or PARTS:
            print(f"\n{part}", flush=True)
            runs[part](options, (options.work or Path(scratch)).absolute(), Path(scratch))


if __name__ == "__main__":
    sys.exit(recorder.run(main))

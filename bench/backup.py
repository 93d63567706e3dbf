"""Backups of a collection of many made-up vectors, beside `tar` and `tar` with sha256sum of the same folder.

    python bench/backup.py [--count 100000] [--rounds 3] [--out DIR]

Each round runs all of them in turn, so that other work on the machine disturbs all alike. Printed are medians, as MB/s
of the archive and as a ratio to plain `tar`. Ours fsync their output, and `tar` is followed by `sync`. Peak memory is
that of a process of its own. The saving by compression is printed too, by kind of file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import recorder

import imseek
from imseek import IndexPolicy

sys.path.insert(0, str(Path(__file__).parent))

import big

PACK = 'tar -C "$1" -cf "$2" . && sync "$2"'
SUMS = 'find "$1" -type f -print0 | xargs -0 sha256sum > "$2.sums"'
UNPACK = 'mkdir "$2" && tar -C "$2" -xf "$1" && sync -f "$2"'
# Not ru_maxrss, which a process inherits from its parent.
PEAK = "import sys, imseek; {}; print(*(line for line in open('/proc/self/status') if 'VmHWM' in line))"
CALLS = {
    "nothing": "import imseek.backup, imseek.data.archive.restore, imseek.data.archive.archive_writer",
    "backup": "imseek.backup.write(sys.argv[1], sys.argv[2], replace=True)",
    "verify": "imseek.backup.verify(sys.argv[2])",
    "restore": "imseek.backup.restore(sys.argv[2], sys.argv[3])",
}
KINDS = {
    "vectors": "*/img_emb/*.npy",
    "metadata": "metadata/*.parquet",
    "index": "*/index/*/*",
    "catalog": "catalog.sqlite",
}


def shell(line: str, *paths: Path) -> None:
    subprocess.run(["bash", "-o", "pipefail", "-c", line, "bash", *map(str, paths)], check=True)


def peak(call: str, *paths: Path) -> float:
    """Peak memory of a call, in megabytes."""
    command = [sys.executable, "-c", PEAK.format(CALLS[call]), *map(str, paths)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]) / 1000


def measure_compression(root: Path) -> None:
    print("\nzstd, level 3, of the first 32 MB of the files of a kind:")
    for kind, pattern in KINDS.items():
        data = b"".join(path.read_bytes() for path in sorted(root.rglob(pattern)))
        head = data[: 1 << 25]
        start = time.perf_counter()
        share_left = len(pa.Codec("zstd", compression_level=3).compress(head)) / max(1, len(head))
        speed = len(head) / 1e6 / (time.perf_counter() - start)
        print(f"  {kind:<9} {len(data) / 1e6:8.1f} MB  to {share_left:.0%}, {speed:.0f} MB/s")
        recorder.add_row("compression", kind=kind, mb=len(data) / 1e6, share_left=share_left, mb_per_s=speed)


def run(home: Path, count: int, rounds: int) -> None:
    root, ours, theirs, restored = (home / name for name in ("collection", "ours.tar", "theirs.tar", "again"))
    big.make(root, count)
    imseek.maintenance.build_index(root, IndexPolicy())
    ways: dict[str, Callable[[], object]] = {
        "tar -c, sync": lambda: shell(PACK, root, theirs),
        "sha256sum of all files, tar -c, sync": lambda: shell(f"{SUMS} && {PACK}", root, theirs),
        "imseek backup": lambda: imseek.backup.write(root, ours, replace=True),
        "imseek backup /dev/null": lambda: imseek.backup.write(root, os.devnull),
        "imseek backup --verify": lambda: imseek.backup.verify(ours),
        "imseek restore": lambda: imseek.backup.restore(ours, restored),
        "tar -x, sync": lambda: shell(UNPACK, theirs, restored),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
            shutil.rmtree(restored, ignore_errors=True)
    size, load = ours.stat().st_size / 1e6, os.getloadavg()[0]
    medians = {name: statistics.median(seconds_of_way) for name, seconds_of_way in times.items()}
    print(f"{count:,} images, {size:,.0f} MB, {rounds} rounds, {os.cpu_count()} cores, load {load:.1f}")
    for name, seconds in medians.items():
        beside = medians["tar -x, sync" if name in ("imseek restore", "tar -x, sync") else "tar -c, sync"]
        print(f"{name:<38} {seconds:6.2f} s  {size / seconds:6.0f} MB/s  {seconds / beside:5.2f} of tar's time")
        recorder.add_row("commands", name=name, seconds=seconds, mb_per_s=size / seconds, of_tar=seconds / beside)
    peaks = {call: peak(call, root, ours, restored) for call in CALLS}
    print("peak memory:", ", ".join(f"{call} {amount:.0f} MB" for call, amount in peaks.items()))
    recorder.put(images=count, archive_mb=size, rounds=rounds, peak_mb=peaks)
    measure_compression(root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="a folder on the disk to be measured")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir=options.out, prefix="imseek-bench-"))
    try:
        run(home, options.count, options.rounds)
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

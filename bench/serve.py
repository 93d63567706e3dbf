"""Load on `imseek serve`: many clients at once, on loopback, bounded in time.

    python bench/serve.py --collection PATH [--clients 50] [--seconds 60] [--index FOLDER]

Every client keeps a connection and searches by words, one query after the other. Printed: answers a second, p50 and p99
of the time of an answer, errors, and the memory of the server at the beginning, in the middle and at the end. With
--index a writer adds pictures of FOLDER to the same collection meanwhile, as often as it can.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import recorder

import imseek
from imseek.errors import ImseekError

WORDS = (
    "a red car",
    "a cat",
    "the sea at night",
    "people at a table",
    "a drawing of a house",
    "snow",
    "a blue flower",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--index", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        server = _start(options.collection, log)
        try:
            _measure(options, server, _address(server, log))
        finally:
            server.terminate()
            server.wait(30)


def _start(collection: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "imseek",
        "serve",
        "-c",
        str(collection),
        "--port",
        "0",
        "--rate",
        "0",
    ]
    with log.open("wb") as stderr:
        return subprocess.Popen(command, stderr=stderr)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    while server.poll() is None:
        if match := re.search(r"listening on (\S+)", log.read_text()):
            return match[1]
        time.sleep(0.05)
    raise SystemExit(log.read_text())


def _measure(options: argparse.Namespace, server: subprocess.Popen[bytes], url: str) -> None:
    with imseek.connect(url) as warm:
        warm.search(WORDS[0])  # The first search loads the encoder.
    stop = threading.Event()
    times: list[list[float]] = [[] for _ in range(options.clients)]
    errors: list[str] = []
    clients = [threading.Thread(target=_search, args=(url, n, stop, times[n], errors)) for n in range(options.clients)]
    memory, commits = [_resident(server.pid)], [0]
    writer = threading.Thread(target=_write, args=(options.collection, options.index, stop, commits))
    start = time.monotonic()
    for thread in (*clients, *([writer] if options.index else [])):
        thread.start()
    for _ in range(2):
        time.sleep(options.seconds / 2)
        memory.append(_resident(server.pid))
    stop.set()
    for thread in clients:
        thread.join()
    took = time.monotonic() - start
    if options.index:
        writer.join()
    every = np.array([one for mine in times for one in mine]) * 1000
    print(f"{options.clients} clients, {took:.0f} s: {len(every):,} answers, {len(every) / took:.0f} a second")
    print(f"p50 {np.percentile(every, 50):.0f} ms, p99 {np.percentile(every, 99):.0f} ms, at most {every.max():.0f} ms")
    print(f"errors: {len(errors)} {errors[:3]}")
    recorder.put(
        clients=options.clients,
        answers=len(every),
        answers_per_s=len(every) / took,
        p50_ms=np.percentile(every, 50),
        p99_ms=np.percentile(every, 99),
        longest_ms=every.max(),
        errors=len(errors),
        server_mib=[one / 2**20 for one in memory],
        writer_runs=commits[0] if options.index else None,
    )
    print("server's memory, MB: " + ", ".join(f"{one / 2**20:.0f}" for one in memory))
    if options.index:
        print(f"runs of the writer meanwhile: {commits[0]}")


def _search(url: str, seed: int, stop: threading.Event, times: list[float], errors: list[str]) -> None:
    with imseek.connect(url) as remote:
        n = seed
        while not stop.is_set():
            start = time.perf_counter()
            try:
                remote.search(f"{WORDS[n % len(WORDS)]} {n}")  # No two alike: nothing is answered from memory.
                times.append(time.perf_counter() - start)
            except ImseekError as error:
                errors.append(str(error))
            n += 97


def _write(collection: Path, pictures: Path, stop: threading.Event, commits: list[int]) -> None:
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    with tempfile.TemporaryDirectory() as folder, imseek.open(collection) as target:
        while not stop.is_set():
            source = files[commits[0] % len(files)]
            shutil.copy(source, Path(folder, f"{commits[0]}{source.suffix}"))
            target.index([folder])
            commits[0] += 1


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(recorder.run(main))

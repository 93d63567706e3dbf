"""Speed of pictures leaving a collection: `GET …/file` and `…/thumbnail` of `imseek serve`, and an export.

    python bench/pictures.py [--images 600] [--seconds 8] [--clients 4]

Photographs are generated crops (1024 × 768, JPEG), vectors are of the fake encoder. Clients keep their connection and
request one picture after the other, on loopback. Printed for each kind of request: answers a second, and the server's
processor time per answer; for the export to WebDataset, in a process of its own: seconds, and processor time per
picture. The load of the machine is printed beside them. To compare two versions, set PYTHONPATH.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import recorder
from picture_exports import make

import imseek

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from serving import served

_OPTIONS: Final = ("--rate", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--export", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.export:
        _export(*options.export)
        return
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        size = make(base / "p", options.images)
        time.sleep(2.5)  # Files younger than two seconds are hashed again, whatever their stat says.
        with imseek.create(base / "c", encoder="fake") as collection:
            collection.index([base / "p"])
            ids = [hit.image_id for hit in collection.search("red", limit=options.images).hits]
        load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        print(f"imseek of {Path(imseek.__file__).parent.parent}: {len(ids)} pictures, {size / 1e6:.0f} MB; {load}")
        with served(base / "c", options=_OPTIONS) as server:
            kinds = (
                ("file", "GET", "file", {}),
                ("file, 64 kB of it", "GET", "file", {"Range": "bytes=0-65535"}),
                ("file, HEAD", "HEAD", "file", {}),
                ("thumbnail, again", "GET", "thumbnail", {}),
            )
            _request(
                server.url,
                server.process.pid,
                "thumbnail, first",
                "GET",
                "thumbnail",
                {},
                ids,
                options.clients,
                None,
            )
            for name, method, what, headers in kinds:
                _request(
                    server.url,
                    server.process.pid,
                    name,
                    method,
                    what,
                    headers,
                    ids,
                    options.clients,
                    options.seconds,
                )
        for _ in range(2):
            command = [
                sys.executable,
                __file__,
                "--export",
                str(base / "c"),
                str(base / f"out-{time.time_ns()}"),
            ]
            figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"{'export, webdataset':20} {figures['seconds']:7.2f} s, {figures['cpu_ms']:6.2f} ms of processor a "
                f"picture, {figures['skipped']} skipped"
            )
            recorder.add_row("exports", **figures)


def _request(
    url: str,
    server: int,
    name: str,
    method: str,
    what: str,
    headers: dict[str, str],
    ids: list[int],
    clients: int,
    seconds: float | None,
) -> None:
    """Request pictures for ``seconds``, or each picture once."""
    address, turns, lock = urlsplit(url), iter(range(sys.maxsize)), threading.Lock()
    end = None if seconds is None else time.monotonic() + seconds
    collection = "c"
    answers, wrong = [0] * clients, set[int]()

    def client(n: int) -> None:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        while end is None or time.monotonic() < end:
            with lock:
                turn = next(turns)
            if end is None and turn >= len(ids):
                break
            path = f"/collections/{collection}/images/{ids[turn % len(ids)]}/{what}"
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 206):
                wrong.add(answer.status)
            answers[n] += 1
        connection.close()

    before, start = recorder.process_seconds(server), time.perf_counter()
    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall, cpu, total = time.perf_counter() - start, recorder.process_seconds(server) - before, sum(answers)
    note = f" UNEXPECTED {sorted(wrong)}" if wrong else ""
    print(f"{name:20} {total / wall:7.0f} a second, {cpu / total * 1000:6.2f} ms of the server's processor each{note}")
    recorder.add_row(
        "requests",
        name=name,
        answers=total,
        per_s=total / wall,
        server_cpu_ms=cpu / total * 1000,
        wrong=sorted(wrong),
    )


def _export(collection: str, out: str) -> None:
    """Run in a process of its own: print a JSON object."""
    from imseek import export

    start = time.perf_counter()
    report = export.write(Path(collection), Path(out), format="webdataset")
    seconds = time.perf_counter() - start
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (usage.ru_utime + usage.ru_stime) / report.images * 1000
    print(json.dumps({"seconds": seconds, "cpu_ms": cpu, "skipped": len(report.skipped)}))


if __name__ == "__main__":
    sys.exit(recorder.run(main))

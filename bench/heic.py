"""Cost of the confined process: pictures decoded in it, beside the same pictures in this process.

    python bench/heic.py [--only HEIC] [--threads 1] [--repeat 3]

HEIC (4:2:0, quality 80, by the x265 of pillow-heif's wheel), and JPEG for what ``imseek index --untrusted`` costs: 600
of 640 x 480 and 40 of 12 megapixels (bench/photos.py), decoded as indexing does it (shorter side at least 224, with
measures) and in full. A ratio is the processor time of decoding in this process over that of this process and its
workers, their start included: 1 is no loss. Of ``--repeat`` runs the best counts; both ways take turns.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import photos
import pillow_heif
import recorder
from PIL import Image

from imseek.media import pillow
from imseek.media.sandbox import pool

_MAX_PIXELS = 250_000_000
_SIZES = {"640 x 480": ((640, 480), 15), "12 MP": ((4032, 3024), 1)}  # and how many to one of 12 MP
_DISTINCT = 8  # pictures of each size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("HEIC", "JPEG"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=40, help="of 12 megapixels; 15 times as many small ones")
    options = parser.parse_args()
    versions = pillow_heif.libheif_info()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.threads} threads")
    print(f"pillow-heif {pillow_heif.__version__}, libheif {versions['libheif']}")
    start = 1000 * _worker_start()
    print(f"start of a worker: {start:.0f} ms of processor time")
    recorder.put(worker_start_cpu_ms=start, threads=options.threads, libheif=versions["libheif"])
    print("| pictures | decoded to | here, ms | confined, ms | ratio | by the clock |\n|---|---|---|---|---|---|")
    for name, (label, (size, share)) in itertools.product(("HEIC", "JPEG"), _SIZES.items()):
        if options.only in (None, name):
            count = share * options.pictures
            files = _files(name, size, min(count, _DISTINCT))
            for side in (224, None):
                _compare(f"{count} {name}, {label}", files, name, count, side, options)


def _compare(
    what: str, files: Sequence[bytes], name: str, count: int, side: int | None, options: argparse.Namespace
) -> None:
    times: dict[str, list[tuple[float, float]]] = {"here": [], "confined": []}
    for _ in range(options.repeat):
        for way, read in (("here", pillow.read), ("confined", pool.read)):
            one = partial(read, name=name, min_side=side, max_pixels=_MAX_PIXELS)
            times[way].append(_time_reads(one, files, count, options.threads))
    here, confined = (min(runs) for runs in times.values())
    print(
        f"| {what} | {side or 'full size'} | {1000 * here[0] / count:.1f} | {1000 * confined[0] / count:.1f} "
        f"| {here[0] / confined[0]:.2f} | {here[1] / confined[1]:.2f} |",
        flush=True,
    )
    recorder.add_row(
        "pictures",
        pictures=what,
        decoded_to=side,
        here_cpu_ms=1000 * here[0] / count,
        confined_cpu_ms=1000 * confined[0] / count,
        ratio=here[0] / confined[0],
        ratio_by_the_clock=here[1] / confined[1],
    )


def _time_reads(read: Callable[[bytes], Any], files: Sequence[bytes], count: int, threads: int) -> tuple[float, float]:
    """Seconds of processor time and by the clock for ``count`` pictures."""
    pool.close()
    before, start = _processor_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as executor:
        for _ in executor.map(read, itertools.islice(itertools.cycle(files), count)):
            pass
    seconds = time.perf_counter() - start
    pool.close()  # the usage of children is known once they have ended
    return _processor_time() - before, seconds


def _processor_time() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _worker_start() -> float:
    pool.close()
    before = _processor_time()
    pool.survey(pool.KINDS["pictures"])
    pool.close()
    return _processor_time() - before


def _files(name: str, size: tuple[int, int], count: int) -> list[bytes]:
    return [_encode(name, picture) for picture in photos.make_photos(count, size, 0)]


def _encode(name: str, picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    if name == "JPEG":
        picture.save(buffer, "JPEG", quality=85)
    else:
        pillow_heif.from_pillow(picture).save(buffer, quality=80)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(recorder.run(main))

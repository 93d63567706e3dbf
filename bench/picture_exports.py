"""Exports that hold pictures, against ``tar`` and ``cp`` of the same files; peak memory of each.

    python bench/picture_exports.py [--images 2000]

Pictures are crops of photographs inside scikit-image and scikit-learn, as JPEG; vectors are of the fake encoder.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import recorder
import skimage
import sklearn
from PIL import Image

import imseek

FORMATS = ("webdataset", "imagefolder", "fiftyone", "projector")


def make(folder: Path, count: int) -> int:
    """Write ``count`` different crops; return their bytes."""
    folder.mkdir()
    photos = [Path(skimage.__file__).parent / "data" / name for name in ("astronaut.png", "coffee.png", "rocket.jpg")]
    photos += sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg"))
    pictures = [Image.open(path).convert("RGB").resize((1280, 960)) for path in photos]
    draw = np.random.default_rng(0)
    for n in range(count):
        left, top = draw.integers(0, 256), draw.integers(0, 192)
        crop = pictures[n % len(pictures)].crop((left, top, left + 1024, top + 768))
        crop.save(folder / f"{n:06d}.jpg", quality=90)
    return sum(path.stat().st_size for path in folder.iterdir())


def export(root: Path, name: str, out: Path) -> None:
    """Run in a process of its own, for its peak memory; print seconds and MB."""
    start = time.perf_counter()
    from imseek import export

    report = export.write(root, out, format=name)
    assert not report.skipped
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def time_command(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True)
    subprocess.run(["sync", command[-1]], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        root, name, out = arguments.one
        export(Path(root), name, Path(out))
        return
    base = Path(tempfile.mkdtemp(prefix="picture-exports-"))
    try:
        size = make(base / "p", arguments.images)
        with imseek.create(base / "c", encoder="fake") as collection:
            collection.index([base / "p"])
        print(f"{arguments.images:,} pictures, {size / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}")
        recorder.put(pictures=arguments.images, mb=size / 1e6)
        plain = {
            "cp -r": time_command(["cp", "-r", str(base / "p"), str(base / "copied")]),
            "tar": time_command(["sh", "-c", f"tar cf '{base}/t.tar' -C '{base}' p", str(base)]),
        }
        for name, seconds in plain.items():
            print(f"{name:12} {seconds:6.1f} s")
            recorder.add_row("ways", way=name, seconds=seconds)
        for name in FORMATS:
            one = [sys.executable, __file__, "--one", str(base / "c"), name, str(base / name)]
            output = subprocess.run(one, check=True, capture_output=True, text=True).stdout
            seconds, memory = map(float, output.split())
            print(
                f"{name:12} {seconds:6.1f} s, {arguments.images / seconds:6.0f} pictures/s, "
                f"{seconds / plain['cp -r']:4.1f} x cp, peak {memory:.0f} MB"
            )
            times_cp = seconds / plain["cp -r"]
            recorder.add_row("ways", way=name, seconds=seconds, times_cp=times_cp, peak_mb=memory)
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

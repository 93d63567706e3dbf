"""Index many files, then index them again unchanged: seconds, and which files were opened.

    python bench/rescan.py [--files 20000] [--folder DIR]

The fake encoder is used, since a second run encodes nothing. Opened files are counted by an audit hook of the
interpreter, not by imseek itself; where strace is installed, a last run is counted by that too, at the system call.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import recorder

import imseek

opened_paths: set[bytes] = set()
watched_folder = b"\0"


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.fsencode(arguments[0])
        if path.startswith(watched_folder):
            opened_paths.add(path)


def make(folder: Path, count: int, pictures: Sequence[bytes] = ()) -> None:
    """``count`` JPEGs of different content, 500 to a folder: ``pictures`` in turn, else one of 64 x 64 pixels.

    A folder with that many files already is left as it is.
    """
    if sum(len(files) for _, _, files in os.walk(folder)) == count:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures = pictures or (_noise(),)
    for n in range(count):
        below = folder / f"{n // 500:04d}"
        below.mkdir(exist_ok=True)
        picture = pictures[n % len(pictures)]
        # A comment segment after the start marker gives each file its own content.
        comment = f"{n:08d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (below / f"{n:06d}.jpg").write_bytes(picture[:2] + segment + picture[2:])


def _noise() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def measure(folder: Path, scratch: Path) -> None:
    """Print the time that indexing ``folder`` takes and the files that it opens, three times."""
    global watched_folder
    time.sleep(2.1)  # Files younger than two seconds would be read again.
    watched_folder = os.fsencode(folder)
    sys.addaudithook(hook)
    place = scratch / "rescanned"
    with imseek.create(place, encoder="fake") as collection:
        for name in ("first run", "second run", "third run"):
            opened_paths.clear()
            report = collection.index([folder])
            pictures = {path for path in opened_paths if path.endswith(b".jpg")}
            print(
                f"{name}: {report.seconds:.2f} s, {report.seen} seen, {report.added} added, "
                f"{report.unchanged} unchanged, {len(pictures)} pictures opened, generation {report.generation}",
                flush=True,
            )
            recorder.add_row(
                "runs",
                run=name,
                seconds=report.seconds,
                seen=report.seen,
                added=report.added,
                unchanged=report.unchanged,
                opened=len(pictures),
            )
    if strace := shutil.which("strace"):
        log = scratch / "calls"
        traced = [strace, "--seccomp-bpf", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(log)]
        index = ["-P", "-m", "imseek", "index", str(folder), "--collection", str(place)]
        start = time.perf_counter()
        subprocess.run([*traced, sys.executable, *index], check=True, capture_output=True)
        seconds, calls = time.perf_counter() - start, log.read_bytes().splitlines()
        touched = sum(watched_folder in call and b".jpg" in call for call in calls)
        print(
            f"whole command under strace: {seconds:.2f} s, {len(calls)} files and folders opened, "
            f"{touched} of them pictures"
        )
        recorder.put(strace={"seconds": seconds, "opened": len(calls), "pictures_opened": touched})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="made where it does not hold as many files")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch) / "files").absolute()
        make(folder, options.files)
        measure(folder, Path(scratch))


if __name__ == "__main__":
    sys.exit(recorder.run(main))

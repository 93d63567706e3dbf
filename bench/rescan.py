"""Index many files, then index them again unchanged: seconds, and which files were opened.

    python bench/rescan.py [--files 20000] [--folder DIR]

The fake encoder is used, since a second run encodes nothing. Opened files are counted by an audit hook of the
interpreter, not by imseek itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import imseek

opened: set[bytes] = set()
watched = b"\0"


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], str | bytes):
        path = os.fsencode(arguments[0])
        if path.startswith(watched):
            opened.add(path)


def make(folder: Path, count: int) -> None:
    """``count`` small JPEGs of different content, 500 to a folder."""
    import io

    from PIL import Image

    folder.mkdir(parents=True)
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 60).convert("RGB").save(buffer, "JPEG")
    picture = buffer.getvalue()
    for n in range(count):
        below = folder / f"{n // 500:04d}"
        below.mkdir(exist_ok=True)
        # A comment segment after the start marker makes each file another content.
        comment = f"{n:08d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        (below / f"{n:06d}.jpg").write_bytes(picture[:2] + segment + picture[2:])


def main() -> None:
    global watched
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "files"
        if not folder.exists():
            make(folder, options.files)
        time.sleep(2.1)  # Files younger than two seconds would be read again.
        watched = os.fsencode(folder)
        sys.addaudithook(hook)
        with imseek.create(Path(scratch) / "collection", encoder="fake") as collection:
            for name in ("first run", "second run", "third run"):
                opened.clear()
                report = collection.index([folder])
                pictures = {path for path in opened if path.endswith(b".jpg")}
                print(
                    f"{name}: {report.seconds:.2f} s, {report.seen} seen, {report.added} added, "
                    f"{report.unchanged} unchanged, {len(pictures)} pictures opened, generation {report.generation}"
                )


if __name__ == "__main__":
    main()

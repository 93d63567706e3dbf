"""Check that a search by a region of a picture finds that picture among all others of its folder.

    python bench/regions.py --pictures FOLDER [--collection PATH] [--count 200] [--shares .5 .3 .15] [--encoder builtin]

The pictures are indexed into PATH unless it exists. For COUNT of them, drawn by a fixed seed, and every share of the
area, one box is the query, at a place where it shows something (standard deviation of grey 20 or more of 255; pictures
without such a place are left out). R@1 and R@10 say how often the picture, or a copy of its content, is first and among
the first ten, with 95 % intervals by bootstrap.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import recorder

import imseek
from imseek.errors import ImseekError
from imseek.media import decode

#: Grey levels (standard deviation) without which a box shows nothing, and how many places are tried.
_SHOWS: Final = 20.0
_TRIES: Final = 20
_DEPTH: Final = 10


def draw_box(pixels: np.ndarray, share: float, chance: random.Random) -> tuple[float, float, float, float] | None:
    """Return a box of this share of the area that shows something, with the picture's aspect ratio up to a fifth."""
    grey = pixels.mean(axis=2)
    for _ in range(_TRIES):
        stretch = math.exp(chance.uniform(-0.2, 0.2))
        width, height = (min(1.0, math.sqrt(share) * by) for by in (stretch, 1 / stretch))
        x, y = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
        high, wide = grey.shape
        part = grey[round(y * high) : round((y + height) * high), round(x * wide) : round((x + width) * wide)]
        if part.size and part.std() >= _SHOWS:
            return (x, y, width, height)
    return None


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean by bootstrap."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--collection", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.3, 0.15])
    parser.add_argument("--encoder", default="builtin")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.collection or Path(folder, "regions")
        if not path.exists():
            with imseek.create(path, encoder=options.encoder) as collection:
                collection.index([options.pictures])
        with imseek.open(path) as collection:
            _measure(collection, options.count, options.shares)
    return 0


def _measure(collection: imseek.Collection, count: int, shares: list[float]) -> None:
    chance = random.Random(1)
    images = sorted(collection, key=lambda one: one.content_hash)
    sample = chance.sample(images, min(count, len(images)))
    print(f"{len(images):,} pictures, {len(sample)} of them searched for, {collection.info().encoder.encoder}")
    for share in shares:
        ranks, seconds = [], 0.0
        for image in sample:
            try:
                pixels = decode(collection.read(image.image_id), min_side=256, measured=False).pixels
            except ImseekError:
                continue
            if (box := draw_box(pixels, share, chance)) is None:
                continue
            start = time.process_time()
            try:
                hits = collection.search(imseek.Term(image_id=image.image_id, region=box), limit=_DEPTH, exact=True)
            except ImseekError:  # Too few pixels.
                continue
            seconds += time.process_time() - start
            same = {image.image_id, *(h.image_id for h in hits if h.metadata.get("content_hash") == image.content_hash)}
            ranks.append(next((n for n, hit in enumerate(hits) if hit.image_id in same), _DEPTH))
        positions = np.array(ranks)
        row: dict[str, float | int | str] = {"share": share, "queries": len(positions)}
        line = f"{share:.0%} of the area, {len(positions)} queries:"
        for depth in (1, 10):
            recalled = (positions < depth).astype(float)
            low, high = interval(recalled)
            row |= {f"recall_at_{depth}": float(recalled.mean()), f"low_{depth}": low, f"high_{depth}": high}
            line += f" R@{depth} {recalled.mean():.3f} ({low:.3f}–{high:.3f})"
        row["cpu_seconds"] = round(seconds / max(1, len(positions)), 4)
        print(f"{line}; {1000 * seconds / max(1, len(positions)):.0f} ms of CPU each")
        recorder.add_row("regions", **row)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

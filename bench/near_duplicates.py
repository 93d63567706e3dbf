"""Pairs of pictures that `collapse` joins: altered copies should be joined, different pictures should not.

    python bench/near_duplicates.py [--stamps DIR] [--count 250] [--half B]

Pictures are stamps of Tux Paint: drawings on white, hard for hashes. Each is altered in five ways. *found* is the share
of pairs of a picture and its altered copy that are joined, per way; *wrong* counts pairs of different stamps that are
joined. Some of these are drawings of one thing from two sides, or in two colours, so that 0 is out of reach. The
thresholds of imseek.search.near_duplicates were chosen on half A.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import recorder
from PIL import Image, ImageEnhance
from quality import find_stamps, half_of, stamp_names

from imseek.encoders import load
from imseek.media import decode
from imseek.media.phash import perceptual_hash
from imseek.search.near_duplicates import DUPLICATE_THRESHOLDS, hamming


def alter(picture: Image.Image) -> dict[str, Image.Image]:
    width, height = picture.size
    edge = (width // 25, height // 25, width - width // 25, height - height // 25)
    squeezed = io.BytesIO()
    picture.save(squeezed, "JPEG", quality=30)
    framed = Image.new("RGB", (width + width // 10, height + height // 10), "white")
    framed.paste(picture, (width // 20, height // 20))
    return {
        "half": picture.resize((max(1, width // 2), max(1, height // 2))),
        "jpeg": Image.open(squeezed),
        "crop": picture.crop(edge),
        "bright": ImageEnhance.Brightness(picture).enhance(1.2),
        "frame": framed,
    }


def measure(pictures: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    encoder = load("builtin")
    rows, hashes = [], []
    for start in range(0, len(pictures), 32):
        pixels = [np.asarray(one.convert("RGB")) for one in pictures[start : start + 32]]
        rows.append(encoder.encode_images(np.stack([encoder.prepare(one) for one in pixels])))
        hashes += [perceptual_hash(one) for one in pixels]
    return np.concatenate(rows), np.array(hashes, np.uint64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stamps", type=Path)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--half", default="B")
    parser.add_argument("--show", type=int, default=0, help="print this many pairs that are nearly joined")
    options = parser.parse_args()
    folder = options.stamps or find_stamps()
    names = [name for name in stamp_names(folder) if half_of(name) == options.half]
    names = [names[i] for i in np.random.default_rng(0).permutation(len(names))[: options.count]]
    originals = [Image.fromarray(decode((folder / name).read_bytes()).pixels) for name in names]
    base, base_hashes = measure(originals)
    ways = [alter(one) for one in originals]
    copies = {way: measure([one[way] for one in ways]) for way in ways[0]}
    distance = np.array([hamming(base_hashes, one) for one in base_hashes])
    has_hashes = (base_hashes[:, None] != 0) & (base_hashes[None] != 0)
    cosine = base @ base.T
    pairs = np.triu_indices(len(base), 1)

    def row(label: str, *rules: tuple[float, int]) -> None:
        """Print a row; a rule joins pairs of at least this cosine and at most that many bits, and any rule suffices."""
        is_joined = np.zeros_like(has_hashes)
        for least, most in rules:
            is_joined |= (cosine >= least) & ((has_hashes & (distance <= most)) | (most >= 64))
        cells = []
        for rows, hashes in copies.values():
            near = (rows * base).sum(axis=1)
            bits = np.array([int(a ^ b).bit_count() for a, b in zip(hashes, base_hashes, strict=True)])
            both = (hashes != 0) & (base_hashes != 0)
            is_found = np.zeros(len(near), np.bool_)
            for least, most in rules:
                is_found |= (near >= least) & ((both & (bits <= most)) | (most >= 64))
            cells.append(float(is_found.mean()))
        summary = "  ".join(f"{cell:6.3f}" for cell in cells)
        print(f"{label:34s} {summary}  {np.mean(cells):6.3f}  {int(is_joined[pairs].sum()):6d}")
        recorder.add_row(
            "rules",
            rule=label,
            found=dict(zip(copies, cells, strict=True)),
            found_mean=np.mean(cells),
            wrong=is_joined[pairs].sum(),
        )

    recorder.put(half=options.half, stamps=len(base), pairs=len(pairs[0]))
    print(f"half {options.half}: {len(base)} stamps, {len(pairs[0]):,} pairs of different ones")
    print(f"{'':34s} " + "  ".join(f"{way:>6s}" for way in copies) + f"  {'mean':>6s}  {'wrong':>6s}")
    for same in (0.90, 0.95, 0.97, 0.98, 0.99):
        row(f"cosine {same:.2f}", (same, 64))
    for bits in (2, 6, 8, 10, 12):
        row(f"hash {bits}", (-1, bits))
    for first in ((0.70, 10), (0.80, 10), (0.80, 12)):
        for second in ((0.90, 16), (0.93, 18), (0.95, 20), (0.97, 22)):
            row(f"{first[0]:.2f} and {first[1]}, or {second[0]:.2f} and {second[1]}", first, second)
    row("as it is", *DUPLICATE_THRESHOLDS)
    wrong = np.argwhere(np.triu((cosine >= 0.95) | (has_hashes & (distance <= 12) & (cosine >= 0.7)), 1))
    for i, j in wrong[: options.show].tolist():
        print(f"{cosine[i, j]:.3f} {distance[i, j]:3d}  {names[i]}  {names[j]}")


if __name__ == "__main__":
    sys.exit(recorder.run(main))

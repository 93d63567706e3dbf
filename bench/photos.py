"""Make photographs to measure with: DIR/big (4000 × 3000 JPEG, 12 MP) and DIR/small (640 × 480), all different.

    python bench/photos.py DIR [--big 80] [--small 600]

Made from the photographs that ship in scikit-image and scikit-learn: a random part of one, enlarged, mirrored or not,
in another light, with the noise of a sensor, which gives the files the size that files from cameras have.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

SIZES = {"big": (4000, 3000), "small": (640, 480)}


def photographs() -> list[Image.Image]:
    names = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field")
    pictures = [getattr(skimage.data, name)() for name in names]
    pictures += [sklearn.datasets.load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    return [Image.fromarray(pixels) for pixels in pictures]


def make_photos(count: int, size: tuple[int, int], seed: int) -> Iterator[Image.Image]:
    originals, chance = photographs(), np.random.default_rng(seed)
    for _ in range(count):
        original = originals[chance.integers(len(originals))]
        width, height = (round(side * chance.uniform(0.5, 0.95)) for side in original.size)
        left, top = (chance.integers(whole - part) for whole, part in zip(original.size, (width, height), strict=True))
        picture = original.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        if chance.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        noise = chance.normal(0, 6, (size[1], size[0], 1))
        pixels = np.asarray(picture, np.float32) * chance.uniform(0.7, 1.2) + noise
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--big", type=int, default=80)
    parser.add_argument("--small", type=int, default=600)
    options = parser.parse_args()
    for seed, (name, size) in enumerate(SIZES.items()):
        folder = options.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for n, picture in enumerate(make_photos(getattr(options, name), size, seed)):
            picture.save(folder / f"{n:04}.jpg", quality=90)


if __name__ == "__main__":
    main()

"""The perceptual hash: against its definition, against the reference library's values, and on real photos."""

from __future__ import annotations

import io
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.fft import dctn

from imseek.media.phash import hamming_distance, perceptual_hash
from imseek.types.arrays import Pixels

# ImageHash 4.3.2: int(str(imagehash.phash(Image.open(name).convert("RGB"))), 16). Its 64 bits equalled ours on
# all of the 30 pictures of scikit-image and scikit-learn; these are PNGs, the same behind every decoder.
REFERENCE = {
    "astronaut.png": 0xC2924C5532BDDFC8,
    "brick.png": 0xA2898B1566FD46F1,
    "camera.png": 0xBFF1C1C0434E8CBC,
    "chelsea.png": 0xB15FE6465121175E,
    "coffee.png": 0xBB8320376C0F3637,
    "coins.png": 0xE4D5B5A92B54523A,
    "gravel.png": 0xC6771CBE3D2424A6,
    "motorcycle_left.png": 0xC507C66B9370AA73,
}


@pytest.fixture(scope="module")
def photos() -> dict[str, Image.Image]:
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    images = {}
    for name in REFERENCE:
        with Image.open(Path(spec.origin).parent / "data" / name) as image:
            images[name] = image.convert("RGB")
    return images


def hash_of(image: Image.Image) -> int:
    return perceptual_hash(np.asarray(image))


@pytest.mark.parametrize("name", REFERENCE)
def test_the_bits_are_those_of_imagehash(photos: dict[str, Image.Image], name: str) -> None:
    assert hash_of(photos[name]) == REFERENCE[name]


@pytest.mark.parametrize("seed", range(5))
def test_the_transform_is_the_two_dimensional_dct_of_the_literature(seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (32, 32), dtype=np.uint8)  # needs no reduction
    low = dctn(grey.astype(float), type=2)[:8, :8]
    expected = sum(1 << (63 - i) for i, high in enumerate((low > np.median(low)).ravel()) if high)
    assert perceptual_hash(np.repeat(grey[..., None], 3, axis=2)) == expected


def test_the_range_is_unsigned_64_bit_and_a_flat_picture_has_the_lowest_frequency_alone() -> None:
    flat: Pixels = np.full((100, 50, 3), 77, np.uint8)
    assert perceptual_hash(flat) == 1 << 63
    assert perceptual_hash(np.zeros((1, 1, 3), np.uint8)) == 0
    assert all(0 <= value < 1 << 64 for value in REFERENCE.values())


@pytest.mark.parametrize("name", REFERENCE)
def test_recompression_and_resizing_move_few_bits(photos: dict[str, Image.Image], name: str) -> None:
    photo = photos[name]
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=40)
    with Image.open(buffer) as image:
        recompressed = hash_of(image)
    assert hamming_distance(REFERENCE[name], recompressed) <= 4
    for scale in (0.3, 0.5, 2.0):
        size = (round(photo.width * scale), round(photo.height * scale))
        assert hamming_distance(REFERENCE[name], hash_of(photo.resize(size))) <= 6
    assert hamming_distance(REFERENCE[name], hash_of(photo.convert("L").convert("RGB"))) <= 2


def test_different_photos_differ_in_many_bits(photos: dict[str, Image.Image]) -> None:
    hashes = [hash_of(photo) for photo in photos.values()]
    assert min(hamming_distance(a, b) for a, b in combinations(hashes, 2)) >= 16


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png"])
def test_mirroring_and_inverting_are_not_forgiven(photos: dict[str, Image.Image], name: str) -> None:
    assert hamming_distance(REFERENCE[name], hash_of(ImageOps.mirror(photos[name]))) >= 16
    assert hamming_distance(REFERENCE[name], hash_of(ImageOps.invert(photos[name]))) >= 50


def test_hamming_distance_counts_differing_bits() -> None:
    assert hamming_distance(0, 0) == 0
    assert hamming_distance(0b1011, 0b0010) == 2
    assert hamming_distance(0, (1 << 64) - 1) == 64

"""The eight orientations of pictures, and of hashes that are derived without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imseek.duplicates.candidates.phash_pairs import distances
from imseek.duplicates.pixels.orientations import INVERSE, ORIENTATIONS, turn, turn_hashes
from imseek.media import decode, hamming_distance, perceptual_hash

CODES = range(len(ORIENTATIONS))


def test_turns_are_those_that_their_names_say() -> None:
    picture = np.array([[1, 2, 3], [4, 5, 6]])
    for code, name in enumerate(ORIENTATIONS):
        expected = picture
        for part in filter(None, name.split(", ")):
            word, _, angle = part.partition(" ")
            expected = np.fliplr(expected) if word == "mirrored" else np.rot90(expected, -int(angle) // 90)
        assert turn(picture, code).tolist() == expected.tolist(), name


@pytest.mark.parametrize("code", CODES)
def test_each_turn_has_an_inverse(code: int) -> None:
    picture = np.arange(12).reshape(3, 4)
    assert turn(turn(picture, code), INVERSE[code]).tolist() == picture.tolist()


def test_bits_of_a_hash_move_as_the_spectrum_does() -> None:
    """One bit of the third row and sixth column: transposed it is of the sixth row and third column."""
    hashes = np.array([1 << (63 - (8 * 2 + 5))], np.uint64)
    assert turn_hashes(hashes, 4).tolist() == [1 << (63 - (8 * 5 + 2))]
    assert turn_hashes(hashes, 1).tolist() == [int(hashes[0]) ^ 0x5555555555555555]
    assert turn_hashes(hashes, 3).tolist() == [int(hashes[0]) ^ 0x00FF00FF00FF00FF]


def test_turns_of_hashes_are_a_group() -> None:
    hashes = np.random.default_rng(0).integers(1, 2**63, 50).astype(np.uint64)
    for code in CODES:
        assert turn_hashes(turn_hashes(hashes, code), INVERSE[code]).tolist() == hashes.tolist()


def test_a_derived_hash_is_near_that_of_the_turned_photograph(photo_files: list[Path]) -> None:
    apart = []
    for path in photo_files:
        pixels = decode(path.read_bytes()).pixels
        stored = np.array([perceptual_hash(pixels)], np.uint64)
        for code in CODES:
            turned = perceptual_hash(np.ascontiguousarray(turn(pixels, code)))
            apart.append(hamming_distance(int(turn_hashes(stored, code)[0]), turned))
    assert max(apart[:: len(CODES)]) == 0
    assert np.median(apart) <= 2
    assert np.percentile(apart, 95) <= 8


@pytest.mark.parametrize("code", CODES)
def test_the_turn_of_a_photograph_is_recognised_by_its_hash(photo_files: list[Path], code: int) -> None:
    pixels = [decode(path.read_bytes()).pixels for path in photo_files]
    a = np.array([perceptual_hash(one) for one in pixels], np.uint64)
    b = np.array([perceptual_hash(np.ascontiguousarray(turn(one, code))) for one in pixels], np.uint64)
    apart, codes = distances(a, b, turn_hashes, len(CODES))
    assert codes.tolist() == [code] * len(pixels)
    assert apart.max() <= 12


def test_a_hash_that_says_nothing_says_nothing_turned() -> None:
    assert [turn_hashes(np.zeros(1, np.uint64), code)[0] for code in CODES] == [0] * 8

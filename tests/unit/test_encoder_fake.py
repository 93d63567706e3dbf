"""The fake encoder: what tests of other parts rely on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from imseek.encoders.fake import FakeEncoder


def flat(*colour: int, shape: tuple[int, int] = (20, 30)) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (*shape, 3))


def vector(encoder: FakeEncoder, pixels: np.ndarray) -> np.ndarray:
    row: np.ndarray = encoder.encode_images(encoder.prepare(pixels)[None])[0]
    return row


def test_prepare_takes_the_mean_of_each_cell() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 32, 3), dtype=np.uint8)
    cells = pixels.reshape(8, 6, 8, 4, 3).astype(np.float64).mean(axis=(1, 3))
    np.testing.assert_allclose(FakeEncoder().prepare(pixels), cells, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (13, 9), (70, 64), (1000, 333)])
def test_a_flat_picture_stays_flat_at_any_size(shape: tuple[int, int]) -> None:
    prepared = FakeEncoder().prepare(flat(10, 200, 30, shape=shape))
    np.testing.assert_allclose(prepared, np.broadcast_to([10.0, 200.0, 30.0], (8, 8, 3)), rtol=1e-6)


def test_medium_grey_has_a_direction_too() -> None:
    assert np.linalg.norm(vector(FakeEncoder(), flat(127, 127, 127))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 16, 64, 512])
def test_colour_words_are_pictures_of_that_colour(dim: int) -> None:
    encoder = FakeEncoder(dim)
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    pictures = np.stack([vector(encoder, flat(*colour)) for colour in colours.values()])
    cosines = encoder.encode_texts(list(colours)) @ pictures.T
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-5)
    if dim >= 16:
        assert cosines.argmax(axis=1).tolist() == [0, 1, 2, 3]


def test_texts_that_share_words_are_alike() -> None:
    base, reordered, partly, other = FakeEncoder().encode_texts(
        ["a small dog", "Dog, a small!", "a small cat", "quarterly report 2024"]
    )
    assert base @ reordered == pytest.approx(1, abs=1e-6)
    assert base @ other < base @ partly < 0.95


def test_needs_numpy_only() -> None:
    script = """
import sys
import numpy
before = set(sys.modules)
from imseek.encoders import load
encoder = load("fake")
encoder.encode_images(encoder.prepare(numpy.zeros((9, 9, 3), numpy.uint8))[None])
encoder.encode_texts(["a"])
print(*{name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(loaded.split()) <= {"imseek", "numpy"}

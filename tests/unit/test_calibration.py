"""Thresholds for a space come from a sample of its own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import imseek
from imseek.curate.pixels.calibration import LEAST, Encode, calibrate, keep, kept
from imseek.curate.pixels.classify import DEFAULTS
from imseek.data.writer import Writer
from imseek.media import decode
from imseek.types import Float32, Pixels


@pytest.fixture(scope="module")
def sample(photo_files: list[Path]) -> list[Pixels]:
    return [decode(path.read_bytes(), min_side=64).pixels for path in photo_files]


def _by_colour(power: float) -> Encode:
    """An encoder of means of a grid of 3 x 3, contrasts raised to a power: the greater, the lower all cosines."""

    def encode(pictures: Sequence[Pixels]) -> Float32:
        rows = []
        for one in pictures:
            cells = [
                part.mean() for band in np.array_split(one, 3) for part in np.array_split(band, 3, axis=1)
            ]
            rows.append(np.array(cells) ** power)
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return encode


def test_a_space_of_low_cosines_gets_low_thresholds(sample: list[Pixels]) -> None:
    assert len(sample) >= LEAST
    low, high = calibrate(sample, _by_colour(4)), calibrate(sample, _by_colour(1))
    assert low.near_cosine < high.near_cosine
    for found in (low, high):
        assert found.near_cosine <= found.fine_cosine <= found.scene_cosine
        same = replace(
            found,
            near_cosine=DEFAULTS.near_cosine,
            fine_cosine=DEFAULTS.fine_cosine,
            scene_cosine=DEFAULTS.scene_cosine,
            unread_cosine=DEFAULTS.unread_cosine,
        )
        assert same == DEFAULTS, "what pixels must show is the same for every encoder"
    assert calibrate(sample, _by_colour(4)) == low


def test_too_small_a_sample_says_nothing(sample: list[Pixels]) -> None:
    def refuse(pictures: Sequence[Pixels]) -> Float32:
        raise AssertionError

    assert calibrate(sample[: LEAST - 1], refuse) == DEFAULTS


def test_thresholds_are_kept_with_the_collection(tmp_path: Path) -> None:
    with imseek.create(tmp_path / "c", encoder="fake"):
        pass
    found = replace(DEFAULTS, near_cosine=0.5)
    with Writer(tmp_path / "c", "test") as writer:
        keep(writer, "abc", found)
    assert kept(tmp_path / "c", "abc") == found
    assert kept(tmp_path / "c", "another") is None

"""Vectors of fixed texts in the user's cache: equal to fresh ones, and made again where the cache is unusable."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from imseek.encoders import load
from imseek.encoders.builtin import BuiltinEncoder
from imseek.encoders.reference_texts import encode_reference_texts
from imseek.types.arrays import Float32

TEXTS = ("a photo", "a picture")


class Counted(BuiltinEncoder):
    """The built-in encoder; ``calls`` holds the texts that it had to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Sequence[str]] = []

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        self.calls.append(texts)
        return super().encode_texts(texts)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, but for the encoder's own networks."""
    load("builtin").encode_texts(["x"])
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encoder() -> Counted:
    counted = Counted()
    counted.encode_texts(["x"])  # opens the network, before the cache is another one
    counted.calls.clear()
    return counted


@pytest.fixture
def stored(encoder: Counted, cache: Path) -> Path:
    """The file of the vectors of TEXTS."""
    encode_reference_texts(encoder, TEXTS)
    (path,) = cache.glob("encoders/reference-texts-*/vectors.npy")
    encoder.calls.clear()
    return path


def rewrite(path: Path, change: Callable[[Float32], object]) -> None:
    """Change stored vectors so that size and time remain."""
    status = path.stat()
    np.save(path, change(np.load(path)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_texts_are_encoded_once_for_all_processes(encoder: Counted, cache: Path) -> None:
    fresh = encode_reference_texts(encoder, TEXTS)
    again = encode_reference_texts(encoder, TEXTS)
    assert encoder.calls == [TEXTS]
    np.testing.assert_array_equal(again, fresh)
    np.testing.assert_array_equal(again, encoder.encode_texts(TEXTS))


def test_other_texts_are_other_vectors(encoder: Counted, stored: Path) -> None:
    assert not np.allclose(encode_reference_texts(encoder, TEXTS[::-1]), np.load(stored))
    assert encoder.calls == [TEXTS[::-1]]


@pytest.mark.parametrize(
    "change",
    [lambda rows: rows * 1.1, lambda rows: rows * np.nan, lambda rows: rows[:1], lambda rows: rows[:, :7]],
    ids=["longer", "nan", "fewer", "narrower"],
)
def test_damaged_vectors_are_not_used(encoder: Counted, stored: Path, change: Callable[[Float32], object]) -> None:
    before = np.load(stored)
    rewrite(stored, change)
    np.testing.assert_array_equal(encode_reference_texts(encoder, TEXTS), before)
    assert encoder.calls == [TEXTS]


def test_a_truncated_file_is_made_again(encoder: Counted, stored: Path) -> None:
    whole = stored.read_bytes()
    stored.write_bytes(whole[:100])
    encode_reference_texts(encoder, TEXTS)
    assert encoder.calls == [TEXTS]
    assert stored.read_bytes() == whole


def test_without_a_cache_folder_texts_are_encoded_each_time(encoder: Counted, cache: Path) -> None:
    cache.write_text("a file")
    rows = [encode_reference_texts(encoder, TEXTS) for _ in range(2)]
    assert encoder.calls == [TEXTS, TEXTS]
    np.testing.assert_array_equal(*rows)


def test_test_encoders_are_not_cached(cache: Path) -> None:
    encoder = load("fake")
    np.testing.assert_array_equal(encode_reference_texts(encoder, TEXTS), encoder.encode_texts(TEXTS))
    assert not cache.exists()

"""Rows of mapped files, read by system calls."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from imseek.data.files import mapped_arrays
from imseek.data.files.collection_files import read_array
from imseek.data.files.mapped_arrays import MappedArray, can_read_rows, read_rows
from imseek.data.vectors.mmap_residency import ResidencyLimiter
from imseek.errors import CorruptCollectionError


@pytest.fixture
def stored() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4000, 24)).astype(np.float16)


@pytest.fixture
def mapped(stored: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MappedArray:
    monkeypatch.setattr(mapped_arrays, "_LARGE", 1)
    np.save(tmp_path / "rows.npy", stored)
    with FileIO(tmp_path / "rows.npy") as file:
        array = read_array(file, mapped=True)
    assert isinstance(array, MappedArray)
    return array


def test_rows_are_those_of_the_map(mapped: MappedArray, stored: np.ndarray) -> None:
    numbers = np.array([0, 17, 18, 3999])
    out = np.zeros((4, 24), np.float16)
    read_rows(mapped, numbers, out)
    assert np.array_equal(out, stored[numbers])
    read_rows(mapped, numbers[:0], out[:0])
    assert can_read_rows(mapped)
    assert not can_read_rows(mapped[5:])
    assert not can_read_rows(stored)


@pytest.mark.parametrize("numbers", [np.arange(300), np.array([1, 500, 3999]), np.empty(0, np.int64)])
@pytest.mark.parametrize("bound", [0, 1 << 40])
def test_gathering_is_the_same_whatever_the_bound(
    mapped: MappedArray, stored: np.ndarray, numbers: np.ndarray, bound: int
) -> None:
    out = np.zeros((len(numbers), 24), np.float16)
    ResidencyLimiter([mapped], bound).gather_rows(mapped, numbers, out)
    assert np.array_equal(out, stored[numbers])


def test_scattered_rows_beyond_the_bound_are_not_mapped_in(
    mapped: MappedArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.data.vectors import mmap_residency

    read: list[int] = []
    monkeypatch.setattr(mmap_residency, "read_rows", lambda rows, numbers, out: read.append(len(numbers)))
    out = np.zeros((5, 24), np.float16)
    far = np.arange(5) * 900
    for numbers, bound in ((far, 0), (far[3:4], 0), (far[:2], 0), (np.arange(5), 0), (far, 1 << 40)):
        ResidencyLimiter([mapped], bound).gather_rows(mapped, numbers, out)
    assert read == [5, 1, 2]


def test_a_file_that_has_become_shorter_is_an_error_and_no_crash(mapped: MappedArray, tmp_path: Path) -> None:
    os.truncate(tmp_path / "rows.npy", 2000)
    with pytest.raises(CorruptCollectionError, match="shorter"):
        read_rows(mapped, np.array([0, 3000]), np.zeros((2, 24), np.float16))


def test_no_descriptor_stays_open(stored: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_arrays, "_LARGE", 1)
    np.save(tmp_path / "rows.npy", stored)
    for _ in range(20):
        with FileIO(tmp_path / "rows.npy") as file:
            array = read_array(file, mapped=True)
        view = array[3:]
        assert _is_open(tmp_path / "rows.npy")
        del array, view
    gc.collect()
    assert not _is_open(tmp_path / "rows.npy")


def _is_open(path: Path) -> bool:
    return any(os.path.samestat(path.stat(), os.fstat(descriptor)) for descriptor in _descriptors())


def _descriptors() -> list[int]:
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # That of the listing itself is closed by now.
            os.fstat(int(name))
            descriptors.append(int(name))
    return descriptors

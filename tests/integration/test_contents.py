"""One image stands for all that have the same bytes."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from comparing import contents_of, put
from snapshotting import clustered, collection_of, remove

from imseek.data.vectors import IdSet
from imseek.duplicates.unique_contents import group_by_content


def test_one_image_stands_for_equal_bytes(tmp_path: Path) -> None:
    root = collection_of(tmp_path / "collection")
    vectors = clustered(7, 0)
    put(root, vectors[:4], [11, 12, 11, 14], ["a", "b", "a", "c"], "first")
    put(root, vectors[4:], [12, 15, 11], ["b", "d", "a"], "second")
    first, *_ = contents_of(root).ids.tolist()
    found = contents_of(root)
    assert (found.ids - first).tolist() == [0, 1, 3, 5]
    assert [bytes(row) for row in found.hashes] == [hashlib.sha256(n.encode()).digest() for n in "abcd"]
    assert found.phashes.tolist() == [11, 12, 14, 15]
    copies = {image_id - first: (ids - first).tolist() for image_id, ids in found.copies.items()}
    assert copies == {0: [0, 2, 6], 1: [1, 4]}
    assert (len(found), found.images, len(found.copies)) == (4, 7, 2)
    assert found.positions(np.array([5, 0, 2, 99]) + first).tolist() == [3, 0, -1, -1]
    with pytest.raises(KeyError):
        found.copies[first + 3]
    # With the first one gone, the next one stands for the content; what is not allowed is not there.
    remove(root, [first])
    assert (contents_of(root).ids - first).tolist() == [1, 2, 3, 5]
    few = contents_of(root, IdSet(np.array([4, 5]) + first))
    assert (few.ids - first).tolist() == [4, 5]
    assert len(few.copies) == 0


def test_memory_is_a_number_of_bytes_for_each_image() -> None:
    rng = np.random.default_rng(0)
    for count in (10_000, 40_000):
        ids = np.arange(count)
        hashes = rng.integers(0, 256, (count, 32), np.uint8)
        hashes[count // 2 :] = hashes[: count - count // 2]  # each is there twice
        tracemalloc.start()
        found = group_by_content(ids, hashes, np.zeros(count, np.uint64))
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(found) == count // 2
        assert peak < 200 * count
        assert held < 100 * count


def test_contents_of_nothing(tmp_path: Path) -> None:
    found = contents_of(collection_of(tmp_path / "collection"))
    assert (len(found), found.images, len(found.copies)) == (0, 0, 0)
    assert found.positions(np.array([1, 2])).tolist() == [-1, -1]

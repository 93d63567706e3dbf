"""Rows added to lists that were chosen outside FAISS."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest

from imseek.data.vectors import build, inverted_lists
from imseek.data.vectors.base import Segment
from imseek.data.vectors.build import LiveRows, add_rows
from imseek.data.vectors.index_kinds import inverted_file, make_index
from imseek.types.arrays import Float32


@pytest.fixture(scope="module")
def rows() -> Float32:
    vectors = np.random.default_rng(0).standard_normal((3000, 48)).astype(np.float16).astype(np.float32)
    vectors[17] = 0
    return vectors


def _live(rows: Float32, ids: Any) -> LiveRows:
    return LiveRows([Segment(ids, rows.astype(np.float16), np.empty(0, np.int64))])


def _content(inverted: Any) -> list[tuple[list[int], bytes]]:
    """Return the ids and the codes of each list."""
    lists = faiss.downcast_InvertedLists(inverted.invlists)
    content = []
    for n in range(lists.nlist):
        size = lists.list_size(n)
        if isinstance(lists, faiss.BlockInvertedLists):
            length = -(-size // lists.n_per_block) * lists.block_size
        else:
            length = size * lists.code_size
        codes = faiss.rev_swig_ptr(lists.get_codes(n), length).tobytes() if size else b""
        content.append((faiss.rev_swig_ptr(lists.get_ids(n), size).tolist() if size else [], codes))
    return content


@pytest.mark.parametrize(
    "factory",
    [
        "IVF16,PQ24x4fs",
        "IVF16,PQ24x4fsr",
        "IVF16,PQ24x4fs_64",
        "IVF16,PQ12x4fs_96",
        "IVF16,PQ3x4fs",
        "IVF16,SQ8",
        "IVF16,SQfp16",
        "IVF16,Flat",
        "IVF16,PQ8x4",
        "PCA32,IVF16,SQ8",
        "PCA32,IVF16,PQ8x4fs",
        "IVF16_HNSW8,SQ8",
        "IVF16,RaBitQ",
        "IVF16,RaBitQfs",
        "PQ12x4fs",
    ],
)
@pytest.mark.parametrize("most", [1, 1 << 20])
def test_rows_are_stored_as_faiss_stores_them(
    rows: Float32, factory: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows are packed together."""
    monkeypatch.setattr(inverted_lists, "_MOST_WAITING", most)
    monkeypatch.setattr(inverted_lists, "_MOST_PACKED", most)
    index = make_index(factory, rows.shape[1])
    index.train(rows)
    expected = faiss.clone_index(index)
    ids = np.arange(len(rows), dtype=np.int64) * 3 + 5
    for part in (slice(0, 100), slice(100, None)):  # A list that has rows already is longer than none.
        add_rows(index, _live(rows[part], ids[part]), lambda share: None)
        expected.add_with_ids(rows[part], ids[part])
    assert index.ntotal == expected.ntotal == len(rows)
    if (lists := inverted_file(index)) is not None:
        assert _content(lists) == _content(inverted_file(expected))
    queries = rows[:50]
    assert np.array_equal(index.search(queries, 5)[1], expected.search(queries, 5)[1])


@pytest.mark.parametrize("factory", ["IVF16,PQ24x4fs", "IVF16,SQ8", "PQ12x4fs"])
def test_the_end_is_reported_once_all_rows_are_added(
    rows: Float32, factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_BLOCK", 1000)
    index = make_index(factory, rows.shape[1])
    index.train(rows)
    shares: list[float] = []

    def report(share: float) -> None:
        shares.append(share)
        if share == 1:
            assert index.ntotal == len(rows)

    add_rows(index, _live(rows, np.arange(len(rows), dtype=np.int64)), report)
    assert shares == [1000 / 3000, 2000 / 3000, 1.0]


def test_a_list_with_most_of_the_rows_is_stored_as_faiss_stores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is packed in pieces, the last of them together with other lists."""
    monkeypatch.setattr(inverted_lists, "_MOST_PACKED", 500 * 24)
    rng = np.random.default_rng(0)
    near = rng.standard_normal(48) + 0.01 * rng.standard_normal((1730, 48))
    rows = np.concatenate([near, rng.standard_normal((270, 48))]).astype(np.float16).astype(np.float32)
    index = make_index("IVF16,PQ48x4fs", 48)
    index.train(rows[1000:])
    expected = faiss.clone_index(index)
    ids = np.arange(len(rows), dtype=np.int64)
    add_rows(index, _live(rows, ids), lambda share: None)
    expected.add_with_ids(rows, ids)
    content = _content(inverted_file(index))
    assert max(len(list_ids) for list_ids, _ in content) > 3 * 500
    assert content == _content(inverted_file(expected))

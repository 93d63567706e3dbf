"""What vector indexes and their segments refuse, and what a missing FAISS says."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest

from imseek.data.vectors import Segment, open_index
from imseek.data.vectors.scores import zero_rows
from imseek.errors import CorruptCollectionError, MissingExtraError, QueryError, UsageError

NONE_DEAD = np.empty(0, np.uint32)

each_kind = pytest.mark.parametrize("kind", ["memory", "faiss"])


def shard(rows: list[list[float]], first_id: int = 0) -> Segment:
    return Segment(first_id + np.arange(len(rows)), np.array(rows, np.float16), NONE_DEAD)


@each_kind
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ([[np.nan, 0, 0]], "NaN"),
        ([[1, np.inf, 0]], "infinity"),
        ([[0, 0, 0]], "norm 1"),
        ([[1, 1, 0]], "norm 1"),
        ([[1, 0]], "shape"),
        ([1, 0, 0], "shape"),
    ],
)
def test_refused_queries(kind: str, query: npt.ArrayLike, message: str) -> None:
    index = open_index(kind, [shard([[1, 0, 0]])], 3)
    with pytest.raises(QueryError, match=message):
        index.search(np.array(query, np.float32), 1)


@each_kind
def test_refuses_to_find_none(kind: str) -> None:
    index = open_index(kind, [shard([[1, 0, 0]])], 3)
    with pytest.raises(QueryError, match="not 0"):
        index.search(np.array([[1, 0, 0]], np.float32), 0)


@each_kind
def test_broken_rows_are_refused_unless_dead(kind: str) -> None:
    broken = shard([[1, 0], [np.nan, 0], [np.inf, 1], [0, 1]], first_id=4)
    with pytest.raises(CorruptCollectionError, match="image 5"):
        open_index(kind, [broken], 2)
    repaired = dataclasses.replace(broken, dead=np.array([1, 2]))
    index = open_index(kind, [repaired], 2)
    query = np.array([[1, 0]], np.float32)
    for queries in (query, np.repeat(query, 70, axis=0)):
        for k in (1, 4):
            (matches, *_) = index.search(queries, k)
            assert (matches.ids.tolist(), matches.scores.tolist()) == ([4, 7][:k], [1, 0][:k])
    with pytest.raises(CorruptCollectionError, match="image 5"):
        open_index(kind, [broken], 2, like=index)


@each_kind
def test_rows_of_another_width_are_refused(kind: str) -> None:
    with pytest.raises(CorruptCollectionError, match="width 2, not 3"):
        open_index(kind, [shard([[1, 0]])], 3)


@pytest.mark.parametrize(
    ("ids", "rows", "dead"),
    [
        (np.arange(2), np.zeros((2, 3), np.float32), NONE_DEAD),
        (np.arange(2), np.zeros(2, np.float16), NONE_DEAD),
        (np.arange(2), np.zeros((3, 2), np.float16).T[:2], NONE_DEAD),
        (np.arange(3), np.zeros((2, 3), np.float16), NONE_DEAD),
        (np.arange(2, dtype=np.int32), np.zeros((2, 3), np.float16), NONE_DEAD),
        (np.array([1, 1]), np.zeros((2, 3), np.float16), NONE_DEAD),
        (np.array([2, 1]), np.zeros((2, 3), np.float16), NONE_DEAD),
        (np.arange(2), np.zeros((2, 3), np.float16), np.array([2])),
        (np.arange(2), np.zeros((2, 3), np.float16), np.array([-1])),
        (np.arange(2), np.zeros((2, 3), np.float16), np.array([0.0])),
    ],
    ids=[
        "float32 rows",
        "rows in one dimension",
        "rows by column",
        "more ids than rows",
        "int32 ids",
        "an id twice",
        "ids that descend",
        "dead row past the end",
        "dead row before the start",
        "dead rows as floats",
    ],
)
def test_refused_segments(
    ids: npt.NDArray[np.int64], rows: npt.NDArray[np.float16], dead: npt.NDArray[np.uint32]
) -> None:
    with pytest.raises(CorruptCollectionError):
        Segment(ids, rows, dead)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="annoy"):
        open_index("annoy", [], 3)


def test_a_missing_faiss_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "imseek.data.vectors.faiss_index", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError) as caught:
        open_index("faiss", [], 3)
    assert caught.value.hint == "in imseek's folder: pip install '.[cpu]'"


@each_kind
def test_faiss_is_loaded_only_when_it_is_asked_for(kind: str) -> None:
    code = (
        "import sys; from imseek.data.vectors import open_index; assert 'faiss' not in sys.modules; "
        f"open_index({kind!r}, [], 3); assert ('faiss' in sys.modules) == ({kind!r} == 'faiss')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_of_zeros() -> None:
    rows = np.zeros((700_000 // 3, 3), np.float16)
    rows[[0, 5, 100_000, len(rows) - 1], [0, 1, 2, 2]] = 6e-8  # the least above zero
    expected = np.setdiff1d(np.arange(len(rows)), [0, 5, 100_000, len(rows) - 1])
    assert (zero_rows(rows) == expected).all()
    assert zero_rows(rows[:0]).tolist() == []

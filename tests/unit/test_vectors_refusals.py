"""What vector indexes and their segments refuse, and what a missing FAISS says."""

from __future__ import annotations

import builtins
import dataclasses
import errno
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

from imseek.data.vectors import Segment, mmap_residency, open_index, snapshot_build
from imseek.data.vectors.build import LiveRows
from imseek.data.vectors.index_kinds import choose_factory, code_of, with_lists
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
        open_index(kind, [broken], 2, previous=index)


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


def test_a_missing_faiss_names_the_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "imseek.data.vectors.faiss_index", raising=False)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError) as caught:
        open_index("faiss", [], 3)
    assert caught.value.hint == "in imseek's folder: pip install ."


@each_kind
def test_faiss_is_loaded_only_when_it_is_asked_for(kind: str) -> None:
    code = (
        "import sys; from imseek.data.vectors import open_index; assert 'faiss' not in sys.modules; "
        f"open_index({kind!r}, [], 3); assert ('faiss' in sys.modules) == ({kind!r} == 'faiss')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_few_rows_load_faiss_for_many_queries_only() -> None:
    code = (
        "import sys, numpy as np; from imseek.data.vectors import Segment, open_index\n"
        "from imseek.data.vectors.exact_index import MAX_NUMBERS\n"
        "def opened(n):\n"
        "    rows = np.ones((n, 512), np.float16)\n"
        "    return open_index('auto', [Segment(np.arange(n), rows, np.empty(0, np.uint32))], 512)\n"
        "few = opened(MAX_NUMBERS // 512)\n"
        "queries = np.full((16, 512), 512**-0.5, np.float32)\n"
        "one = few.search(queries[:15], 3)\n"
        "assert 'faiss' not in sys.modules\n"
        "many = few.search(queries, 3)\n"
        "assert 'faiss' in sys.modules\n"
        "assert [m.ids.tolist() for m in many[:15]] == [m.ids.tolist() for m in one] == [[0, 1, 2]] * 15\n"
        "assert type(opened(MAX_NUMBERS // 512 + 1)).__name__ == 'FaissIndex'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_of_zeros() -> None:
    rows = np.zeros((700_000 // 3, 3), np.float16)
    rows[[0, 5, 100_000, len(rows) - 1], [0, 1, 2, 2]] = 6e-8  # the least above zero
    expected = np.setdiff1d(np.arange(len(rows)), [0, 5, 100_000, len(rows) - 1])
    assert (zero_rows(rows) == expected).all()
    assert zero_rows(rows[:0]).tolist() == []


def test_a_faiss_that_lacks_a_module_of_its_own_is_not_called_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Installing it is no advice to somebody who has it."""
    real = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'numpy.lost'", name="numpy.lost")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModuleNotFoundError, match=r"numpy\.lost"):
        open_index("faiss", [], 3)


@pytest.mark.parametrize(
    ("dim", "memory", "expected"),
    [
        (512, 10**9, "OPQ256,IVF4096,PQ256x4fs"),
        (512, 150 * 10**6, "OPQ128,IVF4096,PQ128x4fs"),
        (512, 120 * 10**6, "OPQ64,IVF4096,PQ64x4fs"),
        (509, 10**10, "OPQ255_510,IVF4096,PQ255x4fs"),
        (1267, 10**10, "OPQ634_1268,IVF4096,PQ634x4fs"),
    ],
)
def test_the_kind_of_index_that_fits(dim: int, memory: int, expected: str) -> None:
    """Any width can be divided: a rotation adds the dimensions that are missing."""
    found = choose_factory(1_000_000, dim, memory)
    assert found == expected
    assert code_of(found) == expected.rpartition(",")[2]
    assert with_lists(found, 64) == expected.replace("IVF4096", "IVF64")


@pytest.mark.parametrize(("dim", "least"), [(509, "0.1 GB"), (512, "0.1 GB")])
def test_no_index_fits_into_too_little_memory(dim: int, least: str) -> None:
    with pytest.raises(UsageError, match=f"of {dim} dimensions takes at least {least}"):
        choose_factory(1_000_000, dim, 1000)


def test_few_rows_are_scanned() -> None:
    assert choose_factory(100, 512, 1000) is None


def test_an_index_that_cannot_be_written_says_what_the_system_said() -> None:
    """FAISS would turn it into an error of its own, without a number."""
    index = faiss.IndexFlatIP(4)

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Broken(io.BytesIO):
        def write(self, data: Any) -> int:
            raise ValueError("a mistake of ours")

    with pytest.raises(OSError, match="No space left") as error:
        snapshot_build._write(index, Full())
    assert error.value.errno == errno.ENOSPC
    with pytest.raises(Exception, match="a mistake of ours"):
        snapshot_build._write(index, Broken())
    out = io.BytesIO()
    snapshot_build._write(index, out)
    assert out.getvalue() == faiss.serialize_index(index).tobytes()


def test_an_index_that_would_not_be_read_is_not_kept(tmp_path: Path) -> None:
    index = faiss.index_factory(4, "IVF2,Flat", faiss.METRIC_L2)
    (tmp_path / "faiss.index").write_bytes(faiss.serialize_index(index).tobytes())
    with pytest.raises(UsageError, match="FAISS made an index of the metric 1") as error:
        snapshot_build._check_kind(tmp_path / "faiss.index")
    assert "--index auto" in str(error.value.hint)


def test_a_system_that_does_not_tell_its_memory_is_not_trusted_to_have_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 0 < mmap_residency.resident_file_bytes() < 1 << 40

    def fail(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(builtins, "open", fail)
    assert mmap_residency.resident_file_bytes() == 1 << 62


def test_vectors_that_are_not_finite_are_named_where_an_index_is_made() -> None:
    rows = LiveRows([shard([[1, 0], [np.nan, 0]], first_id=4)])
    with pytest.raises(CorruptCollectionError, match="the vector of image 5 holds NaN or infinity"):
        rows.norm_range()

"""FAISS's layer for GPUs, on the CPU: what it takes, refuses and passes over, as faiss/gpu of 1.15 has it.

A fake index ignores selectors, so that dead and forbidden rows come along; it rounds queries to float16 where the real
one does; it selects 2,048 at most; it is not for two threads at a time. Cards have as much memory as a test gives them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from approximating import snapshot_of

from imseek.data.vectors import Matches, Segment, VectorIndex, faiss_index, gpu, open_index, placement_on
from imseek.data.vectors.index_kinds import unwrap_index
from imseek.data.vectors.index_metadata import SearchEffort, TuningResult

_MOST = 2048

Array = npt.NDArray[np.float32]

DIM = 32
ROOM = 1 << 30
#: Moves to a GPU, each of another class.
FACTORIES = ("Flat", "IVF16,Flat", "IVF16,SQ8", "IVF16,SQfp16", "IVF16,PQ2", "PCA24,IVF16,SQ8")
#: A few lists are probed, and a few candidates scored.
FEW = TuningResult(SearchEffort(6, 40), recall=0.9, queries=0)


class Cards:
    """``free`` bytes by card. ``searched`` has the card and the number of queries of each search, ``copied`` the cards
    that an index was copied to. ``broken`` is raised by searches."""

    def __init__(self, *free: int, slow: float = 0.0) -> None:
        self.free = list(free)
        self.slow = slow
        self.searched: list[tuple[int, int]] = []
        self.copied: list[int] = []
        self.broken: Exception | None = None
        self._busy = [threading.Lock() for _ in free]

    @contextmanager
    def busy(self, card: int, queries: int) -> Iterator[None]:
        assert self._busy[card].acquire(blocking=False), f"card {card} is used by two threads at a time"
        try:
            time.sleep(self.slow)
            if self.broken is not None:
                raise self.broken
            self.searched.append((card, queries))
            yield
        finally:
            self._busy[card].release()

    def install(self, monkeypatch: pytest.MonkeyPatch, *, cuvs: bool = False) -> Cards:
        gpu._gpu.cache_clear()
        monkeypatch.setattr(gpu, "MIN_QUERIES", 1)
        monkeypatch.setattr(faiss_index, "MIN_GPU_BYTES", 0)
        layer = {
            "get_num_gpus": lambda: len(self.free),
            "StandardGpuResources": type("StandardGpuResources", (), {}),
            "GpuClonerOptions": lambda: SimpleNamespace(useFloat16=False),
            "GpuMultipleClonerOptions": lambda: SimpleNamespace(useFloat16=False, shard=False),
            "index_cpu_to_gpu": self._to_one,
            "index_cpu_to_gpu_multiple_py": self._to_several,
        }
        if cuvs:
            layer |= {
                "GpuIndexCagraConfig": lambda: SimpleNamespace(graph_degree=64, intermediate_graph_degree=128),
                "GpuIndexCagra": _Cagra,
                "SearchParametersCagra": lambda: SimpleNamespace(itopk_size=64),
            }
        for name, value in layer.items():
            monkeypatch.setattr(faiss, name, value, raising=False)
        return self

    def _to_one(self, resources: Any, card: int, index: Any, options: Any) -> GpuIndex:
        assert isinstance(resources, faiss.StandardGpuResources)
        _takes(index)
        self._take(card, _bytes(index), index)
        self.copied.append(card)
        return GpuIndex(self, [card], [_cloned(index)])

    def _to_several(self, resources: Sequence[Any], index: Any, options: Any, cards: list[int]) -> GpuIndex:
        assert options.shard
        assert len(resources) == len(cards)
        _takes(index)
        if not isinstance(index, faiss.IndexIVF):
            raise RuntimeError("Error in clone_Index at c.cpp:1: Error: 'false' failed: not implemented on several")
        parts = []
        for n, card in enumerate(cards):
            part = faiss.clone_index(index)
            part.reset()
            index.copy_subset_to(part, faiss.InvertedLists.SUBSET_TYPE_ID_MOD, len(cards), n)
            self._take(card, _bytes(part), part)
            parts.append(part)
        self.copied += cards
        return GpuIndex(self, cards, parts)

    def _take(self, card: int, size: int, index: Any) -> None:
        if size > self.free[card]:
            raise RuntimeError(
                "Error in faiss::gpu::alloc at /faiss/gpu/StandardGpuResources.cpp:1: Error: 'err == cudaSuccess' "
                f"failed: cudaMalloc error out of memory [2] for {size} bytes"
            )
        self.free[card] -= size


class GpuIndex:
    """What FAISS hands back: one index, on one card or in parts on several."""

    def __init__(self, cards: Cards, numbers: Sequence[int], parts: Sequence[Any]) -> None:
        self._cards = cards
        self._numbers = tuple(numbers)
        self._parts = tuple(parts)
        self._sizes = [_bytes(part) for part in parts]
        self.ntotal = sum(part.ntotal for part in parts)

    def __del__(self) -> None:
        for number, size in zip(self._numbers, self._sizes, strict=True):
            self._cards.free[number] += size

    def search(self, queries: Any, k: int, params: Any = None) -> tuple[Any, Any]:
        if k > _MOST or getattr(params, "nprobe", 0) > _MOST:
            raise RuntimeError("Error in validateKSelect at utils.cpp:1: Error: 'k <= 2048' failed: too many")
        if params is not None and getattr(params, "sel", None) is not None:
            params.sel = None
        found = []
        for number, part in zip(self._numbers, self._parts, strict=True):
            with self._cards.busy(number, len(queries)):
                found.append(self._search(part, queries, k, params))
        scores, ids = (np.concatenate(both, axis=1) for both in zip(*found, strict=True))
        order = np.argsort(np.where(ids < 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)

    @staticmethod
    def _search(part: Any, queries: Any, k: int, params: Any) -> tuple[Any, Any]:
        inner = unwrap_index(part)
        if isinstance(inner, faiss.IndexHNSWCagra):
            assert params.itopk_size >= k
            params = faiss.SearchParametersHNSW(efSearch=params.itopk_size)
        if isinstance(inner, faiss.IndexScalarQuantizer):
            queries = queries.astype(np.float16).astype(np.float32)
        found: tuple[Any, Any] = part.search(queries, k, params=params)
        return found


class _Cagra:
    """Builds what the real one builds, an HNSW of one level, by FAISS's own HNSW."""

    def __init__(self, resources: Any, dim: int, metric: int, settings: Any) -> None:
        assert metric == faiss.METRIC_INNER_PRODUCT
        assert settings.graph_degree < settings.intermediate_graph_degree
        self._rows = np.empty((0, dim), np.float32)

    def train(self, rows: Any) -> None:
        self._rows = rows.copy()

    def copyTo(self, graph: Any) -> None:  # noqa: N802 - FAISS's name
        graph.base_level_only = False  # which else takes no rows
        graph.add(self._rows)
        graph.base_level_only = True


def _cloned(index: Any) -> Any:
    """Flat codes are decoded and added, as FAISS does: they may be lent."""
    if isinstance(unwrap_index(index), faiss.IndexHNSWCagra):
        return index  # which FAISS's cloning would make a plain HNSW
    if not isinstance(index, faiss.IndexScalarQuantizer):
        return faiss.clone_index(index)
    made = faiss.IndexScalarQuantizer(index.d, faiss.ScalarQuantizer.QT_fp16, index.metric_type)
    made.train(np.zeros((1, index.d), np.float32))
    made.add(index.reconstruct_n(0, index.ntotal))
    return made


def _bytes(index: Any) -> int:
    inner = unwrap_index(index)
    return int(inner.ntotal) * int(getattr(inner, "code_size", 4 * inner.d))


def _takes(index: Any) -> None:
    """As ``ToGpuCloner::clone_Index``."""
    inner = unwrap_index(index)
    known = (faiss.IndexFlat, faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ)
    fp16 = isinstance(inner, faiss.IndexScalarQuantizer) and inner.sq.qtype == faiss.ScalarQuantizer.QT_fp16
    cagra = hasattr(faiss, "GpuIndexCagra") and isinstance(inner, faiss.IndexHNSWCagra)
    if not (isinstance(inner, known) or fp16 or cagra):
        raise RuntimeError("Error in clone_Index at c.cpp:1: Error: 'false' failed: not implemented on GPU")


# -- rows, and indexes of them -------------------------------------------------------------------------------


def unit(rows: Any) -> Array:
    made: Array = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return made


def some_rows(count: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, DIM))
    return unit(centres[rng.integers(0, 20, count)] + 0.7 * rng.standard_normal((count, DIM)))


def segment(rows: Any, first: int = 0, dead: Sequence[int] | npt.NDArray[Any] = ()) -> Segment:
    stored = np.ascontiguousarray(np.asarray(rows).astype(np.float16))
    return Segment(np.arange(first, first + len(stored)), stored, np.array(dead, np.uint32))


def placed(kind: str, segments: Sequence[Segment], device: str = "all", **more: Any) -> VectorIndex:
    return open_index(kind, segments, DIM, placement=placement_on(device), **more)


def assert_same(found: Sequence[Matches], expected: Sequence[Matches]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.scores.tolist() == other.scores.tolist()


def pair(
    segments: Sequence[Segment], factory: str, built_of: Sequence[Segment], device: str = "all"
) -> tuple[VectorIndex, VectorIndex]:
    """The same snapshot on the CPU and on cards."""
    snapshot = snapshot_of(built_of, DIM, factory=factory, tuned=FEW)
    return open_index("faiss", segments, DIM, snapshot=snapshot), placed("faiss", segments, device, snapshot=snapshot)

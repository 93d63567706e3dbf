"""Get candidates from GPUs: copy FAISS indexes to the GPUs that a user names, and fall back to the CPU.

A copy only proposes candidates. Like the CPU's, they are scored by the stored rows and checked against what is live and
allowed. FAISS's GPU indexes silently ignore selectors, so dead and forbidden rows come along. Therefore more rows are
fetched, in proportion to the share that passes; a query left with too few is repeated on the CPU, which supports
selectors.

A copy costs more than a search, so an index is copied only after ``MIN_QUERIES`` queries: a command with one query
never pays for it. Where a GPU is missing, a kind is not for GPUs, memory is short or the library fails, the CPU
answers, and :attr:`Placement.note` says why.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import faiss
import numpy as np

from imseek.data.vectors.base import Bools, Float16, Ids
from imseek.data.vectors.fp16_flat_index import wrap_flat_index
from imseek.data.vectors.index_kinds import list_count, search_parameters, unwrap_index
from imseek.types.arrays import Float32

#: Queries before an index is copied to a GPU.
MIN_QUERIES: Final = 32
#: Maximum results and lists that FAISS's kernels select (faiss/gpu/utils/DeviceDefs.cuh).
MAX_SELECTED: Final = 2048
#: Factor and number of additional candidates where some rows are filtered out.
_SPARE: Final = (1.25, 16)
#: Minimum queries per GPU for dividing a batch among replicas.
_MIN_QUERIES_PER_GPU: Final = 8

#: Marks which of some ids or row numbers may be found.
IdPredicate = Callable[[Ids], Bools]


def gpu_count() -> int:
    """Return how many GPUs this FAISS sees; 0 for a build without GPU code."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def has_cagra() -> bool:
    """Whether this FAISS was built with NVIDIA's cuVS, which provides CAGRA."""
    return hasattr(faiss, "GpuIndexCagra")


def gpu_numbers(device: str) -> tuple[int, ...]:
    """Return the numbers of the GPUs that ``device`` names: ``cuda`` (the first), ``cuda:1``, ``cuda:0,1`` or ``all``.

    Raises LookupError, with the reason, where one of them does not exist.
    """
    count = gpu_count()
    if not count:
        built = hasattr(faiss, "StandardGpuResources")
        raise LookupError("FAISS sees no GPU" if built else "this FAISS was built without GPU support")
    if device == "all":
        return tuple(range(count))
    numbers = sorted({int(number) for number in re.findall(r"\d+", device)}) or [0]
    if numbers[-1] >= count:
        raise LookupError(f"there is no cuda:{numbers[-1]}, only {count} GPU{'s' if count > 1 else ''}")
    return tuple(numbers)


def gpu_search_parameters(index: Any, count: int, probe: int) -> Any:
    """Return the search parameters for a copy of ``index``."""
    if type(inner := unwrap_index(index)) is not faiss.IndexHNSWCagra:
        return search_parameters(index, probe)
    parameters = faiss.SearchParametersCagra()  # Needs no wrapper: a CAGRA graph is only wrapped in an id map.
    parameters.itopk_size = max(count, min(probe, inner.ntotal))
    return parameters


def gpu_refusal(index: Any) -> str | None:
    """Return why no GPU can search a FAISS index of the CPU; None where one should be able to."""
    inner = unwrap_index(index)  # The outer index keeps it alive.
    kind = type(inner)
    if kind is faiss.IndexHNSWCagra:
        return None if has_cagra() else "a CAGRA graph needs a FAISS that was built with cuVS"
    if kind is faiss.IndexScalarQuantizer and inner.sq.qtype == faiss.ScalarQuantizer.QT_fp16:
        return None
    if kind in (faiss.IndexFlatIP, faiss.IndexFlat):
        return None
    if kind is faiss.IndexIVFPQ and inner.pq.nbits != 8:
        return "GPUs take product quantizers of 8 bits only"
    if kind in (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ):
        flat = isinstance(faiss.downcast_index(inner.quantizer), faiss.IndexFlat)
        return None if flat else "GPUs take inverted files whose centres are a flat list only"
    ivf = f"IVF{list_count(inner.ntotal)},SQ8"
    return f"no GPU supports {kind.__name__.removeprefix('Index')}; `imseek maintain --index {ivf}` builds one for it"


@dataclass(frozen=True, slots=True, eq=False)
class _Gpu:
    """A GPU's resources, which two threads must not use at the same time, not even for searches."""

    resources: Any
    lock: threading.Lock


@cache
def _gpu(number: int) -> _Gpu:
    """Return a GPU's resources, once per process: each takes up to 1.5 GiB of the GPU for transferring results."""
    return _Gpu(faiss.StandardGpuResources(), threading.Lock())


@dataclass(frozen=True, slots=True, eq=False)
class _GpuCopy:
    """An index on one GPU, or one that FAISS has split over several; row 0 is row ``offset`` of the original."""

    index: Any
    cards: tuple[int, ...]
    offset: int = 0

    def search(self, queries: Float32, k: int, parameters: Any) -> tuple[Float32, Ids]:
        with ExitStack() as stack:
            for number in self.cards:  # Always ascending, to avoid a deadlock.
                stack.enter_context(_gpu(number).lock)
            scores, ids = self.index.search(queries, k, params=parameters)
        return scores, np.where(ids < 0, ids, ids + self.offset)


class GpuCopies:
    """Replicas, where any one answers a query, or shards (``merged``), where each answers for its own rows."""

    def __init__(self, copies: Sequence[_GpuCopy], *, merged: bool = False) -> None:
        self._copies = tuple(copies)
        self._merged = merged
        self._turns = itertools.count()

    def search(self, queries: Float32, k: int, parameters: Any = None) -> tuple[Float32, Ids]:
        """Return scores and ids, both (q, k), best first; id -1 where there are fewer. Raises what FAISS raises."""
        copies = self._copies
        if self._merged:
            answers = _run_in_parallel([partial(copy.search, queries, k, parameters) for copy in copies])
            scores, ids = (np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True))
            order = np.argsort(np.where(ids < 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
            return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
        if len(copies) > 1 and len(queries) >= _MIN_QUERIES_PER_GPU * len(copies):
            shares = zip(copies, np.array_split(queries, len(copies)), strict=True)
            answers = _run_in_parallel([partial(copy.search, share, k, parameters) for copy, share in shares])
            return np.concatenate([a[0] for a in answers]), np.concatenate([a[1] for a in answers])
        return copies[next(self._turns) % len(copies)].search(queries, k, parameters)


def _run_in_parallel(calls: Sequence[Callable[[], tuple[Float32, Ids]]]) -> list[tuple[Float32, Ids]]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@dataclass(slots=True, eq=False)
class _IndexPlacement:
    """The state of an index: ``queries`` counts those before it is copied, ``reason`` says why it is not.

    ``remark`` says why the CPU answered some query all the same.
    """

    queries: int = 0
    is_copying: bool = False
    copies: GpuCopies | None = None
    reason: str | None = None
    remark: str | None = None


class Placement:
    """The GPUs that the user wants, and the indexes copied to them. Safe to use from several threads.

    ``device`` is ``cuda``, ``cuda:N``, ``cuda:N,M`` or ``all``. An index is copied to each of the GPUs; where one has
    no room for it, it is split over all of them.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._device_fault: str | None = None
        try:
            gpu_numbers(device)
        except Exception as error:
            self._device_fault = _short_message(error)
        self._lock = threading.Lock()
        self._places: WeakKeyDictionary[Any, _IndexPlacement] = WeakKeyDictionary()

    @property
    def note(self) -> str | None:
        """Why the CPU answers against the user's wish, or None."""
        with self._lock:
            places = list(self._places.values())
        reasons = [self._device_fault, *(place.reason or place.remark for place in places)]
        reason = next(filter(None, reasons), None)
        return None if reason is None else f"vectors are searched on the CPU: {reason}"

    def copies(self, index: Any, queries: int) -> GpuCopies | None:
        """Count ``queries`` to an index and return its copies; None where the CPU must answer."""
        if self._device_fault:
            return None
        with self._lock:
            place = self._places.get(index)
            if place is None:
                place = self._places[index] = _IndexPlacement(reason=gpu_refusal(index))
            place.queries += queries
            if place.copies is not None or place.reason or place.is_copying or place.queries < MIN_QUERIES:
                return place.copies
            place.is_copying = True
        # Meanwhile the CPU answers other threads.
        copies, reason = None, None
        try:
            copies = _copy_to_gpus(index, gpu_numbers(self._device))
        except Exception as error:  # Whatever the library raises, the CPU can answer.
            reason = f"the index cannot be copied to {self._device} ({_short_message(error)})"
        with self._lock:
            place.is_copying, place.copies, place.reason = False, copies, reason
        return copies

    def failed(self, index: Any, error: BaseException) -> None:
        """Record that a GPU failed: from now on the CPU answers for ``index``."""
        with self._lock:
            place = self._places.setdefault(index, _IndexPlacement())
            place.copies, place.reason = None, f"{self._device} failed ({_short_message(error)})"

    def _remark(self, index: Any, remark: str) -> None:
        with self._lock:
            self._places.setdefault(index, _IndexPlacement(reason=gpu_refusal(index))).remark = remark

    def draw(
        self,
        index: Any,
        queries: Float32,
        count: int,
        passing: IdPredicate | None = None,
        share: float = 1.0,
        probe: int | None = None,
    ) -> GpuCandidates | None:
        """Return the ``count`` best of the rows that pass, which are a ``share`` of all; None where the CPU must
        answer."""
        if probe is not None and probe > MAX_SELECTED and isinstance(unwrap_index(index), faiss.IndexIVF):
            if passing is None:
                self._remark(index, f"{probe:,} lists are to be probed, and a GPU probes {MAX_SELECTED:,}")
            return None
        fetch = count if passing is None else math.ceil(count / max(share, 1e-9) * _SPARE[0]) + _SPARE[1]
        fetch = max(count, min(fetch, index.ntotal))
        if fetch > MAX_SELECTED or (copies := self.copies(index, len(queries))) is None:
            return None
        try:
            parameters = None if probe is None else gpu_search_parameters(index, fetch, probe)
            scores, ids = copies.search(queries, fetch, parameters)
        except Exception as error:
            self.failed(index, error)
            return None
        passes = ids >= 0
        if passing is not None:
            passes &= passing(ids.reshape(-1)).reshape(ids.shape)
        # Either enough candidates passed, or there were no more.
        is_complete = (passes.sum(axis=1) >= count) | (ids < 0).any(axis=1) | (fetch == index.ntotal)
        first = np.argsort(~passes, axis=1, kind="stable")[:, :count]
        ids = np.where(passes, ids, -1)
        return GpuCandidates(np.take_along_axis(scores, first, 1), np.take_along_axis(ids, first, 1), is_complete)


@dataclass(frozen=True, slots=True, eq=False)
class GpuCandidates:
    """``scores`` float32 and ``ids`` int64, both (q, count), best first, with id -1 for none.

    ``is_complete`` (q,) says whether these are the best of the passing rows, according to the index.
    """

    scores: Float32
    ids: Ids
    is_complete: Bools


def _copy_to_gpus(index: Any, cards: tuple[int, ...]) -> GpuCopies:
    """Copy an index to each GPU, or split it over all. Raises what FAISS raises."""
    try:
        return GpuCopies([_GpuCopy(_copy_to_gpu(index, number), (number,)) for number in cards])
    except Exception:
        if len(cards) == 1:
            raise
    if type(index) is faiss.IndexScalarQuantizer:  # FAISS cannot split this kind.
        rows = _codes(index)
        edges = [len(rows) * n // len(cards) for n in range(len(cards) + 1)]
        return GpuCopies(
            [
                _GpuCopy(_copy_to_gpu(wrap_flat_index(rows[start:stop]), number), (number,), start)
                for number, start, stop in zip(cards, edges[:-1], edges[1:], strict=True)
            ],
            merged=True,
        )
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    options.useFloat16 = True
    resources = [_gpu(number).resources for number in cards]
    with ExitStack() as stack:
        for number in cards:
            stack.enter_context(_gpu(number).lock)
        spread = faiss.index_cpu_to_gpu_multiple_py(resources, index, options, list(cards))
    return GpuCopies([_GpuCopy(spread, cards)])


def _copy_to_gpu(index: Any, number: int) -> Any:
    options = faiss.GpuClonerOptions()
    options.useFloat16 = True  # For the tables of product quantizers, which do not fit otherwise for long codes.
    card = _gpu(number)
    with card.lock:
        return faiss.index_cpu_to_gpu(card.resources, number, index, options)


def _codes(index: Any) -> Float16:
    """Return the codes of a flat fp16 index: a view (n, width) of its memory."""
    memory = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    return np.asarray(memory).view(np.float16).reshape(index.ntotal, index.d)


def _short_message(error: BaseException) -> str:
    """Shorten an error to one line; FAISS names the place in its sources before the message."""
    text = " ".join(str(error).split())
    return text.rpartition("failed: ")[2][:160] or type(error).__name__

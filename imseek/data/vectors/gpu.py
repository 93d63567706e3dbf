"""Candidates from GPUs: copies of FAISS indexes on the cards that a user names, and the way back where that fails.

A copy only proposes. Whatever it proposes is scored by the stored rows, and checked against what is live and allowed,
where the CPU's proposals are: FAISS's indexes on GPUs pass over selectors in silence, so that the dead and the
forbidden come along. More are fetched, then, than are wanted, in proportion to the share that passes; a query that is
left with too few is asked again on the CPU, which takes selectors.

Copies cost more than a search, so that an index moves once it has been asked ``WORTH`` queries: a command that asks one
never pays for it. Where a card is missing, a kind is not for GPUs, memory is short or the library fails, the CPU
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
from imseek.data.vectors.fp16 import lent
from imseek.data.vectors.index_kinds import list_count, parameters, within
from imseek.types import Float32

#: Queries before an index is copied to a card.
WORTH: Final = 32
#: Results and lists that FAISS's kernels select at most (faiss/gpu/utils/DeviceDefs.cuh).
MOST: Final = 2048
#: What is fetched beyond the proportion where some rows may not be found.
_SPARE: Final = (1.25, 16)
#: Queries for each card from which on a batch is divided among replicas.
_DIVIDED: Final = 8

#: Which of some ids or row numbers may be found.
Passing = Callable[[Ids], Bools]


def card_count() -> int:
    """How many cards this FAISS sees. 0 for a build without code for GPUs."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def has_cagra() -> bool:
    """Whether this FAISS was built with NVIDIA's cuVS, which has CAGRA."""
    return hasattr(faiss, "GpuIndexCagra")


def cards_of(device: str) -> tuple[int, ...]:
    """The numbers of the cards that ``device`` names: ``cuda`` (the first), ``cuda:1``, ``cuda:0,1`` or ``all``.

    Raises LookupError, with the reason, where one of them is not there.
    """
    there = card_count()
    if not there:
        built = hasattr(faiss, "StandardGpuResources")
        raise LookupError("FAISS sees no GPU" if built else "this FAISS was built without code for GPUs")
    if device == "all":
        return tuple(range(there))
    wanted = sorted({int(number) for number in re.findall(r"\d+", device)}) or [0]
    if wanted[-1] >= there:
        raise LookupError(f"there is no cuda:{wanted[-1]}, only {there} GPU{'s' if there > 1 else ''}")
    return tuple(wanted)


def parameters_for(index: Any, count: int, probe: int) -> Any:
    """The parameters of a search of a copy of ``index``."""
    if type(inner := within(index)) is not faiss.IndexHNSWCagra:
        return parameters(index, probe)
    chosen = (
        faiss.SearchParametersCagra()
    )  # No wrapper passes over them: a CAGRA graph has only ids around it.
    chosen.itopk_size = max(count, min(probe, inner.ntotal))
    return chosen


def refusal(index: Any) -> str | None:
    """Why no GPU takes a FAISS index on the CPU; None where one should."""
    inner = within(index)  # which the outer one keeps alive
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
    other = f"IVF{list_count(inner.ntotal)},SQ8"
    return f"no GPU takes {kind.__name__.removeprefix('Index')}; `imseek maintain --index {other}` builds one for it"


@dataclass(frozen=True, slots=True, eq=False)
class _Card:
    """A card's resources, which are not for two threads at a time, not even for searches."""

    resources: Any
    lock: threading.Lock


@cache
def _card(number: int) -> _Card:
    """One for the process: each keeps up to 1.5 GiB of the card for passing results."""
    return _Card(faiss.StandardGpuResources(), threading.Lock())


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """An index on one card, or one that FAISS has spread over several; row 0 is row ``offset`` of the original."""

    index: Any
    cards: tuple[int, ...]
    offset: int = 0

    def search(self, queries: Float32, k: int, parameters: Any) -> tuple[Float32, Ids]:
        with ExitStack() as stack:
            for number in self.cards:  # ascending everywhere, so that nobody waits for ever
                stack.enter_context(_card(number).lock)
            scores, ids = self.index.search(queries, k, params=parameters)
        return scores, np.where(ids < 0, ids, ids + self.offset)


class Copies:
    """Replicas, of which any one answers, or shards (``merged``), of which each answers for its rows."""

    def __init__(self, copies: Sequence[_Copy], *, merged: bool = False) -> None:
        self._copies = tuple(copies)
        self._merged = merged
        self._turns = itertools.count()

    def search(self, queries: Float32, k: int, parameters: Any = None) -> tuple[Float32, Ids]:
        """Scores and ids, both (q, k), best first; -1 where there are fewer. Raises what FAISS raises."""
        copies = self._copies
        if self._merged:
            answers = _at_once([partial(copy.search, queries, k, parameters) for copy in copies])
            scores, ids = (np.concatenate(parts, axis=1) for parts in zip(*answers, strict=True))
            order = np.argsort(np.where(ids < 0, np.inf, -scores), axis=1, kind="stable")[:, :k]
            return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
        if len(copies) > 1 and len(queries) >= _DIVIDED * len(copies):
            shares = zip(copies, np.array_split(queries, len(copies)), strict=True)
            answers = _at_once([partial(copy.search, share, k, parameters) for copy, share in shares])
            return np.concatenate([a[0] for a in answers]), np.concatenate([a[1] for a in answers])
        return copies[next(self._turns) % len(copies)].search(queries, k, parameters)


def _at_once(calls: Sequence[Callable[[], tuple[Float32, Ids]]]) -> list[tuple[Float32, Ids]]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


@dataclass(slots=True, eq=False)
class _Place:
    """Where an index is: ``asked`` counts queries until it moves, ``reason`` says why it does not, ``remark`` why the
    CPU answered some query all the same."""

    asked: int = 0
    moving: bool = False
    copies: Copies | None = None
    reason: str | None = None
    remark: str | None = None


class Placement:
    """What the user wants done by which cards, and what has come of it. Safe to use from several threads.

    ``device`` is ``cuda``, ``cuda:N``, ``cuda:N,M`` or ``all``. An index is copied to each of the cards; where one
    has no room for it, it is spread over all of them.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._missing: str | None = None
        try:
            cards_of(device)
        except Exception as error:
            self._missing = _line(error)
        self._lock = threading.Lock()
        self._places: WeakKeyDictionary[Any, _Place] = WeakKeyDictionary()

    @property
    def note(self) -> str | None:
        """Why the CPU answers, where it does so against the user's wish."""
        with self._lock:
            places = list(self._places.values())
        reasons = [self._missing, *(place.reason or place.remark for place in places)]
        reason = next(filter(None, reasons), None)
        return None if reason is None else f"vectors are searched on the CPU: {reason}"

    def copies(self, index: Any, queries: int) -> Copies | None:
        """The copies of an index that is asked ``queries`` times; None where the CPU shall answer."""
        if self._missing:
            return None
        with self._lock:
            place = self._places.get(index)
            if place is None:
                place = self._places[index] = _Place(reason=refusal(index))
            place.asked += queries
            if place.copies is not None or place.reason or place.moving or place.asked < WORTH:
                return place.copies
            place.moving = True
        # Others are answered by the CPU meanwhile.
        copies, reason = None, None
        try:
            copies = _copied(index, cards_of(self._device))
        except Exception as error:  # whatever the library may raise: the CPU has the answer
            reason = f"the index cannot be copied to {self._device} ({_line(error)})"
        with self._lock:
            place.moving, place.copies, place.reason = False, copies, reason
        return copies

    def failed(self, index: Any, error: BaseException) -> None:
        """From now on the CPU answers for ``index``."""
        with self._lock:
            place = self._places.setdefault(index, _Place())
            place.copies, place.reason = None, f"{self._device} failed ({_line(error)})"

    def _remark(self, index: Any, remark: str) -> None:
        with self._lock:
            self._places.setdefault(index, _Place(reason=refusal(index))).remark = remark

    def draw(
        self,
        index: Any,
        queries: Float32,
        count: int,
        passing: Passing | None = None,
        share: float = 1.0,
        probe: int | None = None,
    ) -> Drawn | None:
        """The ``count`` best of the rows that pass, of which there is a ``share``; None where the CPU shall answer."""
        if probe is not None and probe > MOST and isinstance(within(index), faiss.IndexIVF):
            if passing is None:
                self._remark(index, f"{probe:,} lists are to be probed, and a GPU probes {MOST:,}")
            return None
        fetch = count if passing is None else math.ceil(count / max(share, 1e-9) * _SPARE[0]) + _SPARE[1]
        fetch = max(count, min(fetch, index.ntotal))
        if fetch > MOST or (copies := self.copies(index, len(queries))) is None:
            return None
        try:
            chosen = None if probe is None else parameters_for(index, fetch, probe)
            scores, ids = copies.search(queries, fetch, chosen)
        except Exception as error:
            self.failed(index, error)
            return None
        passed = ids >= 0
        if passing is not None:
            passed &= passing(ids.reshape(-1)).reshape(ids.shape)
        # Either enough of them passed, or all was drawn that there was to draw.
        enough = (passed.sum(axis=1) >= count) | (ids < 0).any(axis=1) | (fetch == index.ntotal)
        first = np.argsort(~passed, axis=1, kind="stable")[:, :count]
        ids = np.where(passed, ids, -1)
        return Drawn(np.take_along_axis(scores, first, 1), np.take_along_axis(ids, first, 1), enough)


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """``scores`` float32 and ``ids`` int64 (q, count), best first, -1 for none; ``enough`` (q,) says whether these are
    the best of those that pass, as far as the index tells."""

    scores: Float32
    ids: Ids
    enough: Bools


def _copied(index: Any, cards: tuple[int, ...]) -> Copies:
    """Raises what FAISS raises where it cannot be copied."""
    try:
        return Copies([_Copy(_on_card(index, number), (number,)) for number in cards])
    except Exception:
        if len(cards) == 1:
            raise
    if type(index) is faiss.IndexScalarQuantizer:  # FAISS spreads other kinds only.
        rows = _codes(index)
        edges = [len(rows) * n // len(cards) for n in range(len(cards) + 1)]
        return Copies(
            [
                _Copy(_on_card(lent(rows[start:stop]), number), (number,), start)
                for number, start, stop in zip(cards, edges[:-1], edges[1:], strict=True)
            ],
            merged=True,
        )
    options = faiss.GpuMultipleClonerOptions()
    options.shard = True
    options.useFloat16 = True
    resources = [_card(number).resources for number in cards]
    with ExitStack() as stack:
        for number in cards:
            stack.enter_context(_card(number).lock)
        spread = faiss.index_cpu_to_gpu_multiple_py(resources, index, options, list(cards))
    return Copies([_Copy(spread, cards)])


def _on_card(index: Any, number: int) -> Any:
    options = faiss.GpuClonerOptions()
    options.useFloat16 = True  # the tables of product quantizers, which else do not fit for long codes
    card = _card(number)
    with card.lock:
        return faiss.index_cpu_to_gpu(card.resources, number, index, options)


def _codes(index: Any) -> Float16:
    """(n, width): the codes of a flat fp16 index, as it holds them."""
    memory = faiss.rev_swig_ptr(index.codes.data(), index.ntotal * index.code_size)
    return np.asarray(memory).view(np.float16).reshape(index.ntotal, index.d)


def _line(error: BaseException) -> str:
    """FAISS says where in its sources, then what."""
    text = " ".join(str(error).split())
    return text.rpartition("failed: ")[2][:160] or type(error).__name__

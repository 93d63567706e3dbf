"""Classify candidates: which kind of pair, how certain, and how the second picture is turned.

Hash and vector propose; pixels decide (:mod:`imseek.duplicates.pixels.pair_judge`). A candidate is compared if its
hashes or vectors are near enough for a copy. Candidates are compared in batches, in threads or in other processes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from imseek.duplicates.part_cache import ColumnKind
from imseek.duplicates.pixels.differences import PACKED_PLACES, PackedPlaces, pack_places
from imseek.duplicates.pixels.judge_processes import JudgeProcesses
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.pair_judge import Positions, judge_pairs
from imseek.duplicates.pixels.verdict import DEFAULTS, Thresholds, Verdict, judge_unread
from imseek.map_ahead import map_ahead
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

#: Returns the small picture at a position; None if it can no longer be read.
LoadLuminance: TypeAlias = Callable[[int], SmallLuminance | None]
JudgePairs: TypeAlias = Callable[..., list["Verdict"]]

_T = TypeVar("_T")

#: Progress phase, which counts candidate pairs.
PHASE: Final = "comparing pairs"
#: Candidates compared together, in the first batch and, after it has doubled with each, in later ones: so the first
#: groups are found early.
_FIRST_BATCH: Final = 32
_BATCH: Final = 256
#: Most candidates of one likely group that are compared together.
MOST_TOGETHER: Final = 8 * _BATCH
#: Batches compared at the same time: most of the time NumPy and the decoders do not hold the interpreter lock.
_THREADS: Final = min(4, os.cpu_count() or 1)
#: Processes judge more candidates than this; they take longer to begin.
_IN_THREADS: Final = 1280


#: Columns of :class:`ClassifiedPairs` that come from the candidates, and those that come from the verdicts on them.
CANDIDATE_COLUMNS: Final[dict[str, ColumnKind]] = {
    "a": np.int64,
    "b": np.int64,
    "distance": np.uint8,
    "cosine": np.float32,
}
VERDICT_COLUMNS: Final[dict[str, ColumnKind]] = {
    "kind": np.uint8,
    "confidence": np.float32,
    "orientation": np.uint8,
    "correlation": np.float32,
    "agreement": np.float32,
    "overlap": np.float32,
    "places": PACKED_PLACES,
}


@dataclass(frozen=True, slots=True)
class ClassifiedPairs:
    """n classified pairs, as arrays.

    ``a``, ``b`` int64 positions, ``kind`` uint8 (position in ``KINDS``), ``confidence`` float32, ``distance`` and
    ``orientation`` uint8; ``cosine``, and ``correlation``, ``agreement`` and ``overlap`` as in :class:`Registration`,
    float32, NaN if unknown. ``places`` are as of :func:`imseek.duplicates.pixels.differences.pack_places`.

    ``looked`` counts candidates whose pixels were compared, ``unread`` those with unreadable pictures, ``unseen`` those
    beyond the limit; with ``fast``, no pixels were to be compared. If ``interrupted``, the pairs are those of the first
    ``done`` candidates. ``verdicts`` are those on the pairs, if they were made now and not read from a cache.
    """

    a: Positions
    b: Positions
    kind: npt.NDArray[np.uint8]
    confidence: Float32
    distance: npt.NDArray[np.uint8]
    orientation: npt.NDArray[np.uint8]
    cosine: Float32
    correlation: Float32
    agreement: Float32
    overlap: Float32
    places: PackedPlaces
    looked: int
    unread: int
    done: int
    interrupted: bool = False
    unseen: int = 0
    fast: bool = False
    verdicts: Sequence[Verdict] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        reasons = (
            (self.unread, "since a picture could not be read"),
            (self.unseen, "without comparing pixels" if self.fast else "since there are too many"),
        )
        return tuple(
            f"{count:,} candidates were judged by hash and vector alone, {reason}: less sure"
            for count, reason in reasons
            if count
        )


@dataclass(frozen=True, slots=True, eq=False)
class ClassifiedBatch:
    """The candidates at ``rows``, which were decided together: the ``pairs`` among them, the row of each pair, and the
    rows of candidates with an unreadable picture. ``done`` of the pairs counts all candidates decided so far."""

    rows: slice
    pairs: ClassifiedPairs
    pair_rows: Positions
    unread_rows: Positions


def classify(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    load: LoadLuminance,
    *,
    thresholds: Thresholds = DEFAULTS,
    judge: JudgePairs | None = None,
    groups: Positions | None = None,
    task: Task = SILENT,
) -> ClassifiedPairs:
    """Find the pairs among n candidates, given as arrays (n,); unknown distances are 64 and unknown cosines NaN.

    ``load`` is called by several threads; candidates with the same ``a`` should be adjacent. ``judge`` is what
    :func:`judging` yields, by default :func:`judge_pairs`. Adjacent candidates of one of ``groups`` (n,) are compared
    together, since what is found out about some of them helps with others. Where the task is cancelled, the result is
    ``interrupted``.
    """
    candidates = a, b, distance, orientation, cosine
    batches = [
        batch.pairs
        for batch in classify_batches(*candidates, load, thresholds=thresholds, judge=judge, groups=groups, task=task)
    ]
    done = batches[-1].done if batches else 0
    return ClassifiedPairs(
        **join_columns(batches),
        looked=sum(pairs.looked for pairs in batches),
        unread=sum(pairs.unread for pairs in batches),
        done=done,
        interrupted=done < len(a),
        verdicts=[verdict for pairs in batches for verdict in pairs.verdicts],
    )


def classify_batches(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    load: LoadLuminance,
    *,
    thresholds: Thresholds = DEFAULTS,
    judge: JudgePairs | None = None,
    groups: Positions | None = None,
    task: Task = SILENT,
) -> Generator[ClassifiedBatch]:
    """Yield the batches of :func:`classify` in order, until the task is cancelled."""

    def judge_batch(rows: slice) -> tuple[dict[int, Verdict], list[int]]:
        batch = a[rows], b[rows], distance[rows], orientation[rows], cosine[rows]
        return _judge_batch(*batch, load, thresholds, judge or judge_pairs)

    task.report(PHASE, 0, len(a))
    with ExitStack() as stack:
        stack.enter_context(blas_pools().limit(limits=1, user_api="blas"))
        batches = [] if task.is_cancelled else _cut_batches(len(a), groups)
        for rows, (verdicts, unread) in zip(batches, _map_batches(judge_batch, batches, stack), strict=False):
            found = {rows.start + n: verdict for n, verdict in verdicts.items() if verdict.kind}
            pair_rows = np.array([*found], np.int64)
            pair_verdicts = [*found.values()]
            pairs = ClassifiedPairs(
                a[pair_rows],
                b[pair_rows],
                np.array([one.kind for one in pair_verdicts], np.uint8),
                np.array([one.confidence for one in pair_verdicts], np.float32),
                distance[pair_rows],
                np.array([one.orientation for one in pair_verdicts], np.uint8),
                cosine[pair_rows],
                _registration_values(pair_verdicts, "correlation"),
                _registration_values(pair_verdicts, "agreement"),
                _registration_values(pair_verdicts, "overlap"),
                pack_places([one.places for one in pair_verdicts]),
                looked=len(verdicts) - len(unread),
                unread=len(unread),
                done=rows.stop,
                interrupted=rows.stop < len(a),
                verdicts=pair_verdicts,
            )
            yield ClassifiedBatch(rows, pairs, pair_rows, rows.start + np.array(unread, np.int64))
            task.report(PHASE, rows.stop, len(a))
            if task.is_cancelled:
                break


def join_columns(parts: Sequence[ClassifiedPairs]) -> dict[str, Any]:
    """Return the arrays of several results, each as one, by the names of their fields."""
    return {
        name: np.concatenate([np.empty(0, kind), *(getattr(part, name) for part in parts)])
        for name, kind in (CANDIDATE_COLUMNS | VERDICT_COLUMNS).items()
    }


@contextmanager
def judging(count: int) -> Iterator[JudgePairs]:
    """Yield what judges batches of ``count`` candidates in all: :func:`judge_pairs`, in other processes if many."""
    if count <= _IN_THREADS or _THREADS < 2:
        yield judge_pairs
        return
    processes = JudgeProcesses(_THREADS)
    try:
        yield partial(processes.judge, judge_pairs)
    finally:
        processes.close()


def _cut_batches(count: int, groups: Positions | None) -> list[slice]:
    """Cut ``count`` candidates into batches, in order. Large groups have batches of their own, and larger
    ones."""
    edges = [0, count]
    if groups is not None:
        edges[1:1] = (np.flatnonzero(np.diff(groups)) + 1).tolist()
    cuts, size = [0], min(_FIRST_BATCH, _BATCH)
    for start, end in itertools.pairwise(edges):
        if end - start > _BATCH and groups is not None:
            if start > cuts[-1]:
                cuts.append(start)
            parts = -(-(end - start) // MOST_TOGETHER)
            cuts += (start + (end - start) * part // parts for part in range(1, parts + 1))
        else:
            while cuts[-1] + size < end:
                cuts.append(cuts[-1] + size)
                size = min(2 * size, _BATCH)
    if count > cuts[-1]:
        cuts.append(count)
    return [slice(*cut) for cut in itertools.pairwise(cuts)]


def _map_batches(work: Callable[[slice], _T], batches: Sequence[slice], stack: ExitStack) -> Iterator[_T]:
    """Yield the results of ``work`` in order, computed in threads a few steps ahead; ``stack`` ends the threads."""
    if len(batches) < 2:
        yield from map(work, batches)
        return
    # One more, which decodes while processes judge.
    pool = ThreadPoolExecutor(_THREADS + 1, "pixels")
    stack.callback(pool.shutdown, cancel_futures=True)
    yield from map_ahead(pool, work, batches, _THREADS + 1)


def _judge_batch(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    load: LoadLuminance,
    thresholds: Thresholds,
    judge: JudgePairs,
) -> tuple[dict[int, Verdict], list[int]]:
    """Return the verdicts on those of n candidates that can be pairs at all, in order, and those of these that have an
    unreadable picture."""
    # A cosine of NaN compares as lower.
    plausible = np.flatnonzero((distance <= thresholds.near_bits) | (cosine >= thresholds.near_cosine)).tolist()
    looks = {position: load(position) for position in dict.fromkeys([*a[plausible].tolist(), *b[plausible].tolist()])}
    pictures = {position: small for position, small in looks.items() if small is not None}
    readable = [n for n in plausible if int(a[n]) in pictures and int(b[n]) in pictures]
    judged_pairs = zip(
        readable,
        judge(pictures, a[readable], b[readable], distance[readable], cosine[readable], thresholds),
        strict=True,
    )
    verdicts = dict(judged_pairs)
    unread = [n for n in plausible if n not in verdicts]
    for n in unread:
        verdicts[n] = judge_unread(int(distance[n]), int(orientation[n]), float(cosine[n]), thresholds)
    return {n: verdicts[n] for n in plausible}, unread


def _registration_values(verdicts: Sequence[Verdict], name: str) -> Float32:
    return np.array(
        [np.nan if one.registration is None else getattr(one.registration, name) for one in verdicts], np.float32
    )


@cache
def blas_pools() -> ThreadpoolController:
    """Return the controller of the BLAS thread pools. For pictures this small, waking threads costs ten times the
    work."""
    return ThreadpoolController()

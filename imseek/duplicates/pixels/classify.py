"""Classify candidates: which kind of pair, how certain, and how the second picture is turned.

Hash and vector propose; pixels decide. A candidate is compared if its hashes or vectors are near enough for a copy. All
of one picture is laid over all of the other; if they do not match and the vectors still suggest shared content, each is
searched for inside the other. Candidates are compared coarsely first, many at a time: that drops those that cannot be
pairs.

The few thresholds were chosen on half A of bench/duplicates.py. So were the confidences: the share of pairs with that
agreement, among the candidates of that half, that are what they are called. docs/duplicates.md has the figures for half
B.

Only cosines depend on the encoder; :mod:`imseek.duplicates.pixels.cosine_calibration` finds them for others.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from imseek.duplicates.pixels.coarse_comparison import CoarseFits, CoarsePictures, compare_inside, compare_whole
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.registration import (
    Registration,
    register_inside,
    register_whole,
)
from imseek.duplicates.pixels.resampling import Luminance
from imseek.duplicates.results import DuplicateKind
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

Positions: TypeAlias = npt.NDArray[np.int64]
#: Returns the small picture at a position; None if it can no longer be read.
LoadLuminance: TypeAlias = Callable[[int], SmallLuminance | None]

_T = TypeVar("_T")

#: Progress phase, which counts candidate pairs.
PHASE: Final = "comparing pairs"
#: Kinds by code; code 0 means no pair.
KINDS: Final[tuple[DuplicateKind | None, ...]] = (None, "exact", "same", "inside", "scene")
SAME: Final = 2
INSIDE: Final = 3
SCENE: Final = 4
#: Distance if one of the hashes is unknown.
UNKNOWN: Final = 64


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds for pairs. The default cosines are those of the encoder ``builtin``."""

    #: Compare the pixels of a candidate if hashes differ in at most so many bits, or the cosine is at least so high.
    near_bits: int = 10
    near_cosine: float = 0.80
    #: From this cosine on, the search of one inside the other is repeated on a fine grid, which is slow.
    fine_cosine: float = 0.90
    #: Least agreement of pixels for the same picture: if all overlaps, if only part does, and if one is inside the
    #: other. If text may be written over one, the rest must agree and hashes differ in at most `rest_bits` bits.
    agreement: float = 0.70
    part_agreement: float = 0.80
    inside_agreement: float = 0.90
    rest_agreement: float = 0.95
    rest_bits: int = 16
    #: How far tiles of the same shot may have moved, as a share of the longer side or in pixels, whichever is more.
    #: Half as much again if pixels agree as well as `rest_agreement`, since clipped highlights move edges too.
    drift: float = 0.003
    drift_pixels: float = 0.35
    #: The share of both pictures that must overlap: a crop by 40 % leaves 60 %. Less is *inside*.
    overlap: float = 0.55
    #: Same scene: at least this cosine and this agreement of pixels, however far they have moved. The cosine alone
    #: is not enough: drawings of one kind, pages and charts reach .99.
    scene_cosine: float = 0.90
    scene_agreement: float = 0.70
    #: Same picture if pixels cannot be compared: at most so many bits, and at least this cosine.
    unread_bits: int = 4
    unread_cosine: float = 0.90


DEFAULTS: Final = Thresholds()

#: An overlap of at least this share counts as all of the picture.
_WHOLE: Final = 0.85

#: Candidates compared together.
_BATCH: Final = 256
#: Batches compared at the same time: most of the time NumPy and the decoders do not hold the interpreter lock.
_THREADS: Final = min(4, os.cpu_count() or 1)
#: Least correlation and agreement of coarse squares to compare a candidate in full.
_LEAST: Final = 0.2
#: Around what is written over a picture, tiles may have moved by this share of the limit. Of half A's copies with text
#: none has moved by more, of other pictures that would pass a third has.
_REST_DRIFT: Final = 0.4

#: Least correlation of the whole turned pictures for their orientation to be tried for parts.
_LIKELY: Final = 0.5

#: (agreement, confidence) from half A, as printed by bench/duplicates.py: from this agreement on, this share of the
#: pairs is what it is called. For whole pictures, for parts, for one inside the other, and for scenes.
SAME_CONFIDENCE: Final = ((0.0, 0.44), (0.70, 0.84), (0.90, 0.93), (0.95, 0.98))
PART_CONFIDENCE: Final = ((0.80, 0.89), (0.90, 0.94))
INSIDE_CONFIDENCE: Final = ((0.90, 0.97),)
SCENE_CONFIDENCE: Final = ((0.70, 0.44), (0.80, 0.82))
#: (differing bits, confidence) if pixels could not be compared.
UNREAD_CONFIDENCE: Final = ((0, 0.99), (1, 0.96), (3, 0.89))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Classification of one candidate.

    ``kind`` is a position in ``KINDS``; ``laid`` says how one picture lies over the other, None if pixels were not
    compared.
    """

    kind: int
    confidence: float
    orientation: int = 0
    laid: Registration | None = None


@dataclass(frozen=True, slots=True)
class ClassifiedPairs:
    """n classified pairs, as arrays.

    ``a``, ``b`` int64 positions, ``kind`` uint8 (position in ``KINDS``), ``confidence`` float32, ``distance`` and
    ``orientation`` uint8; ``cosine``, and ``correlation``, ``agreement`` and ``overlap`` as in :class:`Registration`,
    float32, NaN if unknown.

    ``looked`` counts candidates whose pixels were compared, ``unread`` those with unreadable pictures, ``unseen`` those
    beyond the limit; with ``fast``, no pixels were to be compared. If ``interrupted``, the pairs are those of the first
    ``done`` candidates.
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
    looked: int
    unread: int
    done: int
    interrupted: bool = False
    unseen: int = 0
    fast: bool = False

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


def classify(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    look: LoadLuminance,
    *,
    thresholds: Thresholds = DEFAULTS,
    task: Task = SILENT,
    before: int = 0,
    total: int | None = None,
    on_batch: Callable[[ClassifiedPairs], None] | None = None,
) -> ClassifiedPairs:
    """Find the pairs among n candidates, given as arrays (n,); unknown distances are 64 and unknown cosines NaN.

    ``look`` is called by several threads; candidates with the same ``a`` should be adjacent. For progress, they follow
    ``before`` others, of ``total``. ``on_batch`` takes the pairs of each batch, in order; their ``done`` counts the
    candidates decided so far. Where the task is cancelled, the result is ``interrupted``.
    """
    found: list[tuple[int, Verdict]] = []
    looked = unread = done = 0
    whole = len(a) if total is None else total

    def judge_batch(start: int) -> tuple[list[tuple[int, Verdict]], int, int]:
        rows = slice(start, start + _BATCH)
        near = a[rows], b[rows], distance[rows], orientation[rows], cosine[rows]
        verdicts, unreadable = _judge_batch(*near, look, thresholds)
        pairs = [(start + n, verdict) for n, verdict in verdicts.items() if verdict.kind]
        return pairs, len(verdicts) - unreadable, unreadable

    def collect(verdicts: list[tuple[int, Verdict]], looked: int, unread: int) -> ClassifiedPairs:
        chosen = np.array([n for n, _ in verdicts], np.int64)
        said = [verdict for _, verdict in verdicts]
        return ClassifiedPairs(
            a[chosen],
            b[chosen],
            np.array([one.kind for one in said], np.uint8),
            np.array([one.confidence for one in said], np.float32),
            distance[chosen],
            np.array([one.orientation for one in said], np.uint8),
            cosine[chosen],
            _registration_values(said, "correlation"),
            _registration_values(said, "agreement"),
            _registration_values(said, "overlap"),
            looked,
            unread,
            done,
            done < len(a),
        )

    task.report(PHASE, before, whole)
    with ExitStack() as stack:
        stack.enter_context(_thread_pools().limit(limits=1, user_api="blas"))
        starts = range(0, 0 if task.is_cancelled else len(a), _BATCH)
        for start, (pairs, compared, unreadable) in zip(starts, _map_ahead(judge_batch, starts, stack), strict=False):
            found += pairs
            looked += compared
            unread += unreadable
            done = min(start + _BATCH, len(a))
            if on_batch is not None:
                on_batch(collect(pairs, compared, unreadable))
            task.report(PHASE, before + done, whole)
            if task.is_cancelled:
                break
    return collect(found, looked, unread)


def _map_ahead(work: Callable[[int], _T], starts: Sequence[int], stack: ExitStack) -> Iterator[_T]:
    """Yield the results of ``work`` in order, computed in threads a few steps ahead; ``stack`` ends the threads."""
    if len(starts) < 2:
        yield from map(work, starts)
        return
    pool = ThreadPoolExecutor(_THREADS, "pixels")
    stack.callback(pool.shutdown, cancel_futures=True)
    ahead: deque[Future[_T]] = deque()
    for start in starts:
        ahead.append(pool.submit(work, start))
        if len(ahead) > _THREADS:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _judge_batch(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    look: LoadLuminance,
    thresholds: Thresholds,
) -> tuple[dict[int, Verdict], int]:
    """Return the verdicts on those of n candidates that can be pairs at all, in order, and how many of these have an
    unreadable picture."""
    # A cosine of NaN compares as lower.
    worth = np.flatnonzero((distance <= thresholds.near_bits) | (cosine >= thresholds.near_cosine)).tolist()
    looks = {position: look(position) for position in dict.fromkeys([*a[worth].tolist(), *b[worth].tolist()])}
    pictures = {position: small for position, small in looks.items() if small is not None}
    seen = [n for n in worth if int(a[n]) in pictures and int(b[n]) in pictures]
    judged = zip(seen, _judge_pairs(pictures, a[seen], b[seen], distance[seen], cosine[seen], thresholds), strict=True)
    verdicts = dict(judged)
    for n in worth:
        if n not in verdicts:
            verdicts[n] = judge_unread(int(distance[n]), int(orientation[n]), float(cosine[n]), thresholds)
    return {n: verdicts[n] for n in worth}, len(worth) - len(seen)


def _registration_values(verdicts: Sequence[Verdict], name: str) -> Float32:
    return np.array([np.nan if one.laid is None else getattr(one.laid, name) for one in verdicts], np.float32)


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the controller of the BLAS thread pools. For pictures this small, waking threads costs ten times the
    work."""
    return ThreadpoolController()


def judge(
    distance: int,
    cosine: float,
    first: SmallLuminance,
    second: SmallLuminance,
    thresholds: Thresholds = DEFAULTS,
) -> Verdict:
    """Classify one candidate by its pixels. ``distance`` 64 and ``cosine`` NaN mean unknown."""
    one, other = np.array([0]), np.array([1])
    near = np.array([distance], np.uint8), np.array([cosine], np.float32)
    return _judge_pairs({0: first, 1: second}, one, other, *near, thresholds)[0]


def _judge_pairs(
    pictures: Mapping[int, SmallLuminance],
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    cosine: Float32,
    thresholds: Thresholds,
) -> list[Verdict]:
    """Classify n candidates by their pixels: all coarsely, and those that may be pairs in full."""
    if not len(a):
        return []
    positions, both = np.unique(np.concatenate([a, b]), return_inverse=True)
    small = [pictures[position] for position in positions.tolist()]
    first, second = both[: len(a)], both[len(a) :]
    plausible = _find_plausible(small, first, second, ~(cosine < thresholds.near_cosine))
    floats = {p: small[p].astype(np.float32) for p in {*first[plausible].tolist(), *second[plausible].tolist()}}
    found = [Verdict(0, 0.0)] * len(a)
    for n in np.flatnonzero(plausible).tolist():
        one, other = floats[int(first[n])], floats[int(second[n])]
        near = int(distance[n]), float(cosine[n])
        found[n] = _verdict(_register(one, other, *near, thresholds), *near, thresholds)
    return found


def _find_plausible(
    pictures: Sequence[SmallLuminance], a: Positions, b: Positions, parts: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return which pairs (n,) agree coarsely: all of one with all of the other or, where ``parts`` (n,) says so, with a
    part of it."""
    coarse = CoarsePictures.of(pictures)
    whole, correlation = compare_whole(coarse, a, b)
    plausible = _agrees(whole)
    rows = np.flatnonzero(parts & ~plausible)
    if len(rows):
        plausible[rows] = _agrees(compare_inside(coarse, a[rows], b[rows]))
    # A part may be turned too; if the whole pictures correlate enough, their orientation is a good guess.
    rows = np.flatnonzero(parts & ~plausible & (whole.orientation > 0) & (correlation >= _LIKELY))
    if len(rows):
        codes = whole.orientation[rows].tolist()
        turned = [turn(pictures[p], INVERSE[code]) for p, code in zip(b[rows].tolist(), codes, strict=True)]
        sides = CoarsePictures.of([*(pictures[p] for p in a[rows].tolist()), *turned])
        count = np.arange(len(rows))
        plausible[rows] = _agrees(compare_inside(sides, count, count + len(rows)))
    return plausible


def _agrees(fits: CoarseFits) -> npt.NDArray[np.bool_]:
    return np.asarray(np.minimum(fits.correlation, fits.agreement) >= _LEAST, np.bool_)


def _register(a: Luminance, b: Luminance, distance: int, cosine: float, thresholds: Thresholds) -> Registration:
    """Lay all of one picture over all of the other; where that does not match, search each inside the other."""
    laid = register_whole(a, b)
    if not _is_same_picture(laid, distance, thresholds):
        turns = dict.fromkeys((0, laid.orientation if laid.correlation >= _LIKELY else 0))
        for fine, code in product(_search_grids(cosine, thresholds), turns):
            other = register_inside(a, b, code, fine=fine)
            if other.agreement > laid.agreement:
                laid = other
            if _is_same_picture(laid, distance, thresholds):
                break
    return laid


def judge_unread(distance: int, orientation: int, cosine: float, thresholds: Thresholds = DEFAULTS) -> Verdict:
    """Classify a candidate with an unreadable picture by its stored hash and vector: the same picture, or no pair."""
    if distance <= thresholds.unread_bits and cosine >= thresholds.unread_cosine:
        return Verdict(SAME, _confidence_at(UNREAD_CONFIDENCE, distance), orientation)
    return Verdict(0, 0.0)


def _search_grids(cosine: float, thresholds: Thresholds) -> Sequence[bool]:
    """Return the inside searches to run, each with a flag for the fine grid; both if the cosine is unknown."""
    if np.isnan(cosine):
        return (False, True)
    if cosine < thresholds.near_cosine:
        return ()
    return (False, True) if cosine >= thresholds.fine_cosine else (False,)


def _is_same_picture(laid: Registration, distance: int, thresholds: Thresholds) -> bool:
    """Return whether both show one picture where they overlap."""
    most = max(thresholds.drift_pixels, thresholds.drift * laid.pixels)
    if laid.agreement >= thresholds.rest_agreement:
        return laid.drift <= 1.5 * most
    if laid.overlap >= _WHOLE:
        least = thresholds.agreement
    elif laid.overlap >= thresholds.overlap:
        least = thresholds.part_agreement
    else:
        least = thresholds.inside_agreement
    if laid.agreement >= least and laid.drift <= most:
        return True
    return (
        laid.rest_agreement >= thresholds.rest_agreement
        and laid.rest_drift <= _REST_DRIFT * most
        and laid.overlap >= _WHOLE
        and distance <= thresholds.rest_bits
    )


def _verdict(laid: Registration, distance: int, cosine: float, thresholds: Thresholds) -> Verdict:
    if _is_same_picture(laid, distance, thresholds):
        if laid.overlap >= thresholds.overlap:
            measured = SAME_CONFIDENCE if laid.overlap >= _WHOLE else PART_CONFIDENCE
            return Verdict(SAME, _confidence_at(measured, laid.agreement), laid.orientation, laid)
        if max(laid.overlap_a, laid.overlap_b) >= thresholds.overlap:
            return Verdict(INSIDE, _confidence_at(INSIDE_CONFIDENCE, laid.agreement), laid.orientation, laid)
    if (
        laid.agreement >= thresholds.scene_agreement
        and laid.overlap >= thresholds.overlap
        and cosine >= thresholds.scene_cosine
    ):
        return Verdict(SCENE, _confidence_at(SCENE_CONFIDENCE, laid.agreement), laid.orientation, laid)
    return Verdict(0, 0.0, laid.orientation, laid)


def _confidence_at(bins: Sequence[tuple[float, float]], value: float) -> float:
    """Return the confidence measured for the bin of ``value``; below all bins, that of the first."""
    share = bins[0][1]
    for start, measured in bins:
        if value >= start:
            share = measured
    return share

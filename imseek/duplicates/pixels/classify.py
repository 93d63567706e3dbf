"""Classify candidates: which kind of pair, how certain, and how the second picture is turned.

Hash and vector propose; pixels decide. A candidate is compared if its hashes or vectors are near enough for a copy. All
of one picture is laid over all of the other; if they do not match and the vectors still suggest shared content, each is
searched for inside the other. Candidates are compared coarsely first, many at a time: that drops those that cannot be
pairs.

Pictures that would be the same, or one inside the other, are compared pixel by pixel once more
(:mod:`imseek.duplicates.pixels.differences`): if they differ in places, the same ones are *edited*, and the others no
pair.

The few thresholds were chosen on half A of bench/duplicates.py. So were the confidences: the share of such pairs,
among the candidates of that half, that are what they are called (:mod:`imseek.duplicates.pixels.confidence`).
docs/duplicates.md has the figures for half B.

Only cosines depend on the encoder; :mod:`imseek.duplicates.pixels.cosine_calibration` finds them for others.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from imseek.duplicates.pixels.coarse_comparison import (
    CoarseFits,
    CoarsePictures,
    compare_closely,
    compare_inside,
    compare_whole,
    find_orientations,
)
from imseek.duplicates.pixels.common_frame import CommonFrame
from imseek.duplicates.pixels.confidence import EDITED_CONFIDENCE, plain_share, same_confidence
from imseek.duplicates.pixels.differences import PackedPlaces, PlaceInBoth, find_places, pack_places
from imseek.duplicates.pixels.judge_processes import JudgeProcesses
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.placements import Placements, find_overlaps
from imseek.duplicates.pixels.registration import (
    Registration,
    find_inside,
    register_near,
    register_whole,
)
from imseek.duplicates.pixels.resampling import Luminance
from imseek.duplicates.results import KINDS as KIND_NAMES
from imseek.duplicates.results import DuplicateKind
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

Positions: TypeAlias = npt.NDArray[np.int64]
#: Returns the small picture at a position; None if it can no longer be read.
LoadLuminance: TypeAlias = Callable[[int], SmallLuminance | None]
JudgePairs: TypeAlias = Callable[..., list["Verdict"]]

_T = TypeVar("_T")

#: Progress phase, which counts candidate pairs.
PHASE: Final = "comparing pairs"
#: Kinds by code; code 0 means no pair.
KINDS: Final[tuple[DuplicateKind | None, ...]] = (None, *KIND_NAMES)
SAME: Final = KINDS.index("same")
EDITED: Final = KINDS.index("edited")
INSIDE: Final = KINDS.index("inside")
SCENE: Final = KINDS.index("scene")
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

#: Candidates compared together, and how many times as many those of a large likely group.
_BATCH: Final = 256
_GROUP_BATCHES: Final = 8
#: Batches compared at the same time: most of the time NumPy and the decoders do not hold the interpreter lock.
_THREADS: Final = min(4, os.cpu_count() or 1)
#: Processes judge more candidates than this; they take longer to begin.
_IN_THREADS: Final = 1280
#: Least correlation and agreement of coarse squares to compare a candidate in full.
_LEAST: Final = 0.2
#: As squares of 64 by 64, by the lower of both: below this all of one is not laid over all of the other, from this on
#: their fit is a good start, and from this on of a part it is searched for.
_HOPELESS: Final = 0.3
_CLEAR: Final = 0.5
_PART: Final = 0.3
#: An overlap of this share of the squares is no part.
_ALL: Final = 0.95
#: Tiles of pictures laid over each other that agree less than this do so by chance.
_NOWHERE: Final = 0.1
#: Least correlation of the coarse search for a part of such pictures.
_PEAK: Final = 0.6
#: Around what is written over a picture, tiles may have moved by this share of the limit. Of half A's copies with text
#: none has moved by more, of other pictures that would pass a third has.
_REST_DRIFT: Final = 0.4

#: Kinds of pairs that show one picture where they overlap, whose fit holds for all of it.
_RIGID: Final = (SAME, EDITED, INSIDE)
#: Pictures that overlap by so much less than the least share, as other pairs say, are no pair, unless all of one
#: correlates as much with all of the other.
_MARGIN: Final = 0.1
_ALIKE: Final = 0.8
#: Tiles that have moved by less than this share of the limit, and agree, need no better fit.
_SETTLED: Final = 0.4
#: Pictures that agree so much, whose tiles have not moved, lie as other pairs say, whatever else differs.
_PLACED: Final = 0.5

#: Least correlation of the whole turned pictures for their orientation to be tried for parts.
_LIKELY: Final = 0.5

#: (agreement, confidence) from half A, as printed by bench/duplicates.py: from this agreement on, this share of the
#: pairs is what it is called. For one inside the other, and for scenes.
INSIDE_CONFIDENCE: Final = ((0.90, 0.97),)
SCENE_CONFIDENCE: Final = ((0.70, 0.44), (0.80, 0.82))
#: (differing bits, confidence) if pixels could not be compared.
UNREAD_CONFIDENCE: Final = ((0, 0.99), (1, 0.96), (3, 0.89))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Classification of one candidate.

    ``kind`` is a position in ``KINDS``; ``laid`` says how one picture lies over the other, None if pixels were not
    compared. ``places`` says where *edited* pictures differ.
    """

    kind: int
    confidence: float
    orientation: int = 0
    laid: Registration | None = None
    places: tuple[PlaceInBoth, ...] = ()


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


def classify(
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    orientation: npt.NDArray[np.uint8],
    cosine: Float32,
    look: LoadLuminance,
    *,
    thresholds: Thresholds = DEFAULTS,
    judge: JudgePairs | None = None,
    groups: Positions | None = None,
    task: Task = SILENT,
    before: int = 0,
    total: int | None = None,
    on_batch: Callable[[ClassifiedPairs], None] | None = None,
) -> ClassifiedPairs:
    """Find the pairs among n candidates, given as arrays (n,); unknown distances are 64 and unknown cosines NaN.

    ``look`` is called by several threads; candidates with the same ``a`` should be adjacent. ``judge`` is what
    :func:`judging` yields, by default :func:`judge_pairs`. Adjacent candidates of one of ``groups`` (n,) are compared
    together, since what is found out about some of them helps with others. For progress, they follow
    ``before`` others, of ``total``. ``on_batch`` takes the pairs of each batch, in order; their ``done`` counts the
    candidates decided so far. Where the task is cancelled, the result is ``interrupted``.
    """
    found: list[tuple[int, Verdict]] = []
    looked = unread = done = 0
    whole = len(a) if total is None else total

    def judge_batch(rows: slice) -> tuple[list[tuple[int, Verdict]], int, int]:
        near = a[rows], b[rows], distance[rows], orientation[rows], cosine[rows]
        verdicts, unreadable = _judge_batch(*near, look, thresholds, judge or judge_pairs)
        pairs = [(rows.start + n, verdict) for n, verdict in verdicts.items() if verdict.kind]
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
            pack_places([one.places for one in said]),
            looked,
            unread,
            done,
            done < len(a),
            verdicts=said,
        )

    task.report(PHASE, before, whole)
    with ExitStack() as stack:
        stack.enter_context(blas_pools().limit(limits=1, user_api="blas"))
        batches = [] if task.is_cancelled else _cut_batches(len(a), groups)
        for rows, (pairs, compared, unreadable) in zip(batches, _map_ahead(judge_batch, batches, stack), strict=False):
            found += pairs
            looked += compared
            unread += unreadable
            done = rows.stop
            if on_batch is not None:
                on_batch(collect(pairs, compared, unreadable))
            task.report(PHASE, before + done, whole)
            if task.is_cancelled:
                break
    return collect(found, looked, unread)


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
    cuts = [0]
    for start, end in itertools.pairwise(edges):
        if end - start > _BATCH and groups is not None:
            if start > cuts[-1]:
                cuts.append(start)
            parts = -(-(end - start) // (_GROUP_BATCHES * _BATCH))
            cuts += (start + (end - start) * part // parts for part in range(1, parts + 1))
        else:
            cuts += range(cuts[-1] + _BATCH, end, _BATCH)
    if count > cuts[-1]:
        cuts.append(count)
    return [slice(*cut) for cut in itertools.pairwise(cuts)]


def _map_ahead(work: Callable[[slice], _T], batches: Sequence[slice], stack: ExitStack) -> Iterator[_T]:
    """Yield the results of ``work`` in order, computed in threads a few steps ahead; ``stack`` ends the threads."""
    if len(batches) < 2:
        yield from map(work, batches)
        return
    # One more, which decodes while processes judge.
    pool = ThreadPoolExecutor(_THREADS + 1, "pixels")
    stack.callback(pool.shutdown, cancel_futures=True)
    ahead: deque[Future[_T]] = deque()
    for batch in batches:
        ahead.append(pool.submit(work, batch))
        if len(ahead) > _THREADS + 1:
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
    judge: JudgePairs,
) -> tuple[dict[int, Verdict], int]:
    """Return the verdicts on those of n candidates that can be pairs at all, in order, and how many of these have an
    unreadable picture."""
    # A cosine of NaN compares as lower.
    worth = np.flatnonzero((distance <= thresholds.near_bits) | (cosine >= thresholds.near_cosine)).tolist()
    looks = {position: look(position) for position in dict.fromkeys([*a[worth].tolist(), *b[worth].tolist()])}
    pictures = {position: small for position, small in looks.items() if small is not None}
    seen = [n for n in worth if int(a[n]) in pictures and int(b[n]) in pictures]
    judged = zip(seen, judge(pictures, a[seen], b[seen], distance[seen], cosine[seen], thresholds), strict=True)
    verdicts = dict(judged)
    for n in worth:
        if n not in verdicts:
            verdicts[n] = judge_unread(int(distance[n]), int(orientation[n]), float(cosine[n]), thresholds)
    return {n: verdicts[n] for n in worth}, len(worth) - len(seen)


def _registration_values(verdicts: Sequence[Verdict], name: str) -> Float32:
    return np.array([np.nan if one.laid is None else getattr(one.laid, name) for one in verdicts], np.float32)


@cache
def blas_pools() -> ThreadpoolController:
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
    return judge_pairs({0: first, 1: second}, one, other, *near, thresholds)[0]


def judge_pairs(
    pictures: Mapping[int, SmallLuminance],
    a: Positions,
    b: Positions,
    distance: npt.NDArray[np.uint8],
    cosine: Float32,
    thresholds: Thresholds,
    frame: CommonFrame | None = None,
) -> list[Verdict]:
    """Classify n candidates by their pixels: all coarsely, and those that may be pairs in full; those that are linked
    in ``frame``, which knows pictures by the same positions, in it first."""
    if not len(a):
        return []
    positions, both = np.unique(np.concatenate([a, b]), return_inverse=True)
    small = [pictures[position] for position in positions.tolist()]
    floats = [picture.astype(np.float32) for picture in small]
    pairs = _Pairs(
        positions.tolist(),
        small,
        floats,
        CoarsePictures(floats),
        both[: len(a)],
        both[len(a) :],
        distance,
        cosine,
        thresholds,
    )
    return pairs.judge(frame)


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """n pairs of ``small`` pictures, at positions ``a`` and ``b`` (n,) among them, with what hash and vector say.

    In frames and placements, pictures go by their ``names``."""

    names: Sequence[int]
    small: Sequence[SmallLuminance]
    floats: Sequence[Luminance]
    squares: CoarsePictures
    a: Positions
    b: Positions
    distance: npt.NDArray[np.uint8]
    cosine: Float32
    thresholds: Thresholds
    #: How much of pictures is plain ground, where that was needed.
    plain: dict[int, float] = field(default_factory=dict)

    def judge(self, known: CommonFrame | None) -> list[Verdict]:
        """Return the verdicts. Of the pairs of many pictures like each other, those that may connect them are judged
        first, and the others as these say. What is linked in the frame that is ``known`` is judged in it."""
        ends = [self._ends(n) for n in range(len(self.a))]
        verdicts: dict[int, Verdict] = {}
        if known is not None:
            verdicts = self._judge_linked(known, [n for n, both in enumerate(ends) if known.placements.linked(*both)])
        placements = Placements()
        frame = CommonFrame(dict(zip(self.names, self.floats, strict=True)).__getitem__, placements)
        apart = np.lexsort((-self.cosine, self.distance > self.thresholds.near_bits)).tolist()
        new = [n for n in apart if n not in verdicts]
        while 2 * len(forest := placements.find_forest((n, *ends[n]) for n in new)) < len(new):
            verdicts.update(zip(forest, self._of(forest).judge_alone(), strict=True))
            for n in forest:
                self._link(placements, n, verdicts[n])
            # Others may link a pair now that was found to have nothing in common.
            linked = [n for n in apart if placements.linked(*ends[n])]
            unsure = [n for n in linked if n not in verdicts or verdicts[n].kind not in _RIGID]
            verdicts.update(self._judge_linked(frame, unsure))
            apart = [n for n in apart if not placements.linked(*ends[n])]
            new = [n for n in apart if n not in verdicts]
        if alone := [n for n in range(len(ends)) if n not in verdicts]:
            verdicts.update(zip(alone, self._of(alone).judge_alone(), strict=True))
        return [verdicts[n] for n in range(len(ends))]

    def _ends(self, n: int) -> tuple[int, int]:
        return self.names[int(self.a[n])], self.names[int(self.b[n])]

    def _of(self, rows: Sequence[int]) -> _Pairs:
        at = np.array(rows, np.int64)
        return replace(self, a=self.a[at], b=self.b[at], distance=self.distance[at], cosine=self.cosine[at])

    def _link(self, placements: Placements, n: int, verdict: Verdict) -> bool:
        shapes = self.squares.shapes[int(self.a[n])], self.squares.shapes[int(self.b[n])]
        return link_pair(placements, *self._ends(n), verdict, shapes, self.thresholds)

    def _judge_linked(self, frame: CommonFrame, rows: Sequence[int]) -> dict[int, Verdict]:
        """Return the verdicts on pairs of which others say how they lie, but for those that lie otherwise."""
        placements = frame.placements
        found: dict[int, Verdict] = {}
        apart: list[int] = []
        ends = {n: self._ends(n) for n in rows}
        for n in sorted(rows, key=lambda n: (placements.first_of(ends[n][0]), frame.scale(*ends[n]), ends[n])):
            code, fit = placements.between(*ends[n])
            if max(find_overlaps(fit)) < self.thresholds.overlap - _MARGIN:
                apart.append(n)
                continue
            if (verdict := self._judge_in_frame(n, frame)) is None:
                laid = register_near(self.floats[int(self.a[n])], self.floats[int(self.b[n])], code, fit)
                stays = laid.agreement >= _PLACED and laid.drift <= _most_drift(laid, self.thresholds)
                verdict = self._judge_laid(n, laid) if stays or self._is_same(n, laid) else None
            if verdict is not None:
                found[n] = verdict
        if apart:
            _, correlation = find_orientations(self.squares, self.a[apart], self.b[apart])
            found.update(
                (n, Verdict(0, 0.0)) for n, one in zip(apart, correlation.tolist(), strict=True) if one < _ALIKE
            )
        return found

    def _judge_in_frame(self, n: int, frame: CommonFrame) -> Verdict | None:
        """Return the verdict on pair ``n`` by how it agrees in a common frame; None unless that is clear."""
        laid = frame.compare(*self._ends(n))
        if laid is None or laid.agreement < self.thresholds.part_agreement or not self._is_same(n, laid):
            return None
        if laid.drift > _SETTLED * _most_drift(laid, self.thresholds):
            return None
        verdict = self._verdict(n, laid)
        if verdict.kind not in (SAME, INSIDE):
            return verdict
        if self._find_places(n, laid):
            return None
        return verdict if verdict.kind == INSIDE else self._with_confidence(n, verdict)

    def judge_alone(self) -> list[Verdict]:
        """Return the verdicts, each by what the two pictures show."""
        whole, correlation = compare_whole(self.squares, self.a, self.b)
        # A part may be turned too; if the whole pictures correlate enough, their orientation is a good guess.
        turned = (whole.orientation > 0) & (correlation >= _LIKELY)
        straight = _PartFits(self, np.zeros(len(self.a), np.int64))
        parts = (straight, _PartFits(self, np.where(turned, whole.orientation, 0)))
        rows = np.flatnonzero(self._find_plausible(whole, parts, turned))
        close = compare_closely(self.squares, self.a[rows], self.b[rows], whole.of(rows))
        laid = {n: self._lay_whole(n, close, at) for at, n in enumerate(rows.tolist())}
        near = ~(self.cosine[rows] < self.thresholds.near_cosine)
        apart = np.flatnonzero(near & np.array([not self._is_same(n, one) for n, one in laid.items()], np.bool_))
        nowhere = np.array([one.agreement < _NOWHERE for one in laid.values()], np.bool_)
        self._lay_parts(laid, rows[apart], close.of(apart), nowhere[apart], parts, turned)
        found = [Verdict(0, 0.0)] * len(self.a)
        for n, one in laid.items():
            found[n] = self._judge_laid(n, one)
        return found

    def _find_plausible(
        self, whole: CoarseFits, parts: tuple[_PartFits, _PartFits], turned: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Return which pairs (n,) agree coarsely: all of one with all of the other or, where vectors suggest it, with a
        part of it."""
        plausible = np.asarray(whole.likeness >= _LEAST, np.bool_)
        near = ~(self.cosine < self.thresholds.near_cosine)
        for fits, chosen in zip(parts, (near, near & turned), strict=True):
            rows = np.flatnonzero(chosen & ~plausible)
            plausible[rows] = fits.of(rows)[0].likeness >= _LEAST
        return plausible

    def _lay_parts(
        self,
        laid: dict[int, Registration],
        rows: Positions,
        close: CoarseFits,
        nowhere: npt.NDArray[np.bool_],
        parts: tuple[_PartFits, _PartFits],
        turned: npt.NDArray[np.bool_],
    ) -> None:
        """Look for a common part of the m pairs at ``rows``, with the ``close`` fits of all of them, and put the better
        fits into ``laid``."""
        least = self.thresholds.fine_cosine + (1 - self.thresholds.fine_cosine) / 3
        may_miss = nowhere & ~(self.cosine[rows] < least)
        for fits, chosen in zip(parts, (np.ones(len(rows), np.bool_), turned[rows]), strict=True):
            at = np.flatnonzero(chosen)
            found, peak = fits.of(rows[at])
            closer = compare_closely(self.squares, self.a[rows[at]], self.b[rows[at]], found)
            part = (closer.shared < _ALL) & (closer.likeness >= _PART)
            # Squares miss a few parts, of pictures with like vectors that agree nowhere else.
            missed = may_miss[at] & (peak >= _PEAK) & ~part
            for k in np.flatnonzero(part | missed).tolist():
                n = int(rows[at[k]])
                if self._is_same(n, laid[n]):
                    continue
                a, b, code = self.floats[int(self.a[n])], self.floats[int(self.b[n])], int(closer.orientation[k])
                if part[k]:
                    near = register_near(a, b, code, closer.first_to_second(k), rough=closer.likeness[k] < _CLEAR)
                    laid[n] = max(laid[n], near, key=lambda one: one.agreement)
                # Where tiles agree and yet have moved, the squares' fit is a little off.
                if missed[k] or (laid[n].agreement >= self.thresholds.part_agreement and not self._is_same(n, laid[n])):
                    laid[n] = self._search_part(n, a, b, code, laid[n])

    def _lay_whole(self, n: int, close: CoarseFits, at: int) -> Registration:
        """Lay all of one picture of pair ``n`` over all of the other; ``close`` has its fit at ``at``."""
        one, other = self.floats[int(self.a[n])], self.floats[int(self.b[n])]
        code, likeness = int(close.orientation[at]), float(close.likeness[at])
        if likeness < _HOPELESS:
            return Registration(code, 0.0, 0.0, float(close.correlation[at]), 0.0, 0.0, 0.0, max(one.shape))
        if likeness >= _CLEAR:
            return register_near(one, other, code, close.fit[at].tolist())
        return register_whole(one, other, code)

    def _search_part(self, n: int, a: Luminance, b: Luminance, code: int, laid: Registration) -> Registration:
        """Search each picture of pair ``n`` inside the other; return the best fit, which may be the one ``laid``."""
        cosine = float(self.cosine[n])
        if cosine < self.thresholds.near_cosine:
            return laid
        # Both grids if the cosine is unknown.
        for found in find_inside(a, b, code, fine=not cosine < self.thresholds.fine_cosine):
            laid = max(laid, found, key=lambda one: one.agreement)
            if self._is_same(n, laid):
                break
        return laid

    def _judge_laid(self, n: int, laid: Registration) -> Verdict:
        """Return the verdict on pair ``n`` with its confidence. Where the two differ somewhere, *same* is *edited*, and
        neither is *inside* the other."""
        verdict = self._verdict(n, laid)
        if verdict.kind not in (SAME, INSIDE):
            return verdict
        places = self._find_places(n, laid)
        if verdict.kind == INSIDE:
            return Verdict(0, 0.0, laid.orientation, laid) if places else verdict
        if places:
            return replace(verdict, kind=EDITED, confidence=EDITED_CONFIDENCE, places=places)
        return self._with_confidence(n, verdict)

    def _find_places(self, n: int, laid: Registration) -> tuple[PlaceInBoth, ...]:
        return find_places(self.floats[int(self.a[n])], self.floats[int(self.b[n])], laid)

    def _verdict(self, n: int, laid: Registration) -> Verdict:
        return _verdict(laid, int(self.distance[n]), float(self.cosine[n]), self.thresholds)

    def _with_confidence(self, n: int, verdict: Verdict) -> Verdict:
        """Return the verdict *same* on pair ``n`` with its confidence."""
        assert verdict.laid is not None
        most = _most_drift(verdict.laid, self.thresholds)
        plain = 0.0
        if verdict.laid.orientation:
            plain = (self._plain_share(int(self.a[n])) + self._plain_share(int(self.b[n]))) / 2
        return replace(verdict, confidence=same_confidence(verdict.laid, most, plain))

    def _plain_share(self, picture: int) -> float:
        if picture not in self.plain:
            self.plain[picture] = plain_share(self.small[picture])
        return self.plain[picture]

    def _is_same(self, n: int, laid: Registration) -> bool:
        return _is_same_picture(laid, int(self.distance[n]), self.thresholds)


class _PartFits:
    """Coarse fits of pairs of pictures one inside the other, the second turned by ``codes`` (n,), found on demand."""

    def __init__(self, pairs: _Pairs, codes: Positions) -> None:
        self._pairs, self._codes = pairs, codes
        self._rows = np.full(len(codes), -1)
        self._found: list[tuple[CoarseFits, Float32]] = []

    def of(self, rows: Positions) -> tuple[CoarseFits, Float32]:
        """Return the fits of m pairs, and the highest correlations (m,) of the search, as
        :func:`imseek.duplicates.pixels.coarse_comparison.compare_inside` does."""
        new = rows[self._rows[rows] < 0]
        if len(new) or not self._found:
            self._rows[new] = np.arange(len(new)) + sum(len(peaks) for _, peaks in self._found)
            self._found.append(self._compare(new))
        fits, peaks = zip(*self._found, strict=True)
        at = self._rows[rows]
        return CoarseFits.joined(fits).of(at), np.concatenate(peaks)[at]

    def _compare(self, rows: Positions) -> tuple[CoarseFits, Float32]:
        pairs, codes = self._pairs, self._codes[rows]
        if not codes.any():
            return compare_inside(pairs.squares, pairs.a[rows], pairs.b[rows])
        places: dict[tuple[int, int], int] = {}
        first = [places.setdefault((position, 0), len(places)) for position in pairs.a[rows].tolist()]
        second = [
            places.setdefault(one, len(places)) for one in zip(pairs.b[rows].tolist(), codes.tolist(), strict=True)
        ]
        squares = CoarsePictures([turn(pairs.floats[position], INVERSE[code]) for position, code in places])
        fits, peaks = compare_inside(squares, np.array(first), np.array(second))
        return replace(fits, orientation=codes), peaks


def link_pair(
    placements: Placements,
    a: int,
    b: int,
    verdict: Verdict,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    thresholds: Thresholds = DEFAULTS,
) -> bool:
    """Note how two pictures lie if they surely show one picture where they overlap; return whether that is new."""
    laid = verdict.laid
    if laid is None or verdict.kind not in _RIGID or laid.agreement < thresholds.part_agreement:
        return False
    return placements.link(a, b, laid, shapes)


def judge_unread(distance: int, orientation: int, cosine: float, thresholds: Thresholds = DEFAULTS) -> Verdict:
    """Classify a candidate with an unreadable picture by its stored hash and vector: the same picture, or no pair."""
    if distance <= thresholds.unread_bits and cosine >= thresholds.unread_cosine:
        return Verdict(SAME, _confidence_at(UNREAD_CONFIDENCE, distance), orientation)
    return Verdict(0, 0.0)


def _is_same_picture(laid: Registration, distance: int, thresholds: Thresholds) -> bool:
    """Return whether both show one picture where they overlap."""
    most = _most_drift(laid, thresholds)
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


def _most_drift(laid: Registration, thresholds: Thresholds) -> float:
    """Return how far tiles of the same shot may have moved, in pixels."""
    return max(thresholds.drift_pixels, thresholds.drift * laid.pixels)


def _verdict(laid: Registration, distance: int, cosine: float, thresholds: Thresholds) -> Verdict:
    """Return the verdict by how one picture lies over the other; for *same*, :class:`_Pairs` knows the confidence."""
    if _is_same_picture(laid, distance, thresholds):
        if laid.overlap >= thresholds.overlap:
            return Verdict(SAME, 0.0, laid.orientation, laid)
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

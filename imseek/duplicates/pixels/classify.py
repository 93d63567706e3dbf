"""Classify candidates: which kind of pair, how certain, and how the second picture is turned.

Hash and vector propose; pixels decide. A candidate is compared if its hashes or vectors are near enough for a copy. All
of one picture is laid over all of the other; if they do not match and the vectors still suggest shared content, each is
searched for inside the other. The few thresholds were chosen on half A of bench/duplicates.py. So were the confidences:
the share of pairs with that agreement, among the candidates of that half, that are what they are called.
docs/duplicates.md has the figures for half B.

Only cosines depend on the encoder; :mod:`imseek.duplicates.pixels.cosine_calibration` finds them for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.registration import Registration, register_inside, register_whole
from imseek.duplicates.results import DuplicateKind
from imseek.progress import SILENT, Task
from imseek.types.arrays import Float32

Positions: TypeAlias = npt.NDArray[np.int64]
#: Returns the small picture at a position; None if it can no longer be read.
LoadLuminance: TypeAlias = Callable[[int], SmallLuminance | None]

#: Kinds by code; code 0 means no pair.
#: Progress phase while pictures are compared.
PHASE: Final = "looking at pictures"
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
    beyond the limit. If ``interrupted``, the pairs are those of the first ``done`` candidates.
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

    @property
    def notes(self) -> tuple[str, ...]:
        reasons = (
            (self.unread, "since a picture could not be read"),
            (self.unseen, "since there are too many"),
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
) -> ClassifiedPairs:
    """Find the pairs among n candidates, given as arrays (n,); unknown distances are 64 and unknown cosines NaN.

    ``look`` is called for one pair at a time, in order: candidates with the same ``a`` should be adjacent. For
    progress, they follow ``before`` others, of ``total``. Where the task is cancelled, the result is ``interrupted``.
    """
    found: list[tuple[int, Verdict]] = []
    looked = unread = done = 0
    whole = len(a) if total is None else total
    with _thread_pools().limit(limits=1, user_api="blas"):
        for n in range(len(a)):
            if n % 64 == 0:
                task.report(PHASE, before + n, whole)
                if task.is_cancelled:
                    break
            done = n + 1
            near = (int(distance[n]), int(orientation[n]), float(cosine[n]))
            if not is_worth_comparing(near[0], near[2], thresholds):
                continue
            first, second = look(int(a[n])), look(int(b[n]))
            if first is None or second is None:
                unread += 1
                verdict = judge_unread(*near, thresholds)
            else:
                looked += 1
                verdict = judge(near[0], near[2], first, second, thresholds)
            if verdict.kind:
                found.append((n, verdict))
    if done == len(a):
        task.report(PHASE, before + done, whole)
    chosen = np.array([n for n, _ in found], np.int64)
    verdicts = [verdict for _, verdict in found]
    return ClassifiedPairs(
        a[chosen],
        b[chosen],
        np.array([one.kind for one in verdicts], np.uint8),
        np.array([one.confidence for one in verdicts], np.float32),
        distance[chosen],
        np.array([one.orientation for one in verdicts], np.uint8),
        cosine[chosen],
        _registration_values(verdicts, "correlation"),
        _registration_values(verdicts, "agreement"),
        _registration_values(verdicts, "overlap"),
        looked,
        unread,
        done,
        done < len(a),
    )


def _registration_values(verdicts: Sequence[Verdict], name: str) -> Float32:
    return np.array([np.nan if one.laid is None else getattr(one.laid, name) for one in verdicts], np.float32)


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the controller of the BLAS thread pools. For pictures this small, waking threads costs ten times the
    work."""
    return ThreadpoolController()


def is_worth_comparing(distance: int, cosine: float, thresholds: Thresholds = DEFAULTS) -> bool:
    """Return whether a candidate can be a pair at all. A cosine of NaN compares as lower."""
    return distance <= thresholds.near_bits or cosine >= thresholds.near_cosine


def judge(
    distance: int,
    cosine: float,
    first: SmallLuminance,
    second: SmallLuminance,
    thresholds: Thresholds = DEFAULTS,
) -> Verdict:
    """Classify one candidate by its pixels. ``distance`` 64 and ``cosine`` NaN mean unknown."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    laid = register_whole(a, b)
    if not _is_same_picture(laid, distance, thresholds):
        # A part may be turned too; if the whole pictures correlate enough, their orientation is a good guess.
        turns = dict.fromkeys((0, laid.orientation if laid.correlation >= _LIKELY else 0))
        for fine, code in product(_search_grids(cosine, thresholds), turns):
            other = register_inside(a, b, code, fine=fine)
            if other.agreement > laid.agreement:
                laid = other
            if _is_same_picture(laid, distance, thresholds):
                break
    return _verdict(laid, distance, cosine, thresholds)


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
        and laid.rest_drift <= 1.5 * most
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

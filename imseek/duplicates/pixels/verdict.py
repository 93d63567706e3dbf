"""Verdicts on candidates: the kinds of pairs, and which of them two pictures are by how one lies over the other.

The few thresholds were chosen on half A of bench/duplicates.py. So were the confidences of *inside* and *scene*: the
share of such pairs, among the candidates of that half, that are what they are called. *Same* and *edited* have models
(:mod:`imseek.duplicates.pixels.confidence`). docs/duplicates.md has the figures for half B.

Only cosines depend on the encoder; :mod:`imseek.duplicates.pixels.cosine_calibration` finds them for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imseek.duplicates.pixels.differences import PlaceInBoth
from imseek.duplicates.pixels.registration import Registration
from imseek.duplicates.results import KINDS as KIND_NAMES
from imseek.duplicates.results import DuplicateKind

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

#: Around what is written over a picture, tiles may have moved by this share of the limit. Of half A's copies with text
#: none has moved by more, of other pictures that would pass a third has.
_REST_DRIFT: Final = 0.4

#: (agreement, confidence) from half A, as printed by bench/duplicates.py: from this agreement on, this share of the
#: pairs is what it is called. For one inside the other, and for scenes.
INSIDE_CONFIDENCE: Final = ((0.90, 0.97),)
SCENE_CONFIDENCE: Final = ((0.70, 0.44), (0.80, 0.82))
#: (differing bits, confidence) if pixels could not be compared.
UNREAD_CONFIDENCE: Final = ((0, 0.99), (1, 0.96), (3, 0.89))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Classification of one candidate.

    ``kind`` is a position in ``KINDS``; ``registration`` says how one picture lies over the other, None if pixels were
    not compared. ``places`` says where *edited* pictures differ.
    """

    kind: int
    confidence: float
    orientation: int = 0
    registration: Registration | None = None
    places: tuple[PlaceInBoth, ...] = ()


def judge_unread(distance: int, orientation: int, cosine: float, thresholds: Thresholds = DEFAULTS) -> Verdict:
    """Classify a candidate with an unreadable picture by its stored hash and vector: the same picture, or no pair."""
    if distance <= thresholds.unread_bits and cosine >= thresholds.unread_cosine:
        return Verdict(SAME, _confidence_at(UNREAD_CONFIDENCE, distance), orientation)
    return Verdict(0, 0.0)


def is_same_picture(registration: Registration, distance: int, thresholds: Thresholds) -> bool:
    """Return whether both show one picture where they overlap."""
    most = most_drift(registration, thresholds)
    if registration.agreement >= thresholds.rest_agreement:
        return registration.drift <= 1.5 * most
    if registration.overlap >= _WHOLE:
        least = thresholds.agreement
    elif registration.overlap >= thresholds.overlap:
        least = thresholds.part_agreement
    else:
        least = thresholds.inside_agreement
    if registration.agreement >= least and registration.drift <= most:
        return True
    return (
        registration.rest_agreement >= thresholds.rest_agreement
        and registration.rest_drift <= _REST_DRIFT * most
        and registration.overlap >= _WHOLE
        and distance <= thresholds.rest_bits
    )


def most_drift(registration: Registration, thresholds: Thresholds) -> float:
    """Return how far tiles of the same shot may have moved, in pixels."""
    return max(thresholds.drift_pixels, thresholds.drift * registration.pixels)


def verdict_of(registration: Registration, distance: int, cosine: float, thresholds: Thresholds) -> Verdict:
    """Return the verdict by how one picture lies over the other; whoever asks adds the confidence of *same*."""
    if is_same_picture(registration, distance, thresholds):
        if registration.overlap >= thresholds.overlap:
            return Verdict(SAME, 0.0, registration.orientation, registration)
        if max(registration.overlap_a, registration.overlap_b) >= thresholds.overlap:
            return Verdict(
                INSIDE,
                _confidence_at(INSIDE_CONFIDENCE, registration.agreement),
                registration.orientation,
                registration,
            )
    if (
        registration.agreement >= thresholds.scene_agreement
        and registration.overlap >= thresholds.overlap
        and cosine >= thresholds.scene_cosine
    ):
        return Verdict(
            SCENE, _confidence_at(SCENE_CONFIDENCE, registration.agreement), registration.orientation, registration
        )
    return Verdict(0, 0.0, registration.orientation, registration)


def _confidence_at(bins: Sequence[tuple[float, float]], value: float) -> float:
    """Return the confidence measured for the bin of ``value``; below all bins, that of the first."""
    share = bins[0][1]
    for start, bin_confidence in bins:
        if value >= start:
            share = bin_confidence
    return share

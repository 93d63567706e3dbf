"""Judge pairs by their pixels.

All of one picture is laid over all of the other; if they do not match and the vectors still suggest shared content,
each is searched for inside the other. Candidates are compared coarsely first, many at a time: that drops those that
cannot be pairs. For many pictures like each other, a few pairs tell how all lie, and the others are compared there.

Pictures that would be the same, or one inside the other, are compared pixel by pixel once more
(:mod:`imseek.duplicates.pixels.differences`): if they differ in places, the same ones are *edited*, and the others no
pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.coarse_comparison import (
    CoarseFits,
    CoarsePictures,
    compare_closely,
    compare_inside,
    compare_whole,
    find_orientations,
)
from imseek.duplicates.pixels.common_frame import CommonFrame, FrameComparison
from imseek.duplicates.pixels.confidence import edited_confidence, plain_share, same_confidence
from imseek.duplicates.pixels.differences import PlaceInBoth, find_places
from imseek.duplicates.pixels.luminance_cache import SmallLuminance
from imseek.duplicates.pixels.orientations import INVERSE, turn
from imseek.duplicates.pixels.placements import Placements, find_overlaps
from imseek.duplicates.pixels.registration import (
    Registration,
    find_inside,
    measure_at,
    register_near,
    register_whole,
)
from imseek.duplicates.pixels.resampling import Luminance
from imseek.duplicates.pixels.verdict import (
    DEFAULTS,
    EDITED,
    INSIDE,
    SAME,
    Thresholds,
    Verdict,
    is_same_picture,
    most_drift,
    verdict_of,
)
from imseek.types.arrays import Float32

Positions: TypeAlias = npt.NDArray[np.int64]

#: Least correlation and agreement of coarse squares to compare a candidate in full.
_LEAST: Final = 0.2
#: As squares of 64 by 64, by the lower of both: below this all of one is not laid over all of the other, from this on
#: their fit is a good start, and from this on of a part it is searched for.
_HOPELESS: Final = 0.3
_CLEAR: Final = 0.5
_PART: Final = 0.3
#: As squares of 32 by 32, a part that agrees by less is not looked at more closely: none of 607 parts found had less.
_FAINT: Final = 0.25
#: An overlap of this share of the squares is no part.
_ALL: Final = 0.95
#: Tiles of pictures laid over each other that agree less than this do so by chance.
_NOWHERE: Final = 0.1
#: Least correlation of the coarse search for a part of such pictures.
_PEAK: Final = 0.6
#: Kinds of pairs that show one picture where they overlap, whose fit holds for all of it.
_RIGID: Final = (SAME, EDITED, INSIDE)
#: Pictures that overlap by so much less than the least share, as other pairs say, are no pair, unless all of one
#: correlates as much with all of the other.
_MARGIN: Final = 0.1
_ALIKE: Final = 0.8
#: Tiles that have moved by less than this share of the limit, and agree, need no better fit.
_IN_PLACE: Final = 0.4
#: Tiles of another shot have moved by more than so many times the limit; no search brings them back.
_OFF: Final = 1.25
#: Fewer pairs than these are not judged together: the fixed cost of a call is that of some ten pairs.
_FEW: Final = 24
#: Pictures that agree so much, whose tiles have not moved, lie as other pairs say, whatever else differs.
_PLACED: Final = 0.5

#: Nineteen times in twenty, the agreement in a common frame differs by at most this from that on the grid of the
#: coarser picture; in a smaller frame; and without the band that agrees worst, whose edges lie between those of tiles.
_FRAME_ERROR: Final = 0.05
_SMALL_FRAME_ERROR: Final = 0.2
_REST_ERROR: Final = 0.35
#: Least correlation of the whole turned pictures for their orientation to be tried for parts.
_LIKELY: Final = 0.5


def judge(
    distance: int,
    cosine: float,
    first: SmallLuminance,
    second: SmallLuminance,
    thresholds: Thresholds = DEFAULTS,
) -> Verdict:
    """Classify one candidate by its pixels. ``distance`` 64 and ``cosine`` NaN mean unknown."""
    evidence = np.array([distance], np.uint8), np.array([cosine], np.float32)
    return judge_pairs({0: first, 1: second}, np.array([0]), np.array([1]), *evidence, thresholds)[0]


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
    positions, indexes = np.unique(np.concatenate([a, b]), return_inverse=True)
    small = [pictures[position] for position in positions.tolist()]
    floats = [picture.astype(np.float32) for picture in small]
    pairs = _Pairs(
        positions.tolist(),
        small,
        floats,
        CoarsePictures(floats),
        indexes[: len(a)],
        indexes[len(a) :],
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

    def judge(self, shared_frame: CommonFrame | None) -> list[Verdict]:
        """Return the verdicts. If many pictures are like each other, the pairs that may connect them are judged first,
        and the others by what these say. Pairs that are linked in ``shared_frame`` are judged in it."""
        ends = [self._ends(n) for n in range(len(self.a))]
        verdicts: dict[int, Verdict] = {}
        if shared_frame is not None:
            linked = [n for n, pair in enumerate(ends) if shared_frame.placements.linked(*pair)]
            verdicts = self._judge_linked(shared_frame, linked)
        placements = Placements()
        frame = CommonFrame(dict(zip(self.names, self.floats, strict=True)).__getitem__, placements)
        apart = np.lexsort((-self.cosine, self.distance > self.thresholds.near_bits)).tolist()
        unjudged = [n for n in apart if n not in verdicts]
        while unjudged:
            forest = placements.find_forest((n, *ends[n]) for n in unjudged)
            if 2 * len(forest) >= len(unjudged):
                forest = unjudged
            # A few more cost next to nothing, and where one pair of two sets tells nothing, the next may.
            elif (more := min(_FEW, len(unjudged) // 2) - len(forest)) > 0:
                in_forest = set(forest)
                forest += itertools.islice((n for n in unjudged if n not in in_forest), more)
            verdicts.update(zip(forest, self._of(forest).judge_alone(), strict=True))
            for n in forest:
                self._link(placements, n, verdicts[n])
            # Others may link a pair now that was found to have nothing in common.
            linked = [n for n in apart if placements.linked(*ends[n])]
            unsure = [n for n in linked if n not in verdicts or not _tells_fit(verdicts[n])]
            verdicts.update(self._judge_linked(frame, unsure))
            apart = [n for n in apart if not placements.linked(*ends[n])]
            unjudged = [n for n in apart if n not in verdicts]
        # Pairs whose pictures do not lie as the placements say.
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
        """Return the verdicts on pairs whose positions follow from others, except pairs that lie otherwise."""
        placements = frame.placements
        verdicts: dict[int, Verdict] = {}
        apart: list[int] = []
        ends = {n: self._ends(n) for n in rows}
        for n in sorted(rows, key=lambda n: (placements.first_of(ends[n][0]), frame.scale(*ends[n]), ends[n])):
            code, fit = placements.between(*ends[n])
            if max(find_overlaps(fit)) < self.thresholds.overlap - _MARGIN:
                apart.append(n)
                continue
            verdict = self._judge_in_frame(n, frame)
            if verdict is None and frame.settle(*ends[n]):
                code, fit = placements.between(*ends[n])
                verdict = self._judge_in_frame(n, frame)
            if verdict is None:
                registration = register_near(self.floats[int(self.a[n])], self.floats[int(self.b[n])], code, fit)
                limit = most_drift(registration, self.thresholds)
                is_in_place = registration.agreement >= _PLACED and registration.drift <= limit
                if is_in_place or self._is_same(n, registration):
                    verdict = self._judge_registration(n, registration)
            if verdict is not None:
                verdicts[n] = verdict
        if apart:
            _, correlation = find_orientations(self.squares, self.a[apart], self.b[apart])
            verdicts.update(
                (n, Verdict(0, 0.0)) for n, one in zip(apart, correlation.tolist(), strict=True) if one < _ALIKE
            )
        return verdicts

    def _judge_in_frame(self, n: int, frame: CommonFrame) -> Verdict | None:
        """Return the verdict on pair ``n`` by how it agrees in a common frame; None unless that is clear."""
        comparison = frame.compare(*self._ends(n))
        if comparison is None:
            return None
        registration, limit = comparison.registration, most_drift(comparison.registration, self.thresholds)
        agrees = registration.agreement >= self.thresholds.part_agreement and registration.drift <= _IN_PLACE * limit
        if agrees and self._is_same(n, registration):
            verdict = self._verdict(n, registration)
            if verdict.kind not in (SAME, INSIDE):
                return verdict
            places = self._find_places(n, registration) if comparison.may_differ() else ()
            if not places:
                return verdict if verdict.kind == INSIDE else self._with_confidence(n, verdict)
            if verdict.kind == SAME and registration.is_fixed:
                return self._edited(registration, places)
        return self._judge_fixed(n, frame, comparison) if registration.is_fixed else None

    def _judge_fixed(self, n: int, frame: CommonFrame, comparison: FrameComparison) -> Verdict | None:
        """Return the verdict on pair ``n``, enough of which is in place in a common frame; None if it turns out not to
        be in place on the grid of the coarser picture."""
        registration, thresholds = comparison.registration, self.thresholds
        error = _FRAME_ERROR if comparison.is_at_size else _SMALL_FRAME_ERROR
        if registration.agreement < min(thresholds.agreement, thresholds.scene_agreement) - error:
            least_rest = thresholds.rest_agreement - _REST_ERROR
            if self.distance[n] > thresholds.rest_bits or comparison.tiled.rest < least_rest:
                return Verdict(0, 0.0, registration.orientation, registration)
        limit = most_drift(registration, thresholds)
        if registration.drift > limit:
            return None
        if registration.drift <= _IN_PLACE * limit:
            verdict = self._verdict(n, replace(registration, agreement=registration.agreement - error))
            if verdict.kind == SAME and (places := self._find_places(n, registration)):
                return self._edited(registration, places)
        a, b = self.floats[int(self.a[n])], self.floats[int(self.b[n])]
        measured = measure_at(a, b, *frame.placements.between(*self._ends(n)))
        return self._judge_registration(n, measured) if measured.is_fixed else None

    def judge_alone(self) -> list[Verdict]:
        """Return the verdicts, each by what the two pictures show."""
        whole, correlation = compare_whole(self.squares, self.a, self.b)
        # A part may be turned too; if the whole pictures correlate enough, their orientation is a good guess.
        is_turned = (whole.orientation > 0) & (correlation >= _LIKELY)
        straight = _PartFits(self, np.zeros(len(self.a), np.int64))
        parts = (straight, _PartFits(self, np.where(is_turned, whole.orientation, 0)))
        rows = np.flatnonzero(self._find_plausible(whole, parts, is_turned))
        close = compare_closely(self.squares, self.a[rows], self.b[rows], whole.of(rows))
        registrations = {n: self._lay_whole(n, close, at) for at, n in enumerate(rows.tolist())}
        is_near = ~(self.cosine[rows] < self.thresholds.near_cosine)
        apart = np.flatnonzero(
            is_near & np.array([not self._is_same(n, r) for n, r in registrations.items()], np.bool_)
        )
        nowhere = np.array([r.agreement < _NOWHERE for r in registrations.values()], np.bool_)
        self._lay_parts(registrations, rows[apart], nowhere[apart], parts, is_turned)
        verdicts = [Verdict(0, 0.0)] * len(self.a)
        for n, registration in registrations.items():
            verdicts[n] = self._judge_registration(n, registration)
        return verdicts

    def _find_plausible(
        self, whole: CoarseFits, parts: tuple[_PartFits, _PartFits], is_turned: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Return which pairs (n,) agree coarsely: all of one with all of the other or, where vectors suggest it, with a
        part of it."""
        plausible = np.asarray(whole.likeness >= _LEAST, np.bool_)
        is_near = ~(self.cosine < self.thresholds.near_cosine)
        for fits, mask in zip(parts, (is_near, is_near & is_turned), strict=True):
            rows = np.flatnonzero(mask & ~plausible)
            plausible[rows] = fits.of(rows)[0].likeness >= _LEAST
        return plausible

    def _lay_parts(
        self,
        registrations: dict[int, Registration],
        rows: Positions,
        nowhere: npt.NDArray[np.bool_],
        parts: tuple[_PartFits, _PartFits],
        is_turned: npt.NDArray[np.bool_],
    ) -> None:
        """Look for a common part of the m pairs at ``rows``, and put the better fits into ``registrations``."""
        least = self.thresholds.fine_cosine + (1 - self.thresholds.fine_cosine) / 3
        may_miss = nowhere & ~(self.cosine[rows] < least)
        for fits, mask in zip(parts, (np.ones(len(rows), np.bool_), is_turned[rows]), strict=True):
            apart = [not self._is_same(n, registrations[n]) for n in rows.tolist()]
            at = np.flatnonzero(mask & np.array(apart, np.bool_))
            part_fits, peak = fits.of(rows[at])
            # Squares miss a few parts, of pictures with like vectors that agree nowhere else.
            is_missed = may_miss[at] & (peak >= _PEAK)
            promising = np.flatnonzero(is_missed | (part_fits.likeness >= _FAINT))
            at, is_missed = at[promising], is_missed[promising]
            closer = compare_closely(self.squares, self.a[rows[at]], self.b[rows[at]], part_fits.of(promising))
            is_part = (closer.shared < _ALL) & (closer.likeness >= _PART)
            is_missed &= ~is_part
            for k in np.flatnonzero(is_part | is_missed).tolist():
                n = int(rows[at[k]])
                a, b, code = self.floats[int(self.a[n])], self.floats[int(self.b[n])], int(closer.orientation[k])
                if is_part[k]:
                    refined = register_near(a, b, code, closer.first_to_second(k), rough=closer.likeness[k] < _CLEAR)
                    registrations[n] = max(registrations[n], refined, key=lambda one: one.agreement)
                if is_missed[k] or self._is_a_little_off(n, registrations[n]):
                    registrations[n] = self._search_part(n, a, b, code, registrations[n])

    def _is_a_little_off(self, n: int, registration: Registration) -> bool:
        """Return whether tiles agree and yet have moved by little more than those of one picture: the squares' fit may
        be to blame."""
        agrees = registration.agreement >= self.thresholds.part_agreement and not self._is_same(n, registration)
        return agrees and registration.drift <= _OFF * most_drift(registration, self.thresholds)

    def _lay_whole(self, n: int, close: CoarseFits, at: int) -> Registration:
        """Lay all of one picture of pair ``n`` over all of the other; ``close`` has its fit at ``at``."""
        a, b = self.floats[int(self.a[n])], self.floats[int(self.b[n])]
        code, likeness = int(close.orientation[at]), float(close.likeness[at])
        if likeness < _HOPELESS:
            return Registration(code, 0.0, 0.0, float(close.correlation[at]), 0.0, 0.0, 0.0, max(a.shape))
        if likeness >= _CLEAR:
            return register_near(a, b, code, close.fit[at].tolist())
        return register_whole(a, b, code)

    def _search_part(self, n: int, a: Luminance, b: Luminance, code: int, best: Registration) -> Registration:
        """Search each picture of pair ``n`` inside the other; return the best fit, which may be the given one."""
        cosine = float(self.cosine[n])
        if cosine < self.thresholds.near_cosine:
            return best
        # Both grids if the cosine is unknown.
        for registration in find_inside(a, b, code, fine=not cosine < self.thresholds.fine_cosine):
            best = max(best, registration, key=lambda one: one.agreement)
            if self._is_same(n, best):
                break
        return best

    def _judge_registration(self, n: int, registration: Registration) -> Verdict:
        """Return the verdict on pair ``n`` with its confidence. Where the two differ somewhere, *same* is *edited*, and
        neither is *inside* the other."""
        verdict = self._verdict(n, registration)
        if verdict.kind not in (SAME, INSIDE):
            return verdict
        places = self._find_places(n, registration)
        if verdict.kind == INSIDE:
            return Verdict(0, 0.0, registration.orientation, registration) if places else verdict
        if places:
            return self._edited(registration, places)
        return self._with_confidence(n, verdict)

    def _find_places(self, n: int, registration: Registration) -> tuple[PlaceInBoth, ...]:
        return find_places(self.floats[int(self.a[n])], self.floats[int(self.b[n])], registration)

    def _verdict(self, n: int, registration: Registration) -> Verdict:
        return verdict_of(registration, int(self.distance[n]), float(self.cosine[n]), self.thresholds)

    def _edited(self, registration: Registration, places: tuple[PlaceInBoth, ...]) -> Verdict:
        """Return the verdict *edited* with its confidence."""
        confidence = edited_confidence(registration, most_drift(registration, self.thresholds))
        return Verdict(EDITED, confidence, registration.orientation, registration, places)

    def _with_confidence(self, n: int, verdict: Verdict) -> Verdict:
        """Return the verdict *same* on pair ``n`` with its confidence."""
        assert verdict.registration is not None
        most = most_drift(verdict.registration, self.thresholds)
        plain = 0.0
        if verdict.registration.orientation:
            plain = (self._plain_share(int(self.a[n])) + self._plain_share(int(self.b[n]))) / 2
        return replace(verdict, confidence=same_confidence(verdict.registration, most, plain))

    def _plain_share(self, picture: int) -> float:
        if picture not in self.plain:
            self.plain[picture] = plain_share(self.small[picture])
        return self.plain[picture]

    def _is_same(self, n: int, registration: Registration) -> bool:
        return is_same_picture(registration, int(self.distance[n]), self.thresholds)


def _tells_fit(verdict: Verdict) -> bool:
    """Return whether a verdict says how the two pictures lie."""
    return verdict.kind in _RIGID or (verdict.registration is not None and verdict.registration.is_fixed)


class _PartFits:
    """Coarse fits of pairs of pictures one inside the other, the second turned by ``codes`` (n,), found on demand."""

    def __init__(self, pairs: _Pairs, codes: Positions) -> None:
        self._pairs, self._codes = pairs, codes
        self._rows = np.full(len(codes), -1)
        self._results: list[tuple[CoarseFits, Float32]] = []

    def of(self, rows: Positions) -> tuple[CoarseFits, Float32]:
        """Return the fits of m pairs, and the highest correlations (m,) of the search, as
        :func:`imseek.duplicates.pixels.coarse_comparison.compare_inside` does."""
        new_rows = rows[self._rows[rows] < 0]
        if len(new_rows) or not self._results:
            self._rows[new_rows] = np.arange(len(new_rows)) + sum(len(peaks) for _, peaks in self._results)
            self._results.append(self._compare(new_rows))
        fits, peaks = zip(*self._results, strict=True)
        at = self._rows[rows]
        return CoarseFits.concatenate(fits).of(at), np.concatenate(peaks)[at]

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
    """Note how two pictures lie if that is certain: they show one picture where they overlap, or enough of them is in
    place. Return whether this links two sets."""
    registration = verdict.registration
    if registration is None:
        return False
    agrees = verdict.kind in _RIGID and registration.agreement >= thresholds.part_agreement
    if not (agrees or registration.is_fixed):
        return False
    return placements.link(a, b, registration, shapes)

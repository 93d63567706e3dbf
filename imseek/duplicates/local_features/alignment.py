"""Lay one picture over another by their local features, and measure how well what then overlaps agrees.

Features that match propose a mapping: by a similarity first (any angle, scale and place), then by an affine map or a
homography where more features agree with it. Pictures that share a tool, a background or a line of text have matching
features as copies do, so the number of these decides little: one picture is warped onto the other, and windows of both
are compared all over the overlap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.local_features.features import Features, unit_descriptors
from imseek.duplicates.pixels.differences import PlaceInBoth, find_boxes
from imseek.types.arrays import Float32

Matrix: TypeAlias = npt.NDArray[np.float64]
_Points: TypeAlias = npt.NDArray[np.float64]
_Map: TypeAlias = npt.NDArray[np.float32]

#: A match is less than this share as far as the next other place of the same picture.
_RATIO: Final = 0.88
#: Pixels within which features are one place.
_PLACE: Final = 6.0
#: Pixels that matches may lie off a similarity, those that a freer map is fitted to, and off the result.
_ROUGH: Final = 8.0
_WIDE: Final = 20.0
_CLOSE: Final = 3.0
_FINE: Final = 1.2
#: Least number of matches of a mapping, of places for more than a similarity, and of matches for a homography.
_LEAST: Final = 4
_LEAST_PLACES: Final = 6
_LEAST_HOMOGRAPHY: Final = 8
#: Places that a freer mapping has to gain.
_WORTH: Final = 2
#: Longer side of the pictures compared, in pixels, and the side of the windows.
_SIDE: Final = 240
_WINDOW: Final = 9
#: Variance of noise, and of a window that shows something.
_NOISE: Final = 9.0
_TEXTURE: Final = 60.0
#: Correlations from which windows agree, clearly agree, and below which they differ; share of another's variance below
#: which a window is plain.
_AGREE: Final = 0.6
_CLEAR: Final = 0.85
_DIFFER: Final = 0.4
_PLAIN: Final = 0.15
LUMA_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)
#: Red against green, and blue against both.
_OPPONENTS: Final = np.array([[0.7, -0.35], [-0.7, -0.35], [0.0, 0.7]], np.float32)
#: Fewest pixels that colours are fitted to, and shorter side of an overlap that is compared pixel by pixel.
_LEAST_COLOURS: Final = 30
_LEAST_SIDE: Final = 16
#: Correlation of slopes from which they agree, and their variance in a window that shows something.
_AGREE_SLOPES: Final = 0.5
_SLOPE: Final = 30.0
#: Pixels of movement where nothing agrees.
_MOST_MOVED: Final = 8.0
#: Fewest pixels that overlap.
_LEAST_OVERLAP: Final = 200


@dataclass(frozen=True, slots=True)
class Warped:
    """The part and the whole warped onto it, (h, w, 3) levels; ``overlap`` and what ``agrees`` (h, w) of it."""

    part: Float32
    whole: Float32
    overlap: npt.NDArray[np.bool_]
    agrees: npt.NDArray[np.bool_]
    part_is_a: bool
    onto_whole: Matrix
    """Maps pixels to shares of the sides of the whole."""

    def locate(self, box: tuple[int, int, int, int]) -> PlaceInBoth:
        """Return where a box of pixels, as top, left, bottom and right, lies in both pictures: the box around it."""
        top, left, bottom, right = box
        rows, columns = self.overlap.shape
        in_part = top / rows, left / columns, bottom / rows, right / columns
        # Pixels have their places at their middles.
        corners = np.array([(x, y) for x in (left, right) for y in (top, bottom)], np.float64) - 0.5
        mapped = _apply(self.onto_whole, corners).clip(0, 1)
        (x, y), (far_x, far_y) = mapped.min(axis=0).tolist(), mapped.max(axis=0).tolist()
        in_whole = y, x, far_y, far_x
        return PlaceInBoth(in_part, in_whole) if self.part_is_a else PlaceInBoth(in_whole, in_part)


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one picture lies over another. ``part`` is the one that the overlap covers more of; shares are of the windows
    of the overlap that show something, unless stated otherwise."""

    inliers: int
    """Matches that agree with the mapping."""
    places: int
    """Squares of 24 pixels of the part in which these lie."""
    tight: float
    """Share of the matches near the mapping that agree with it: few if things have moved."""
    fine: float
    """Share of the inliers that are off by little more than a pixel at most."""
    ratio: float
    """Median of how near matches are, relative to the next other place."""
    covered: float
    """Share of the part that the overlap covers."""
    covered_whole: float
    agreeing: float
    """Share of the part's area in which windows agree."""
    agreement: float
    """Share of the windows that agree."""
    hull_agreement: float
    """The same within the convex hull of the inliers."""
    hull: float
    """Share of the part's area within that hull that shows something."""
    median: float
    """Median correlation there."""
    low: float
    """Its lower fifth."""
    clear: float
    """Share of the windows there that agree clearly."""
    grain: float
    """Share of the windows whose slopes agree, down or across, whichever is less: lines of text do one way only."""
    lacking: float
    """Share of the windows in places in which one picture shows something and the other nothing: the lesser of both
    directions. A thing laid over a picture takes nothing away without being seen itself."""
    added: float
    """The greater of both directions."""
    differing: float
    """Share of the windows in places in which both show something, and not the same."""
    moved: float
    """Median of how far windows that agree have moved, in pixels, and their upper fifth: much if it is another shot."""
    moved_most: float
    largest: float
    """Share of the hull's windows in the largest place where they differ."""
    places_differing: int
    """Places that stand out as different, pixel by pixel."""
    place: float
    """Share of the overlap that the largest of these takes."""
    one_sided: float
    """How much more one picture shows there than the other, 0 … 1."""
    hue: float
    """How far colours are off where they are off most, after those of one picture were fitted to the other's."""
    scale: float
    """Logarithm of the ratio of the sizes."""
    freedom: int
    """0 similarity, 1 affine, 2 homography."""
    contrast: float
    warped: Warped = field(compare=False, repr=False)


def align(a: Features, b: Features) -> Alignment | None:
    """Lay ``a`` over ``b``; None if no mapping is found."""
    import cv2

    try:
        return _align(cv2, a, b)
    except (cv2.error, np.linalg.LinAlgError):  # A mapping that has no inverse, or maps to almost nothing.
        return None


def _align(cv2: Any, a: Features, b: Features) -> Alignment | None:
    rows, columns, ratios = _match(a, b)
    if len(rows) < _LEAST:
        return None
    source, target = (one.points[at].astype(np.float64) for one, at in ((a, rows), (b, columns)))
    fit = _fit(cv2, source, target)
    if fit is None:
        return None
    mapping, freedom, near_count = fit
    shares = [_coverage(a, b, mapping), _coverage(b, a, _inverse(mapping))]
    part_is_a = shares[0] > shares[1]
    part, whole = (a, b) if part_is_a else (b, a)
    onto = _inverse(mapping) if part_is_a else mapping
    on_part, on_whole = (source, target) if part_is_a else (target, source)
    off = _distances(onto, on_whole, on_part)
    inlying = off < _CLOSE
    if np.count_nonzero(inlying) < _LEAST:
        return None
    measures = _compare(cv2, part, whole, onto, on_part[inlying], part_is_a=part_is_a)
    if measures is None:
        return None
    return Alignment(
        inliers=int(inlying.sum()),
        places=_count_places(on_part[inlying], 24.0),
        tight=float(inlying.sum() / max(1, near_count)),
        fine=float((off[inlying] < _FINE).mean()),
        ratio=float(np.median(ratios[inlying])),
        covered=max(shares),
        covered_whole=min(shares),
        scale=0.5 * abs(math.log(max(1e-6, abs(float(np.linalg.det(onto[:2, :2])))))),
        freedom=freedom,
        **measures,
    )


def _match(a: Features, b: Features) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Float32]:
    """Return the features of both that are each other's nearest and stand out, and how much."""
    no_rows = np.empty(0, np.int64)
    if len(a) < _LEAST or len(b) < _LEAST:
        return no_rows, no_rows, np.empty(0, np.float32)
    cosines = unit_descriptors(a.descriptors) @ unit_descriptors(b.descriptors).T
    rows, nearest = np.arange(len(a)), cosines.argmax(axis=1)
    best = cosines[rows, nearest]
    mutual = np.flatnonzero((cosines.argmax(axis=0)[nearest] == rows) & (best > 0))
    nearest, best, cosines = nearest[mutual], best[mutual], cosines[mutual]
    squares = (b.points * b.points).sum(axis=1)
    gaps = squares[nearest, None] + squares - 2 * (b.points[nearest] @ b.points.T)
    cosines[gaps < _PLACE * _PLACE] = -1
    # Distances of unit vectors.
    ratio = np.sqrt(np.maximum(0, 1 - best) / np.maximum(1e-9, 1 - cosines.max(axis=1)))
    standing = ratio < _RATIO
    return mutual[standing], nearest[standing], ratio[standing].astype(np.float32)


def _fit(cv2: Any, source: _Points, target: _Points) -> tuple[Matrix, int, int] | None:
    """Return the mapping of ``source`` to ``target``, its freedom, and how many matches are anywhere near it."""
    rough, _ = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=_ROUGH, maxIters=2000, confidence=0.995
    )
    if rough is None or not 0.01 < abs(np.linalg.det(rough[:, :2])) < 100:
        return None
    similarity = _square(rough)
    off = _distances(similarity, source, target)
    if np.count_nonzero(off < _ROUGH) < _LEAST:
        return None
    mappings = [similarity]
    wide = off < _WIDE
    if _count_places(target[off < _ROUGH], 8.0) >= _LEAST_PLACES:
        affine, _ = cv2.estimateAffine2D(source[wide], target[wide], method=cv2.RANSAC, ransacReprojThreshold=_CLOSE)
        mappings.append(similarity if affine is None else _square(affine))
        if np.count_nonzero(wide) >= _LEAST_HOMOGRAPHY:
            homography, _ = cv2.findHomography(source[wide], target[wide], cv2.USAC_MAGSAC, _CLOSE)
            if homography is not None and abs(np.linalg.det(homography)) > 1e-9:
                mappings.append(homography)
    scores = [
        _count_places(target[_distances(one, source, target) < _CLOSE], _PLACE) - _WORTH * n
        for n, one in enumerate(mappings)
    ]
    freedom = int(np.argmax(scores))
    return mappings[freedom], freedom, int(np.count_nonzero(off < 25))


def _square(affine: Any) -> Matrix:
    square: Matrix = np.vstack([np.asarray(affine, np.float64), [0, 0, 1]])
    return square


def _inverse(mapping: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(mapping), np.float64)


def _apply(mapping: Matrix, points: _Points) -> _Points:
    mapped = np.column_stack([points, np.ones(len(points))]) @ mapping.T
    # A homography has a line that it maps to infinity.
    depth = np.where(np.abs(mapped[:, 2:]) < 1e-9, 1e-9, mapped[:, 2:])
    result: _Points = mapped[:, :2] / depth
    return result


def _distances(mapping: Matrix, source: _Points, target: _Points) -> _Points:
    gaps = _apply(mapping, source) - target
    return np.asarray(np.hypot(gaps[:, 0], gaps[:, 1]), np.float64)


def _count_places(points: _Points, side: float) -> int:
    return len(np.unique(np.floor(points / side).astype(np.int64) @ (100_003, 1)))


def _coverage(a: Features, b: Features, mapping: Matrix) -> float:
    """Return the share of ``a`` that lies in ``b``, from the middles of 16 × 16 cells."""
    height, width = a.luminance.shape
    y, x = np.mgrid[0:16, 0:16]
    middles = np.column_stack([(x.ravel() + 0.5) * width / 16, (y.ravel() + 0.5) * height / 16])
    mapped = _apply(mapping, middles)
    rows, columns = b.luminance.shape
    inside = (mapped >= 0).all(axis=1) & (mapped[:, 0] < columns) & (mapped[:, 1] < rows)
    return float(inside.mean())


def _compare(
    cv2: Any, part: Features, whole: Features, onto: Matrix, points: _Points, *, part_is_a: bool
) -> dict[str, Any] | None:
    """Compare windows of ``part`` with those of ``whole`` warped onto it; ``points`` are inliers in the part."""
    rows, columns = part.luminance.shape
    shrink = min(1.0, _SIDE / max(rows, columns))
    width, height = max(1, round(columns * shrink)), max(1, round(rows * shrink))
    across, down = width / columns, height / rows
    # Pixels have their places at their middles.
    mapping = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2], [0, 0, 1]]) @ onto
    painted = cv2.resize(part.pixels, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    back = _inverse(mapping)
    middle = np.array([[0, 0], [1, 0], [0, 1]]) + np.array([width / 2, height / 2])
    steps = _apply(back, middle)
    # Pixels of the whole for each of the part: it is averaged where it shrinks, and the part is as soft where it grows.
    density = math.sqrt(max(1e-6, abs(float(np.linalg.det(steps[1:] - steps[0])))))
    repainted = whole.pixels.astype(np.float32)
    if density > 1.4:
        repainted = cv2.GaussianBlur(repainted, (0, 0), 0.45 * min(20.0, density))
    elif density < 0.77:
        painted = cv2.GaussianBlur(painted, (0, 0), 0.4 / max(0.05, density))
    repainted = cv2.warpPerspective(repainted, mapping, (width, height), flags=cv2.INTER_LINEAR)
    first, second = (np.ascontiguousarray(first_slopes @ LUMA_WEIGHTS) for first_slopes in (painted, repainted))
    ones = np.ones(whole.luminance.shape, np.uint8)
    is_visible = cv2.warpPerspective(ones, mapping, (width, height), flags=cv2.INTER_NEAREST)
    overlap = cv2.erode(is_visible, np.ones((3, 3), np.uint8)) > 0
    if np.count_nonzero(overlap) < _LEAST_OVERLAP:
        return None
    correlation, variance, whole_variance = _correlate_windows(cv2, first, second, overlap)
    shows = overlap & (np.maximum(variance, whole_variance) > _TEXTURE)
    shown_count = max(1, int(np.count_nonzero(shows)))
    agrees = shows & (correlation > _AGREE)
    hull = np.zeros(overlap.shape, np.uint8)
    outline = cv2.convexHull((points * (across, down)).astype(np.float32))
    cv2.fillConvexPoly(hull, outline.astype(np.int32), 1)
    in_hull = (cv2.dilate(hull, np.ones((_WINDOW, _WINDOW), np.uint8)) > 0) & shows
    if not in_hull.any():
        return None
    values = correlation[in_hull]
    places = _PlacesThatDiffer(cv2, shows & (correlation < _DIFFER), variance, whole_variance)
    movement = _movement(cv2, first, second)[agrees]
    grains = []
    for axis in (0, 1):
        first_slopes, second_slopes = (cv2.Sobel(values, -1, axis, 1 - axis, ksize=1) for values in (first, second))
        agree, *slope_variances = _correlate_windows(cv2, first_slopes, second_slopes, overlap)
        grains.append(_share(agree > _AGREE_SLOPES, shows & (np.maximum(*slope_variances) > _SLOPE)))
    boxes = _find_places(first, second, overlap)
    rows, columns = whole.luminance.shape
    to_shares = np.array([[1 / columns, 0, 0.5 / columns], [0, 1 / rows, 0.5 / rows], [0, 0, 1]])
    return {
        "agreeing": float(np.count_nonzero(agrees)) / overlap.size,
        "agreement": _share(agrees, shows),
        "hull_agreement": float((values > _AGREE).mean()),
        "hull": len(values) / overlap.size,
        "median": float(np.median(values)),
        "low": float(np.percentile(values, 20)),
        "clear": float((values > _CLEAR).mean()),
        "grain": min(grains),
        "lacking": min(places.only_first, places.only_second) / shown_count,
        "added": max(places.only_first, places.only_second) / shown_count,
        "differing": places.both / shown_count,
        "largest": places.largest / shown_count,
        "moved": float(np.median(movement)) if len(movement) else _MOST_MOVED,
        "moved_most": float(np.percentile(movement, 80)) if len(movement) else _MOST_MOVED,
        "places_differing": len(boxes),
        "place": _area(boxes[0]) / int(np.count_nonzero(overlap)) if boxes else 0.0,
        "one_sided": _one_sided(first, second, boxes[0]) if boxes else 0.0,
        "hue": _colours_off(cv2, painted, repainted, agrees),
        "contrast": math.sqrt(float(variance[overlap].mean())),
        "warped": Warped(painted, repainted, overlap, agrees, part_is_a, to_shares @ back),
    }


class _PlacesThatDiffer:
    """Pixels of the places, touching windows that differ, that show something in one picture only, and in both."""

    def __init__(self, cv2: Any, differing: npt.NDArray[np.bool_], variance: _Map, other_variance: _Map) -> None:
        count, labels, sizes, _ = cv2.connectedComponentsWithStats(differing.astype(np.uint8))
        most = np.zeros((2, count), np.float32)
        for n, values in enumerate((variance, other_variance)):
            np.maximum.at(most[n], labels[differing], values[differing])
        areas = sizes[1:, 4].astype(np.float64)
        first, second = most[:, 1:]
        self.only_first = float(areas[(second < _PLAIN * first)].sum())
        self.only_second = float(areas[(first < _PLAIN * second)].sum())
        self.both = float(areas.sum()) - self.only_first - self.only_second
        self.largest = float(areas.max(initial=0))


def _movement(cv2: Any, first: _Map, second: _Map) -> _Map:
    """Return how far each pixel has moved (T. Kroeger et al., "Fast optical flow using dense inverse search", 2016)."""
    if min(first.shape) < _LEAST_SIDE:
        return np.zeros(first.shape, np.float32)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    first_levels, second_levels = (np.clip(np.rint(values), 0, 255).astype(np.uint8) for values in (first, second))
    steps = flow.calc(first_levels, second_levels, None)
    return np.asarray(np.hypot(steps[..., 0], steps[..., 1]), np.float32)


def _find_places(first: _Map, second: _Map, overlap: npt.NDArray[np.bool_]) -> list[tuple[int, int, int, int]]:
    """Return the edges of the places in the overlap where both differ pixel by pixel, the largest first."""
    rows, columns = np.flatnonzero(overlap.any(axis=1)), np.flatnonzero(overlap.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    if min(overlap[box].shape) < _LEAST_SIDE:
        return []
    # Outside of the overlap both are plain.
    first_values, second_values = (np.where(overlap, values, values[overlap].mean())[box] for values in (first, second))
    top, left = int(rows[0]), int(columns[0])
    return [
        (box[0] + top, box[1] + left, box[2] + top, box[3] + left) for box in find_boxes(first_values, second_values)
    ]


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _one_sided(first: _Map, second: _Map, box: tuple[int, int, int, int]) -> float:
    top, left, bottom, right = box
    first_contrast, second_contrast = (float(values[top:bottom, left:right].std()) for values in (first, second))
    return abs(first_contrast - second_contrast) / (first_contrast + second_contrast + 1)


def _colours_off(cv2: Any, painted: _Map, repainted: _Map, agrees: npt.NDArray[np.bool_]) -> float:
    """Return by how many levels windows that agree are off in colour, as the 99th percentile."""
    sample = np.flatnonzero(agrees.ravel())[::5]
    if len(sample) < _LEAST_COLOURS:
        return 0.0
    target, colours = (values.reshape(-1, 3)[sample] for values in (painted, repainted))
    terms = np.column_stack([colours, np.ones(len(sample), np.float32)])
    coefficients, *_ = np.linalg.lstsq(terms, target, rcond=None)
    error = (target - terms @ coefficients) @ _OPPONENTS
    smooth = cv2.boxFilter(_spread(error, sample, agrees.shape), -1, (_WINDOW, _WINDOW))
    weight = cv2.boxFilter(_spread(np.ones((len(sample), 1), np.float32), sample, agrees.shape), -1, (_WINDOW, _WINDOW))
    off = np.hypot(smooth[..., 0], smooth[..., 1])[agrees] / np.maximum(weight[agrees], 1 / _WINDOW**2)
    return float(np.percentile(off, 99))


def _spread(values: _Map, at: npt.NDArray[np.int64], shape: tuple[int, ...]) -> _Map:
    """Return (h, w, channels) with ``values`` (n, channels) at the flat positions ``at``, and 0 elsewhere."""
    spread = np.zeros((shape[0] * shape[1], values.shape[1]), np.float32)
    spread[at] = values
    return spread.reshape(*shape, -1) if values.shape[1] > 1 else spread.reshape(shape)


def _share(mask: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask & among)) / max(1, int(np.count_nonzero(among)))


def _correlate_windows(cv2: Any, first: _Map, second: _Map, overlap: npt.NDArray[np.bool_]) -> tuple[_Map, _Map, _Map]:
    """Return the correlation of the windows around each pixel, and the variances of both."""

    def mean(values: _Map) -> _Map:
        averaged: _Map = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), borderType=cv2.BORDER_REFLECT)
        return averaged

    weight = overlap.astype(np.float32)
    count = np.maximum(mean(weight), 1e-3)
    first_values, second_values = first * weight, second * weight
    means = mean(first_values) / count, mean(second_values) / count
    variances = [
        np.asarray(np.maximum(0, mean(values * values) / count - middle * middle), np.float32)
        for values, middle in zip((first_values, second_values), means, strict=True)
    ]
    covariance = mean(first_values * second_values) / count - means[0] * means[1]
    correlation = np.asarray(covariance / np.sqrt((variances[0] + _NOISE) * (variances[1] + _NOISE)), np.float32)
    return correlation, variances[0], variances[1]

"""Tell a copy with something laid over it from another picture of the same series.

Text, a sticker or a pasted picture covers a part and changes nothing else. So where two pictures differ, the one
beneath goes on as around that place: it has no colours of its own there and no edges along the outline, and what lies
over it has. If two pictures differ themselves (other cards, other objects before one wall), each has something of its
own.

The pictures are those of an alignment, pixel by pixel: after colours were fitted, and the sharper one was softened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.local_features.alignment import LUMA_WEIGHTS, Alignment, Warped
from imseek.types.arrays import Float32

_Mask: TypeAlias = npt.NDArray[np.bool_]
_Matrix: TypeAlias = npt.NDArray[np.float64]
#: A box as top, left, bottom and right, in pixels.
PixelBox: TypeAlias = tuple[int, int, int, int]

#: Least and greatest residual of what differs, in levels; between them, a multiple of what nine in ten pixels that
#: agree have.
_LEAST: Final = 12.0
_MOST: Final = 60.0
_NOISE_FACTOR: Final = 1.6
#: Fewest pixels of a region, and most regions, the largest, that are looked at.
_LEAST_REGION: Final = 8
_REGIONS: Final = 24
#: Pixels around a region that tell which colours its surroundings have, and the fewest of these.
_AROUND: Final = 9
_LEAST_AROUND: Final = 25
#: Levels beyond which a colour is clipped, to the pixel's neighbours and to itself.
_DARK: Final = 4.0
_BRIGHT: Final = 250.0
#: Levels across an outline that are an edge, also as a share of the least residual; a picture has no edge where its
#: step is below this share of the other picture's.
_EDGE: Final = 14.0
_EDGE_SHARE: Final = 0.8
_NO_EDGE: Final = 0.5
#: Side of the window that edges across an outline are measured in, and its fewest pixels on either side.
_WINDOW: Final = 5
_LEAST_BESIDE: Final = 4
#: Levels between neighbours below which a picture is flat.
_FLAT: Final = 16.0
#: Levels per cell of the grid of colours.
_CELL: Final = 16
#: Pixels that colours are fitted to, at most and at least; rounds; pull to the colours as they are.
_FITTED: Final = 4_000
_LEAST_FITTED: Final = 40
_FITS: Final = 6
_PULL: Final = 1.2
#: Softening ends when the energies of the gradients differ by no more than this factor, or after so many times.
_AS_SHARP: Final = 1.25
_MAX_SOFTENING: Final = 5
#: Pixels along the edge of the overlap that are not compared, except at the picture's own border.
_MARGIN: Final = 3
#: Movement from which pixels are compared with those two away.
_MOVED: Final = 1.0
#: Weight of an edge against a strange pixel in choosing which picture lies over the other.
_EDGES_COUNT: Final = 3
#: Fewest pixels within outlines, and pixels that agree.
_LEAST_CORE: Final = 12
_LEAST_AGREEING: Final = 60
_SHIFTED: Final = (slice(1, None), slice(None, -1))
#: Greatest number of places reported, the least side of one, and pixels between regions of one place.
_PLACES: Final = 4
_LEAST_SIDE: Final = 4
_GAP: Final = 9


@dataclass(frozen=True, slots=True)
class Overlay:
    """What differs between two aligned pictures. One is taken to lie ``over`` the other: the one with less evidence
    against it. Counts are of pixels of the alignment."""

    limit: float
    """Levels from which pixels differ."""
    boxes: tuple[PixelBox, ...] = ()
    """Places that differ, the largest first."""
    largest: float = 0.0
    """Share of the overlap that the largest region takes."""
    strange_beneath: int = 0
    """Pixels that differ and whose colours, in the picture beneath, the surroundings of their region lack."""
    strange_beneath_share: float = 0.0
    """Their share of all that differ."""
    strange_over: int = 0
    """The same in the picture over it."""
    edges_beneath: float = 0.0
    """Share of the outlines along which only the picture beneath has an edge."""
    common: float = 0.0
    """Share of what differs whose colours the rest of the picture over it has too."""
    flat: float = 0.0
    """Share of what differs in which the picture over it is flat."""
    worst: int = 0
    """Evidence against an overlay in the region that has most of it: strange pixels beneath, and twice the edges."""
    worst_share: float = 0.0
    """Share of this region that is strange beneath."""
    contrast: float = 1.0
    """Ratio of the residual of what differs to that of the rest."""


def measure_overlay(alignment: Alignment) -> Overlay:
    """Measure what differs between two aligned pictures. Takes 50 ms."""
    import cv2

    return _measure(cv2, alignment.warped, 3 if alignment.moved_most < _MOVED else 5)


def _measure(cv2: Any, warped: Warped, side: int) -> Overlay:
    overlap, agrees = warped.overlap, warped.agrees
    recoloured = _fit_colours(warped.part, warped.whole, overlap, agrees)
    recoloured = np.where(overlap[..., None], recoloured, warped.part)
    pictures = _soften(cv2, warped.part, recoloured, agrees if agrees.sum() >= _LEAST_AGREEING else overlap)
    inner = _erode(cv2, overlap, 2 * _MARGIN + 1)
    residual = np.where(inner, _residual(cv2, *pictures, warped.whole, side), 0)
    sound = residual[agrees & inner]
    limit = _NOISE_FACTOR * float(np.percentile(sound, 90)) if len(sound) > _LEAST_AGREEING else 0.0
    limit = min(_MOST, max(_LEAST, limit))
    closed = cv2.morphologyEx((residual > limit).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(closed)
    large = boxes[:, 4] >= _LEAST_REGION
    large[0] = False
    differs = large[labels] & inner
    beside = inner & ~_dilate(cv2, differs, 5)
    if not differs.any():
        return Overlay(limit)
    outline, edges = _edges_across(cv2, pictures, differs, inner)
    least = max(_EDGE, _EDGE_SHARE * limit)
    alone = [(one > least) & (other < _NO_EDGE * one) & outline for one, other in (edges, edges[::-1])]
    order = np.flatnonzero(large)
    rows = []
    for n in order[np.argsort(-boxes[order, 4], kind="stable")][:_REGIONS].tolist():
        window = _around(boxes[n])
        region = (labels[window] == n) & differs[window]
        if region.any():
            colours = [_count_strange(cv2, picture[window], region, beside[window]) for picture in pictures]
            lines = [int(one[window][region].sum()) for one in (*alone, outline)]
            rows.append((int(region.sum()), *colours, *lines))
    regions = np.array(rows, np.int64)
    areas, strange, lined, outlines = regions[:, 0], regions[:, 1:3], regions[:, 3:5], regions[:, 5]
    # What speaks against a picture lying over the other is what the other shows of its own.
    strength = strange.sum(axis=0) + _EDGES_COUNT * lined.sum(axis=0)
    over, beneath = (1, 0) if strength[0] < strength[1] else (0, 1)
    evidence = strange[:, beneath] + 2 * lined[:, beneath]
    worst = int(evidence.argmax())
    core = _erode(cv2, differs, 3)
    flat = _spread(cv2, pictures[over])[core if core.sum() >= _LEAST_CORE else differs] < _FLAT
    background = float(np.percentile(residual[beside], 95)) if beside.any() else 0.0
    return Overlay(
        limit=limit,
        boxes=_boxes(cv2, differs),
        largest=int(areas.max()) / int(inner.sum()),
        strange_beneath=int(strange[:, beneath].sum()),
        strange_beneath_share=float(strange[:, beneath].sum() / areas.sum()),
        strange_over=int(strange[:, over].sum()),
        edges_beneath=float(lined[:, beneath].sum() / max(1, outlines.sum())),
        common=float(_are_among(pictures[over][differs], pictures[over][beside]).mean()) if beside.any() else 0.0,
        flat=float(flat.mean()),
        worst=int(evidence[worst]),
        worst_share=float(strange[worst, beneath] / areas[worst]),
        contrast=(float(residual[differs].mean()) + 2) / (background + 2),
    )


def _fit_colours(target: Float32, source: Float32, overlap: _Mask, agrees: _Mask) -> Float32:
    """Return ``source`` in the colours of ``target``, by an affine map of colours that is fitted to what agrees, and
    then to all that it explains."""
    step = max(1, int(overlap.sum()) // _FITTED)
    levels, colours, is_fitted = (values[overlap][::step] for values in (target, source, agrees))
    terms = np.column_stack([colours, np.ones(len(colours))]).astype(np.float64)
    if is_fitted.sum() < _LEAST_AGREEING:
        is_fitted = np.ones(len(levels), bool)
    mapping: _Matrix = np.vstack([np.eye(3), np.zeros((1, 3))])
    beyond = np.zeros(levels.shape, bool)
    for n in range(_FITS):
        for channel in range(3):
            rows = is_fitted & ~beyond[:, channel]
            if rows.sum() >= _LEAST_FITTED:
                pull = np.diag([_PULL, _PULL, _PULL, 2e-5]) * rows.sum()
                unit = np.zeros(4)
                unit[channel] = 1
                mapping[:, channel] = np.linalg.solve(
                    terms[rows].T @ terms[rows] + pull, terms[rows].T @ levels[rows, channel] + pull @ unit
                )
        mapped = terms @ mapping
        # What was clipped may have been anything beyond.
        beyond = ((levels >= 252) & (mapped > levels)) | ((levels <= 3) & (mapped < levels))
        error = np.abs(mapped.clip(0, 255) - levels).max(axis=1)
        is_fitted = error <= max(4.0, 2.5 * float(np.median(error if n > 1 else error[is_fitted])) + 2)
    return np.asarray((source @ mapping[:3] + mapping[3]).clip(0, 255), np.float32)


def _soften(cv2: Any, first: Float32, second: Float32, mask: _Mask) -> tuple[Float32, Float32]:
    """Smooth the sharper picture until it is about as soft as the other."""
    pictures = [first, second]
    energies = [_gradient_energy(picture, mask) for picture in pictures]
    for _ in range(_MAX_SOFTENING):
        sharper = int(energies[1] > energies[0])
        if energies[sharper] <= _AS_SHARP * energies[1 - sharper]:
            break
        pictures[sharper] = cv2.boxFilter(pictures[sharper], -1, (3, 3))
        energies[sharper] = _gradient_energy(pictures[sharper], mask)
    return pictures[0], pictures[1]


def _gradient_energy(picture: Float32, mask: _Mask) -> float:
    luma = picture @ LUMA_WEIGHTS
    squares = np.diff(luma, axis=0)[:, :-1] ** 2 + np.diff(luma, axis=1)[:-1] ** 2
    energies = squares[mask[:-1, :-1]]
    return float(energies.mean()) if len(energies) else 0.0


def _residual(cv2: Any, first: Float32, second: Float32, unfitted: Float32, side: int) -> Float32:
    """Return by how much each pixel lies outside of the levels of the other picture around it; ``unfitted`` is the
    second before its colours were fitted, which tells where it was clipped."""
    window = np.ones((side, side), np.uint8)
    (low, high), (low_second, high_second), (dark, bright) = (
        (cv2.erode(picture, window), cv2.dilate(picture, window)) for picture in (first, second, unfitted)
    )
    outside = np.where((dark <= _DARK).any(axis=-1, keepdims=True), 0, low_second - first)
    np.maximum(outside, np.where((bright >= _BRIGHT).any(axis=-1, keepdims=True), 0, first - high_second), out=outside)
    np.maximum(outside, np.where(low <= _DARK, 0, low - second), out=outside)
    np.maximum(outside, np.where(high >= _BRIGHT, 0, second - high), out=outside)
    residual: Float32 = cv2.boxFilter(outside.max(axis=-1).clip(0), -1, (3, 3))
    return residual


def _edges_across(
    cv2: Any, pictures: tuple[Float32, Float32], differs: _Mask, inner: _Mask
) -> tuple[_Mask, tuple[Float32, Float32]]:
    """Return the outline of what differs, and the edges across it in both pictures: levels between its two sides."""
    inside = differs.astype(np.float32)
    beside = inner.astype(np.float32) * (1 - inside)

    def total(values: Float32) -> Float32:
        summed: Float32 = cv2.boxFilter(values, -1, (_WINDOW, _WINDOW), normalize=False)
        return summed

    counts = total(inside), total(beside)
    outline = differs & ~_erode(cv2, differs, 3) & (counts[0] >= _LEAST_BESIDE) & (counts[1] >= _LEAST_BESIDE)

    def edge(picture: Float32) -> Float32:
        inner_mean, outer_mean = (
            total(picture * side[..., None]) / np.maximum(count, 1)[..., None]
            for side, count in zip((inside, beside), counts, strict=True)
        )
        return np.asarray(np.abs(inner_mean - outer_mean).max(axis=-1))

    return outline, (edge(pictures[0]), edge(pictures[1]))


def _around(box: npt.NDArray[np.int32]) -> tuple[slice, slice]:
    left, top, width, height = box[:4].tolist()
    more = _AROUND + 3
    return slice(max(0, top - more), top + height + more), slice(max(0, left - more), left + width + more)


def _count_strange(cv2: Any, picture: Float32, region: _Mask, beside: _Mask) -> int:
    """Return how many pixels of a region have colours that its surroundings ``beside`` lack."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _AROUND + 1, 2 * _AROUND + 1))
    around = (cv2.dilate(region.astype(np.uint8), disc) > 0) & beside
    if around.sum() < _LEAST_AROUND:
        around = beside
    if around.sum() < _LEAST_AROUND:
        return 0
    return int((~_are_among(picture[region], picture[around])).sum())


def _are_among(colours: Float32, others: Float32) -> _Mask:
    """Return which colours (n, 3) are near some of the others: within about a cell of a grid."""
    side = 256 // _CELL + 1
    places, other_places = ((values.clip(0, 255) / _CELL + 0.5).astype(np.int64) for values in (colours, others))
    counts = np.bincount(other_places @ (side * side, side, 1), minlength=side**3).reshape(side, side, side)
    cells = counts >= (2 if len(others) > 60 else 1)
    for axis in range(3):
        grown = cells.copy()
        head, tail = (tuple(part if n == axis else slice(None) for n in range(3)) for part in _SHIFTED)
        grown[head] |= cells[tail]
        grown[tail] |= cells[head]
        cells = grown
    mask: _Mask = cells[places[:, 0], places[:, 1], places[:, 2]]
    return mask


def _spread(cv2: Any, picture: Float32) -> Float32:
    window = np.ones((3, 3), np.uint8)
    return np.asarray((cv2.dilate(picture, window) - cv2.erode(picture, window)).max(axis=-1))


def _boxes(cv2: Any, differs: _Mask) -> tuple[PixelBox, ...]:
    """Return the places that differ, the largest first; regions that are near each other are one."""
    merged = _dilate(cv2, differs, _GAP)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(merged.astype(np.uint8))
    areas = np.bincount(labels[differs], minlength=len(boxes))
    areas[0] = 0
    places = []
    for n in np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)].tolist():
        rows, columns = np.nonzero((labels == n) & differs)
        if min(np.ptp(rows), np.ptp(columns)) + 1 >= _LEAST_SIDE:
            places.append((int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1))
    return tuple(places[:_PLACES])


def _erode(cv2: Any, mask: _Mask, side: int) -> _Mask:
    eroded: _Mask = cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return eroded


def _dilate(cv2: Any, mask: _Mask, side: int) -> _Mask:
    dilated: _Mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return dilated

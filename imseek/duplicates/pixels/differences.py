"""Find where two pictures that lie over each other differ: what was added, covered or replaced in one of them.

Both are compared pixel by pixel at the grid of the coarser one, after gain and offset, and after the sharper one was
made as soft as the other. A pixel is explained if its level lies between the lowest and the highest of the other
picture around it, so that neither resampling nor a shift by a fraction of a pixel leaves a residual at edges; levels
clipped in one picture have no bound in the other.

A place stands out if it has more left than the pair's own noise, which compression and resizing leave in every textured
part, and if the pictures do not correlate there: where a colour was clipped or a curve was bent, they do. The
thresholds were chosen on half A of the pictures of bench/duplicates.py and bench/copies.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from imseek.duplicates.pixels.orientations import INVERSE, BoxEdges, turn, turn_box
from imseek.duplicates.pixels.registration import Registration
from imseek.duplicates.pixels.resampling import Luminance, cut_overlap, find_overlap, fit_gain_offset
from imseek.types.arrays import Float32

#: Side of a cell in pixels of the grid.
_CELL: Final = 5
#: Levels beyond which a picture is clipped.
_DARK: Final = 6.0
_BRIGHT: Final = 249.0
#: Least residual of a place, in grey levels and as a multiple of the pair's noise, which counts up to a limit: of a
#: few textured cells, most may differ.
_LEAST: Final = 20.0
_NOISE_FACTOR: Final = 2.5
_MAX_NOISE: Final = 16.0
#: Contrast from which a cell is textured.
_TEXTURE: Final = 12.0
#: Cells of a place have at least this residual, in grey levels and as a share of its greatest.
_FAINT: Final = 8.0
_CORE: Final = 0.4
#: Least residual of a place that is looked at by itself, in grey levels: clipped colours leave up to 54.
_STRONG: Final = 60.0
#: Greatest correlation of the pictures in a place where they differ, the noise that it allows for, and pixels around
#: the place that are looked at.
_MAX_CORRELATION: Final = 0.9
_GREY_NOISE: Final = 3.0
_AROUND: Final = 2
#: Softening ends when the energies of the gradients differ by no more than this factor, or after so many times.
_AS_SHARP: Final = 1.25
_MAX_SOFTENING: Final = 6
#: Every second row and column tells gain and offset, from so many pixels that are not clipped on.
_SAMPLED: Final = 2
_MIN_SAMPLE: Final = 50
#: Pixels at the border of the overlap that are not compared: resampling has no full support there.
_MARGIN: Final = 2
#: Greatest number of places.
PLACES: Final = 4
#: Parts of a 255th that are an error of rounding.
_ROUNDING: Final = 1e-6
#: Rows and columns of touching cells.
_Cells: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
#: Top, left, bottom and right edges in pixels.
PixelBox: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class PlaceInBoth:
    """Where two pictures differ: the edges of a rectangle, in shares of the sides of each picture."""

    a: BoxEdges
    b: BoxEdges


#: Up to PLACES places as numbers, for arrays and caches, which hold no raw bytes: of each, its edges in both pictures.
PACKED_PLACES: Final = np.dtype([(f"place{n}", "<u8") for n in range(1, PLACES + 1)])
PackedPlaces: TypeAlias = npt.NDArray[np.void]


def pack_places(pairs: Sequence[Sequence[PlaceInBoth]]) -> PackedPlaces:
    """Pack the places of n pairs into an array (n,), their edges rounded outwards to 255ths."""
    size = PACKED_PLACES.itemsize
    packed = [
        bytes(value for place in places[:PLACES] for box in (place.a, place.b) for value in _round_out(box)).ljust(
            size, b"\0"
        )
        for places in pairs
    ]
    return np.array(packed, f"V{size}").view(PACKED_PLACES)


def _round_out(box: BoxEdges) -> tuple[int, int, int, int]:
    # Packing what was unpacked changes nothing: a 255th times 255 may be a little off.
    top, left, bottom, right = (255 * edge for edge in box)
    return (
        math.floor(top + _ROUNDING),
        math.floor(left + _ROUNDING),
        math.ceil(bottom - _ROUNDING),
        math.ceil(right - _ROUNDING),
    )


def unpack_places(packed: np.void) -> tuple[PlaceInBoth, ...]:
    """Return the places of one pair of an array."""
    edges = [value / 255 for value in packed.tobytes()]
    boxes = [(edges[n], edges[n + 1], edges[n + 2], edges[n + 3]) for n in range(0, len(edges), 4)]
    return tuple(PlaceInBoth(a, b) for a, b in zip(boxes[::2], boxes[1::2], strict=True) if a[2] > 0)


def find_places(a: Luminance, b: Luminance, registration: Registration) -> tuple[PlaceInBoth, ...]:
    """Return where two pictures differ that lie over each other as in ``registration``, the largest place first; () if
    nowhere."""
    if registration.fit is None:
        return ()
    turned = np.ascontiguousarray(turn(b, INVERSE[registration.orientation]))
    # The grid is the coarser picture's.
    swapped = registration.fit.sy * registration.fit.sx < 1
    coarse, fine, fit = (turned, a, registration.fit.inverse()) if swapped else (a, turned, registration.fit)
    shared = find_overlap(coarse, fine, fit)
    if min(shared.height, shared.width) < _CELL + 2 * _MARGIN:
        return ()
    places = []
    for box in find_boxes(*cut_overlap(coarse, fine, shared, fit)):
        top, left, bottom, right = (edge + (shared.left if n % 2 else shared.top) for n, edge in enumerate(box))
        in_coarse = top / coarse.shape[0], left / coarse.shape[1], bottom / coarse.shape[0], right / coarse.shape[1]
        in_fine = (
            (fit.sy * top + fit.ty) / fine.shape[0],
            (fit.sx * left + fit.tx) / fine.shape[1],
            (fit.sy * bottom + fit.ty) / fine.shape[0],
            (fit.sx * right + fit.tx) / fine.shape[1],
        )
        in_a, in_b = (in_fine, in_coarse) if swapped else (in_coarse, in_fine)
        places.append(PlaceInBoth(_clip(in_a), _clip(turn_box(in_b, registration.orientation))))
    return tuple(places)


def _clip(box: BoxEdges) -> BoxEdges:
    top, left, bottom, right = (min(1.0, max(0.0, edge)) for edge in box)
    return top, left, bottom, right


def find_boxes(first: Luminance, second: Luminance) -> list[PixelBox]:
    """Return the edges of the places where two overlaid pictures differ, in pixels, the largest first."""
    inner = slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN)

    def largest_gap() -> float:
        gap = np.abs(first - second)[inner]
        return float(_mean3(gap).max()) if gap.max() >= _LEAST else 0.0

    # What is left is no more than the plain difference, which most copies show to be little at once.
    plain = second
    few = slice(None, None, _SAMPLED), slice(None, None, _SAMPLED)
    for fit_levels in (fit_gain_offset, _fit_levels):
        gain, offset = fit_levels(plain[few], first[few])
        second = np.float32(gain) * plain + np.float32(offset)
        if (gap := largest_gap()) < _LEAST:
            return []
    first, second = _soften(first, second)
    if gap < _STRONG and largest_gap() < _LEAST:
        return []
    dark, bright = (gain * level + offset for level in (_DARK, _BRIGHT))
    low, high, low_second, high_second = *extremes3(first), *extremes3(second)
    residual = np.maximum(
        np.where(low_second > dark, low_second - first, 0), np.where(high_second < bright, first - high_second, 0)
    )
    np.maximum(residual, np.where(low > _DARK, low - second, 0), out=residual)
    np.maximum(residual, np.where(high < _BRIGHT, second - high, 0), out=residual)
    cells = _cell_maxima(_mean3(residual[inner]))
    if cells.max() < _LEAST:
        return []
    textured = _cell_maxima(np.minimum(high - low, high_second - low_second)[inner]) >= _TEXTURE
    noise = float(np.median(cells[textured])) if textured.any() else 0.0
    least = max(_LEAST, _NOISE_FACTOR * min(noise, _MAX_NOISE))

    def differ_around(box: PixelBox) -> bool:
        top, left, bottom, right = box
        around = (
            slice(max(0, top - _AROUND), bottom + _AROUND),
            slice(max(0, left - _AROUND), right + _AROUND),
        )
        return _correlation(first[around], second[around]) <= _MAX_CORRELATION

    boxes: list[PixelBox] = []
    for rows, columns in _connected(cells >= _FAINT, cells >= least):
        core = np.zeros(cells.shape, np.bool_)
        core[rows, columns] = cells[rows, columns] >= max(_FAINT, _CORE * float(cells[rows, columns].max()))
        if differ_around(box := _box_of(np.nonzero(core))):
            boxes.append(box)
        else:
            # The bent tone curve of a brightened copy leaves residuals that connect cells far apart, so that the box
            # around all of them correlates.
            boxes += filter(differ_around, map(_box_of, _connected(core, core & (cells >= _STRONG))))
    boxes.sort(key=lambda box: (-(box[2] - box[0]) * (box[3] - box[1]), box))
    return boxes[:PLACES]


def _box_of(cells: Sequence[npt.NDArray[np.signedinteger]]) -> PixelBox:
    """Return the edges in pixels of the rectangle around cells."""
    top, left = (_MARGIN + _CELL * int(at.min()) for at in cells)
    bottom, right = (_MARGIN + _CELL * (int(at.max()) + 1) for at in cells)
    return top, left, bottom, right


def _soften(first: Luminance, second: Luminance) -> tuple[Luminance, Luminance]:
    """Smooth the sharper picture until it is about as soft as the other."""
    energies = [_gradient_energy(first), _gradient_energy(second)]
    pictures = [first, second]
    for _ in range(_MAX_SOFTENING):
        sharper = int(energies[1] > energies[0])
        if energies[sharper] <= _AS_SHARP * energies[1 - sharper]:
            break
        pictures[sharper] = _mean3(pictures[sharper])
        energies[sharper] = _gradient_energy(pictures[sharper])
    return pictures[0], pictures[1]


def _gradient_energy(picture: Luminance) -> float:
    down, right = (picture[1:] - picture[:-1]).reshape(-1), (picture[:, 1:] - picture[:, :-1]).reshape(-1)
    return float(down @ down) + float(right @ right)


def _correlation(x: Luminance, y: Luminance) -> float:
    """Return the correlation of two pictures, in which faint contrast counts as noise."""
    flat_x, flat_y = (x - x.mean()).reshape(-1), (y - y.mean()).reshape(-1)
    return float(flat_x @ flat_y) / (
        math.sqrt(float(flat_x @ flat_x) * float(flat_y @ flat_y)) + _GREY_NOISE**2 * x.size
    )


def _connected(marked: npt.NDArray[np.bool_], seeds: npt.NDArray[np.bool_]) -> list[_Cells]:
    """Return the rows and columns of each set of marked cells that touch, corners included, and hold a seed."""
    height, width = marked.shape[0] + 2, marked.shape[1] + 2
    framed = np.zeros((height, width), np.uint8)
    framed[1:-1, 1:-1] = marked
    unvisited = bytearray(framed)
    around = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    components = []
    rows, columns = np.nonzero(seeds)
    for seed in ((rows + 1) * width + columns + 1).tolist():
        if not unvisited[seed]:
            continue
        unvisited[seed] = 0
        cells = [seed]
        for cell in cells:  # which grows
            for step in around:
                if unvisited[cell + step]:
                    unvisited[cell + step] = 0
                    cells.append(cell + step)
        cell_rows, cell_columns = np.divmod(np.array(cells, np.int64), width)
        components.append((cell_rows - 1, cell_columns - 1))
    return components


def _fit_levels(x: Luminance, y: Luminance) -> tuple[float, float]:
    """Fit gain and offset that map ``x`` to ``y``: by least squares over what is clipped in neither, then again
    without what fits badly."""
    inside = (x > _DARK) & (x < _BRIGHT) & (y > _DARK) & (y < _BRIGHT)
    if np.count_nonzero(inside) < _MIN_SAMPLE:
        return 1.0, 0.0
    inside_x, inside_y = x[inside], y[inside]
    gain, offset = 1.0, 0.0
    for _ in range(3):
        mean_x, mean_y = float(inside_x.mean()), float(inside_y.mean())
        centred = inside_x - mean_x
        square = float(centred @ centred)
        gain = float(centred @ (inside_y - mean_y)) / square if square > 0 else 1.0
        gain = min(4.0, max(0.25, gain))
        offset = mean_y - gain * mean_x
        error = np.abs(inside_y - gain * inside_x - offset)
        middle = len(error) // 2  # np.median takes four times as long
        fits = error <= 2.5 * float(np.partition(error, middle)[middle]) + 1
        if fits.all() or np.count_nonzero(fits) < _MIN_SAMPLE:
            break
        inside_x, inside_y = inside_x[fits], inside_y[fits]
    return gain, offset


def extremes3(picture: Luminance) -> tuple[Float32, Float32]:
    """Return the lowest and the highest level of the 3 × 3 pixels around each."""
    return _spread3(picture, np.minimum), _spread3(picture, np.maximum)


def _spread3(picture: Luminance, of: np.ufunc) -> Float32:
    rows = picture.copy()
    of(rows[1:], picture[:-1], out=rows[1:])
    of(rows[:-1], picture[1:], out=rows[:-1])
    spread = rows.copy()
    of(spread[:, 1:], rows[:, :-1], out=spread[:, 1:])
    of(spread[:, :-1], rows[:, 1:], out=spread[:, :-1])
    return spread


def _mean3(picture: Float32) -> Float32:
    # np.pad takes longer than all that follows.
    padded = np.empty((picture.shape[0] + 2, picture.shape[1] + 2), np.float32)
    padded[1:-1, 1:-1] = picture
    padded[0, 1:-1], padded[-1, 1:-1] = picture[0], picture[-1]
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    across = padded[:, :-2] + padded[:, 1:-1]
    across += padded[:, 2:]
    mean: Float32 = across[:-2] + across[1:-1]
    mean += across[2:]
    mean *= np.float32(1 / 9)
    return mean


def _cell_maxima(picture: Float32) -> Float32:
    """Return the largest value of each cell; the last ones of each row and column reach to the border."""
    return _largest_of(_largest_of(picture).T).T


def _largest_of(values: Float32) -> Float32:
    """Return the largest values (n, w) of each block of ``_CELL`` rows; rows left over belong to the last block."""
    count = len(values) // _CELL
    largest = values[: count * _CELL : _CELL].copy()
    for row in range(1, _CELL):  # np.maximum.reduceat takes four times as long
        np.maximum(largest, values[row : count * _CELL : _CELL], out=largest)
    for rest in values[count * _CELL :]:
        np.maximum(largest[-1], rest, out=largest[-1])
    return largest

"""Colours of the points of a map, by class or on a numeric scale."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: Colours of classes, most frequent first: legible on white and on black, with neighbours in the list far apart.
CLASSES: Final = (
    *(
        "#3b7dd8",
        "#e07b39",
        "#3f9b5b",
        "#c9423f",
        "#8a63c4",
        "#8c6d4f",
        "#d86fb0",
        "#7f8f2e",
        "#25a5a5",
        "#b58900",
    ),
    *(
        "#6aa5f0",
        "#f0a878",
        "#7cc58f",
        "#ea8683",
        "#b79ae0",
        "#b9a184",
        "#f0a3d2",
        "#a9b84e",
        "#74d0d0",
        "#cdb04a",
    ),
)
#: Colour scale from low to high, of about constant brightness.
SCALE: Final = ("#3f51b5", "#2a78c5", "#1c9bb0", "#2fb37c", "#7cb342", "#c0a01f", "#e07b39", "#d6453d")
OTHERS: Final = "#8a8a86"
NONE: Final = "#b5b5b0"
#: Integer columns with at most this many distinct values are classes: cluster numbers, years, ratings.
_MAX_CLASS_VALUES: Final = 64
#: Maximum number of labels in a page; rarer ones appear as "others".
_MAX_LABELS: Final = 5_000

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Colouring:
    """Colours of n points.

    ``shades`` (n,) are indices into ``colours``, or, on a scale, 0 (low) to 254 (high) and 255 (no value). ``legend``
    is the JSON for the page's script, and ``values`` (n,) the value of each image: numbers (float32) or indices of
    labels (uint32). Both are None without a column.
    """

    shades: UInt8
    colours: tuple[str, ...]
    legend: dict[str, Any] | None
    values: npt.NDArray[np.float32] | npt.NDArray[np.uint32] | None = None


def single_colour(n: int) -> Colouring:
    return Colouring(np.zeros(n, np.uint8), (CLASSES[0],), None)


def colour_by_column(name: str, column: pa.ChunkedArray, escape: Callable[[str], str]) -> Colouring:
    """Colour points by a column of values; ``escape`` makes text safe to display."""
    kind = column.type
    if pa.types.is_temporal(kind):
        day = pc.divide(pc.cast(pc.day_of_year(column), pa.float64()), 366.0)
        return _colour_by_scale(name, pc.add(pc.cast(pc.year(column), pa.float64()), day))
    if pa.types.is_floating(kind) or (
        pa.types.is_integer(kind) and pc.count_distinct(column).as_py() > _MAX_CLASS_VALUES
    ):
        return _colour_by_scale(name, pc.cast(column, pa.float64(), safe=False))
    return _colour_by_class(name, column, escape)


def _common_folder(names: Sequence[str]) -> str:
    """Return the folder that contains all paths, with its slash; empty if there is none or the names are no paths."""
    if len(names) < 2 or not all(name.startswith("/") for name in names):
        return ""
    common = posixpath.commonpath(names)
    return common + "/" if common not in names and common != "/" else ""


def _colour_by_scale(name: str, column: pa.ChunkedArray) -> Colouring:
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    finite = np.isfinite(values)
    shades = np.full(len(values), 255, np.uint8)
    low = high = None
    if finite.any():
        low, high = float(values[finite].min()), float(values[finite].max())
        span = (high - low) or 1.0
        shades[finite] = np.round((values[finite] - low) / span * 254).astype(np.uint8)
    values[~finite] = np.nan
    legend = {
        "name": name,
        "column": name,
        "kind": "number",
        "low": low,
        "high": high,
        "none": int((~finite).sum()),
    }
    return Colouring(shades, (*SCALE, NONE), legend, values.astype(np.float32))


def _colour_by_class(name: str, column: pa.ChunkedArray, escape: Callable[[str], str]) -> Colouring:
    coded_column = pc.dictionary_encode(column).combine_chunks()
    if isinstance(coded_column, pa.ChunkedArray):
        coded_column = pa.concat_arrays(coded_column.chunks)
    names = [_text(value) for value in coded_column.dictionary.to_pylist()]
    codes = pc.fill_null(coded_column.indices, len(names)).to_numpy(zero_copy_only=False).astype(np.int64)
    common = _common_folder(names)
    names = [one[len(common) :] or one for one in names]
    counts = np.bincount(codes, minlength=len(names) + 1)
    order = sorted(range(len(names)), key=lambda one: (-int(counts[one]), names[one]))
    common_classes = order[: len(CLASSES)]
    others, none = len(common_classes), len(common_classes) + 1
    labelled = order[:_MAX_LABELS]
    labels = [escape(names[one]) for one in labelled] + ["others", "no value"]
    shade_of = np.full(len(names) + 1, others, np.uint8)
    label_of = np.full(len(names) + 1, len(labelled), np.uint32)
    shade_of[common_classes] = np.arange(len(common_classes))
    label_of[labelled] = np.arange(len(labelled))
    shade_of[-1], label_of[-1] = none, len(labels) - 1
    entries = [
        {"label": escape(names[one]), "count": int(counts[one]), "shade": shade}
        for shade, one in enumerate(common_classes)
    ]
    if rest := order[len(common_classes) :]:
        title = f"{len(rest):,} others"
        entries.append({"label": title, "count": int(counts[rest].sum()), "shade": others})
    if counts[-1]:
        entries.append({"label": "no value", "count": int(counts[-1]), "shade": none})
    legend = {
        "name": name,
        "column": f"{name} below {_short(escape(common))}" if common else name,
        "kind": "class",
        "labels": labels,
        "legend": entries,
    }
    return Colouring(shade_of[codes], (*CLASSES[: len(common_classes)], OTHERS, NONE), legend, label_of[codes])


def _short(folder: str) -> str:
    """Shorten a folder path to its last part."""
    above, _, last = folder.rstrip("/").rpartition("/")
    return f"…/{last}/" if above else folder


def encode_array(numbers: npt.NDArray[Any], kind: str) -> str:
    """Encode numbers as base64 of little-endian values of the NumPy type ``kind``."""
    return base64.b64encode(np.ascontiguousarray(numbers, kind).tobytes()).decode("ascii")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)

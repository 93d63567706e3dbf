"""The HTML page of a map: points, texts and thumbnails as data, with the script and style of this folder.

The page loads nothing. Its Content-Security-Policy allows embedded pictures, and its own script and style by their
hashes. File names and values are untrusted: they are JSON without ``<``, which the script sets as text, and control
characters and marks that change the direction of writing are escaped. The frame is ``templates/map.html.j2``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any, Final

import numpy as np
import pyarrow as pa

from imseek.maps.results import MapInfo
from imseek.types.arrays import Float32
from imseek.ui.render.html_templates import render
from imseek.ui.render.map_page.colouring import Colouring, colour_by_column, encode_array, single_colour
from imseek.ui.render.words import format_count, printable, shorten

#: Maximum number of points in a page; larger maps are sampled.
MAX_POINTS: Final = 200_000
#: Maximum bytes of thumbnails, before base64.
MAX_BYTES: Final = 24_000_000
_DRAWING: Final = ("plane.js", "points.js", "density.js", "tiles.js", "card.js", "gestures.js", "legend.js")


def page(
    table: pa.Table,
    info: MapInfo,
    *,
    title: str,
    pictured: Sequence[int] = (),
    thumbnail: Callable[[int], bytes | None] = lambda _: None,
    colour: str | None = None,
) -> Iterator[str]:
    """Yield the page in pieces. ``table`` comes from :func:`imseek.maps.table`, with ``path`` and the column
    ``colour``.

    ``pictured`` are its rows that get thumbnails (WebP, by image id), most important first.
    """
    n = len(table)
    colouring = colour_by_column(colour, table.column(colour), _label) if colour is not None else single_colour(n)
    paths = [path or "place unknown" for path in table.column("path").to_pylist()]
    parts = [path.rpartition("/") for path in paths]
    folders = {folder: number for number, folder in enumerate(dict.fromkeys(one[0] for one in parts))}
    ids = table.column("image_id").to_pylist()
    thumbnails, pictured_rows, missing = _thumbnails(pictured, ids, thumbnail)
    fitted = table.column("fitted").to_numpy(zero_copy_only=False)
    across = scale_to_square(table)
    data = {
        "count": n,
        "x": encode_array(across[:, 0], "<f4"),
        "y": encode_array(across[:, 1], "<f4"),
        "ids": ids,
        "names": [printable(name) for _, _, name in parts],
        "folders": [printable(folder) for folder in folders],
        "folder": encode_array(np.array([folders[folder] for folder, _, _ in parts]), "<u4"),
        "placed": "" if fitted.all() else encode_array(~fitted, "u1"),
        "shades": encode_array(colouring.shades, "u1"),
        "colours": list(colouring.colours),
        "colour": _colour_data(colouring),
        "pictured": encode_array(np.array(pictured_rows, np.int64), "<u4"),
    }
    style, script = _file("map.css"), drawing_script() + _file("map.js")
    return render(
        "map.html.j2",
        title=title,
        about=_about(n, info, len(pictured_rows), missing),
        policy=_policy(style, script),
        style=style,
        script=script,
        legend=colour is not None,
        data=data,
        thumbnails=thumbnails,
    )


def _colour_data(colouring: Colouring) -> dict[str, Any] | None:
    if colouring.legend is None or colouring.values is None:
        return None
    return {**colouring.legend, "values": encode_array(colouring.values, f"<{colouring.values.dtype.kind}4")}


def _label(text: str) -> str:
    return shorten(text, 120)


def _about(n: int, info: MapInfo, pictures: int, missing: int) -> str:
    parts = [format_count(n, "image"), f"{info.method.upper()} of {info.encoder}"]
    if info.trustworthiness is not None:
        parts.append(f"trustworthiness {info.trustworthiness:.3f}")
    thumbnails = "thumbnails of all" if pictures == n else f"thumbnails of {pictures:,}, of the others the path only"
    parts.append(thumbnails if pictures else "no thumbnails")
    if missing:
        parts.append(f"{missing:,} pictures could not be read or were too many")
    return "; ".join(parts)


def _thumbnails(
    pictured: Sequence[int], ids: Sequence[int], thumbnail: Callable[[int], bytes | None]
) -> tuple[list[str], list[int], int]:
    """Return base64 WebP files, their rows, and the number of rows left out."""
    pictures: list[str] = []
    rows: list[int] = []
    size = 0
    for row in pictured:
        if size >= MAX_BYTES:
            break
        if (data := thumbnail(ids[row])) is not None:
            pictures.append(base64.b64encode(data).decode("ascii"))
            rows.append(row)
            size += len(data)
    return pictures, rows, len(pictured) - len(rows)


def scale_to_square(table: pa.Table) -> Float32:
    """Return coordinates (n, 2) translated and uniformly scaled to -1 … 1."""
    places = np.stack([table.column(name).to_numpy() for name in ("x", "y")], axis=1).astype(np.float64)
    if not len(places):
        return places.astype(np.float32)
    low, high = places.min(axis=0), places.max(axis=0)
    size = float((high - low).max()) / 2 or 1.0
    return np.asarray((places - (low + high) / 2) / size, np.float32)


def drawing_script() -> str:
    """Return the script that draws and moves a map; a page or component appends its own."""
    return "".join(_file(name) for name in _DRAWING)


def _file(name: str) -> str:
    return resources.files("imseek.ui.render.map_page").joinpath(name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    def csp_hash(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")

    return f"default-src 'none'; img-src data:; style-src '{csp_hash(style)}'; script-src '{csp_hash(script)}'"

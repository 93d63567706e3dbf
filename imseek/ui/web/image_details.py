"""Details of an image for the large view, as data that the script shows as text."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from imseek import ocr, overview, tags
from imseek.collection import Collection
from imseek.errors import CorruptCollectionError
from imseek.types.collection_info import SourceInfo
from imseek.types.pictures import Image, Place, display_path
from imseek.ui.render.words import format_size, printable
from imseek.ui.web.plain_text import one_line

#: Formats that every current browser shows without conversion.
BROWSER_FORMATS: Final = frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"})
#: Metadata shown among the facts, not in the list of columns.
_FACT_COLUMNS: Final = frozenset(
    {"caption", "width", "height", "bytes", "format", "frames", "taken_at", "camera", "lens"}
    | {"latitude", "longitude", "title", "keywords", "people", "rating", "colour_label"}
)
#: Columns of text in pictures, which is shown by itself.
_TEXT_COLUMNS: Final = frozenset({"text", "has_text", "text_lines"})
#: Maximum numbers of lines and of characters of text in a picture.
_MAX_LINES: Final = 2000
_MAX_PICTURE_TEXT: Final = 100_000
#: Maximum number of characters of a value.
_MAX_TEXT: Final = 5000


def describe_image(
    collection: Collection, image: Image, source_of: Callable[[int], SourceInfo | None]
) -> dict[str, Any]:
    """Return all details of ``image``: see ``components/large.js``. Raises ImageNotFoundError if it has been removed
    meanwhile."""
    columns = image.metadata
    kind = str(columns.get("format") or "")
    return {
        "id": image.image_id,
        "caption": one_line(str(columns.get("caption") or ""), _MAX_TEXT),
        "rating": columns.get("rating"),
        "shown": kind in BROWSER_FORMATS,
        "format": kind,
        "width": int(columns.get("width") or 0),
        "height": int(columns.get("height") or 0),
        "place": None if image.place is None else _place_details(image.place),
        "facts": _facts(image, source_of),
        "lines": text_lines(columns),
        "columns": _columns(image),
        "gps": gps(columns.get("latitude"), columns.get("longitude")),
        "tags": [
            {"tag": tag.tag, "provenance": tag.provenance}
            for tag in tags.of(collection, [image.image_id])[image.image_id]
        ],
    }


def text_lines(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the lines of text in the picture, each with its box (left, top, width, height as shares) or None."""
    if columns.get("has_text") is None:
        return []
    boxed_lines: list[tuple[str, list[float] | None]] = []
    with suppress(CorruptCollectionError):  # The text itself may be whole.
        boxed_lines = [(line.text, [line.x, line.y, line.width, line.height]) for line in ocr.lines_of(columns) or ()]
    lines = boxed_lines or [(text, None) for text in str(columns.get("text") or "").splitlines()]
    shown_lines, room = [], _MAX_PICTURE_TEXT
    for text, box in lines[:_MAX_LINES]:
        shown_lines.append({"text": one_line(text[:room], _MAX_TEXT), "box": box})
        room -= len(text)
        if room <= 0:
            break
    return shown_lines


def gps(latitude: Any, longitude: Any) -> dict[str, str] | None:
    """Return coordinates as text and as links, None if they are not on Earth. Nothing follows the links by itself."""
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return None
    if not (math.isfinite(latitude) and math.isfinite(longitude) and abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    at = f"{latitude:.6f},{longitude:.6f}"
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    lat, lon = at.split(",")
    return {
        "text": f"{abs(latitude):.5f}° {north}, {abs(longitude):.5f}° {east}",
        "geo": f"geo:{at}",
        "map": f"https://www.openstreetmap.org/?mlat={lat}&mlon={lon}#map=14/{lat}/{lon}",
    }


def _place_details(place: Place) -> dict[str, Any]:
    file = overview.local_file(place)
    path = place.display
    return {
        "path": path,
        "folder": path.rsplit("/", 1)[0] or "/",
        "uri": printable(place.uri),
        "kind": overview.place_kind(place),
        "here": None if file is None else os.path.lexists(file),
    }


def _facts(image: Image, source_of: Callable[[int], SourceInfo | None]) -> list[tuple[str, str]]:
    columns = image.metadata
    pixels = f"{columns['width']:,} × {columns['height']:,}" if "width" in columns and "height" in columns else None
    kind = columns.get("format")
    frames = columns.get("frames", 1)
    source = None if image.place is None else source_of(image.place.source_id)
    facts = {
        "Title": columns.get("title"),
        "Keywords": _format_list(columns.get("keywords")),
        "People": _format_list(columns.get("people")),
        "Colour label": columns.get("colour_label"),
        "Taken": _format_taken_at(columns.get("taken_at")),
        "Camera": columns.get("camera"),
        "Lens": columns.get("lens"),
        "Pixels": pixels,
        "Format": kind if frames == 1 else f"{kind}, {frames} pictures in it",
        "Size": format_size(int(columns["bytes"])) if "bytes" in columns else None,
        "Source": None if source is None else _source(source),
        "ID": str(image.image_id),
    }
    return [(label, one_line(str(value), _MAX_TEXT)) for label, value in facts.items() if value is not None]


def _format_list(value: Any) -> str | None:
    if value is None or not isinstance(value, list):
        return value
    return ", ".join(map(str, value)) or None


def _source(source: SourceInfo) -> str:
    # A list of names has no path.
    return f"{display_path(source.path)} ({source.kind})" if source.path else f"a {source.kind} of names"


def _columns(image: Image) -> list[tuple[str, str]]:
    """Return the metadata not shown elsewhere, from sources and derived by imseek, sorted by name, then the content."""
    excluded = _FACT_COLUMNS | (frozenset() if image.metadata.get("has_text") is None else _TEXT_COLUMNS)
    return [
        (one_line(name), one_line(_value(name, value), _MAX_TEXT))
        for name, value in sorted(image.metadata.items())
        if name not in excluded and value is not None
    ] + [("SHA-256", image.content_hash)]


def _value(name: str, value: Any) -> str:
    if name == "phash" and isinstance(value, int):
        return f"{value:016x}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(dict(value)) if isinstance(value, Mapping) else str(value)


def _format_taken_at(value: Any) -> str | None:
    """Format a timestamp as ``2024-05-31 14:03:22``, without the T between date and time."""
    return None if value is None else str(value).replace("T", " ", 1)

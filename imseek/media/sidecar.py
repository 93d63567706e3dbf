"""Parse the files beside a picture: a caption as text, annotations as XMP, columns as JSON.

Supports XMP of Lightroom, darktable and digiKam, and JSON of img2dataset, WebDataset and Google Takeout. Reads no
files and never raises: a sidecar that is broken, too large or of another form gives nothing, since the picture matters
more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from imseek.media.annotation_values import Annotations, tidy, tidy_list
from imseek.media.xmp import read_xmp

Scalar: TypeAlias = str | int | float | bool

MAX_BYTES: Final = 2**20  # per sidecar
MAX_COLUMNS: Final = 64
_MAX_NAME: Final = 64  # characters of a column name
_MAX_DEPTH: Final = 8  # nesting of objects
_CAPTIONS: Final = ("caption", "text")  # the first that holds text is taken
_INTEGERS: Final = range(-(2**63), 2**63)
_FILE_NAME: Final = re.compile(r".+\.\w{2,5}")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Contents of the files beside a picture: annotations, and columns for :attr:`imseek.types.ImageFacts.extra`."""

    annotations: Annotations = field(default_factory=Annotations)
    extra: Mapping[str, Scalar] = field(default_factory=dict)


def read_sidecar(txt: bytes | None, json: bytes | None, xmp: bytes | None = None) -> Sidecar:
    """Merge the files beside a picture, None for a missing one. What several state counts as ``txt``, ``xmp``, ``json``
    have it, in this order.

    ``txt`` is the caption in UTF-8, with or without a byte order mark; white space is collapsed. ``xmp`` is XMP, as
    :func:`imseek.media.xmp.read_xmp` reads it.

    ``json`` is one object. Its ``caption``, or else its ``text``, is the caption, and lists of texts named ``keywords``
    and ``people`` are these. Other scalars become columns under their own names, those of inner objects as
    ``outer_inner`` (eight deep). Other lists, nulls, non-finite numbers and integers of more than 64 bits are dropped,
    names become one line of at most 64 characters, and only the first 64 columns are kept. A ``rating`` that is no
    number becomes ``extra_rating``. Google Takeout gives
    ``description`` as the caption, ``people``, and ``title``, which is a column ``original_name`` if it is the name of
    a file; and the columns ``taken_utc`` (ISO 8601), ``latitude``, ``longitude``, ``altitude``, ``favorited`` and
    ``url``.
    """
    columns = _parse_object(json)
    if "photoTakenTime" in columns:
        from_json = _takeout(columns)
    else:
        captions = (tidy(_string(columns.get(name))) for name in _CAPTIONS)
        caption = next((text for text in captions if text), None)
        keywords, people = (tidy_list(_list(columns.get(name))) for name in ("keywords", "people"))
        flat = ((_column_name(name, value), value) for name, value in _flatten(columns) if name not in _CAPTIONS)
        from_json = Sidecar(Annotations(caption, keywords=keywords, people=people), _first_columns(flat))
    annotations = Annotations(_parse_caption(txt)).or_else(read_xmp(xmp))
    return Sidecar(annotations.or_else(from_json.annotations), from_json.extra)


def _parse_caption(txt: bytes | None) -> str | None:
    if txt is None or len(txt) > MAX_BYTES:
        return None
    try:
        return tidy(txt.decode("utf-8-sig"))
    except UnicodeError:
        return None


def _parse_object(text: bytes | None) -> dict[str, Any]:
    if text is None or len(text) > MAX_BYTES:
        return {}
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # includes UnicodeError and JSONDecodeError
        return {}
    return value if isinstance(value, dict) else {}


def _flatten(columns: Mapping[str, Any], before: str = "", depth: int = 1) -> Iterator[tuple[str, Scalar]]:
    for name, value in columns.items():
        if isinstance(value, dict):
            if depth < _MAX_DEPTH:
                yield from _flatten(value, f"{before}{name}_", depth + 1)
        elif (scalar := _scalar(value)) is not None and (column := tidy(before + name)):
            yield column[:_MAX_NAME], scalar


def _column_name(name: str, value: Scalar) -> str:
    # A rating that is no number would turn the whole column into text, which cannot be compared with 4.
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return name if name != "rating" or is_number else "extra_rating"


def _first_columns(pairs: Iterator[tuple[str, Scalar]]) -> dict[str, Scalar]:
    columns: dict[str, Scalar] = {}
    for name, value in pairs:
        if len(columns) == MAX_COLUMNS:
            break
        columns.setdefault(name, value)
    return columns


def _scalar(value: Any) -> Scalar | None:
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value in _INTEGERS else None
    return value if isinstance(value, float) and math.isfinite(value) else None


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _takeout(columns: Mapping[str, Any]) -> Sidecar:
    title = tidy(_string(columns.get("title")))
    is_name = title is not None and _FILE_NAME.fullmatch(title) is not None
    people = (person.get("name") for person in _list(columns.get("people")) if isinstance(person, dict))
    annotations = Annotations(
        caption=tidy(_string(columns.get("description"))), title=None if is_name else title, people=tidy_list(people)
    )
    names = {"original_name": title} if title is not None and is_name else {}
    return Sidecar(annotations, names | dict(_takeout_columns(columns)))


def _takeout_columns(columns: Mapping[str, Any]) -> Iterator[tuple[str, Scalar]]:
    for name in ("url", "favorited"):
        if (scalar := _scalar(columns.get(name))) is not None:
            yield name, scalar
    if (time_taken := _parse_timestamp(columns["photoTakenTime"])) is not None:
        yield "taken_utc", time_taken
    place = columns.get("geoData")
    if isinstance(place, dict) and (place.get("latitude") or place.get("longitude")):  # 0, 0 means unknown
        for name in ("latitude", "longitude", "altitude"):
            if isinstance(number := _scalar(place.get(name)), int | float):
                yield name, float(number)


def _parse_timestamp(value: Any) -> str | None:
    """Convert Takeout's ``{"timestamp": "1500000000", …}``, seconds since 1970, to ISO 8601 in UTC."""
    try:
        return datetime.fromtimestamp(int(value["timestamp"]), UTC).isoformat()
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None

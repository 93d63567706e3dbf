"""Images, their places, and their metadata."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

from imseek.types.json_form import ContentHash, Count, FilePath, Json


class SkipReason(StrEnum):
    """Reasons for which a file was not indexed. The codes are stable: they are stored and printed in JSON."""

    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    TIMEOUT = "timeout"
    UNREADABLE = "unreadable"
    BROKEN_LINK = "broken_link"
    LINK_LOOP = "link_loop"
    NOT_A_FILE = "not_a_file"
    VANISHED = "vanished"
    CHANGED = "changed_while_reading"
    MISSING_CODEC = "missing_codec"
    ENCODER_FAILED = "encoder_failed"
    FETCH_FAILED = "fetch_failed"
    FORBIDDEN_ADDRESS = "forbidden_address"
    BAD_VECTOR = "bad_vector"
    NO_PICTURES = "no_pictures"


@dataclass(frozen=True, slots=True)
class Luma:
    """Luminance statistics of an image (ITU-R 601 on sRGB, 0 … 1), reduced to 256 pixels on the longer side.

    ``mean`` and ``sd`` (standard deviation) measure brightness and contrast. ``dark`` and ``bright`` are the shares of
    pixels up to 25/255 and from 250/255. ``edges`` is the share of pixels with a gradient above 8/255 per pixel.
    ``blur`` is the width of edges: the σ, in pixels of the reduced image, of the Gaussian that would blur a step as
    much; None without edges. :func:`imseek.media.measures.measure` computes them.
    """

    mean: float
    sd: float
    dark: float
    bright: float
    edges: float
    blur: float | None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Metadata read from an image file, independent of its path.

    ``width`` and ``height`` are pixels after EXIF orientation. ``phash`` is a 64-bit perceptual hash (unsigned).
    ``luma`` is None where it was not measured. ``latitude`` and ``longitude`` are degrees (WGS 84). ``taken_at`` is ISO
    8601 as the camera wrote it, with a zone only where EXIF states one. ``rating`` is -1 (rejected) to 5, where 0 means
    unrated.
    """

    width: int
    height: int
    format: str
    mode: str
    frames: int = 1
    phash: int = 0
    luma: Luma | None = None
    orientation: int = 1
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    caption: str | None = None
    title: str | None = None
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    rating: int | None = None
    colour_label: str | None = None
    extra: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """The location of an image: a path in bytes, since file names may not be valid text, and a URI.

    Inside an archive the path is ``/a/b.zip!/c.jpg``; for an image on the web it is its URL.
    :meth:`imseek.Collection.read` opens all of them.
    """

    source_id: Count
    path: FilePath
    uri: str = ""
    """``file:///a/b.jpg``; inside an archive ``zip://c.jpg::file:///a/b.zip``, in a table ``file:///a/b.parquet#row=7``."""

    @property
    def display(self) -> str:
        """The path as printable text, with undecodable and control characters escaped."""
        return display_path(self.path)


#: The place of an image: its members stand beside the image's own in JSON, null where the place is not known.
ImagePlace: TypeAlias = Annotated[Place | None, Json(inline=True)]


#: Zero-width non-joiner and joiner.
_JOINERS: Final = "\u200c\u200d"


def display_path(path: bytes) -> str:
    """Return ``path`` as one printable line; bytes that are not UTF-8 and control characters are escaped.

    Joiners within emoji and scripts that need them are kept: after a character of ASCII they would only be invisible.
    """
    text = path.decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() or (c in _JOINERS and not before.isascii()) else c.encode("unicode_escape").decode("ascii")
        for before, c in zip("a" + text, text, strict=False)
    )


def path_json(path: bytes) -> dict[str, str]:
    """Encode ``path`` for JSON: ``{"path": …}``, with ``path_b64`` beside it where the bytes are not UTF-8."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": display_path(path), "path_b64": base64.b64encode(path).decode("ascii")}


def place_columns(place: Place) -> dict[str, str]:
    """Return ``path``, ``path_b64`` if it is not UTF-8, and ``uri``, as valid UTF-8 text."""
    uri = place.uri.encode("utf-8", "backslashreplace").decode()
    return {**path_json(place.path), "uri": uri}


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a collection, at one place."""

    image_id: Count
    place: ImagePlace
    """None where it was lost and not yet found again (after a repair)."""
    content_hash: ContentHash
    metadata: Mapping[str, Any]
    """Intrinsic facts, the typed ``extra`` columns and the derived columns, by name."""
    tags: tuple[str, ...] = ()

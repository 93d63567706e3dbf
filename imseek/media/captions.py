"""Choose a picture's caption and title from its embedded metadata. Malformed metadata gives none and never an error.

The first of these that contains words wins:

1. XMP ``dc:description``, its ``x-default``, else its first language: newer programs keep it when they drop the rest;
2. IPTC caption (2:120);
3. IPTC headline (2:105);
4. EXIF ``ImageDescription``;
5. EXIF ``UserComment``;
6. the ``Description`` of a PNG.

The title is that of XMP (``dc:title``), else the object name of IPTC (2:05).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from imseek.media.annotations import Annotations, tidy_list
from imseek.media.sanitise import decode_text, tidy
from imseek.media.xmp import read_xmp

_IPTC: Final = ((2, 120), (2, 105))  # caption, headline
_IPTC_TITLE: Final = (2, 5)
_IPTC_KEYWORDS: Final = (2, 25)

# Boilerplate of cameras and programs: their own names, codes of shooting modes, the file's name, filter settings, and
# the XML or JSON of scientific software.
_NO_CAPTION: Final = re.compile(
    r"""
      (konica|minolta|olympus|samsung|kodak|fujifilm|casio|pentax|sanyo|\s)* digital\ (still\ )?camera
    | (sony|minolta)\ dsc | samsung(\ csc)? | dcf\ ?1\.0 | dcim | exif_jpeg_picture
    | cof | dav | sdr | hdr(pl)? | edf | oznor | default | untitled | (created\ with|file\ written\ by)\ .*
    | \S+\.(jpe?g|png|tiff?|gif|bmp|webp) | imagej=.* | [<{].* | filter:\ .*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def annotate(
    *, xmp: Any = None, iptc: Any = None, description: Any = None, comment: Any = None, note: Any = None
) -> Annotations:
    """Return what these fields of a picture, in Pillow's form, say of it; the module docstring gives their order.

    ``iptc`` maps record and data set to bytes, ``note`` is the description of a PNG. Rating, colour label and people
    come from XMP alone. Keywords of IPTC count where XMP has none.
    """
    found, record = read_xmp(xmp), iptc or {}
    return replace(
        found.or_else(Annotations(keywords=tidy_list(_all(record.get(_IPTC_KEYWORDS))))),
        caption=_choose(_texts(found.caption, record, description, comment, note)),
        title=_choose((found.title, decode_text(_first(record.get(_IPTC_TITLE))))),
    )


def _choose(texts: Iterable[str | None]) -> str | None:
    """Return the first text that contains words which somebody wrote."""
    for text in texts:
        if text is not None and any(c.isalpha() for c in text) and not _NO_CAPTION.fullmatch(text):
            return text
    return None


def iptc_of(image: Any) -> Any:
    """Read the IPTC record of a JPEG or TIFF whose header was read; None where it is missing or broken."""
    from PIL.IptcImagePlugin import getiptcinfo  # here, since most pictures have none

    try:
        return getiptcinfo(image)
    except Exception:  # Pillow's parser raises almost any exception on malformed data
        return None


def _texts(xmp: str | None, iptc: Any, description: Any, comment: Any, note: Any) -> Iterator[str | None]:
    """Yield the captions of the fields in order of preference."""
    yield xmp
    for field in _IPTC:
        yield decode_text(_first(iptc.get(field)))
    yield decode_text(description)
    yield _user_comment(comment)
    yield decode_text(note)


def _first(value: Any) -> Any:
    return next(iter(_all(value)), None)


def _all(value: Any) -> list[Any]:
    """Return the values of an IPTC field, which is a list where there are several."""
    return value if isinstance(value, list) else [value]


def _user_comment(value: Any) -> str | None:
    """Decode an EXIF UserComment, whose first eight bytes name its character set."""
    if not isinstance(value, bytes):
        return None
    charset, body = value[:8], value[8:]
    if charset == b"ASCII\0\0\0":
        return decode_text(body)
    try:
        if charset == b"UNICODE\0":
            return tidy(body.decode(_utf_16(body)))
        return tidy(body.decode("utf-8")) if charset == bytes(8) else None
    except UnicodeError:
        return None


def _utf_16(text: bytes) -> str:
    """Guess the byte order: EXIF prescribes the file's, but programs write their own."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-16-be" if text[::2].count(0) > text[1::2].count(0) else "utf-16-le"

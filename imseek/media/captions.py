"""Choose a picture's caption from its embedded metadata. Malformed metadata gives no caption and never an error.

The first of these that contains words wins:

1. XMP ``dc:description``, its ``x-default``, else its first language: newer programs keep it when they drop the rest;
2. IPTC caption (2:120);
3. IPTC headline (2:105);
4. EXIF ``ImageDescription``;
5. EXIF ``UserComment``;
6. the ``Description`` of a PNG.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from imseek.media.sanitise import decode_text, tidy

_MAX_XMP: Final = 2**20  # bytes
_IPTC: Final = ((2, 120), (2, 105))  # caption, headline
_DESCRIPTION: Final = "{http://purl.org/dc/elements/1.1/}description"
_ITEM: Final = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li"
_LANGUAGE: Final = "{http://www.w3.org/XML/1998/namespace}lang"

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


def choose_caption(
    *, xmp: Any = None, iptc: Any = None, description: Any = None, comment: Any = None, note: Any = None
) -> str | None:
    """Choose a one-line caption from these fields, in Pillow's form, or None; the module docstring gives their order.

    ``iptc`` maps record and data set to bytes, ``note`` is the description of a PNG.
    """
    for text in _texts(xmp, iptc, description, comment, note):
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


def _texts(xmp: Any, iptc: Any, description: Any, comment: Any, note: Any) -> Iterator[str | None]:
    """Yield the fields' texts in order of preference."""
    yield _xmp_description(xmp)
    for field in _IPTC:
        value = (iptc or {}).get(field)
        yield decode_text(value[0] if isinstance(value, list) and value else value)
    yield decode_text(description)
    yield _user_comment(comment)
    yield decode_text(note)


def _xmp_description(packet: Any) -> str | None:
    """Parse ``dc:description`` from an XMP packet."""
    if isinstance(packet, str):
        packet = packet.encode()
    if not isinstance(packet, bytes) or b"description" not in packet or len(packet) > _MAX_XMP:
        return None
    from defusedxml.ElementTree import fromstring  # here, since most pictures have no description

    try:
        root = fromstring(packet.strip(b"\0 \t\r\n"), forbid_dtd=True)
    except Exception:  # broken XML, or a DTD, which no XMP has
        return None
    for element in root.iter():
        if written := element.get(_DESCRIPTION):  # the short form, an attribute
            return tidy(written)
        if element.tag == _DESCRIPTION:
            items = list(element.iter(_ITEM))
            items.sort(key=lambda item: item.get(_LANGUAGE) != "x-default")
            found = (tidy(item.text or "") for item in (*items, element))
            return next((text for text in found if text), None)
    return None


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

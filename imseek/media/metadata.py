"""Read the metadata in a picture: EXIF, IPTC and XMP. It is often damaged: a bad field is dropped and never an error.

Of captions, the first of these that contains words wins:

1. XMP ``dc:description``, its ``x-default``, else its first language: newer programs keep it when they drop the rest;
2. IPTC caption (2:120);
3. IPTC headline (2:105);
4. EXIF ``ImageDescription``;
5. EXIF ``UserComment``;
6. the ``Description`` of a PNG.

The title is that of XMP (``dc:title``), else the object name of IPTC (2:05).
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from PIL.ExifTags import GPS, IFD, Base
from PIL.Image import Exif, Image

from imseek.media.annotation_values import Annotations, decode_text, parse_rating, tidy, tidy_list
from imseek.media.raw import canon_directories
from imseek.media.xmp import read_xmp
from imseek.types.pictures import ImageFacts

_XMP: Final = 700
_RATING: Final = 0x4746  # written by Windows and by cameras
_TIFF_HEADERS: Final = {b"II": b"II*\0", b"MM": b"MM\0*"}

_TIMESTAMP: Final = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE: Final = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")

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


def exif_facts(image: Image) -> ImageFacts:
    """Read the EXIF metadata and annotations of ``image``. Never raises: malformed metadata gives the defaults.

    The pixels need not be loaded, except for a PNG, which may store both behind them.
    """
    try:
        exif = image.getexif()
    except Exception:  # Pillow's parser raises almost any exception on malformed data
        exif = Exif()
    photo = _directory(exif, IFD.Exif)
    annotations = annotate(
        xmp=image.info.get("xmp"),
        iptc=iptc_of(image),
        description=_value(exif, Base.ImageDescription),
        comment=_value(photo, Base.UserComment),
        note=image.info.get("Description"),
    )
    facts = ImageFacts(image.width, image.height, image.format or "", image.mode)
    return _with_metadata(facts, exif, photo, _directory(exif, IFD.GPSInfo), annotations)


def raw_facts(data: bytes, preview: ImageFacts) -> ImageFacts:
    """Read the metadata of a camera raw file, filling gaps from its embedded JPEG, ``preview``. Never raises."""
    main, photo, gps = _raw_directories(data)
    annotations = annotate(
        xmp=_value(main, _XMP),
        description=_value(main, Base.ImageDescription),
        comment=_value(photo, Base.UserComment),
    )
    facts = _with_metadata(preview, main, photo, gps, annotations)
    gaps = {field.name for field in fields(facts) if getattr(facts, field.name) in (None, ())}
    if _value(main, Base.Orientation) is None:
        gaps.add("orientation")
    return replace(facts, **{name: getattr(preview, name) for name in gaps})


def _raw_directories(data: bytes) -> tuple[Mapping[int, Any], Mapping[int, Any], Mapping[int, Any]]:
    """Return the main, EXIF and GPS directories of a camera raw file, each empty where missing."""
    if data[4:8] == b"ftyp":
        canon = canon_directories(data)
        main, photo, gps = (_main_directory(canon.get(name, b"")) for name in (b"CMT1", b"CMT2", b"CMT4"))
        return main, _decoded_tags(photo), _decoded_tags(gps)
    # Olympus and Panasonic replace TIFF's magic number by letters of their own.
    main = _main_directory(_TIFF_HEADERS[data[:2]] + data[4:] if data[:2] in _TIFF_HEADERS else b"")
    return main, _directory(main, IFD.Exif), _directory(main, IFD.GPSInfo)


def _main_directory(tiff: bytes) -> Exif:
    exif = Exif()
    with suppress(Exception):
        exif.load_from_fp(io.BytesIO(tiff))
    return exif


def _decoded_tags(exif: Exif) -> Mapping[int, Any]:
    return {tag: _value(exif, tag) for tag in exif}


def _with_metadata(
    facts: ImageFacts,
    main: Mapping[int, Any],
    photo: Mapping[int, Any],
    gps: Mapping[int, Any],
    annotations: Annotations,
) -> ImageFacts:
    """Return the facts with all that metadata says, also where that is nothing."""
    latitude = _degrees(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or latitude == longitude == 0:  # 0, 0 is "no fix yet"
        latitude = longitude = None
    orientation = _value(main, Base.Orientation)
    return replace(
        facts,
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        taken_at=(
            _timestamp(photo.get(Base.DateTimeOriginal), photo.get(Base.OffsetTimeOriginal))
            or _timestamp(photo.get(Base.DateTimeDigitized), photo.get(Base.OffsetTimeDigitized))
        ),
        camera=_camera(decode_text(_value(main, Base.Make)), decode_text(_value(main, Base.Model))),
        lens=decode_text(photo.get(Base.LensModel)),
        latitude=latitude,
        longitude=longitude,
        caption=annotations.caption,
        title=annotations.title,
        keywords=annotations.keywords,
        people=annotations.people,
        rating=parse_rating(_value(main, _RATING)) if annotations.rating is None else annotations.rating,
        colour_label=annotations.colour_label,
    )


def _value(exif: Mapping[int, Any], tag: int) -> Any:
    """Read one tag, or None where Pillow's lazy decoding fails."""
    try:
        return exif.get(tag)
    except Exception:
        return None


def _directory(exif: Any, which: IFD) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(which) or {}
    except Exception:
        return {}


def _timestamp(value: Any, zone: Any) -> str | None:
    """Convert ``YYYY:MM:DD hh:mm:ss`` to ISO 8601, with the zone if valid; None for no date (zeros)."""
    match = _TIMESTAMP.match(decode_text(value) or "")
    if match is None:
        return None
    text = "{}-{}-{}T{}:{}:{}".format(*match.groups())
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    offset = decode_text(zone) or ""
    return text + offset if _ZONE.fullmatch(offset) else text


def _camera(make: str | None, model: str | None) -> str | None:
    """Join make and model without repetition.

    ``Canon``, ``Canon EOS 5D`` → ``Canon EOS 5D``; ``Apple``, ``iPhone 15`` → ``Apple iPhone 15``.
    """
    if make is None or model is None:
        return model or make
    # "NIKON CORPORATION" with "NIKON D850": the maker's first word is enough.
    has_make = model.casefold().startswith(make.split()[0].casefold())
    return model if has_make else f"{make} {model}"


def _degrees(value: Any, reference: Any, signs: str, bound: float) -> float | None:
    """Convert degrees, minutes and seconds with a letter of ``signs`` (positive, negative) to signed degrees."""
    letter = (decode_text(reference) or "").upper()
    if len(letter) != 1 or letter not in signs:
        return None
    parts = value if isinstance(value, tuple) else (value,)
    try:
        degrees = math.fsum(float(part) / 60**power for power, part in enumerate(parts))
    except (ArithmeticError, TypeError, ValueError):
        return None
    if not (0 <= degrees <= bound) or len(parts) > 3:  # False for NaN, which is what 0/0 gives
        return None
    return degrees if letter == signs[0] else -degrees


def annotate(
    *, xmp: Any = None, iptc: Any = None, description: Any = None, comment: Any = None, note: Any = None
) -> Annotations:
    """Return what these fields of a picture, in Pillow's form, say of it; the module docstring gives their order.

    ``iptc`` maps record and data set to bytes, ``note`` is the description of a PNG. Rating, colour label and people
    come from XMP alone. Keywords of IPTC count where XMP has none.
    """
    xmp_values, record = read_xmp(xmp), iptc or {}
    return replace(
        xmp_values.or_else(Annotations(keywords=tidy_list(_all(record.get(_IPTC_KEYWORDS))))),
        caption=_choose(_texts(xmp_values.caption, record, description, comment, note)),
        title=_choose((xmp_values.title, decode_text(_first(record.get(_IPTC_TITLE))))),
    )


def _choose(texts: Iterable[str | None]) -> str | None:
    """Return the first text that a person seems to have written."""
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

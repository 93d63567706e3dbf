"""What a picture says about itself in EXIF. Often damaged: a bad field is dropped, and never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from PIL.ExifTags import GPS, IFD, Base

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_TEXT: Final = 2000  # characters kept of a text field
_TIMESTAMP: Final = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE: Final = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
# What cameras and programs write into ImageDescription unasked: their own names, codes of a shooting mode,
# the file's name, and the XML or JSON of scientific software.
_NO_CAPTION: Final = re.compile(
    r"""
      (konica|minolta|olympus|samsung|kodak|fujifilm|casio|pentax|sanyo|\s)* digital\ (still\ )?camera
    | (sony|minolta)\ dsc | samsung | dcf\ ?1\.0 | dcim | exif_jpeg_picture
    | cof | dav | sdr | hdr(pl)? | edf | oznor | default | untitled | created\ with\ .*
    | \S+\.(jpe?g|png|tiff?|gif|bmp|webp) | imagej=.* | [<{].*
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """Those fields of :class:`imseek.types.ImageFacts` that come from EXIF, under the same names."""

    orientation: int = 1
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    caption: str | None = None


def exif_facts(image: Image) -> ExifFacts:
    """The EXIF of ``image``, whose pixels need not be loaded. Never raises: garbage gives the defaults."""
    try:
        exif = image.getexif()
    except Exception:  # Pillow's parser answers garbage with almost any exception
        return ExifFacts()
    photo, gps = _directory(exif, IFD.Exif), _directory(exif, IFD.GPSInfo)
    latitude = _degrees(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or latitude == longitude == 0:  # 0, 0 is "no fix yet"
        latitude = longitude = None
    orientation = _value(exif, Base.Orientation)
    return ExifFacts(
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        taken_at=(
            _timestamp(photo.get(Base.DateTimeOriginal), photo.get(Base.OffsetTimeOriginal))
            or _timestamp(photo.get(Base.DateTimeDigitized), photo.get(Base.OffsetTimeDigitized))
        ),
        camera=_camera(_text(_value(exif, Base.Make)), _text(_value(exif, Base.Model))),
        lens=_text(photo.get(Base.LensModel)),
        latitude=latitude,
        longitude=longitude,
        caption=_caption(_text(_value(exif, Base.ImageDescription))),
    )


def _value(exif: Mapping[int, Any], tag: int) -> Any:
    """One tag of the main directory, which Pillow decodes only when asked, and then may stumble over."""
    try:
        return exif.get(tag)
    except Exception:
        return None


def _directory(exif: Any, which: IFD) -> Mapping[int, Any]:
    try:
        return exif.get_ifd(which) or {}
    except Exception:
        return {}


def _text(value: Any) -> str | None:
    """``value`` as one line of printable text, or None where nothing is left.

    EXIF says ASCII, Pillow reads Latin-1, and what newer programs write is UTF-8: take it for that if it is.
    """
    if not isinstance(value, str | bytes):
        return None
    try:
        raw = value.encode("latin-1") if isinstance(value, str) else value
        text = raw.decode("utf-8")
    except UnicodeError:
        text = value if isinstance(value, str) else value.decode("latin-1")
    text = text.partition("\0")[0][:_MAX_TEXT]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or None


def _timestamp(value: Any, zone: Any) -> str | None:
    """``YYYY:MM:DD hh:mm:ss`` → ISO 8601, with the zone if there is a valid one. No date (zeros) is None."""
    match = _TIMESTAMP.match(_text(value) or "")
    if match is None:
        return None
    taken = "{}-{}-{}T{}:{}:{}".format(*match.groups())
    try:
        datetime.fromisoformat(taken)
    except ValueError:
        return None
    offset = _text(zone) or ""
    return taken + offset if _ZONE.fullmatch(offset) else taken


def _camera(make: str | None, model: str | None) -> str | None:
    """``Canon``, ``Canon EOS 5D`` → ``Canon EOS 5D``; ``Apple``, ``iPhone 15`` → ``Apple iPhone 15``."""
    if make is None or model is None:
        return model or make
    # "NIKON CORPORATION" with "NIKON D850": the maker's first word is enough.
    named = model.casefold().startswith(make.split()[0].casefold())
    return model if named else f"{make} {model}"


def _degrees(value: Any, reference: Any, signs: str, bound: float) -> float | None:
    """Degrees, minutes, seconds and a letter of ``signs`` (positive, negative) → signed degrees."""
    letter = (_text(reference) or "").upper()
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


def _caption(text: str | None) -> str | None:
    if text is None or _NO_CAPTION.fullmatch(text) or not any(c.isalpha() for c in text):
        return None
    return text

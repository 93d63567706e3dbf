"""What a picture says about itself in its metadata. Often damaged: a bad field is dropped, and never an error."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final

from PIL.ExifTags import GPS, IFD, Base
from PIL.Image import Exif, Image

from imseek.media.captions import choose_caption, iptc_of
from imseek.media.raw import canon_directories
from imseek.media.sanitise import decoded

_XMP: Final = 700
_TIFF_HEADERS: Final = {b"II": b"II*\0", b"MM": b"MM\0*"}

_TIMESTAMP: Final = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_ZONE: Final = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")


@dataclass(frozen=True, slots=True)
class ExifFacts:
    """Those fields of :class:`imseek.types.ImageFacts` that come from metadata, under the same names."""

    orientation: int = 1
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    caption: str | None = None


def exif_facts(image: Image) -> ExifFacts:
    """The EXIF and the caption of ``image``. Never raises: garbage gives the defaults.

    Its pixels need not be loaded, but for a PNG, which may carry both behind them.
    """
    try:
        exif = image.getexif()
    except Exception:  # Pillow's parser answers garbage with almost any exception
        exif = Exif()
    photo = _directory(exif, IFD.Exif)
    caption = choose_caption(
        xmp=image.info.get("xmp"),
        iptc=iptc_of(image),
        description=_value(exif, Base.ImageDescription),
        comment=_value(photo, Base.UserComment),
        note=image.info.get("Description"),
    )
    return _facts(exif, photo, _directory(exif, IFD.GPSInfo), caption)


def raw_facts(data: bytes, preview: ExifFacts) -> ExifFacts:
    """What a camera raw file says of itself, and where it is silent, what the JPEG in it says. Never raises."""
    main, photo, gps = _raw_directories(data)
    caption = choose_caption(
        xmp=_value(main, _XMP),
        description=_value(main, Base.ImageDescription),
        comment=_value(photo, Base.UserComment),
    )
    own = asdict(_facts(main, photo, gps, caption))
    if _value(main, Base.Orientation) is None:
        del own["orientation"]
    return replace(preview, **{name: value for name, value in own.items() if value is not None})


def _raw_directories(data: bytes) -> tuple[Mapping[int, Any], Mapping[int, Any], Mapping[int, Any]]:
    """The main, the EXIF and the GPS directory of a camera raw file; empty where it has none."""
    if data[4:8] == b"ftyp":
        canon = canon_directories(data)
        main, photo, gps = (_main_directory(canon.get(name, b"")) for name in (b"CMT1", b"CMT2", b"CMT4"))
        return main, _decoded_tags(photo), _decoded_tags(gps)
    # Olympus and Panasonic put letters of their own where TIFF has its number.
    main = _main_directory(_TIFF_HEADERS[data[:2]] + data[4:] if data[:2] in _TIFF_HEADERS else b"")
    return main, _directory(main, IFD.Exif), _directory(main, IFD.GPSInfo)


def _main_directory(tiff: bytes) -> Exif:
    exif = Exif()
    with suppress(Exception):
        exif.load_from_fp(io.BytesIO(tiff))
    return exif


def _decoded_tags(exif: Exif) -> Mapping[int, Any]:
    return {tag: _value(exif, tag) for tag in exif}


def _facts(
    main: Mapping[int, Any], photo: Mapping[int, Any], gps: Mapping[int, Any], caption: str | None
) -> ExifFacts:
    latitude = _degrees(gps.get(GPS.GPSLatitude), gps.get(GPS.GPSLatitudeRef), "NS", 90)
    longitude = _degrees(gps.get(GPS.GPSLongitude), gps.get(GPS.GPSLongitudeRef), "EW", 180)
    if latitude is None or longitude is None or latitude == longitude == 0:  # 0, 0 is "no fix yet"
        latitude = longitude = None
    orientation = _value(main, Base.Orientation)
    return ExifFacts(
        orientation=orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1,
        taken_at=(
            _timestamp(photo.get(Base.DateTimeOriginal), photo.get(Base.OffsetTimeOriginal))
            or _timestamp(photo.get(Base.DateTimeDigitized), photo.get(Base.OffsetTimeDigitized))
        ),
        camera=_camera(decoded(_value(main, Base.Make)), decoded(_value(main, Base.Model))),
        lens=decoded(photo.get(Base.LensModel)),
        latitude=latitude,
        longitude=longitude,
        caption=caption,
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


def _timestamp(value: Any, zone: Any) -> str | None:
    """``YYYY:MM:DD hh:mm:ss`` → ISO 8601, with the zone if there is a valid one. No date (zeros) is None."""
    match = _TIMESTAMP.match(decoded(value) or "")
    if match is None:
        return None
    taken = "{}-{}-{}T{}:{}:{}".format(*match.groups())
    try:
        datetime.fromisoformat(taken)
    except ValueError:
        return None
    offset = decoded(zone) or ""
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
    letter = (decoded(reference) or "").upper()
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

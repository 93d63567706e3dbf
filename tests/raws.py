"""Camera raw files for tests: the layout of the makers, around JPEGs and noise in the place of sensor data."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

SENSOR_DATA = np.random.default_rng(3).integers(0, 255, 20_000, np.uint8).tobytes()
CFA = 32803
_PHOTO, _POSITION = 0x8769, 0x8825
_PLACEHOLDER = 0x7A7A7A7A


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def directories(
    main: Mapping[int, Any], photo: Mapping[int, Any] | None = None, position: Mapping[int, Any] | None = None
) -> bytes:
    """A TIFF of tags alone."""
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(_PHOTO).update(photo or {})
    exif.get_ifd(_POSITION).update(position or {})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def tiff_raw(
    main: Mapping[int, Any],
    *previews: bytes,
    photo: Mapping[int, Any] | None = None,
    position: Mapping[int, Any] | None = None,
    header: bytes = b"",
    sensor: int | None = CFA,
) -> bytes:
    """As NEF, ARW, DNG and the like: the tags, a sub-directory that describes the sensor, sensor data, previews.

    ``header`` replaces the first bytes, as ORF and RW2 have it; ``sensor`` is the photometric interpretation.
    """
    whole = main if sensor is None else {**main, 330: _PLACEHOLDER}
    tags = directories(whole, photo, position)
    order = "<" if tags.startswith(b"II") else ">"
    below = b""
    if sensor is not None:
        assert tags.count(struct.pack(order + "I", _PLACEHOLDER)) == 1
        tags = tags.replace(struct.pack(order + "I", _PLACEHOLDER), struct.pack(order + "I", len(tags)))
        below = struct.pack(order + "HHHIII", 1, 262, 3, 1, sensor if order == "<" else sensor << 16, 0)
    return header + (tags + below)[len(header) :] + SENSOR_DATA + b"".join(previews)


def raf(preview: bytes) -> bytes:
    return b"FUJIFILMCCD-RAW 0201FF389501".ljust(148, b"\0") + preview + SENSOR_DATA


def cr3(main: bytes, photo: bytes, position: bytes, thumbnail: bytes, preview: bytes) -> bytes:
    canon = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
    about = _box(b"CMT1", main) + _box(b"CMT2", photo) + _box(b"CMT4", position) + _box(b"THMB", thumbnail)
    return (
        _box(b"ftyp", b"crx \0\0\0\1crx isom")
        + _box(b"moov", _box(b"uuid", canon + about) + _box(b"mvhd", bytes(100)))
        + _box(b"mdat", preview + SENSOR_DATA)
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content

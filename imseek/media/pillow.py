"""Decode with Pillow, for :func:`imseek.media.decode`, which has already detected the format.

Formats whose codecs are not Pillow's own are decoded here too, but in a worker of :mod:`imseek.media.sandbox`.

The format's plugin is called by name. ``Image.open`` would try further plugins, hide the plugin's own error message,
and refuse a phone's 200-megapixel JPEG before it can be decoded at an eighth. Naming plugins is an allow-list by
construction: no Ghostscript, no PDF, nothing that another library registered. Changes no global state of Pillow.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from importlib import import_module
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.Image import Transpose

from imseek.errors import MediaError
from imseek.media import heic
from imseek.media.bounds import MAX_FRAMES, admit
from imseek.media.isobmff import ends_early
from imseek.media.measures import measure
from imseek.media.metadata import exif_facts, raw_facts
from imseek.media.phash import hash_of
from imseek.media.raw import largest_jpeg
from imseek.media.svg import SIDE, render
from imseek.types.arrays import Pixels
from imseek.types.pictures import ImageFacts, SkipReason

# Module and class of each format's plugin.
_PLUGINS: Final = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "JPEG XL": ("imseek.media.jxl", "JxlImageFile"),
    "camera raw": ("PIL.JpegImagePlugin", "JpegImageFile"),  # the embedded preview
    "SVG": ("PIL.PngImagePlugin", "PngImageFile"),  # the drawing
}
# Formats whose ``draft`` scales while decoding. HEIC's would replace the picture by the file's thumbnail, which need
# not show the same.
_DRAFT_FORMATS: Final = frozenset(("JPEG", "camera raw"))
# Formats that Pillow turns upright on loading, whatever EXIF says.
_AUTO_ROTATED: Final = frozenset(("TIFF", "HEIC", "JPEG XL"))
# The transposition that turns each EXIF orientation upright (as in PIL.ImageOps.exif_transpose).
_TRANSPOSITIONS: Final = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# Pillow's messages for a possibly sound file of a variant that it cannot read (12-bit JPEG, TIFF of five bands).
_UNSUPPORTED: Final = re.compile(
    r"cannot handle|not yet supported|unsupported|unknown (pixel mode|data organization)", re.IGNORECASE
)
# Markers in the last bytes of a complete file.
_END_MARKS: Final = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}

_TIFF_BITS_PER_SAMPLE: Final = 258


Admission = Callable[[int], AbstractContextManager[object]]


def read(
    data: bytes,
    name: str,
    *,
    min_side: int | None,
    max_pixels: int,
    measured: bool = True,
    preview: bool = False,
    admission: Admission = admit,
) -> tuple[Pixels, ImageFacts]:
    """Return pixels and facts of ``data``, a picture of format ``name``; see :func:`imseek.media.decode`.

    The picture is decoded in the context that ``admission`` returns for its number of pixels.
    """
    try:
        with _quiet:
            return _read(data, name, min_side, max_pixels, measured, min_side if preview else None, admission)
    except MediaError:
        raise
    except Image.DecompressionBombError as error:
        raise MediaError(SkipReason.TOO_MANY_PIXELS, str(error)) from error
    except MemoryError as error:
        raise MediaError(SkipReason.TOO_MANY_PIXELS, "not enough memory to decode the image") from error
    except Exception as error:  # a plugin may raise anything for a bad file
        explanation = str(error) or type(error).__name__
        if _ends_early(data, name) or "truncated" in explanation.lower():
            raise MediaError(SkipReason.TRUNCATED, f"{name} data end too early: {explanation}") from error
        if _UNSUPPORTED.search(explanation):
            message = f"this variant of {name} is not supported: {explanation}"
            raise MediaError(SkipReason.MISSING_CODEC, message) from error
        raise MediaError(SkipReason.CORRUPT, f"broken {name} data: {explanation}") from error


def _read(
    data: bytes,
    name: str,
    min_side: int | None,
    max_pixels: int,
    measured: bool,
    preview_side: int | None,
    admission: Admission,
) -> tuple[Pixels, ImageFacts]:
    stored = _open(data, name, preview_side)
    width, height = stored.size
    if width * height > max_pixels:
        message = f"{width} x {height} pixels are more than the limit of {max_pixels:,}"
        raise MediaError(SkipReason.TOO_MANY_PIXELS, message)
    mode = stored.mode
    if min_side is not None and name in _DRAFT_FORMATS:
        stored.draft(mode, (min_side, min_side))
    with admission(stored.width * stored.height):
        image, facts = _load_upright(stored, data, name)
        if name in _AUTO_ROTATED:
            width, height = stored.size
        elif facts.orientation >= 5:
            width, height = height, width
        if min_side is not None and (factor := min(image.size) // min_side) > 1:
            image = image.reduce(factor)
        pixels = np.array(_to_srgb(image, stored.info.get("icc_profile")))
    luminance = Image.fromarray(pixels).convert("L") if measured else None
    return pixels, replace(
        facts,
        width=width,
        height=height,
        format=name,
        mode=mode,
        frames=_count_frames(stored, data, name),
        phash=0 if luminance is None else hash_of(luminance),
        luma=None if luminance is None else measure(luminance),
    )


def _load_upright(picture: Any, data: bytes, name: str) -> tuple[Image.Image, ImageFacts]:
    """Load ``picture`` and return it upright, with 8 bits per channel and no alpha, and what its metadata says."""
    if name == "TIFF":
        exif = exif_facts(picture)  # before loading: Pillow then turns a TIFF upright and drops the tag
        picture.load()
        return _flatten(picture, name), exif
    picture.load()
    exif = exif_facts(picture)  # after loading: a PNG may store EXIF behind its pixels
    image = _flatten(picture, name)
    if name in _AUTO_ROTATED:
        # pillow-heif removes the orientation from EXIF, since libheif has turned the picture as the container says.
        orientation = picture.info.get("original_orientation")
        return image, replace(exif, orientation=orientation) if orientation in _TRANSPOSITIONS else exif
    if name == "camera raw":
        exif = raw_facts(data, exif)
    turn = _TRANSPOSITIONS.get(exif.orientation)
    return (image if turn is None else image.transpose(turn)), exif


def _open(data: bytes, name: str, preview_side: int | None = None) -> Any:
    """Read a picture's header without decoding pixels. Typed Any, since each plugin adds attributes."""
    if name == "camera raw":
        data = largest_jpeg(data)
    elif name == "SVG":
        # Twice as large, so that a copy scaled down from it is as smooth as one from a full drawing.
        data = render(data) if preview_side is None else render(data, min(SIDE, 2 * preview_side))
    return plugin(name)(io.BytesIO(data))


def plugin(name: str) -> Any:
    """Return the plugin class for the format ``name``. Raises ImportError, and MediaError as ``heic`` does."""
    if name == "HEIC":
        return heic.plugin()
    module, attribute = _PLUGINS[name]
    return getattr(import_module(module), attribute)


def _flatten(image: Any, name: str) -> Image.Image:
    """Convert ``image`` to 8 bits per channel without alpha: mode L, RGB or CMYK."""
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_grey(np.asarray(image), _white_level(image, name), image.info.get("transparency")))
    if image.has_transparency_data:
        if image.mode == "La":  # premultiplied grey, which Pillow cannot convert to RGBA directly
            image = image.convert("LA")
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(image, mask=image)
        return canvas
    if image.mode in ("L", "RGB", "CMYK"):
        return cast(Image.Image, image)
    return cast(Image.Image, image.convert("L" if image.mode == "1" else "RGB"))


def _white_level(image: Any, name: str) -> float | None:
    """Return the value that means white in a picture with one wide channel; None where the format does not say."""
    if name in ("PNG", "HEIC"):
        return 65535.0  # mode I;16, or I in older versions of Pillow
    if image.mode.startswith("I;16"):
        return float(2 ** image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (16,))[0] - 1)
    return None


def _to_grey(values: npt.NDArray[Any], white: float | None, transparent: int | None) -> Pixels:
    """Scale (h, w) integers or floats to (h, w) uint8; NaN becomes black, ``transparent`` becomes white."""
    if white is None:
        finite = values[np.isfinite(values)]
        black, white = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        if values.dtype.kind == "f" and black >= 0.0 and white <= 1.0:
            black, white = 0.0, 1.0
    else:
        black = 0.0
    # Single precision suffices for two-byte values; the range of four-byte values may overflow it.
    scaled: npt.NDArray[np.floating[Any]] = values.astype(np.float32 if values.itemsize == 2 else np.float64)
    np.nan_to_num(scaled, copy=False, nan=black, posinf=white, neginf=black)
    scaled -= black
    scaled *= 255.0 / (white - black) if white > black else 0.0
    grey: Pixels = np.rint(scaled).astype(np.uint8)
    if transparent is not None:
        grey[values == transparent] = 255
    return grey


def _to_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Convert ``image`` (L, RGB or CMYK) to sRGB, ignoring a profile that is broken or of another colour space."""
    if icc_profile:
        # A profile that LittleCMS refuses counts as sRGB, as in browsers.
        with suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
            if "sRGB" not in (profile.profile.profile_description or ""):
                srgb = ImageCms.createProfile("sRGB")
                return cast(Image.Image, ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB"))
    return image.convert("RGB")


def _count_frames(image: Any, data: bytes, name: str) -> int:
    """Count a picture's frames, up to MAX_FRAMES; a damaged frame after the first ends the count.

    Opens GIF and TIFF again, since counting moves the reader's position.
    """
    count = 1
    # The first frame decoded, so nothing behind it is a reason to refuse the picture.
    with suppress(Exception):
        if name == "GIF":
            count = _open(data, name).n_frames
        elif name == "TIFF":
            pages = _open(data, name)
            while count < MAX_FRAMES:
                pages.seek(count)  # EOFError after the last
                count += 1
        else:
            count = getattr(image, "n_frames", 1)
    return max(1, min(count, MAX_FRAMES))


def _ends_early(data: bytes, name: str) -> bool:
    """Tell whether a file that failed to decode also lacks its end, as after an interrupted copy."""
    if name in _END_MARKS:
        return _END_MARKS[name] not in data[-32:]
    if data[4:8] in (b"ftyp", b"JXL "):
        return ends_early(data)
    if name == "WEBP":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    if name == "BMP":
        return len(data) < int.from_bytes(data[2:6], "little")
    if name == "TIFF":  # the directory of tags is often the last thing in the file
        order: Literal["little", "big"] = "little" if data.startswith(b"I") else "big"
        big_tiff = b"+" in data[2:4]
        start = int.from_bytes(data[8:16] if big_tiff else data[4:8], order)
        tags = int.from_bytes(data[start : start + (8 if big_tiff else 2)], order)
        return len(data) < start + tags * (20 if big_tiff else 12)
    return False


class _QuietPillow:
    """A context that ignores warnings from Pillow's own code, and no others, while any thread is inside.

    Pillow warns about odd metadata through :mod:`warnings`, whose filters are one list per process:
    ``warnings.catch_warnings`` in several threads would restore one another's stale copies of it. So the first thread
    to enter adds one entry in front, and the last one to leave removes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._entry = ("ignore", None, Warning, re.compile(r"PIL\."), 0)

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._filters_without_entry().insert(0, self._entry)

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters_without_entry()

    def _filters_without_entry(self) -> list[object]:
        filters = cast("list[object]", warnings.filters)
        # In a loop: a catch_warnings() elsewhere may have dropped the entry, or brought an old one back.
        while self._entry in filters:
            filters.remove(self._entry)
        return filters


_quiet = _QuietPillow()

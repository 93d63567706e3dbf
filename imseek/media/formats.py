"""Detect picture formats by their first bytes, and say which of them a codec is installed for.

File names are ignored: a text renamed ``.jpg`` is no picture, a PNG named ``.jpg`` is one.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Final

from imseek.media.raw import is_raw

#: Formats that Pillow reads, and the compiled feature each needs. "camera raw" stands for its embedded JPEG.
PILLOW_FORMATS: Final[dict[str, str | None]] = {
    "JPEG": "jpg",
    "PNG": "zlib",
    "WEBP": "webp",
    "GIF": None,
    "TIFF": None,
    "BMP": None,
    "AVIF": "avif",
    "camera raw": "jpg",
}
#: Formats that need a package of the extra ``formats``, and that package's module.
EXTRA_PACKAGES: Final = {"HEIC": "pillow_heif", "JPEG XL": "pylibjxl", "SVG": "resvg_py"}
#: Formats recognised only to report them by name; nothing here reads them.
RECOGNISED: Final = ("JPEG 2000", "PSD", "OpenEXR", "ICO")

#: How to make the formats of ``EXTRA_PACKAGES`` readable.
FORMATS_HINT: Final = "in imseek's folder: pip install '.[formats]'"

#: File name ending of each format. Those of camera raw files depend on the maker.
_ENDINGS: Final = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "TIFF": "tif",
    "BMP": "bmp",
    "AVIF": "avif",
    "HEIC": "heic",
    "JPEG XL": "jxl",
    "SVG": "svg",
    "JPEG 2000": "jp2",
    "PSD": "psd",
    "OpenEXR": "exr",
    "ICO": "ico",
}
_RAW_ENDINGS: Final = "3fr arw cr2 cr3 crw dng mrw nef nrw orf pef raf rw2 srw x3f"
#: For a camera raw file with another name: the ending of the documented format.
_RAW_ENDING: Final = "dng"

_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS\x00", "PSD"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"IIU\x00", "camera raw"),  # Panasonic RW2
    (b"IIRO", "camera raw"),  # Olympus ORF
    (b"IIRS", "camera raw"),
    (b"MMOR", "camera raw"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "camera raw"),  # Canon CRW
    (b"FOVb", "camera raw"),  # Sigma X3F
    (b"\x00MRM", "camera raw"),  # Minolta MRW
)
_TIFF_MAGIC: Final = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_BMP_HEADER_SIZES: Final = frozenset((12, 40, 52, 56, 64, 108, 124))
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_HEIF_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)


def sniff(data: bytes) -> str | None:
    """Return the format of the picture in ``data``, a key of :func:`imseek.media.codecs`, or None where unknown."""
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(_TIFF_MAGIC):
        return "camera raw" if is_raw(data) else "TIFF"
    # Many texts begin with "BM"; the size of the header that follows is one of seven.
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _isobmff_format(data)
    return "SVG" if _is_svg(data) else None


def ending_of(data: bytes, name: bytes = b"") -> str | None:
    """Return the right file name ending for this picture, such as ``jpg``; None for an unknown format.

    ``name`` counts only for camera raw files, whose contents do not identify the maker.
    """
    kind = sniff(data)
    if kind != "camera raw":
        return None if kind is None else _ENDINGS[kind]
    suffix = name.rpartition(b".")[2].lower().decode("ascii", "replace")
    return suffix if suffix in _RAW_ENDINGS.split() else _RAW_ENDING


def needs_extra(name: str) -> bool:
    """Whether reading the format ``name`` requires the extra ``formats``."""
    return name in EXTRA_PACKAGES


def needs_sandbox(name: str) -> bool:
    """Whether pictures of the format ``name`` are always decoded in a confined process."""
    return name in EXTRA_PACKAGES or name == "camera raw"


@cache
def is_readable(name: str) -> bool:
    """Whether a codec for the format ``name`` is installed."""
    if name in EXTRA_PACKAGES:
        return find_spec(EXTRA_PACKAGES[name]) is not None  # imported by workers only
    if name not in PILLOW_FORMATS:
        return False
    feature = PILLOW_FORMATS[name]
    if feature is None:
        return True
    from PIL import features  # here, so that sniffing and text queries need no Pillow

    # Older versions of Pillow do not know every name, and warn when asked for one.
    return feature in (*features.modules, *features.codecs) and bool(features.check(feature))


def _isobmff_format(data: bytes) -> str | None:
    """Distinguish AVIF, HEIC and Canon CR3, and reject films, by the brands in the ``ftyp`` box."""
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[i : i + 4] for i in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    if brands & _HEIF_BRANDS:
        return "HEIC"
    return "camera raw" if b"crx " in brands else None


def _is_svg(data: bytes) -> bool:
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in head)

"""The single entry point for decoding: bytes in, sRGB pixels and metadata out, or a MediaError with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imseek.errors import MediaError
from imseek.media.formats import FORMATS_HINT, is_readable, needs_extra, needs_sandbox, sniff
from imseek.types.arrays import Pixels
from imseek.types.pictures import ImageFacts, SkipReason


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on the size of a picture, and whether its source is trusted.

    ``max_pixels`` is checked against the size in the header, before any pixel is decoded. The largest phone sensors
    produce 200 megapixels, which reduced decoding makes cheap, so the default is above that; TIFF, WebP, GIF and JPEG
    XL stop at Pillow's own, lower guard (about 179 megapixels; an application that changes it changes it for what its
    own process decodes). Whatever the number of threads, only one picture above 40 megapixels is decoded at a time: the
    worst case, a HEIC of 250 megapixels in 6 kB, takes 3.5 GB.

    ``max_bytes`` bounds the file, compressed or not: the default holds 178 megapixels of uncompressed 24-bit colour.
    Readers of files should check the file size against it before reading.

    HEIC, JPEG XL, SVG and camera raw are decoded in a confined process without access to files or a network; with
    ``untrusted``, so is every other format.
    """

    max_pixels: int = 250_000_000
    max_bytes: int = 512 * 2**20
    untrusted: bool = False


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A decoded picture.

    ``pixels`` is (h, w, 3) uint8 sRGB, upright, writable and contiguous. ``facts`` describe the full picture, so after
    reduced decoding ``facts.width`` and ``facts.height`` exceed the shape of ``pixels``. ``facts.phash`` is computed
    from ``pixels``: reduced and full decoding differ by a few bits at most.
    """

    pixels: Pixels
    facts: ImageFacts


def decode(
    data: bytes,
    *,
    min_side: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
    measured: bool = True,
    preview: bool = False,
) -> DecodedImage:
    """Decode the first frame of the picture in ``data``. Thread-safe; on bad data raises only MediaError.

    Applies the EXIF orientation (in HEIC and JPEG XL, the container's instead). Composites transparency over white.
    Scales values of more than 8 bits to 0..255 without clipping: 16-bit grey by its full range, floating point by [0,
    1] if all of it lies inside and otherwise, like 32-bit integers, by the range found. Converts an embedded ICC
    profile to sRGB (CMYK without it is far off); ignores a broken or mismatched one, as browsers do.

    ``min_side`` allows a reduced picture, whose shorter side is in [min_side, 2·min_side) where the full picture is at
    least that large. JPEG is scaled while decoding, which saves more the larger the photo; other formats are reduced
    after decoding by averaging whole blocks of pixels. Nothing is enlarged.

    ``measured=False`` leaves out ``facts.phash`` and ``facts.luma``, for callers that only want pixels.

    A camera raw file yields its largest embedded JPEG, in that size; date, camera, place and orientation come from the
    raw file. An SVG is drawn with a longer side of 1024 pixels; with ``preview``, of at most 2·min_side, which takes a
    tenth of the time: for a picture to look at, or to compare small, not for its vector or hash.

    Refuses a damaged file instead of decoding half of it. Reasons are those of
    :class:`imseek.types.pictures.SkipReason` (``empty_file``, ``not_an_image``, ``missing_codec``, ``too_many_pixels``,
    ``too_many_bytes``, ``truncated``, ``corrupt``, ``timeout``; ``unreadable`` where no confined process can be
    started). Raises ValueError for ``min_side`` below 1.
    """
    if min_side is not None and min_side < 1:
        raise ValueError(f"min_side must be at least 1, not {min_side}")
    if not data:
        raise MediaError(SkipReason.EMPTY_FILE, "the file is empty")
    if len(data) > limits.max_bytes:
        message = f"{len(data):,} bytes are more than the limit of {limits.max_bytes:,}"
        raise MediaError(SkipReason.TOO_MANY_BYTES, message)
    name = sniff(data)
    if name is None:
        raise MediaError(SkipReason.NOT_AN_IMAGE, "the content matches no known image format")
    if not is_readable(name):
        if needs_extra(name):
            message = f"{name} images need a codec that is not installed"
            raise MediaError(SkipReason.MISSING_CODEC, message, hint=FORMATS_HINT)
        raise MediaError(SkipReason.MISSING_CODEC, f"{name} images are not supported by this installation")

    # Here, so that a text query loads no Pillow.
    if limits.untrusted or needs_sandbox(name):
        from imseek.media.sandbox.pool import read
    else:
        from imseek.media.pillow import read
    pixels, facts = read(
        data, name, min_side=min_side, max_pixels=limits.max_pixels, measured=measured, preview=preview
    )
    return DecodedImage(pixels, facts)

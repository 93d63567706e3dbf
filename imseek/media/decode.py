"""The one way in for pictures: bytes in, sRGB pixels and facts out, or a MediaError with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from imseek.errors import MediaError
from imseek.media.formats import FORMATS_HINT, is_readable, needs_extra, needs_sandbox, sniff
from imseek.types import ImageFacts, Pixels, SkipReason


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be before it is refused unread, and how far its maker is trusted.

    ``max_pixels`` is compared with the size that the header states, before any pixel is decoded. The largest
    phone sensors give pictures of 200 megapixels, which reduced decoding makes cheap, so the default is
    above that; TIFF, WebP, GIF and JPEG XL stop at Pillow's own, lower guard (about 179 megapixels; an application
    that moves it moves it for what is decoded in its own process). Whatever the number of threads, only one picture
    of more than 40 megapixels is decoded at a time: the worst, a HEIC of 250 megapixels in 6 kB, takes 3.5 GB.

    ``max_bytes`` bounds the file, compressed or not: the default holds 178 megapixels of uncompressed 24-bit
    colour. A reader of files should compare it with the size before reading.

    HEIC, JPEG XL, SVG and camera raw are decoded in a confined process, which has neither files nor a network; with
    ``untrusted``, so is every other format.
    """

    max_pixels: int = 250_000_000
    max_bytes: int = 512 * 2**20
    untrusted: bool = False


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture.

    ``pixels`` is (h, w, 3) uint8 sRGB, upright, writable and contiguous; ``facts`` are those of the full
    picture, so ``facts.width`` and ``facts.height`` exceed the shape of ``pixels`` after reduced decoding.
    ``facts.phash`` is computed from ``pixels``: reduced and full decoding differ by a few bits at most.
    """

    pixels: Pixels
    facts: ImageFacts


def decode(
    data: bytes, *, min_side: int | None = None, limits: Limits = DEFAULT_LIMITS, measured: bool = True
) -> Decoded:
    """Decode the first frame of the picture in ``data``. Thread-safe; raises MediaError and nothing else.

    EXIF orientation is applied (in HEIC and JPEG XL, what the container says instead). Transparency is
    composited over white. Values of more than 8 bits are scaled to 0..255, never clipped: 16-bit grey by its full
    range, floating point by [0, 1] where all of it lies inside and otherwise, like 32-bit integers, by the range
    found. An embedded ICC profile is converted to sRGB (CMYK is far off without); a broken or mismatched one is
    ignored, as browsers do.

    ``min_side`` allows a reduced picture: its shorter side is then in [min_side, 2·min_side) where the full
    picture is at least that large. JPEG is scaled while decoding, which is the faster the larger the photo; the
    rest is reduced by averaging whole blocks of pixels after decoding. Nothing is enlarged.

    Without ``measured``, ``facts.luma`` is left out, for those who only want pixels.

    Of a camera raw file, the largest JPEG in it is the picture, with the size of that; date, camera, place and
    orientation are those of the raw file. An SVG is drawn so that its longer side has 1024 pixels.

    A damaged file is refused, not half decoded: reasons are those of :class:`imseek.types.SkipReason`
    (``empty_file``, ``not_an_image``, ``missing_codec``, ``too_many_pixels``, ``too_many_bytes``,
    ``truncated``, ``corrupt``, ``timeout``; ``unreadable`` where no confined process can be started). ``min_side``
    below 1 is a ValueError.
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
        raise MediaError(SkipReason.NOT_AN_IMAGE, "the content is not that of any known image format")
    if not is_readable(name):
        if needs_extra(name):  # in the message too, which is all that is kept of a skipped file
            message = f"{name} images need a codec that is not installed ({FORMATS_HINT})"
            raise MediaError(SkipReason.MISSING_CODEC, message, hint=FORMATS_HINT)
        raise MediaError(SkipReason.MISSING_CODEC, f"{name} images are not supported by this installation")

    # Here, so that a query by text loads no Pillow.
    if limits.untrusted or needs_sandbox(name):
        from imseek.media.sandbox.pool import read
    else:
        from imseek.media.pillow import read
    pixels, facts = read(data, name, min_side=min_side, max_pixels=limits.max_pixels, measured=measured)
    return Decoded(pixels, facts)

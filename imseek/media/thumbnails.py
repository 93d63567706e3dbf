"""Make small pictures for people to look at."""

from __future__ import annotations

import io

from PIL import Image

from imseek.types.arrays import Pixels


def fit(pixels: Pixels, width: int, height: int | None = None) -> Image.Image:
    """Fit (h, w, 3) uint8 into ``width`` x ``height`` pixels (default: a square); nothing is enlarged."""
    image = Image.fromarray(pixels)
    image.thumbnail((width, width if height is None else height), Image.Resampling.LANCZOS)
    return image


def thumbnail(pixels: Pixels, side: int = 256) -> bytes:
    """Encode (h, w, 3) uint8 as WebP that fits into ``side`` x ``side`` pixels; nothing is enlarged."""
    buffer = io.BytesIO()
    fit(pixels, side).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def jpeg(pixels: Pixels, side: int) -> bytes:
    """Encode as JPEG, otherwise as :func:`thumbnail`, for programs that support nothing else."""
    buffer = io.BytesIO()
    fit(pixels, side).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def png(picture: Image.Image) -> bytes:
    """Encode a picture as PNG for programs on this machine: lossless and fast, but large."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

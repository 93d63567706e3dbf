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
    return _encode(fit(pixels, side), "WEBP", quality=80)


def jpeg(pixels: Pixels, side: int) -> bytes:
    """Encode as JPEG, otherwise as :func:`thumbnail`, for programs that support nothing else."""
    return _encode(fit(pixels, side), "JPEG", quality=85)


def png(picture: Image.Image) -> bytes:
    """Encode a picture as PNG for programs on this machine: lossless and fast, but large."""
    return _encode(picture, "PNG", compress_level=1)


def _encode(picture: Image.Image, name: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()

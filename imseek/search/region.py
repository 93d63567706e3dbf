"""The part of a picture that a term of a query means, as a box ``x, y, width, height`` of the upright picture.

Numbers of at most 1 are shares of the picture's width and height; if one is larger, all are pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imseek.errors import QueryError

if TYPE_CHECKING:
    from imseek.types.arrays import Pixels

#: x and y of the top left corner, width and height.
Region: TypeAlias = tuple[float, float, float, float]

#: Least width and height in pixels; less says nothing to an encoder.
MIN_SIDE: Final = 8
_HINT: Final = "x,y,width,height of the upright picture: 0.25,0.25,0.5,0.5 is its middle, 0,0,640,480 counts pixels"
_NUMBER: Final = re.compile(r"\d{1,7}(?:\.\d{0,12})?|\.\d{1,12}", re.ASCII)
#: What shares may exceed 1 by, as sums of rounded numbers do; as pixels, half a one.
_SLACK: Final = 1e-6


def check_region(value: Sequence[float]) -> Region:
    """Return four numbers as a region. Raises QueryError for a box that lies in no picture."""
    numbers: list[Any] = list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else []
    if len(numbers) != 4 or not all(isinstance(one, Real) and not isinstance(one, bool) for one in numbers):
        raise QueryError("a region is four numbers", hint=_HINT)
    try:
        x, y, width, height = (float(one) + 0.0 for one in numbers)  # -0.0 cannot be written.
    except OverflowError:
        x = y = width = height = math.inf
    if not all(map(math.isfinite, (x, y, width, height))) or x < 0 or y < 0:
        raise QueryError("a region holds no negative, infinite or undefined numbers", hint=_HINT)
    if width <= 0 or height <= 0:
        raise QueryError("a region needs a width and a height above 0", hint=_HINT)
    region = (x, y, width, height)
    if is_shares(region) and (x + width > 1 + _SLACK or y + height > 1 + _SLACK):
        raise QueryError(f"the region {format_region(region)} reaches beyond the picture", hint=_HINT)
    return region


def is_shares(region: Region) -> bool:
    """Return whether the numbers are shares of the picture, not pixels."""
    return max(region) <= 1


def parse_region(text: str) -> Region:
    """Parse ``x,y,width,height``. Raises QueryError."""
    parts = [part.strip() for part in text.split(",", 4)] if len(text) <= 100 else []
    if len(parts) != 4 or not all(map(_NUMBER.fullmatch, parts)):
        excerpt = text if len(text) <= 60 else f"{text[:60]}…"
        raise QueryError(f"not a region: {excerpt!r}", hint=_HINT)
    return check_region(tuple(map(float, parts)))


def format_region(region: Region) -> str:
    """Return the text from which :func:`parse_region` rebuilds the region, up to its twelfth decimal."""
    return ",".join(f"{number:.12f}".rstrip("0").rstrip(".") for number in region)


def pixel_box(region: Region, width: int, height: int) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom in pixels of a picture of this size.

    Raises QueryError if the region reaches beyond the picture, or is too small to search by.
    """
    x, y, wide, high = region
    if is_shares(region):
        x, y, wide, high = x * width, y * height, wide * width, high * height
    elif x + wide > width + 0.5 or y + high > height + 0.5:
        raise QueryError(
            f"the region {format_region(region)} reaches beyond the picture, which has {width:,} × {height:,} pixels",
            hint=_HINT,
        )
    if round(wide) < MIN_SIDE or round(high) < MIN_SIDE:
        raise QueryError(
            f"the region {format_region(region)} covers {round(wide):,} × {round(high):,} pixels of the picture",
            hint=f"it needs at least {MIN_SIDE} × {MIN_SIDE}",
        )
    return x, y, min(x + wide, width), min(y + high, height)


def decode_region(data: bytes, region: Region | None, min_side: int | None) -> Pixels:
    """Decode a picture, or only a region of it, as (h, w, 3) uint8 sRGB, upright.

    What is returned may be reduced to a shorter side of ``min_side`` or more. Raises MediaError, QueryError.
    """
    from imseek.media.decode import decode

    if region is None:
        return decode(data, min_side=min_side, measured=False).pixels
    if min_side is not None:
        # How large a share a box in pixels has is unknown before the picture is decoded, which refuses a minute one.
        share = min(region[2:])
        min_side = math.ceil(min_side / share) if is_shares(region) and share > _SLACK else None
    decoded = decode(data, min_side=min_side, measured=False)
    left, top, right, bottom = pixel_box(region, decoded.facts.width, decoded.facts.height)
    high, wide = decoded.pixels.shape[:2]
    across, down = wide / decoded.facts.width, high / decoded.facts.height
    rows = slice(math.floor(top * down + _SLACK), max(math.ceil(bottom * down - _SLACK), 1))
    columns = slice(math.floor(left * across + _SLACK), max(math.ceil(right * across - _SLACK), 1))
    cropped: Pixels = decoded.pixels[rows, columns].copy()  # The rest of the picture can go.
    return cropped

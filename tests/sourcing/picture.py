"""A picture, as every kind of source in the contract suite can hold it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture, and what its source says of it, where it can."""

    data: bytes
    caption: str | None = None
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)


def draw(seed: int, size: tuple[int, int] = (48, 32)) -> bytes:
    """A PNG of coloured blocks, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()

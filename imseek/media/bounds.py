"""Bounds that hold for every picture, whichever process decodes it. Imports nothing."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Final

#: Frames that are counted: a TIFF of a million empty pages would take minutes.
MAX_FRAMES: Final = 10_000

# Decoding holds up to 20 bytes a pixel: of pictures with more pixels than this, one at a time has to do.
_LARGE: Final = 40_000_000
_one_at_a_time: Final = threading.Lock()


def admit(pixels: int) -> AbstractContextManager[object]:
    """A context in which a picture of so many pixels may be decoded: of large ones, one at a time."""
    return _one_at_a_time if pixels > _LARGE else nullcontext()

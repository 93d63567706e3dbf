"""Limits that hold for every picture, whichever process decodes it. Imports nothing heavy."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Final

#: Upper bound when counting frames: a TIFF of a million empty pages would take minutes.
MAX_FRAMES: Final = 10_000

# Decoding holds up to 20 bytes per pixel, so pictures larger than this are decoded one at a time.
_LARGE: Final = 40_000_000
_one_at_a_time: Final = threading.Lock()


def admit(pixels: int) -> AbstractContextManager[object]:
    """Return the context to decode a picture of ``pixels`` pixels in; it admits one large picture at a time."""
    return _one_at_a_time if pixels > _LARGE else nullcontext()

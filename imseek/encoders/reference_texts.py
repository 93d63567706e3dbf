"""Vectors of fixed texts, stored in the user's cache.

A search compares its scores with those of a few texts that never change (imseek/search/cutoff.py). Encoding them takes
a cold query as long as encoding the user's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from imseek.encoders.base import Encoder
from imseek.encoders.cache import build_once
from imseek.encoders.exported_tower_cache import tower_folder
from imseek.errors import EncoderUnavailableError
from imseek.types.arrays import Float32

_FILE: Final = "vectors.npy"
#: Stored rows may differ from length 1 by no more than rounding; others are damaged.
_TOLERANCE: Final = 1e-3


def encode_reference_texts(encoder: Encoder, texts: Sequence[str]) -> Float32:
    """Encode t texts as (t, dim) float32 unit rows, or read them from the cache if an earlier process encoded them.

    They are encoded again where the cache is damaged or cannot be written, and by encoders for tests.
    """
    if encoder.info.quality == "test":
        return encoder.encode_texts(texts)
    encoded: list[Float32] = []

    def make(folder: Path) -> None:
        encoded.append(encoder.encode_texts(texts))
        np.save(folder / _FILE, encoded[0], allow_pickle=False)

    try:
        key = "\n".join((encoder.info.reference, *texts))
        folder = build_once(tower_folder("reference-texts", key, encoder.fingerprint()), make)
        if not encoded:
            encoded = [_read(folder / _FILE, (len(texts), encoder.info.dim))]
    except (EncoderUnavailableError, OSError, ValueError):
        return encoded[0] if encoded else encoder.encode_texts(texts)
    return encoded[0]


def _read(path: Path, shape: tuple[int, int]) -> Float32:
    """Read stored vectors. Raises OSError, ValueError for any but unit rows of that shape."""
    rows: Float32 = np.load(path, allow_pickle=False)
    if rows.shape != shape or rows.dtype != np.float32:
        raise ValueError(f"{rows.dtype} {rows.shape}")
    if not (np.abs(np.linalg.norm(rows, axis=1) - 1) < _TOLERANCE).all():  # false for NaN too
        raise ValueError("not unit rows")
    return rows

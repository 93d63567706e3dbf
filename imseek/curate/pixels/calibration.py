"""Thresholds for the vectors of any encoder, found from a sample of the collection's own pictures.

What pixels must show is the same for every encoder (:mod:`imseek.curate.pixels.classify`). What a cosine means is
not: in one space, a crop keeps .97 of it, in another .80, and any two photographs have .2 or .6. So a sample is
cropped, encoded again, and its own cosines say from where on a pair is worth a look. Kept in the catalog's ``meta``
by the encoder's fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from imseek.curate.pixels.classify import DEFAULTS, Thresholds
from imseek.data.catalog import set_meta
from imseek.data.catalog_file import connect_read_only
from imseek.data.writer import Writer
from imseek.types import Float32, Pixels

#: So many pictures are enough: quantiles of twice as many crops.
SAMPLE: Final = 64
#: Fewer say nothing, and the defaults hold.
LEAST: Final = 8
#: Share of a picture's area that is cut away, the most at which it still counts as the same.
_CROP: Final = 0.40
#: Of the crops' cosines, the share that may lie below: to be looked at, and to be searched on the fine grid. Those of
#: `builtin` lie there on half A of bench/duplicates.py.
_NEAR: Final = 0.07
_FINE: Final = 0.35
#: Of the cosines of different pictures, the share that must lie below for a scene.
_SCENE: Final = 0.999
#: Within this range whatever the sample says.
_BOUNDS: Final = (0.30, 0.99)
#: What is found, and kept.
_FOUND: Final = ("near_cosine", "fine_cosine", "scene_cosine", "unread_cosine")

Encode = Callable[[Sequence[Pixels]], Float32]


def calibrate(pictures: Sequence[Pixels], encode: Encode) -> Thresholds:
    """Thresholds for the space of ``encode``, which takes n pictures to (n, dim) unit rows.

    ``pictures`` is a sample of different ones, (h, w, 3) uint8; of fewer than LEAST, the defaults. The same pictures
    give the same thresholds.
    """
    if len(pictures) < LEAST:
        return DEFAULTS
    rng = np.random.default_rng(0)
    whole = encode(pictures)
    kept = np.concatenate(
        [(whole * encode([_cropped(one, rng) for one in pictures])).sum(axis=1) for _ in range(2)]
    )
    others = (whole @ whole.T)[np.triu_indices(len(pictures), 1)]
    near, fine = (float(np.quantile(kept, share)) for share in (_NEAR, _FINE))
    scene = max(float(np.quantile(others, _SCENE)), fine)
    return replace(
        DEFAULTS,
        near_cosine=_bounded(near),
        fine_cosine=_bounded(fine),
        scene_cosine=_bounded(scene),
        unread_cosine=_bounded(fine),
    )


def keep(writer: Writer, fingerprint: str, thresholds: Thresholds) -> None:
    """Store what :func:`calibrate` has found for the space of an encoder, in one commit."""
    text = json.dumps({name: getattr(thresholds, name) for name in _FOUND}, sort_keys=True)
    writer.apply(lambda connection, generation: set_meta(connection, _name(fingerprint), text))


def kept(root: Path, fingerprint: str) -> Thresholds | None:
    """Those with the cosines that are stored for the space of an encoder; None where these are not."""
    with connect_read_only(root) as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = ?", (_name(fingerprint),)).fetchone()
    if row is None:
        return None
    stored = json.loads(row[0])
    if not isinstance(stored, dict) or not set(_FOUND) <= set(stored):
        return None
    return replace(DEFAULTS, **{name: stored[name] for name in _FOUND})


def _name(fingerprint: str) -> str:
    return f"duplicates:{fingerprint}"


def _cropped(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    side = np.sqrt(1 - _CROP)
    height, width = (max(1, round(length * side)) for length in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _bounded(cosine: float) -> float:
    return round(min(max(cosine, _BOUNDS[0]), _BOUNDS[1]), 3)

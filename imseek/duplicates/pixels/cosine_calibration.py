"""Calibrate the thresholds of any encoder on a sample of the collection's own pictures.

Pixel thresholds are the same for every encoder (:mod:`imseek.duplicates.pixels.classify`), but cosines mean different
things: a crop keeps .97 in one space and .80 in another, and two unrelated photographs have .2 or .6. So a sample is
cropped and encoded again, and its cosines tell from where on a pair is worth comparing. The results are stored in the
catalog's ``meta`` under the encoder's fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from imseek.data.catalog.catalog_writer import set_meta
from imseek.data.catalog.read_connection import connect_read_only, read_meta
from imseek.data.writing.writer import Writer
from imseek.duplicates.pixels.verdict import DEFAULTS, Thresholds
from imseek.types.arrays import Float32, Pixels

#: Sample size in pictures; quantiles are taken over twice as many crops.
SAMPLE: Final = 64
#: Smallest usable sample; below it the defaults apply.
MIN_SAMPLE: Final = 8
#: Share of a picture's area cut away: the most at which a crop still counts as the same picture.
_CROPPED_SHARE: Final = 0.40
#: Quantiles of the crops' cosines used as thresholds for comparing pixels, and for searching on the fine grid. They
#: match the thresholds of `builtin` on half A of bench/duplicates.py.
_NEAR_QUANTILE: Final = 0.07
_FINE_QUANTILE: Final = 0.35
#: Quantile of the cosines of different pictures used as the threshold for scenes.
_SCENE_QUANTILE: Final = 0.999
#: Range to which all cosines are clamped.
_BOUNDS: Final = (0.30, 0.99)
#: The calibrated and stored fields.
_CALIBRATED_FIELDS: Final = ("near_cosine", "fine_cosine", "scene_cosine", "unread_cosine")

Encode = Callable[[Sequence[Pixels]], Float32]


def calibrate(pictures: Sequence[Pixels], encode: Encode) -> Thresholds:
    """Calibrate thresholds for the space of ``encode``, which maps n pictures to unit rows (n, dim).

    ``pictures`` is a sample of different pictures, (h, w, 3) uint8; with fewer than ``MIN_SAMPLE``, the defaults are
    returned. The same pictures give the same thresholds.
    """
    if len(pictures) < MIN_SAMPLE:
        return DEFAULTS
    rng = np.random.default_rng(0)
    rows = encode(pictures)
    crop_cosines = np.concatenate(
        [(rows * encode([_crop_randomly(one, rng) for one in pictures])).sum(axis=1) for _ in range(2)]
    )
    other_cosines = (rows @ rows.T)[np.triu_indices(len(pictures), 1)]
    near, fine = (float(np.quantile(crop_cosines, share)) for share in (_NEAR_QUANTILE, _FINE_QUANTILE))
    scene = max(float(np.quantile(other_cosines, _SCENE_QUANTILE)), fine)
    return replace(
        DEFAULTS,
        near_cosine=_clamp_cosine(near),
        fine_cosine=_clamp_cosine(fine),
        scene_cosine=_clamp_cosine(scene),
        unread_cosine=_clamp_cosine(fine),
    )


def store_thresholds(writer: Writer, fingerprint: str, thresholds: Thresholds) -> None:
    """Store the thresholds of an encoder in the catalog, in one commit."""
    text = json.dumps({name: getattr(thresholds, name) for name in _CALIBRATED_FIELDS}, sort_keys=True)
    writer.apply(lambda connection, generation: set_meta(connection, _meta_name(fingerprint), text))


def load_thresholds(root: Path, fingerprint: str) -> Thresholds | None:
    """Return the stored thresholds of an encoder, or None."""
    with connect_read_only(root) as connection:
        text = read_meta(connection, _meta_name(fingerprint))
    if text is None:
        return None
    values = json.loads(text)
    if not isinstance(values, dict) or not set(_CALIBRATED_FIELDS) <= set(values):
        return None
    return replace(DEFAULTS, **{name: values[name] for name in _CALIBRATED_FIELDS})


def _meta_name(fingerprint: str) -> str:
    return f"duplicates:{fingerprint}"


def _crop_randomly(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    side = np.sqrt(1 - _CROPPED_SHARE)
    height, width = (max(1, round(length * side)) for length in pixels.shape[:2])
    top = int(rng.integers(pixels.shape[0] - height + 1))
    left = int(rng.integers(pixels.shape[1] - width + 1))
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _clamp_cosine(cosine: float) -> float:
    return round(min(max(cosine, _BOUNDS[0]), _BOUNDS[1]), 3)

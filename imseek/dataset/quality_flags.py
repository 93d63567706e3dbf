"""Blurred, dark, overexposed or empty images, by their stored measures.

Thresholds were chosen on half A of photographs, drawings and pages, original and altered: bench/dataset.py,
docs/dataset.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from imseek.data.reader import Reader
from imseek.data.shards.shard_files import LUMA_COLUMNS
from imseek.data.vectors.base import Bools, Ids, IdSet
from imseek.dataset.results import QualityKind
from imseek.search.where.column_values import numbers

KINDS: Final[tuple[QualityKind, ...]] = get_args(QualityKind)
#: By kind: the filter condition (docs/where.md), and the measure and sign that order a list, worst first.
RULES: Final[Mapping[QualityKind, str]] = {
    "blurred": "luma_blur >= 0.7 AND (luma_edges > 0.002 OR luma_sd > 0.08)",
    "dark": "luma_mean <= 0.2",
    "bright": "luma_bright >= 0.15 AND luma_mean >= 0.6",
    "empty": "luma_edges <= 0.002 AND luma_sd <= 0.08",
}
ORDER: Final[Mapping[QualityKind, tuple[str, int]]] = {
    "blurred": ("blur", 1),
    "dark": ("mean", -1),
    "bright": ("bright", 1),
    "empty": ("sd", -1),
}
NAMES: Final = tuple(name.removeprefix("luma_") for name in LUMA_COLUMNS.names)

Measures: TypeAlias = Mapping[str, npt.NDArray[np.float64]]


def flag_images(measures: Measures) -> dict[QualityKind, Bools]:
    """Evaluate :data:`RULES` on arrays (n,), by kind. NaN meets no rule."""
    empty = (measures["edges"] <= 0.002) & (measures["sd"] <= 0.08)
    return {
        "blurred": (measures["blur"] >= 0.7) & ~empty,
        "dark": measures["mean"] <= 0.2,
        "bright": (measures["bright"] >= 0.15) & (measures["mean"] >= 0.6),
        "empty": empty,
    }


def read_measures(reader: Reader, allowed: IdSet | None = None) -> tuple[Ids, Measures]:
    """Return the ids (n,) of live images, ascending, and their measures, NaN where there are none."""
    ids, rows = numbers(reader, LUMA_COLUMNS.names)
    if allowed is not None:
        is_allowed = allowed.marks(ids)
        ids, rows = ids[is_allowed], rows[:, is_allowed]
    return ids, dict(zip(NAMES, rows, strict=True))

"""Estimates with confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from imseek.types.json_form import Json, Score


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its confidence interval, usually at 95 %.

    Each number may be NaN, where a resample has no image of a class that it needs.
    """

    value: Annotated[Score, Json(nan_null=True)]
    low: Annotated[Score, Json(nan_null=True)]
    high: Annotated[Score, Json(nan_null=True)]


Better: TypeAlias = Literal["a", "b"]


def better_side(difference: Estimate) -> Better | None:
    """Return the better side if the interval of b − a excludes 0, else None."""
    return "b" if difference.low > 0 else "a" if difference.high < 0 else None

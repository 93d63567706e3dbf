"""What an evaluation finds: figures with the intervals that say how sure they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure over a sample, and between which values it lies at the level that was asked for (95 %, usually)."""

    value: float
    low: float
    high: float

"""Answers of ``imseek captions`` and ``imseek aesthetic``.

Their types load much, so the commands import this when they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from imseek.aesthetic import AestheticScores
from imseek.captions import Agreement, CaptionScores, Kept
from imseek.clusters.results import Shown
from imseek.types.json_form import Json


@dataclass(frozen=True, slots=True)
class ScoredCaptions:
    """Scores of captions, and what was done with them."""

    scores: Annotated[CaptionScores, Json(inline=True)]
    worst: tuple[Agreement, ...]
    """Captions that agree least with their pictures, the worst first."""
    kept: Kept | None
    """The pairs that ``--keep`` keeps."""
    exported: Path | None
    """The file that they were written to."""
    saved: str | None
    """The column that the scores were stored as."""


@dataclass(frozen=True, slots=True)
class ScoredPictures:
    """Aesthetic scores, and what was done with them."""

    scores: Annotated[AestheticScores, Json(inline=True)]
    best: tuple[Shown, ...]
    """The images that score most, about 1 to 10, the best first."""
    saved: str | None
    """The column that the scores were stored as."""

"""The report of publishing to Milvus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.json_form import Count, Seconds

PublishOutcome: TypeAlias = Literal["published", "already", "interrupted"]


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The result of publishing a collection to Milvus."""

    address: str
    """Where it is published, as ``--server`` takes it."""
    outcome: PublishOutcome
    """``already``: this generation was there; ``interrupted``: the same call resumes."""
    uuid: str
    """UUID of the collection."""
    images: Count
    """Live images of the generation."""
    sent: Count
    """Rows that were written; the others were unchanged."""
    removed: Count
    """Rows of images no longer live."""
    generation: Count
    """The generation that was published."""
    before: Count | None
    """The generation that was published before; None: none."""
    anew: bool
    """True where all rows were rewritten because columns or encoders had changed."""
    shortened: Count
    """Images whose text or tags exceeded Milvus's limits."""
    left_out: tuple[str, ...]
    """Columns without a field in Milvus."""
    seconds: Seconds

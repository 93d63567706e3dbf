"""The report of publishing to Milvus."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The result of publishing a collection to Milvus.

    ``outcome`` is ``"published"``, ``"already"`` (this generation was there) or ``"interrupted"`` (the same call
    resumes). Of ``images`` live images, ``sent`` rows were written, the others were unchanged; ``removed`` rows
    belonged to images no longer live. ``anew`` is True where all rows were rewritten because columns or encoders had
    changed. Text or tags of ``shortened`` images exceeded Milvus's limits; ``left_out`` are columns without a field
    there. ``generation`` is the one published, ``before`` the previous one (None: none).
    """

    address: str
    outcome: str
    uuid: str
    images: int
    sent: int
    removed: int
    generation: int
    before: int | None
    anew: bool
    shortened: int
    left_out: tuple[str, ...]
    seconds: float

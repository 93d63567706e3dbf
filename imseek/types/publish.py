"""What publishing to Milvus came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PublishReport:
    """``outcome`` is ``"published"``, ``"already"`` (this generation was there) or ``"interrupted"`` (the same call
    goes on).

    Of ``images`` live ones ``sent`` rows were written, the others were there as they are; ``removed`` rows were of
    images that are not live any more. ``anew`` tells that all rows were written anew, since columns or encoders had
    changed. Texts or tags of ``shortened`` images were longer than Milvus takes; ``left_out`` are columns for which
    it has no field. ``generation`` is what was published, ``before`` what had been (None: nothing).
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

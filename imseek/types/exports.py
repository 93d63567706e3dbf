"""What has gone out of a collection, for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from imseek.types.runs import Failure

ExportFormat: TypeAlias = Literal["clip-retrieval", "csv", "faiss", "jsonl", "parquet"]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a single format can be told; what the format does not know has to stay at its default.

    - ``spreadsheet`` (csv): texts that a spreadsheet would run as a formula get an apostrophe before them.
    - ``copy`` (clip-retrieval): files of vectors are copied, and never the collection's own under a second name.
    - ``half`` (faiss): rows of float16, at half the size; scores are then off by up to 0.001.
    """

    spreadsheet: bool = False
    copy: bool = False
    half: bool = False


@dataclass(frozen=True, slots=True)
class ExportReport:
    """``images`` of ``generation`` went out to ``target`` (a path of bytes; ``-`` for a stream), in so many ``files``
    of so many ``bytes``, of which ``linked`` are the collection's own under a second name. ``encoder`` made the
    vectors, where the format has any. ``skipped`` are pictures that could not be read, for formats that hold
    pictures; they are not among ``images``."""

    collection: str
    generation: int
    format: ExportFormat
    target: bytes
    images: int
    files: int
    bytes: int
    linked: int = 0
    encoder: str | None = None
    skipped: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

"""Text for the terminal: tables, places, confidence intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imseek import Estimate
    from imseek.types.pictures import Place


def format_place(place: Place | None, image_id: int) -> str:
    """Format the place of an image."""
    return f"(image {image_id}: place unknown)" if place is None else place.display


def format_interval(estimate: Estimate, form: str = ".3f") -> str:
    """Format an estimate as ``0.474 [0.420, 0.529]``."""
    value, low, high = (format(number, form) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Format a text table, with the columns whose index is in ``right`` right-aligned.

    The last column is not padded: it is for file names, whose display width is unknown.
    """
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head) - 1)]
    out = []
    for line in lines:
        cells = [
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line[:-1], widths, strict=True))
        ]
        out.append("  ".join([*cells, line[-1]]).rstrip())
    return "\n".join(out)


def count_givers(by: Mapping[str, int]) -> list[tuple[str, int]]:
    """Count the images that a tag has from each provenance, the most first.

    Zero-shot tags include their probability in the provenance; it is stripped, so that they count as one.
    """
    counts: Counter[str] = Counter()
    for provenance, images in by.items():
        words = provenance.startswith(("zero-shot ", "moderation "))
        counts[provenance.rpartition(": ")[0] if words and ": " in provenance else provenance] += images
    return counts.most_common()

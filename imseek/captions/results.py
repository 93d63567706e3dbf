"""Results about captions."""

from __future__ import annotations

from dataclasses import dataclass

from imseek.types.json_form import Count, Printable


@dataclass(frozen=True, slots=True)
class UnusedCaptions:
    """Captions that could not be used."""

    unknown: Count = 0
    """Number of rows that matched no image in scope, or several."""
    empty: Count = 0
    """Number of rows without a caption."""
    unreferenced: Count = 0
    """Number of captions without a reference."""
    names: tuple[Printable, ...] = ()
    """What the first unknown rows name."""

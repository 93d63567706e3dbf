"""Rows of small pictures below headings: what a class looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from imseek.ui.web.components import component, nothing
from imseek.ui.web.components.grid import Card


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    title: str
    note: str
    rows: tuple[Row, ...]


def shelves(found: Sequence[Shelf], *, key: str, base: str, opens: bool) -> int | None:
    """Draw them; a click shows a picture large. ``base`` is the address of the collection's pictures; ``opens``
    says that viewers of this machine can be asked to show one.

    Returns the id of a picture where more like it is asked for in this run.
    """
    told = component("shelves", "common", "large")(
        key=key,
        data={"shelves": [asdict(shelf) for shelf in found], "base": base, "opens": opens},
        on_pressed_change=nothing,
    )
    pressed = getattr(told, "pressed", None)
    return int(pressed["id"]) if pressed else None

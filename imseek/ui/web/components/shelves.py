"""Rows of small pictures below headings, as examples of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from imseek.ui.web.components import LARGE_VIEW, component, ignore_change
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
    """Draw shelves, where a click shows a picture large; returns the id of an image if "more like this" is pressed in
    this run.

    ``base`` is the base URL of the collection's pictures; ``opens`` says whether the system's viewer can be started.
    """
    event = component("shelves", *LARGE_VIEW)(
        key=key,
        data={"shelves": [asdict(shelf) for shelf in found], "base": base, "opens": opens},
        on_pressed_change=ignore_change,
    )
    pressed = getattr(event, "pressed", None)
    return int(pressed["id"]) if pressed else None

"""Rows of small pictures below headings, as examples of a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from imseek.ui.web.components import LARGE_VIEW, component, ignore_change
from imseek.ui.web.components.grid import Card, ImageTerm, image_term


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    title: str
    note: str
    rows: tuple[Row, ...]


def shelves(rows: Sequence[Shelf], *, key: str, base: str, opens: bool) -> ImageTerm | None:
    """Draw shelves, where a click shows a picture large; returns an image, or a region of it, if the user searches by
    it in this run.

    ``base`` is the base URL of the collection's pictures; ``opens`` says whether the system's viewer can be started.
    """
    event = component("shelves", *LARGE_VIEW)(
        key=key,
        data={"shelves": [asdict(shelf) for shelf in rows], "base": base, "opens": opens},
        on_pressed_change=ignore_change,
        on_searched_change=ignore_change,
    )
    return image_term(event)

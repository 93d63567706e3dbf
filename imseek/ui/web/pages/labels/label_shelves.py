"""Examples of labels as rows of pictures, without Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from imseek import overview
from imseek.labels.results import LabelExamples
from imseek.types.pictures import Place
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state
from imseek.ui.web.components.grid import Card
from imseek.ui.web.components.shelves import Row, Shelf
from imseek.ui.web.plain_text import file_name, one_line

#: Maximum number of classes shown with pictures.
SHELVES: Final = 24
NONE: Final = "none of these"


def card(name: str, image_id: int, place: Place | None, note: str = "", mark: str = "") -> Card:
    """Return the card of an image of the collection ``name``."""
    title = file_name(place)
    return Card(image_id, app_state.thumbnail_url(name, image_id), title, title, note, mark)


def shelves(
    name: str, root: Path, examples: Sequence[LabelExamples], *, of: int, none: str = NONE
) -> tuple[Shelf, ...]:
    """Return a shelf for each label that images have, in their order; ``of`` is the number of images labelled."""
    labels = [one for one in examples if one.images][:SHELVES]
    places = overview.find_places(root, (i for one in labels for pairs in (one.surest, one.unsurest) for i, _ in pairs))

    def row(title: str, pairs: Sequence[tuple[int, float]]) -> Row:
        return Row(title, tuple(card(name, i, places.get(i), f"{share:.2f}") for i, share in pairs))

    return tuple(
        Shelf(
            none if one.label is None else one_line(one.label),
            f"{format_count(one.images, 'picture')}, {one.images / max(1, of):.0%}; mean probability "
            f"{one.probability:.2f}",
            tuple(
                row(title, pairs)
                for title, pairs in (("most certain", one.surest), ("least certain", one.unsurest))
                if pairs
            ),
        )
        for one in labels
    )


def unused_labels(examples: Sequence[LabelExamples]) -> tuple[str, ...]:
    """Return the labels that no image has."""
    return tuple(one.label for one in examples if one.label is not None and not one.images)


def column_name(text: str) -> str:
    """Turn ``text`` into a name for columns or a probe: lower-case letters, digits and _, beginning with a letter."""
    ascii_ = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.strip().lower())
    name = "_".join(part for part in ascii_.split("_") if part)[:40].lstrip("0123456789_")
    return name or "labels"

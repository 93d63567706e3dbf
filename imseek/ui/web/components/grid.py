"""A grid of pictures: any number chosen, one opened, all of it by keyboard too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from imseek.ui.web.components import component, nothing


@dataclass(frozen=True, slots=True)
class Card:
    """``src`` is the address of a thumbnail, ``alt`` what it shows, for who cannot see it; ``title`` and ``note`` are
    lines below it, ``mark`` a word over its corner, ``faint`` a picture that does not quite belong. ``path`` is what is
    copied, ``duplicates`` are pictures that this one stands for."""

    id: int
    src: str
    alt: str
    title: str
    note: str = ""
    mark: str = ""
    faint: bool = False
    path: str = ""
    duplicates: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """Over ``size`` cards."""

    text: str
    note: str
    size: int


@dataclass(frozen=True, slots=True)
class Picked:
    """``selected`` stays from run to run, in the order of the cards; ``opened`` (a click, Enter) and ``pressed`` (an
    id, and one of the letters asked for) are of this run only."""

    selected: tuple[int, ...] = ()
    opened: int | None = None
    pressed: tuple[int, str] | None = None


def grid(
    cards: Sequence[Card],
    *,
    key: str,
    side: int = 160,
    letters: Sequence[str] = (),
    rule_after: int | None = None,
    rule: str = "",
    headings: Mapping[int, Heading] | None = None,
    selected: Sequence[int] = (),
    epoch: int | str = 0,
    base: str | None = None,
    opens: bool = False,
    less: bool = True,
    help_: Sequence[tuple[str, str]] = (),
) -> Picked:
    """Draw ``cards``, ``side`` pixels wide at least.

    ``letters`` are keys that mean something to the page on the card that has the focus. After ``rule_after`` cards
    comes a line across with the text ``rule``; ``headings`` come before the cards of these numbers. ``selected`` is
    what is selected at first, and again whenever ``epoch`` is another. With ``base``, the address of the collection's
    pictures, a picture that is opened is shown large at once, and not told; ``opens`` says whether the system's viewer
    can be started, ``less`` whether less like a picture can be asked for. ``help_`` is shown for the key ``?``: keys
    and what they do. Selected ids that are not among the cards, such as those of another page, are not told.
    """
    ids = {card.id for card in cards}
    found = component("grid", "common", "large")(
        key=key,
        data={
            "cards": [asdict(card) for card in cards],
            "side": side,
            "letters": list(letters),
            "rule_after": rule_after,
            "rule": rule,
            "headings": {str(n): asdict(heading) for n, heading in (headings or {}).items()},
            "selected": list(selected),
            "epoch": epoch,
            "base": base,
            "opens": opens,
            "less": less,
            "help": [list(one) for one in help_],
        },
        default={"selected": list(selected)},
        on_selected_change=nothing,
        on_opened_change=nothing,
        on_pressed_change=nothing,
    )
    chosen = set(getattr(found, "selected", None) or ())
    opened = getattr(found, "opened", None)
    pressed = getattr(found, "pressed", None)
    return Picked(
        tuple(card.id for card in cards if card.id in chosen),
        opened if opened in ids else None,
        _pressed(pressed, ids, cards),
    )


def _pressed(
    found: Mapping[str, object] | None, ids: set[int], cards: Sequence[Card]
) -> tuple[int, str] | None:
    """Of a card, or in the large view of one of its duplicates."""
    if not found:
        return None
    image_id, letter = found["id"], found["key"]
    if not isinstance(image_id, int) or not isinstance(letter, str):
        return None
    there = image_id in ids or any(image_id in card.duplicates for card in cards)
    return (image_id, letter) if there else None

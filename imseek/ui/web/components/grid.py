"""A grid of pictures with multiple selection, fully usable by keyboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from imseek.ui.web.components import component, ignore_change


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a picture is a hit: ``place`` is a word for where ``text`` stands, in which ``words`` are to be marked."""

    place: str
    text: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A card of the grid.

    ``src`` is the URL of a thumbnail, ``alt`` its description for those who cannot see it. ``title`` and ``note`` are
    lines below it, ``mark`` a word over its corner. ``faint`` dims a picture that does not quite belong. ``path`` is
    what is copied, ``duplicates`` are ids of images that this one stands for, ``reasons`` say why words found it.
    """

    id: int
    src: str
    alt: str
    title: str
    note: str = ""
    mark: str = ""
    faint: bool = False
    path: str = ""
    duplicates: tuple[int, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading over ``size`` cards."""

    text: str
    note: str
    size: int


@dataclass(frozen=True, slots=True)
class GridEvents:
    """The user's actions.

    ``selected`` persists from run to run, in the order of the cards. ``opened`` (by click or Enter) and ``pressed`` (an
    id and one of the requested letters) belong to this run only.
    """

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
) -> GridEvents:
    """Draw ``cards``, each at least ``side`` pixels wide.

    ``letters`` are keys whose presses on the focused card are reported. A line with the text ``rule`` follows the first
    ``rule_after`` cards; ``headings`` precede the cards of these numbers. ``selected`` is the initial selection,
    applied again whenever ``epoch`` changes. With ``base``, the URL of the collection's pictures, an opened picture is
    shown large at once and not reported; ``opens`` says whether the system's viewer can be started, ``less`` whether
    "less like this" is offered. ``help_`` lists keys and their meanings, shown on ``?``. Selected ids that are not
    among the cards, such as those of another page, are not reported.
    """
    ids = {card.id for card in cards}
    found = component("grid", "common", "picture_address", "large")(
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
        on_selected_change=ignore_change,
        on_opened_change=ignore_change,
        on_pressed_change=ignore_change,
    )
    chosen = set(getattr(found, "selected", None) or ())
    opened = getattr(found, "opened", None)
    pressed = getattr(found, "pressed", None)
    return GridEvents(
        tuple(card.id for card in cards if card.id in chosen),
        opened if opened in ids else None,
        _pressed(pressed, ids, cards),
    )


def _pressed(found: Mapping[str, object] | None, ids: set[int], cards: Sequence[Card]) -> tuple[int, str] | None:
    """Return the key press if it was on a card, or on one of its duplicates in the large view."""
    if not found:
        return None
    image_id, letter = found["id"], found["key"]
    if not isinstance(image_id, int) or not isinstance(letter, str):
        return None
    there = image_id in ids or any(image_id in card.duplicates for card in cards)
    return (image_id, letter) if there else None

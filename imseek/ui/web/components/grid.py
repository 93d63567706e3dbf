"""A grid of pictures with multiple selection, fully usable by keyboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, TypeAlias

from imseek.errors import QueryError
from imseek.search import Region, check_region
from imseek.ui.web.components import LARGE_VIEW, component, ignore_change


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a picture is a hit: ``words`` to mark in ``text``, and ``place``, a word for where the text comes from."""

    place: str
    text: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A card of the grid.

    ``src`` is the URL of a thumbnail, whose parameter ``side`` the grid chooses, ``alt`` its description for those who
    cannot see it, and the text in place of a thumbnail where ``src`` is empty. ``ratio`` is the picture's width divided
    by its height, ``side`` its longer side in pixels (0: unknown, or as large as one likes). ``title`` and ``note`` are
    lines below it, ``mark`` a word over its corner. ``faint`` dims a picture that does not quite belong. ``path`` is
    the text to copy, ``duplicates`` are ids of images that this one stands for, ``reasons`` say why words found it.
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
    ratio: float = 1.0
    side: int = 0


@dataclass(frozen=True, slots=True)
class Following:
    """The cards after the first ones, which the browser requests when they are needed.

    ``url`` answers with the next of them as JSON: ``cards``, ``headings`` by number, and ``more``, the URL of those
    that follow, or null. ``total`` is the number of all cards, None if unknown.

    With ``days``, cards are in the order of dates, and ``url`` answers with all of them: see
    :func:`imseek.ui.web.hit_pages.timeline`. ``days`` are those of the first cards, as there.
    """

    url: str
    total: int | None = None
    days: tuple[tuple[str | None, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading over ``size`` cards."""

    text: str
    note: str
    size: int


#: An image to search by, and the region of it that is meant, None for all of it.
ImageTerm: TypeAlias = tuple[int, Region | None]


@dataclass(frozen=True, slots=True)
class GridEvents:
    """The user's actions.

    ``selected`` persists from run to run, in the order of the cards. ``opened`` (by click or Enter) and ``pressed`` (an
    id and one of the requested letters) belong to this run only, as does ``searched``, an id and a region of that
    picture, drawn to search by it.
    """

    selected: tuple[int, ...] = ()
    opened: int | None = None
    pressed: tuple[int, str] | None = None
    searched: ImageTerm | None = None


def grid(
    cards: Sequence[Card],
    *,
    key: str,
    row: int = 180,
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
    following: Following | None = None,
    remembers: bool = False,
    label: str = "Pictures",
    selects: bool = True,
) -> GridEvents:
    """Draw ``cards`` in rows of about ``row`` pixels, as wide as the page; only those near the window are drawn.

    ``following`` are more of them. With ``remembers``, the address contains how far one has scrolled. ``letters`` are
    keys whose presses on the focused card are reported. A line with the text ``rule`` follows the first ``rule_after``
    cards; ``headings`` precede the cards of these numbers. ``selected`` is the initial selection, applied again
    whenever ``epoch`` changes. With ``base``, the URL of the collection's pictures, an opened picture is shown large at
    once and not reported; ``opens`` says whether the system's viewer can be started, ``less`` whether "less like this"
    is offered. ``help_`` lists keys and their meanings, shown on ``?``. ``label`` says what the cards are. Without
    ``selects``, cards can only be opened. Selected ids that are neither among the cards nor among the following ones
    are not reported.
    """
    ids = {card.id for card in cards}
    list_ = _list_id(cards, following)
    followed = None if following is None else list_
    events = component("grid", *LARGE_VIEW, "albums", "scrubber")(
        key=key,
        data={
            "cards": [asdict(card) for card in cards],
            "row": row,
            "list": list_,
            "more": following.url if following is not None and following.days is None else None,
            "timeline": following.url if following is not None and following.days is not None else None,
            "days": following and following.days,
            "total": len(cards) if following is None else following.total,
            "remembers": remembers,
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
            "label": label,
            "selects": selects,
        },
        default={"selected": {"ids": list(selected), "list": list_}},
        on_selected_change=ignore_change,
        on_opened_change=ignore_change,
        on_pressed_change=ignore_change,
        on_searched_change=ignore_change,
    )
    opened_id = getattr(events, "opened", None)
    return GridEvents(
        _selected(getattr(events, "selected", None), cards, followed),
        opened_id if opened_id in ids else None,
        _pressed(getattr(events, "pressed", None), ids, cards, followed),
        _region_term(getattr(events, "searched", None)),
    )


def _list_id(cards: Sequence[Card], following: Following | None) -> str:
    """Return an id of the list of these cards and those that follow, to recognise its selection."""
    identity = repr(([card.id for card in cards], following and following.url))
    return blake2b(identity.encode(), digest_size=8).hexdigest()


def _selected(event: Mapping[str, Any] | None, cards: Sequence[Card], list_: str | None) -> tuple[int, ...]:
    """Return the selected ids; with ``list_``, also those of cards that followed in this list."""
    ids = [one for one in (event or {}).get("ids", ()) if type(one) is int and one >= 0]
    if list_ is not None and event is not None and event.get("list") == list_:
        return tuple(ids)
    id_set = set(ids)
    return tuple(card.id for card in cards if card.id in id_set)


def image_term(events: Any) -> ImageTerm | None:
    """Return what the user searches by, of a component that shows pictures large: "more like this", or a region."""
    pressed = getattr(events, "pressed", None)
    return (int(pressed["id"]), None) if pressed else _region_term(getattr(events, "searched", None))


def _region_term(event: Mapping[str, Any] | None) -> ImageTerm | None:
    """Return the picture and the region to search by; None for what no picture has."""
    if not event or type(event.get("id")) is not int or event["id"] < 0:
        return None
    try:
        return event["id"], check_region(event["region"])
    except (KeyError, QueryError):
        return None


def _pressed(
    event: Mapping[str, object] | None, ids: set[int], cards: Sequence[Card], list_: str | None
) -> tuple[int, str] | None:
    """Return the key press if it was on a card, or on one of its duplicates in the large view."""
    if not event:
        return None
    image_id, letter = event["id"], event["key"]
    if not isinstance(image_id, int) or not isinstance(letter, str):
        return None
    is_listed = image_id in ids or any(image_id in card.duplicates for card in cards)
    is_listed = is_listed or (list_ is not None and event.get("list") == list_)
    return (image_id, letter) if is_listed else None

"""A grid of pictures that are labelled by keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import streamlit as st

from imseek.ui.web.components import LARGE_VIEW, component, ignore_change
from imseek.ui.web.components.grid import Card, ImageTerm, image_term

#: The key that skips a picture, and the one for none of the classes.
SKIP: Final = "s"
NONE: Final = "0"


@dataclass(frozen=True, slots=True)
class ClassChoice:
    """A class, given by ``key`` (1 to 9, or :data:`NONE`); ``count`` images have it."""

    key: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class LabellerEvents:
    """Requests of this run: ``more`` images to label, or images ``like`` this one or a region of it."""

    more: bool
    like: ImageTerm | None


def labeller(
    cards: Sequence[Card],
    choices: Sequence[ClassChoice],
    *,
    key: str,
    epoch: int,
    given: Mapping[int, str],
    base: str,
    opens: bool,
    changed: Callable[[], None],
) -> LabellerEvents:
    """Draw ``cards`` to be labelled.

    ``given`` are the initial keys by id, applied again whenever ``epoch`` changes, as it must for other cards.
    ``changed`` is called before a run in which keys have changed (:func:`given_keys`).
    """
    events = component("labeller", *LARGE_VIEW)(
        key=key,
        data={
            "cards": [asdict(card) for card in cards],
            "classes": [asdict(choice) for choice in choices],
            "epoch": epoch,
            "given": {str(image_id): one for image_id, one in given.items()},
            "base": base,
            "opens": opens,
        },
        on_given_change=changed,
        on_more_change=ignore_change,
        on_pressed_change=ignore_change,
        on_searched_change=ignore_change,
    )
    return LabellerEvents(getattr(events, "more", None) == epoch, image_term(events))


def given_keys(key: str, epoch: int) -> dict[int, str] | None:
    """Return the keys given to the cards of ``epoch``, by id; None if there are none so far."""
    value: Any = getattr(st.session_state.get(key), "given", None)
    if not isinstance(value, Mapping) or value.get("epoch") != epoch:
        return None
    return {int(image_id): str(one) for image_id, one in value["given"].items()}

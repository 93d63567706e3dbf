"""Pictures that were found, as a part of any page: a grid, each of them large, and what can be done with some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from imseek.collection import Collection
from imseek.types import Hit, Image
from imseek.ui.web import hub, shell
from imseek.ui.web.components.grid import Card, Picked, grid
from imseek.ui.web.parts import download
from imseek.ui.web.plain import one_line

#: What is done with a picture that more (True) or less (False) like it is asked for.
Like = Callable[[int, bool], None]
_LIKE: Final = ("m", "l")


def results(
    name: str,
    collection: Collection,
    hits: Sequence[Hit],
    *,
    key: str,
    rule_after: int | None = None,
    rule: str = "less relevant from here",
    letters: Sequence[str] = (),
    like: Like | None = None,
    selected: Sequence[int] = (),
    epoch: int = 0,
    side: int = 160,
    scores: bool = True,
) -> Picked:
    """Draw ``hits`` of the collection ``name``. A click or Enter shows one large; that is not told.

    What lies beyond the first ``rule_after`` is faint, below a line with the text ``rule``. ``letters`` are keys of the
    page's own, told as ``pressed``. ``like`` is called where more or less like a picture is asked for (by the keys m
    and l, or in the large view); None leads to a search. ``selected`` is what is selected at first, and again whenever
    ``epoch`` is another number. Draw it in a fragment (``st.fragment``) where a page is slow: each choice runs again
    what it is in.
    """
    cards = [
        card(name, hit, scores=scores, faint=rule_after is not None and n >= rule_after)
        for n, hit in enumerate(hits)
    ]
    picked = grid(
        cards,
        key=key,
        side=side,
        letters=(*letters, *(letter for letter in _LIKE if letter not in letters)),
        rule_after=rule_after,
        rule=rule,
        selected=selected,
        epoch=epoch,
        base=hub.images(name),
    )
    if picked.selected:
        download.offer(name, collection, picked.selected, key=f"{key}-download")
    if picked.pressed is not None and picked.pressed[1] in _LIKE and picked.pressed[1] not in letters:
        (like or search_like)(picked.pressed[0], picked.pressed[1] == "m")
        return Picked(picked.selected, picked.opened)
    return picked


def found(
    collection: Collection, ids: Sequence[int], scores: Sequence[float] | None = None
) -> tuple[Hit, ...]:
    """Images by their ids, as hits: for pages that have them from elsewhere than a search. Raises
    ImageNotFoundError."""
    images = [collection.get(image_id) for image_id in ids]
    return tuple(
        _hit(collection, image, 0.0 if scores is None else scores[n]) for n, image in enumerate(images)
    )


def _hit(collection: Collection, image: Image, score: float) -> Hit:
    metadata = {"content_hash": image.content_hash, **image.metadata}
    return Hit(collection.uuid, image.image_id, score, image.place, metadata)


def card(name: str, hit: Hit, *, scores: bool = True, faint: bool = False) -> Card:
    title = "place unknown" if hit.place is None else hit.place.display.rsplit("/", 1)[-1]
    return Card(
        hit.image_id,
        hub.thumbnail(name, hit.image_id),
        alt=one_line(str(hit.metadata.get("caption") or title)),
        title=one_line(title),
        note=f"{hit.score:.3f}" if scores else "",
        mark=f"+{len(hit.duplicates)}" if hit.duplicates else "",
        faint=faint,
    )


def search_like(image_id: int, more: bool) -> None:
    query = {shell.CHOSEN: st.session_state[shell.CHOSEN], "like" if more else "unlike": f"id:{image_id}"}
    st.switch_page(shell.page("search"), query_params=query)

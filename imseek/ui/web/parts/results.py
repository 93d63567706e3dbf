"""Pictures that were found, as a part of any page: a grid, each of them large, and what can be done with some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import streamlit as st
from streamlit.errors import StreamlitDuplicateElementKey

from imseek.collection import Collection
from imseek.showing.words import count
from imseek.types import Hit, HitGroup, Image
from imseek.ui.web import asked, hub, shell
from imseek.ui.web.components.grid import Card, Heading, Picked, grid
from imseek.ui.web.parts import download
from imseek.ui.web.plain import file_name, one_line

#: What is done with a picture that more (True) or less (False) like it is asked for.
Like: TypeAlias = Callable[[int, bool], None]
_LIKE: Final = ("m", "l")
#: Pixels of a picture: from many at a time to a few.
SMALLEST: Final = 80
LARGEST: Final = 400
STEP: Final = 20
SIDE: Final = 160
#: Up to here the thumbnails of most pages do: cards are somewhat larger than what is asked for.
ENOUGH: Final = 220
#: The size of pictures in the address.
SIZE: Final = "size"
_KEYS: Final[tuple[tuple[str, str], ...]] = (
    ("Arrows, Home, End", "go from picture to picture"),
    ("Enter", "show it large; there the arrows go on, Esc closes"),
    ("Space", "select it, or not"),
    ("Shift + arrows", "select on the way"),
    ("Ctrl + A", "select all on this page"),
    ("Esc", "select none"),
    ("m", "more like this one"),
    ("l", "less like this one"),
    ("z", "where it is large: as it is stored, then pixel by pixel"),
    ("o", "open it"),
    ("y", "copy its path"),
    ("?", "these keys"),
)


def results(
    name: str,
    collection: Collection,
    hits: Sequence[Hit],
    *,
    key: str,
    rule_after: int | None = None,
    rule: str = "less relevant from here",
    like: Like | None = None,
    groups: Sequence[HitGroup] = (),
    scores: bool = True,
) -> Picked:
    """Draw ``hits`` of the collection ``name``. A click or Enter shows one large; that is not told.

    What lies beyond the first ``rule_after`` is faint, below a line with the text ``rule``; ``groups`` (those of the
    same hits) become headings. ``like`` is called where more or less like a picture is asked for (by the keys m and l,
    or in the large view); None leads to a search for more, and there is no less. How large pictures are is the user's
    choice, which stays in the address.

    Draw it in a fragment (``st.fragment``) where a page is slow: each choice runs again what it is in.
    """
    letters = _LIKE if like else _LIKE[:1]
    keys = [one for one in _KEYS if one[0] not in _LIKE or one[0] in letters]
    side = _toolbar(key, keys)
    chosen = _Chosen(key)
    cards = [
        card(
            name,
            hit,
            scores=scores,
            faint=rule_after is not None and n >= rule_after,
            pixels=hub.SMALL if side <= ENOUGH else 2 * hub.SMALL,
        )
        for n, hit in enumerate(hits)
    ]
    picked = grid(
        cards,
        key=key,
        side=side,
        letters=letters,
        rule_after=rule_after,
        rule=rule,
        headings=headings(groups),
        selected=chosen.selected,
        epoch=chosen.epoch,
        base=hub.images(name),
        opens=hub.hub().opens,
        less=like is not None,
        help_=keys,
    )
    if picked.selected:
        download.bar(
            name,
            collection,
            picked.selected,
            hits,
            key=f"{key}-selection",
            all_=chosen.choose if len(picked.selected) < len(cards) else None,
            shown=[hit.image_id for hit in hits],
            clear=lambda: chosen.choose([]),
        )
    if picked.pressed is not None and picked.pressed[1] in letters:
        (like or search_like)(picked.pressed[0], picked.pressed[1] == "m")
        return Picked(picked.selected, picked.opened)
    return picked


def found(
    collection: Collection, ids: Sequence[int], scores: Sequence[float] | None = None
) -> tuple[Hit, ...]:
    """Images by their ids, as hits: for pages that have them from elsewhere than a search. What is not in the
    collection any more is left out."""
    by_id = dict(zip(ids, scores, strict=True)) if scores is not None else {}
    images = collection.get_many(ids)
    return tuple(_hit(collection, image, by_id.get(image.image_id, 0.0)) for image in images.values())


def card(
    name: str,
    hit: Hit,
    *,
    scores: bool = True,
    faint: bool = False,
    pixels: int = hub.SMALL,
) -> Card:
    """A hit as it is drawn."""
    title = title_of(hit)
    duplicates = f"+{len(hit.duplicates)}" if hit.duplicates else ""
    return Card(
        hit.image_id,
        hub.thumbnail(name, hit.image_id, pixels),
        alt=one_line(str(hit.metadata.get("caption") or title)),
        title=title,
        note=f"{hit.score:.3f}" if scores else "",
        mark=duplicates,
        faint=faint,
        path="" if hit.place is None else hit.place.display,
        duplicates=hit.duplicates,
    )


def title_of(hit: Hit) -> str:
    """The name of its file; its id where that is not known."""
    return f"image {hit.image_id}" if hit.place is None else file_name(hit.place)


def headings(groups: Sequence[HitGroup]) -> dict[int, Heading]:
    """By the number of the card that each comes before."""
    made: dict[int, Heading] = {}
    at = 0
    for group in groups:
        shown = len(group.hits)
        note = (
            count(group.size, "picture")
            if shown == group.size
            else f"{shown:,} of {count(group.size, 'picture')}"
        )
        if shown:
            made[at] = Heading("Unknown" if group.name is None else one_line(group.name), note, shown)
        at += shown
    return made


def search_like(image_id: int, more: bool = True) -> None:
    """Go to a search for more like a picture. Less of what is not known before something is asked: that is said."""
    if not more:
        st.toast("Search for something first; then there can be less like a picture of it.")
        return
    # The collection stays in the address by itself.
    st.switch_page(shell.page("search"), query_params=asked.more_like(image_id).parameters())


class _Chosen:
    """What is selected by the page: nothing at first, then what the buttons of the bar say."""

    def __init__(self, key: str) -> None:
        self._at = f"{key}-chosen"
        self.epoch, self.selected = st.session_state.setdefault(self._at, (0, ()))

    def choose(self, ids: Sequence[int]) -> None:
        """From the next run on."""
        st.session_state[self._at] = (st.session_state[self._at][0] + 1, tuple(ids))


def _toolbar(key: str, keys: Sequence[tuple[str, str]]) -> int:
    with st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", key=f"{key}-tools"
    ):
        side = _size()
        with st.popover("?", help="Keys"):
            for names, what in keys:
                st.text(f"{names}: {what}")
    return side


def _size() -> int:
    """One for all pages: who wants large pictures wants them everywhere. Of several on a page the first has it."""
    try:
        return int(
            st.slider(
                "Size of pictures",
                min_value=SMALLEST,
                max_value=LARGEST,
                value=SIDE,
                step=STEP,
                key=SIZE,
                bind="query-params",
                format=" ",  # Pixels say nothing: one sees what it does.
                label_visibility="collapsed",
                width=160,
            )
        )
    except StreamlitDuplicateElementKey:
        return int(st.session_state[SIZE])


def _hit(collection: Collection, image: Image, score: float) -> Hit:
    metadata = {"content_hash": image.content_hash, **image.metadata}
    return Hit(collection.uuid, image.image_id, score, image.place, metadata)

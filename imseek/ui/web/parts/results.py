"""Hits as part of any page: a grid, a large view of each, and actions on a selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import streamlit as st
from streamlit.errors import StreamlitDuplicateElementKey

from imseek.collection import Collection
from imseek.search import Region
from imseek.types.pictures import Image
from imseek.types.search_results import Hit, HitGroup, Match
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state, search_state
from imseek.ui.web.components.grid import Card, Following, GridEvents, Heading, Reason, grid
from imseek.ui.web.parts import navigation, selection_bar
from imseek.ui.web.plain_text import file_name, one_line

#: Callback for a request for more (True) or less (False) like an image.
Like: TypeAlias = Callable[[int, bool], None]
#: The same for several images.
LikeAll: TypeAlias = Callable[[Sequence[int], bool], None]
_LIKE: Final = ("m", "l")
#: Heights of rows of pictures in pixels, by size.
ROWS: Final = {"Small": 110, "Medium": 180, "Large": 340}
DEFAULT_SIZE: Final = "Medium"
#: URL parameter of the size of pictures.
SIZE: Final = "size"
_KEYS: Final[tuple[tuple[str, str], ...]] = (
    ("Arrows, Home, End", "go from picture to picture"),
    ("Enter", "show it large; ? there shows more keys"),
    ("Space", "select it, or not"),
    ("Shift + arrows", "select on the way"),
    ("Ctrl + A", "select all that are loaded"),
    ("Esc", "select none"),
    ("f", "a favourite, or not"),
    ("c", "compare two to four selected pictures"),
    ("m", "more like this one"),
    ("l", "less like this one"),
    ("o", "open it"),
    ("y", "copy its path"),
    ("Ctrl + Z", "undo the last change"),
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
    like_all: LikeAll | None = None,
    groups: Sequence[HitGroup] = (),
    scores: bool = True,
    following: Following | None = None,
    known: Callable[[], Mapping[int, tuple[float, tuple[int, ...]]]] | None = None,
    everything: Callable[[], Sequence[int]] | None = None,
    remembers: bool = False,
    album: str | None = None,
) -> GridEvents:
    """Draw ``hits`` of the collection ``name`` as a grid. A click or Enter shows one large, which is not reported.

    Hits beyond the first ``rule_after`` are dimmed, below a line with the text ``rule``. ``groups`` (of the same hits)
    become headings. ``like`` is called for more or less like an image (keys m and l, or in the large view); if None,
    more leads to a search, and less is not offered; ``like_all`` likewise for what is selected. The user chooses the
    size of pictures, which is kept in the URL.

    ``following`` says where the hits after these are, which are shown on the way down; then ``known`` returns score and
    duplicates of those that the browser has loaded, and ``everything`` the ids of all. With ``remembers``, the URL
    contains how far one has scrolled. ``album`` is the album whose images these are, which the user can then rearrange.

    On slow pages, call it in a fragment (``st.fragment``): each selection reruns what contains it.
    """
    letters = _LIKE if like else _LIKE[:1]
    keys = [one for one in _KEYS if one[0] not in _LIKE or one[0] in letters]
    row = _toolbar(key, keys)
    selection = _PageSelection(key)
    cards = [
        card(name, hit, scores=scores, faint=rule_after is not None and n >= rule_after) for n, hit in enumerate(hits)
    ]
    events = grid(
        cards,
        key=key,
        row=row,
        letters=letters,
        rule_after=rule_after,
        rule=rule,
        headings=headings(groups),
        selected=selection.selected,
        epoch=selection.epoch,
        base=app_state.images_url(name),
        opens=app_state.current_app().opens,
        less=like is not None,
        help_=keys,
        following=following,
        remembers=remembers,
    )
    if events.selected:
        total = len(cards) if following is None else following.total
        liked = selection_bar.show_selection_bar(
            name,
            collection,
            events.selected,
            hits if scores else (),  # Without scores, `hits` have none to pass on.
            key=f"{key}-selection",
            known={} if known is None else known(),
            whole="" if len(events.selected) == total else "All" if total is None else f"All {total:,}",
            everything=lambda: selection.choose([hit.image_id for hit in hits] if everything is None else everything()),
            clear=lambda: selection.choose([]),
            album=album,
            less=like_all is not None,
        )
        if liked is not None and like_all is not None:
            like_all(events.selected, liked)
        elif liked:
            search_like_all(events.selected)
    if events.searched is not None:
        search_like(*events.searched)
    if events.pressed is not None and events.pressed[1] in letters:
        if like is not None:
            like(events.pressed[0], events.pressed[1] == "m")
        else:
            search_like(events.pressed[0])
        return GridEvents(events.selected, events.opened)
    return events


def hits_by_id(collection: Collection, ids: Sequence[int], scores: Sequence[float] | None = None) -> tuple[Hit, ...]:
    """Return images as hits, by their ids and ``scores``, for pages that do not get them from a search.

    Images that are no longer in the collection are left out.
    """
    by_id = dict(zip(ids, scores, strict=True)) if scores is not None else {}
    images = collection.get_many(ids)
    return tuple(_hit(collection, image, by_id.get(image.image_id, 0.0)) for image in images.values())


def card(
    name: str,
    hit: Hit,
    *,
    scores: bool = True,
    faint: bool = False,
) -> Card:
    """Return the grid card of a hit."""
    title = title_of(hit)
    ratio, side = size_of(hit.metadata)
    duplicates = f"+{len(hit.duplicates)}" if hit.duplicates else ""
    return Card(
        hit.image_id,
        app_state.thumbnail_url(name, hit.image_id),
        alt=one_line(str(hit.metadata.get("caption") or title)),
        title=title,
        note=f"{hit.score:.3f}" if scores else "",
        mark=duplicates,
        faint=faint,
        path="" if hit.place is None else hit.place.display,
        duplicates=hit.duplicates,
        reasons=reasons(hit.matches),
        ratio=ratio,
        side=side,
    )


def size_of(metadata: Mapping[str, object]) -> tuple[float, int]:
    """Return width divided by height, and the longer side in pixels: 1 and 0 if they are unknown.

    A drawing has no number of pixels, so its side is 0 too.
    """
    width, height = pixels_of(metadata)
    if not width:
        return 1.0, 0
    return round(width / height, 3), 0 if metadata.get("format") == "SVG" else max(width, height)


def pixels_of(metadata: Mapping[str, object]) -> tuple[int, int]:
    """Return width and height, 0 and 0 if they are unknown."""
    width, height = metadata.get("width"), metadata.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or width < 1 or height < 1:
        return 0, 0
    return width, height


def reasons(matches: Sequence[Match]) -> tuple[Reason, ...]:
    """Return why a picture is a hit; nothing if only what it shows is like the query.

    Names come after other words, since the card has one already, and what the picture shows comes last.
    """
    if all(match.field == "picture" for match in matches):
        return ()
    in_order = sorted(matches, key=lambda match: {"name": 1, "picture": 2}.get(match.field, 0))
    return tuple(
        Reason(
            match.field,
            one_line(", ".join(match.words) if match.excerpt is None else match.excerpt),
            tuple(map(one_line, match.words)),
        )
        for match in in_order
    )


def title_of(hit: Hit) -> str:
    """Return the file name of a hit, or its id if its place is unknown."""
    return f"image {hit.image_id}" if hit.place is None else file_name(hit.place)


def headings(groups: Sequence[HitGroup]) -> dict[int, Heading]:
    """Return headings by the number of the card that each precedes."""
    by_card: dict[int, Heading] = {}
    number = 0
    for group in groups:
        count = len(group.hits)
        note = (
            format_count(group.size, "picture")
            if count == group.size
            else f"{count:,} of {format_count(group.size, 'picture')}"
        )
        if count:
            by_card[number] = Heading("Unknown" if group.name is None else one_line(group.name), note, count)
        number += count
    return by_card


def search_like(image_id: int, region: Region | None = None) -> None:
    """Go to a search for more like an image, or like a region of it."""
    # The address component keeps the collection in the URL.
    st.switch_page(navigation.page("search"), query_params=search_state.more_like(image_id, region).parameters())


def search_like_all(image_ids: Sequence[int]) -> None:
    """Go to a search for more like several images."""
    state = search_state.SearchState().mark_all(image_ids, right=True)
    st.switch_page(navigation.page("search"), query_params=state.parameters())


class _PageSelection:
    """The selection set by the page: empty at first, then by the buttons of the bar."""

    def __init__(self, key: str) -> None:
        self._key = f"{key}-chosen"
        self.epoch, self.selected = st.session_state.setdefault(self._key, (0, ()))

    def choose(self, ids: Sequence[int]) -> None:
        """Set the selection from the next run on."""
        st.session_state[self._key] = (st.session_state[self._key][0] + 1, tuple(ids))


def _toolbar(key: str, keys: Sequence[tuple[str, str]]) -> int:
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", key=f"{key}-tools"):
        size = _size()
        with st.popover("?", help="Keys"):
            for names, meaning in keys:
                st.text(f"{names}: {meaning}")
    # The URL may say anything.
    return ROWS.get(size or "", ROWS[DEFAULT_SIZE])


def _size() -> str | None:
    """Return the size of pictures, one for all pages. If a page has several grids, the first one has the choice."""
    try:
        return st.segmented_control(
            "Size of pictures",
            [*ROWS],
            default=DEFAULT_SIZE,
            required=True,
            key=SIZE,
            bind="query-params",
            label_visibility="collapsed",
        )
    except StreamlitDuplicateElementKey:
        return str(st.session_state[SIZE])


def _hit(collection: Collection, image: Image, score: float) -> Hit:
    metadata = {"content_hash": image.content_hash, **image.metadata}
    return Hit(collection.uuid, image.image_id, score, image.place, metadata)

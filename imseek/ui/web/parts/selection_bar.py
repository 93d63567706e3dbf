"""Controls to download or tag some images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import streamlit as st

from imseek.collection import Collection
from imseek.types.search_results import Hit
from imseek.ui.render.words import format_count, format_size
from imseek.ui.web import app_state, downloads
from imseek.ui.web.components import component, ignore_change
from imseek.ui.web.search_state import MAX_FEEDBACK
from imseek.ui.web.selection_store import MAX_IMAGES, make_selection

#: Maximum number of pictures side by side.
_MAX_COMPARED: Final = 4


def show_downloads(
    name: str,
    collection: Collection,
    ids: Sequence[int],
    *,
    key: str = "download",
    text: str | None = None,
) -> None:
    """Offer a zip, tables and paths of these images of the collection ``name``, and a tag for all.

    ``text`` describes the images (None: how many).
    """
    _draw(name, collection, ids, (), key, text or format_count(len(ids), "picture"), floating=False)


def show_selection_bar(
    name: str,
    collection: Collection,
    ids: Sequence[int],
    hits: Sequence[Hit],
    *,
    key: str,
    known: Mapping[int, tuple[float, tuple[int, ...]]],
    whole: str,
    everything: Callable[[], None],
    clear: Callable[[], None],
    album: str | None = None,
    less: bool = False,
) -> bool | None:
    """Draw the same controls for the images selected in a grid, at the bottom of the window.

    ``hits`` supply the scores for tables; ``known`` has score and duplicates of ids that are not among them. ``whole``
    is the label of the button that calls ``everything`` to select all, "" for none. That and ``clear`` run before the
    next run. ``album`` is the album that the grid shows. Returns True if the user wants more like these, False for
    less, which is offered only with ``less``.
    """
    text = f"{len(ids):,} selected"
    return _draw(
        name, collection, ids, hits, key, text, known=known, floating=True, whole=whole, everything=everything,
        clear=clear, album=album, less=less,
    )  # fmt: skip


def _draw(
    name: str,
    collection: Collection,
    ids: Sequence[int],
    hits: Sequence[Hit],
    key: str,
    text: str,
    *,
    floating: bool,
    known: Mapping[int, tuple[float, tuple[int, ...]]] = MappingProxyType({}),
    whole: str = "",
    everything: Callable[[], None] | None = None,
    clear: Callable[[], None] | None = None,
    album: str | None = None,
    less: bool = False,
) -> bool | None:
    if not ids:
        return None
    if len(ids) > MAX_IMAGES:
        st.text(f"{text}: more than {MAX_IMAGES:,} are not taken along at once. Choose fewer.")
        return None
    choice = app_state.current_app().choices.keep(make_selection(name, ids, hits, known))
    size = _measure(collection, ids, hits)
    events = component("bar", "common", "changes", "albums", "zoom", "side_by_side")(
        key=key,
        data={
            "text": text,
            "whole": whole,
            "clears": clear is not None,
            "floating": floating,
            "choice": choice,
            "taken": f"{app_state.DOWNLOADS_PATH}/{choice}",
            "base": app_state.images_url(name),
            # Ids of selected pictures that can be shown side by side.
            "compared": list(ids) if floating and 2 <= len(ids) <= _MAX_COMPARED else None,
            "size": format_size(size),
            "refused": downloads.size_refusal(len(ids), size),
            "album": album,
            "single": len(ids) == 1,
            "likes": floating and len(ids) <= MAX_FEEDBACK,
            "less": less,
        },
        on_all_change=everything or ignore_change,
        on_cleared_change=clear or ignore_change,
        on_liked_change=ignore_change,
    )
    liked = getattr(events, "liked", None)
    return None if liked is None else liked == "more"


def _measure(collection: Collection, ids: Sequence[int], hits: Sequence[Hit]) -> int:
    """Return the size in bytes, exact as long as the number of pictures is within the limit."""
    sizes = {hit.image_id: int(hit.metadata["bytes"]) for hit in hits if "bytes" in hit.metadata}
    missing = [image_id for image_id in ids if image_id not in sizes][: downloads.MAX_PICTURES]
    sizes.update({i: int(image.metadata.get("bytes", 0)) for i, image in collection.get_many(missing).items()})
    return sum(sizes.get(image_id, 0) for image_id in ids)

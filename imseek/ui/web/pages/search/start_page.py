"""The search page without a query: what the collection contains, and suggestions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Thread
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imseek import jobs, overview, tags
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.overview import NewestImages
from imseek.types.search_results import Hit
from imseek.types.tags import TagCount
from imseek.ui.render.words import format_count
from imseek.ui.web import hit_pages, search_state
from imseek.ui.web.components.grid import Following
from imseek.ui.web.gc_freeze import freeze_heap
from imseek.ui.web.pages.search import page_state, where_conditions
from imseek.ui.web.pages.search.where_conditions import TAG, Filter
from imseek.ui.web.parts import errors, navigation, results
from imseek.ui.web.plain_text import escape_markdown
from imseek.ui.web.search_state import SearchState
from imseek.ui.web.selection_store import MAX_IMAGES

_TAGS: Final = 8
_CAPTIONS: Final = 6
#: Maximum number of characters of a caption suggested as a search.
_SHORT: Final = 60
#: Collections whose encoder is loaded or loading.
_warm_collections: set[str] = set()
_GENERAL: Final = ("a person", "an animal", "a building", "a plant", "something red")


def show(name: str, collection: Collection, state: SearchState, above: DeltaGenerator, facts: DeltaGenerator) -> None:
    """Draw the newest images, limited by the filters, with suggestions ``above``; ``facts`` says how many there are."""
    with errors.show_errors():
        current = overview.read_state(collection.path)
        dated = hit_pages.by_date(collection, state)
        if dated is not None:
            newest = NewestImages(tuple(dated.image_ids[: state.limit].tolist()), len(dated), ())
        else:
            newest = _load_newest(collection.path, current.uuid, current.generation, state.condition, state.limit)
        hits = results.hits_by_id(collection, newest.image_ids)
        captions = newest.captions or tuple(str(hit.metadata.get("caption") or "") for hit in hits)
    if not newest.total and not state.where:
        if is_indexing(collection.path):
            st.subheader("Indexing…", anchor=False)
            st.text("Pictures appear here as soon as they are indexed, and you can search them from then on.")
        else:
            navigation.no_pictures("Add a folder of pictures to search them by what they show.")
        return
    if not newest.total:
        st.subheader("No pictures match these conditions", anchor=False)
        st.button("Clear filters", on_click=page_state.go_to, args=(state.with_changes(where=()),))
        return
    with errors.show_errors():
        tag_counts = tags.counts(collection)
    with above.container(horizontal=True, gap="xsmall", key="search-try", vertical_alignment="center", wrap=False):
        st.caption("Try", width="content")
        for n, text in enumerate(suggest_queries(captions)):
            st.button(
                escape_markdown(text, _SHORT),
                key=f"search-try-{n}",
                on_click=page_state.go_to,
                args=(state.with_part(search_state.text_search(text).parts[0]),),
            )
        most = sorted(tag_counts, key=lambda one: -one.images)[:_TAGS]
        if most:
            _show_tags(state, most)
    some = newest.total > len(newest.image_ids)
    facts.caption(format_count(newest.total, "picture"))
    following: Following | None = None
    if dated is not None:
        following = hit_pages.following_by_date(name, state, dated, len(hits))
    elif some:
        following = hit_pages.following_newest(name, state, newest.image_ids[-1], newest.total)
    _draw(name, collection, state, hits, following)
    warm(collection)


def is_indexing(path: Path) -> bool:
    """Whether a run is adding images to the collection."""
    try:
        return any(job.state == jobs.RUNNING and job.kind == "index" for job in jobs.list(path, limit=1))
    except ImseekError:
        return False


def suggest_queries(captions: Sequence[str]) -> tuple[str, ...]:
    """Suggest searches: short captions of the collection, or common subjects."""
    short = tuple(dict.fromkeys(one.strip() for one in captions if 2 < len(one.strip()) <= _SHORT and "\n" not in one))
    return short[:_CAPTIONS] or _GENERAL


def _show_tags(state: SearchState, most: Sequence[TagCount]) -> None:
    """Draw the most frequent tags, as filters of the next search."""
    st.caption("Tags", width="content")
    for count in most:
        st.button(
            f"{escape_markdown(count.tag, 40)} ({count.images:,})",
            key=f"search-tag-{count.tag}",
            on_click=page_state.go_to,
            args=(state.with_changes(where=where_conditions.replace_filter(state.where, Filter(TAG, (count.tag,)))),),
        )


@st.fragment
def _draw(
    name: str, collection: Collection, state: SearchState, hits: Sequence[Hit], following: Following | None
) -> None:
    """Draw ``hits``, and what follows them."""
    results.results(
        name,
        collection,
        hits,
        key="search-newest",
        scores=False,
        following=following,
        everything=None if following is None else lambda: hit_pages.all_ids(collection, state, MAX_IMAGES),
        remembers=True,
    )


@lru_cache(32)
def _load_newest(path: Path, uuid: str, generation: int, where: str | None, limit: int) -> NewestImages:
    """Load the newest images of one generation, limited by a condition. Raises QueryError.

    ``uuid`` and ``generation`` are part of the cache key, since another collection may come to lie at the path.
    """

    return overview.newest(path, where=where, limit=limit)


def warm(collection: Collection) -> None:
    """Load the encoder while the user is typing, once in this process. The first search reports errors."""
    if collection.uuid in _warm_collections:
        return
    _warm_collections.add(collection.uuid)

    def load() -> None:
        with suppress(ImseekError):
            collection.search("warm", limit=1, metadata=False)
        freeze_heap("the encoder")

    Thread(target=load, name="warming", daemon=True).start()

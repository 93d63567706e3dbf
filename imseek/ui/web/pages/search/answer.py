"""Results of a search: facts, grid, cutoff, pages, and suggestions if nothing is found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imseek.collection import Collection
from imseek.errors import ExpiredPageError, ImageNotFoundError, ImseekError
from imseek.types.search_results import Hit, SearchResult
from imseek.ui.render.words import format_count
from imseek.ui.web import hit_pages, undoable_changes
from imseek.ui.web.pages.search import page_state
from imseek.ui.web.parts import errors, results
from imseek.ui.web.plain_text import escape_markdown
from imseek.ui.web.search_state import SearchState
from imseek.ui.web.selection_store import MAX_IMAGES
from imseek.ui.web.undoable_changes import Change

#: Number of hits shown beyond the cutoff, so that the user can judge it; more on request.
_BEYOND: Final = 12
_MORE: Final = "search-beyond"


def show(name: str, collection: Collection, state: SearchState, facts: DeltaGenerator) -> bool:
    """Search and draw the results, with a summary in ``facts``; returns False after an error."""
    began = time.perf_counter()
    try:
        with st.spinner("Searching… The first search takes longer."):
            result = collection.search(state.query(page_state.upload))
            beyond = _beyond(collection, state, result)
    except ExpiredPageError:
        st.text("The collection has changed since this page of results was made.")
        first = state.with_changes(page=None)
        st.button("Show the first pictures", on_click=page_state.go_to, args=(first,), type="primary")
        return False
    except ImageNotFoundError as error:
        errors.show_error(error)
        st.text("Remove that picture from the search, or start again.")
        return False
    except ImseekError as error:
        errors.show_error(error)
        return False
    took = time.perf_counter() - began
    _show_facts(facts, state, result, took, bool(beyond))
    _draw(name, collection, state, result, beyond)
    _show_cutoff(state, result, beyond)
    return True


def _beyond(collection: Collection, state: SearchState, result: SearchResult) -> tuple[Hit, ...]:
    """Return a few hits beyond the cutoff; none if options make the order of the list more complicated."""
    reordered = state.diversity or state.rerank or state.hubness or state.sort == "date"
    shaped = state.group_by or reordered
    if not result.cut or result.next_page or state.page or shaped:
        return ()
    last_state, more = st.session_state.get(_MORE, (None, 0))
    shown_ids = {one for hit in result for one in (hit.image_id, *hit.duplicates)}
    limit = len(shown_ids) + (more if last_state == state else _BEYOND)
    query = state.with_changes(cutoff=False, limit=limit).query(page_state.upload)
    candidates = collection.search(query, metadata=False)  # Names are enough.
    return tuple(hit for hit in candidates if hit.image_id not in shown_ids)


def _show_cutoff(state: SearchState, result: SearchResult, beyond: tuple[Hit, ...]) -> None:
    """Show how many hits are beyond the cutoff, with a button to show more."""
    left = (result.cut or 0) - len(beyond)
    if left <= 0:
        return
    with st.container(horizontal=True, horizontal_alignment="center", vertical_alignment="center"):
        st.caption(f"{left:,} more are less relevant", width="content")
        if beyond:
            step = min(left, state.limit)
            st.button(f"Show {step:,} more", on_click=_show_more, args=(state, len(beyond) + step))
        else:
            st.button(
                "Show them",
                on_click=page_state.go_to,
                args=(state.with_changes(cutoff=False, page=None),),
            )


def _show_more(state: SearchState, limit: int) -> None:
    st.session_state[_MORE] = (state, limit)


def _show_facts(facts: DeltaGenerator, state: SearchState, result: SearchResult, took: float, beyond: bool) -> None:
    total = _total(state, result)
    if state.collapses and not state.page:  # Hits collapsed behind others count too.
        total = result.searched - (result.cut or 0)
    words = ["more than" if total is None else "", format_count(total or len(result), "picture")]
    if result.groups:
        words.append(f"in {format_count(len(result.groups), 'group')}")
    if total != result.searched:
        words.append(f"of {result.searched:,}")
    line = " ".join(filter(None, words))
    line = f"{line[0].upper()}{line[1:]}"
    if result.cut:
        line += f" · {result.cut:,} less relevant" + ("" if beyond else " left out")
        if result.lost is not None:
            line += f" (about {result.lost:.0%} of what is relevant)"
    if result.approximate:
        line += " · approximate (for all: Options, Exact search)"
    line += f" · {took * 1000:,.0f} ms"
    facts.caption(line)
    notes = facts.container(key="search-notes", gap=None) if result.notes else facts
    for note in result.notes:
        notes.caption(f"ℹ️ {escape_markdown(note[:1].upper() + note[1:], 400)}")


@st.fragment
def _draw(name: str, collection: Collection, state: SearchState, result: SearchResult, beyond: tuple[Hit, ...]) -> None:
    """Draw the hits in a fragment, since selecting some changes nothing above them."""
    if page_state.current().state != state:  # Feedback changed the search.
        st.rerun()
    if not result.hits:
        with st.container(key="search-nothing"):
            _show_nothing_found(state, result, bool(beyond))
    if state.page:
        st.button("Show from the first picture on", on_click=page_state.go_to, args=(state.with_changes(page=None),))
    hits: tuple[Hit, ...] = (*result.hits, *beyond)
    following = hit_pages.following_hits(name, state, result.next_page, _total(state, result))
    if result.hits and (dated := hit_pages.by_date(collection, state, name)) is not None:
        hits = results.hits_by_id(collection, dated.image_ids[: state.limit].tolist())
        following = hit_pages.following_by_date(name, state, dated, len(hits))
    results.results(
        name,
        collection,
        hits,
        key="search-results",
        rule_after=len(result.hits) if beyond else None,
        groups=result.groups,
        like=_like,
        like_all=_like_all,
        scores=following is None or following.days is None,
        following=following,
        known=lambda: hit_pages.found_hits.get(name, state),
        everything=(lambda: hit_pages.all_ids(collection, state, MAX_IMAGES)) if result.next_page else None,
        remembers=True,
    )
    if page_state.current().state != state:
        st.rerun()


def _like(image_id: int, more: bool) -> None:
    state = page_state.current().state
    _go_to_judged(state.mark(image_id, right=more), f"Searched for {'more' if more else 'less'} like a picture")


def _like_all(image_ids: Sequence[int], more: bool) -> None:
    state = page_state.current().state
    pictures = format_count(len(image_ids), "picture")
    _go_to_judged(state.mark_all(image_ids, right=more), f"Searched for {'more' if more else 'less'} like {pictures}")


def _go_to_judged(state: SearchState, text: str) -> None:
    before = page_state.current().state
    page_state.go_to(state)
    if state != before:
        undoable_changes.announce(Change(text, lambda: page_state.go_to(before)), is_of_session=True)


def _show_nothing_found(state: SearchState, result: SearchResult, beyond: bool) -> None:
    """Suggest what to do if nothing was found."""
    if beyond:
        st.text("Nothing here shows that. The closest pictures are below.")
        return
    st.subheader("Nothing here shows that" if result.nothing else "Nothing found", anchor=False)
    with st.container(horizontal=True):
        if state.where:
            st.button("Clear filters", on_click=page_state.go_to, args=(state.with_changes(where=()),))
        if state.cutoff:
            st.button(
                "Include less relevant pictures",
                on_click=page_state.go_to,
                args=(state.with_changes(cutoff=False),),
            )
        if state.by in ("caption", "text"):
            st.button(
                f"Search pictures, not {'captions' if state.by == 'caption' else 'words'}",
                on_click=page_state.go_to,
                args=(state.with_changes(by="image"),),
            )
        if state.page:
            st.button("Show the first pictures", on_click=page_state.go_to, args=(state.with_changes(page=None),))
    if not (state.where or state.cutoff or state.page or state.by in ("caption", "text")):
        st.text("Try other words.")


def _total(state: SearchState, result: SearchResult) -> int | None:
    """Return the number of all hits, None if it is unknown before the last page."""
    if not result.next_page and not state.page:
        return len(result)
    if state.page or state.group_by or state.collapses or state.hubness or state.diversity or state.by == "text":
        return None
    return result.searched - (result.cut or 0)

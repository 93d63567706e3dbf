"""The search box of every page, its picture input, and the chips of the query."""

from __future__ import annotations

import errno
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Final

import streamlit as st

from imseek.collection import Collection
from imseek.errors import ImseekError, QueryError
from imseek.ui.web import app_state, uploads
from imseek.ui.web.components import component
from imseek.ui.web.components.chips import chips
from imseek.ui.web.pages.search import page_state, query_chip_data
from imseek.ui.web.parts import navigation, results
from imseek.ui.web.search_state import QueryPart, SearchState

_WORDS: Final = "search-words"
_ALSO: Final = "search-also"
_NOT: Final = "search-not"
#: Number of uploads: a new key empties the uploader after each.
_PICTURES: Final = "search-pictures"
#: A search from another page, to which the next run goes.
_SUBMITTED: Final = "search-submitted"
_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
#: These errors mean that the text is no path: words such as "/ or \", and texts too long for a name.
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_PATH: Final = re.compile(r"(?:file://)?(?:~|\.{1,2})?/\S.*", re.IGNORECASE)


def show(name: str, *, is_search_page: bool) -> None:
    """Draw the search box of the collection ``name``, with suggestions while somebody types, and its picture input.

    ``is_search_page`` is False on pages other than that of searches, to which a search leads from there.
    """
    words = query_chip_data.box_text(page_state.current().state) if is_search_page else ""
    new = _WORDS not in st.session_state
    if not new and st.session_state[_WORDS] != words:  # After a link or the browser's Back.
        st.session_state[_WORDS] = words
    typed = st.text_input(
        "Search",
        words if new else "",
        key=_WORDS,
        label_visibility="collapsed",
        placeholder="Search by what pictures show",
        on_change=_on_words,
        args=(is_search_page,),
    )
    if new and typed != words:  # Entered before this session knew the box: after the server was started again.
        _on_words(is_search_page)
        st.rerun()
    _picture(is_search_page)
    with st.container(key="search-suggestions"):
        component("suggestions", isolated=False)(
            key="suggestions",
            data={"box": f".st-key-{_WORDS} input", "source": f"{app_state.images_url(name)}/suggest"},
        )


def _picture(is_search_page: bool) -> None:
    """Draw the picture input, which also receives pictures pasted or dropped anywhere on the page."""
    n = st.session_state.setdefault(_PICTURES, 0)
    with st.container(key="search-picture", width="content"):
        st.file_uploader(
            "Picture",
            key=f"{_PICTURES}-{n}",
            label_visibility="collapsed",
            on_change=_on_picture,
            args=(is_search_page,),
            max_upload_size=uploads.MAX_BYTES >> 20,
        )
    with st.container(key="search-asking"):
        component("asking")(
            key="asking",
            data={"box": f".st-key-{_WORDS} input", "uploader": ".st-key-search-picture"},
        )


def follow_submission() -> None:
    """Go to the search that was submitted on another page; call it once the pages are known."""
    to: SearchState | None = st.session_state.pop(_SUBMITTED, None)
    if to is not None:
        name = navigation.collection_name()
        st.switch_page(navigation.page("search"), query_params=to.parameters(name))


def more_words() -> None:
    """Draw inputs for additional and for unwanted words."""
    with st.popover("Add or exclude"):
        st.text_input("Add", key=_ALSO, placeholder="at night", on_change=_on_part_added, args=(_ALSO, False))
        st.text_input("Exclude", key=_NOT, placeholder="snow", on_change=_on_part_added, args=(_NOT, True))
        st.caption(
            "Each becomes a chip whose weight you can change. In the search box, `2:beach` counts twice, `-snow` is "
            "excluded, `tag:best` and `folder:2019` filter, also after words (`harbour -snow folder:2019`), "
            '`"old harbour"` and `invoi*` match words, and `id:17`, a path or a link searches by that picture. Press '
            "`/` to focus the box."
        )


def show_chips(state: SearchState, name: str, collection: Collection) -> None:
    """Draw the chips of the query."""
    ids = [*(int(one.what) for one in state.parts if one.kind == "image"), *state.more, *state.less]
    hits = results.hits_by_id(collection, ids) if ids else ()
    pictures = {
        hit.image_id: query_chip_data.Picture(
            results.title_of(hit), app_state.thumbnail_url(name, hit.image_id), results.pixels_of(hit.metadata)
        )
        for hit in hits
    }
    chip_data = query_chip_data.chips(state, pictures, _upload_thumbnail)
    if chip_data:
        chips(chip_data, key="search-chips", changed=_on_chip)


def _now(is_search_page: bool) -> SearchState:
    return page_state.current().state if is_search_page else SearchState()


def _go_to(target: SearchState, is_search_page: bool) -> None:
    if is_search_page:
        page_state.go_to(target)
    elif target != SearchState():
        st.session_state[_SUBMITTED] = target


def _on_words(is_search_page: bool) -> None:
    text = st.session_state[_WORDS]
    current = _now(is_search_page)
    try:
        picture = load_typed_picture(text.strip(), page_state.home())
        _go_to(
            query_chip_data.submit_text(current, text)
            if picture is None
            else query_chip_data.submit_text(current, "").with_part(picture),
            is_search_page,
        )
    except ImseekError as error:
        page_state.defer_error(error)


def _on_part_added(key: str, unwanted: bool) -> None:
    text = st.session_state[key]
    st.session_state[key] = ""
    try:
        page_state.go_to(query_chip_data.add_words(page_state.current().state, text, unwanted=unwanted))
    except ImseekError as error:
        page_state.defer_error(error)


def _on_picture(is_search_page: bool) -> None:
    n = st.session_state[_PICTURES]
    upload = st.session_state.get(f"{_PICTURES}-{n}")
    if upload is None:
        return
    st.session_state[_PICTURES] = n + 1
    try:
        digest = uploads.save_upload(page_state.home(), upload.getvalue(), upload.name)
        _go_to(_now(is_search_page).with_part(QueryPart("upload", digest)), is_search_page)
    except ImseekError as error:
        page_state.defer_error(error)


def _on_chip(chip: str, change: str, value: float | None) -> None:
    page_state.go_to(query_chip_data.apply_chip_change(page_state.current().state, chip, change, value))


def load_typed_picture(text: str, home: Path) -> QueryPart | None:
    """Store the picture at a typed path or URL in ``home`` and return its part; None for words.

    Only typed text may open paths and URLs, never a linked address. Raises QueryError, MediaError.
    """
    from imseek.search import Term, load_picture

    if _URL.fullmatch(text):
        data, name = load_picture(Term(url=text))
    elif _PATH.fullmatch(text) and "\0" not in text:
        from imseek.search import parse_term

        path = parse_term(text).picture
        assert isinstance(path, Path)
        try:
            status = path.stat()
        except ValueError:
            return None
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise QueryError(f"cannot read the picture {path}: {error.strerror}") from error
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size > uploads.MAX_BYTES:
            raise QueryError(
                f"{path} is larger than {uploads.MAX_BYTES >> 20} MiB",
                hint="search with a smaller copy of it",
            )
        data, name = load_picture(Term(picture=path))[0], path.name
    else:
        return None
    return QueryPart("upload", uploads.save_upload(home, data, name))


@lru_cache(64)
def _upload_thumbnail(name: str) -> str:
    """Return a small version of an upload as a data URI, empty if the upload has been removed."""
    from imseek import media
    from imseek.media import thumbnail
    from imseek.showing import data_uri

    try:
        return data_uri(thumbnail(media.decode(page_state.upload(name), min_side=64, measured=False).pixels, 64))
    except ImseekError:
        return ""

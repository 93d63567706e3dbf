"""The search box, the picture input, and the chips of the query."""

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
from imseek.ui.web.pages.search import page_state, query_chips
from imseek.ui.web.parts import results
from imseek.ui.web.search_state import QueryPart, SearchState

_WORDS: Final = "search-words"
_ALSO: Final = "search-also"
_NOT: Final = "search-not"
#: Number of uploads: a new key empties the uploader after each.
_PICTURES: Final = "search-pictures"
_STYLE: Final = """<style>
.st-key-search-picture, [data-testid="stLayoutWrapper"]:has(> .st-key-search-picture) { flex: 0 0 auto; width: auto; }
.st-key-search-picture [data-testid="stElementContainer"] { min-width: 0; width: auto; }
.st-key-search-picture [data-testid="stFileUploaderDropzone"] {
  padding: 0; min-height: 0; border: 0; background: none; width: auto;
}
.st-key-search-picture [data-testid="stFileUploaderDropzoneInstructions"] { display: none; }
.st-key-search-picture [data-testid="stFileUploaderDropzone"] button p { display: none; }
.st-key-search-picture [data-testid="stFileUploaderDropzone"] button::after {
  content: "Picture…"; font-size: 0.875rem;
}
.st-key-search-asking, [data-testid="stLayoutWrapper"]:has(> .st-key-search-suggestions) { position: absolute; }
@media (min-width: 900px) {
  .st-key-search-facts { padding-right: 17rem; }
  .st-key-search-results-tools { margin-top: -2.5rem; }
}
</style>"""
_URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)
#: These errors mean that the text is no path: words such as "/ or \", and texts too long for a name.
_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})
_PATH: Final = re.compile(r"(?:file://)?(?:~|\.{1,2})?/\S.*", re.IGNORECASE)


def show(asked: SearchState, name: str) -> None:
    """Draw the search box of the collection ``name``, with suggestions while somebody types."""
    st.html(_STYLE)
    words = query_chips.box_text(asked)
    if st.session_state.get(_WORDS) != words:  # After a link or the browser's Back.
        st.session_state[_WORDS] = words
    st.text_input(
        "Search",
        key=_WORDS,
        label_visibility="collapsed",
        placeholder="What does the picture show?",
        on_change=_on_words,
    )
    with st.container(key="search-suggestions"):
        component("suggestions", isolated=False)(
            key="suggestions",
            data={"box": f".st-key-{_WORDS} input", "source": f"{app_state.images_url(name)}/suggest"},
        )


def picture() -> None:
    """Draw the picture input, which also receives pictures pasted or dropped anywhere on the page."""
    n = st.session_state.setdefault(_PICTURES, 0)
    with st.container(key="search-picture", width="content"):
        st.file_uploader(
            "Picture",
            key=f"{_PICTURES}-{n}",
            label_visibility="collapsed",
            on_change=_on_picture,
            max_upload_size=uploads.MAX_BYTES >> 20,
        )
    with st.container(key="search-asking"):
        component("asking")(
            key="asking",
            data={"box": f".st-key-{_WORDS} input", "uploader": ".st-key-search-picture"},
        )


def more_words() -> None:
    """Draw inputs for additional and for unwanted words."""
    with st.popover("Also, not"):
        st.text_input("Also", key=_ALSO, placeholder="at night", on_change=_on_part_added, args=(_ALSO, False))
        st.text_input("Not", key=_NOT, placeholder="snow", on_change=_on_part_added, args=(_NOT, True))
        st.caption(
            "Each becomes a piece whose weight can be changed. In the box above, `2:beach` counts twice, `-snow` is "
            'not wanted, `tag:best` is a filter, `"old harbour"` and `invoi*` are looked up as words, and `id:17`, a '
            "path or a link is a picture. Press `/` to go there."
        )


def show_chips(asked: SearchState, name: str, collection: Collection) -> None:
    """Draw the chips of the query."""
    ids = [*(int(one.what) for one in asked.parts if one.kind == "image"), *asked.more, *asked.less]
    stored = results.hits_by_id(collection, ids) if ids else ()
    known = {
        hit.image_id: query_chips.Picture(results.title_of(hit), app_state.thumbnail_url(name, hit.image_id))
        for hit in stored
    }
    shown = query_chips.chips(asked, known, _upload_thumbnail)
    if shown:
        chips(shown, key="search-chips", changed=_on_chip)


def _on_words() -> None:
    text = st.session_state[_WORDS]
    now = page_state.current().asked
    try:
        what = load_typed_picture(text.strip(), page_state.home())
        page_state.go_to(
            query_chips.submit_text(now, text) if what is None else query_chips.submit_text(now, "").with_part(what)
        )
    except ImseekError as error:
        page_state.defer_error(error)


def _on_part_added(key: str, unwanted: bool) -> None:
    text = st.session_state[key]
    st.session_state[key] = ""
    try:
        page_state.go_to(query_chips.add_words(page_state.current().asked, text, unwanted=unwanted))
    except ImseekError as error:
        page_state.defer_error(error)


def _on_picture() -> None:
    n = st.session_state[_PICTURES]
    given = st.session_state.get(f"{_PICTURES}-{n}")
    if given is None:
        return
    st.session_state[_PICTURES] = n + 1
    try:
        kept = uploads.save_upload(page_state.home(), given.getvalue(), given.name)
        page_state.go_to(page_state.current().asked.with_part(QueryPart("upload", kept)))
    except ImseekError as error:
        page_state.defer_error(error)


def _on_chip(chip: str, what: str, value: float | None) -> None:
    page_state.go_to(query_chips.apply_chip_change(page_state.current().asked, chip, what, value))


def load_typed_picture(text: str, home: Path) -> QueryPart | None:
    """Store the picture at a typed path or URL in ``home`` and return its part; None for words.

    Only typed text may open paths and URLs, never a linked address. Raises QueryError, MediaError.
    """
    from imseek.search import Term, load_picture

    if _URL.fullmatch(text):
        data, called = load_picture(Term(url=text))
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
        data, called = load_picture(Term(picture=path))[0], path.name
    else:
        return None
    return QueryPart("upload", uploads.save_upload(home, data, called))


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

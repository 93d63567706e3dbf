"""``imseek ui`` with a page of its own in place of searches: parts of pages in all forms that they have."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from browsing import HOSTILE
from imseek.__main__ import main
from imseek.types.search_results import HitGroup
from imseek.ui.web import shell
from imseek.ui.web.parts import navigation, results, selection_bar, viewer
from imseek.ui.web.plain_text import escape_markdown


def show() -> None:
    """``?part=`` says which."""
    name, collection = navigation.collection()
    hits = collection.search("red", limit=20).hits
    part = st.query_params.get("part")
    if part == "rule":
        results.results(name, collection, hits, key="rule", rule_after=3)
    elif part == "groups":
        groups = (HitGroup("/one/**bold**", 9, hits[:3]), HitGroup(None, len(hits) - 3, hits[3:]))
        results.results(name, collection, hits, key="groups", groups=groups)
    elif part == "collapsed":
        first = replace(hits[0], duplicates=(hits[1].image_id, hits[2].image_id))
        results.results(name, collection, [first], key="first", like=_say)
        results.results(name, collection, hits[3:5], key="second")
    elif part == "letters":
        picked = results.results(name, collection, hits, key="letters", like=_say)
        st.text(str(picked))
    elif part == "viewer":
        if st.button("Show one"):
            viewer.open_viewer(name, collection, hits[2].image_id, key="one")
    elif part == "offer":
        selection_bar.show_downloads(name, collection, [hit.image_id for hit in hits])
    else:
        for n, text in enumerate(HOSTILE):
            st.button(escape_markdown(text), key=f"label-{n}")
        st.radio("One of", HOSTILE, format_func=escape_markdown)
        st.multiselect("Some of", HOSTILE, HOSTILE[:7], format_func=escape_markdown)


def _say(image_id: int, more: bool) -> None:
    st.text(f"like {image_id} {more}")


shell.PAGES["search"] = show

if __name__ == "__main__":
    main()

"""The selection on a map, and actions on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import streamlit as st

from imseek import clusters, maps
from imseek.collection import Collection
from imseek.errors import ImseekError
from imseek.types.arrays import Ids
from imseek.ui.web import search_state
from imseek.ui.web.components.scatter import Lasso
from imseek.ui.web.pages.map import lasso_selection
from imseek.ui.web.pages.map.map_points import MapPoints, MapView
from imseek.ui.web.parts import errors, navigation, selection_bar
from imseek.ui.web.parts.results import hits_by_id, results
from imseek.ui.web.plain_text import capitalise, one_line

#: Images shown at first, and added by each "Show more".
_PAGE: Final = 60
#: Maximum number of characters of a condition, which limits the ids of a search within the selection.
_CONDITION: Final = 4_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids selected on one map of one collection, kept in the browser session."""

    key: str

    @classmethod
    def of(cls, uuid: str, name: str) -> Selection:
        return cls(f"map-chosen-{uuid}-{name}")

    @property
    def ids(self) -> Ids:
        """Selected ids (m,), ascending."""
        return np.asarray(st.session_state.get(self.key, ()), np.int64)

    def _set(self, ids: Ids) -> None:
        st.session_state[self.key] = ids
        st.session_state.pop(f"{self.key}-shown", None)
        st.session_state.pop(f"{self.key}-word", None)

    def take(self, points: MapPoints, lasso: Lasso) -> None:
        self._set(
            lasso_selection.update_selection(self.ids, lasso_selection.ids_in_lasso(points, lasso), add=lasso.add)
        )

    def toggle(self, image_id: int) -> None:
        self._set(lasso_selection.toggle_id(self.ids, image_id))

    def clear(self) -> None:
        self._set(np.empty(0, np.int64))

    def marks(self, points: MapPoints) -> npt.NDArray[np.bool_] | None:
        """Return which points of a map are selected (n,), None if none is."""
        ids = self.ids
        marks = np.isin(points.ids, ids, assume_unique=True) if len(ids) else np.zeros(0, np.bool_)
        return marks if marks.any() else None


def show_selection(name: str, collection: Collection, view: MapView, selection: Selection) -> None:
    """Draw the selected images, beside the map."""
    if len(selection.ids):
        with st.container(key="map-selection"):
            _show_images(name, collection, view, selection)


def _show_images(name: str, collection: Collection, view: MapView, selection: Selection) -> None:
    ids = selection.ids
    st.subheader(f"{len(ids):,} selected", anchor=False)
    words = st.text_input(
        "Search within these", key="map-within", placeholder="Search within these", label_visibility="collapsed"
    ).strip()
    _more(collection, view, ids, selection, name)
    selection_bar.show_downloads(name, collection, ids.tolist(), key="map-download", text="All of these")
    try:
        scores = maps.scores(collection, words, ids) if words else None
    except ImseekError as error:
        errors.show_error(error)
        scores = None
    if scores is not None:
        has_score = ~np.isnan(scores)
        order = np.argsort(-scores[has_score], kind="stable")
        ids, scores = ids[has_score][order], scores[has_score][order]
    count = st.session_state.get(f"{selection.key}-shown", _PAGE)
    with errors.show_errors():
        hits = hits_by_id(collection, ids[:count].tolist(), None if scores is None else scores[:count].tolist())
    results(name, collection, hits, key="map-results", scores=scores is not None)
    if count < len(ids) and st.button(f"Show more (of {len(ids):,})", key="map-more"):
        st.session_state[f"{selection.key}-shown"] = count + _PAGE
        st.rerun(scope="fragment")


def _more(collection: Collection, view: MapView, ids: Ids, selection: Selection, name: str) -> None:
    """Draw the word that distinguishes the selection, and a link to search within it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Describe them", key="map-word", help="Finds the word that best distinguishes them from all others."
        ):
            with st.spinner("Comparing them with words; the first time takes longer …"), errors.show_errors():
                st.session_state[f"{selection.key}-word"] = clusters.word_for(
                    collection, ids.tolist(), where=view.where
                )
        word = st.session_state.get(f"{selection.key}-word")
        if word is not None:
            st.text(one_line(word.text if word.text else capitalise(word.note)))
        condition = f"id IN ({','.join(map(str, ids.tolist()))})" if len(ids) < _CONDITION else ""
        if 0 < len(condition) <= _CONDITION and st.button(
            "Open in Search", key="map-search", help="Opens these pictures in Search, with filters."
        ):
            st.switch_page(
                navigation.page("search"),
                query_params=search_state.SearchState(where=(condition,)).parameters(name),
            )

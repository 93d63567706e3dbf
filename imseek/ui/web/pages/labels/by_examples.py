"""Labels by examples: people label some images by keys, and a probe trained on them labels the rest."""

from __future__ import annotations

from typing import Final

import streamlit as st

from imseek import probes, tags
from imseek.collection import Collection
from imseek.errors import ImseekError, UsageError
from imseek.probes.results import ProbeInfo
from imseek.ui.web import app_state
from imseek.ui.web.components.labeller import ClassChoice, given_keys, labeller
from imseek.ui.web.pages.labels import batches, probe_training, tag_label_sets
from imseek.ui.web.pages.labels.batches import Batch
from imseek.ui.web.pages.labels.tag_label_sets import LabelSet
from imseek.ui.web.parts import errors, results
from imseek.ui.web.plain_text import one_line

LABEL: Final = "Label pictures"
LEARNED: Final = "Predictions"
NEW: Final = "New…"
USEFUL: Final = "Most informative"
FOUND: Final = "By search"


@st.fragment
def show(name: str, collection: Collection) -> None:
    """Draw the part, in a fragment, so that a key reruns only this."""
    with errors.show_errors():
        probes_by_name = {probe.name: probe for probe in probes.list_(collection)}
    label_set, probe = _choose_set(probes_by_name)
    if label_set is None:
        if probe is not None:
            probe_training.show(name, collection, probe.name, probe)
        return
    with errors.show_errors():
        counts = tag_label_sets.count_labels(tags.counts(collection))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.session_state.setdefault("step", LABEL)
        step = st.segmented_control("Step", (LABEL, LEARNED), key="step", required=True, label_visibility="collapsed")
        probe_training.show_train_button(collection, label_set, probe, counts, lambda: _go_to_step(LEARNED))
    if step == LABEL:
        _label(name, collection, label_set, counts, probe)
    else:
        probe_training.show(name, collection, label_set.name, probe)


def _go_to_step(step: str) -> None:
    st.session_state["step"] = step


def _choose_set(probes_by_name: dict[str, ProbeInfo]) -> tuple[LabelSet | None, ProbeInfo | None]:
    """Draw the choice of a label set, and return it with its probe."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice = st.selectbox("Model", (NEW, *probes_by_name), key="set", bind="query-params", width=220)
        if choice != NEW:
            probe = probes_by_name[choice]
            label_set = tag_label_sets.of_probe(probe)
            st.text(one_line(", ".join(probe.classes)))
            if label_set is None:
                st.text(f"It was learned from {one_line(probe.labels)}, so it is not taught by keys here.")
            return label_set, probe
        text = st.text_input("Classes, at most 9", key="classes", bind="query-params", placeholder="cat, dog")
        name = st.text_input("Name", key="set-name", placeholder="pets", width=160)
    if not text:
        st.text("Enter the classes you want to tell apart, such as: cat, dog. A single class means yes or no.")
        st.text(
            "Then label some pictures with the number keys. Each label is stored as a tag, and imseek learns the rest."
        )
        return None, None
    try:
        label_set = tag_label_sets.parse_set(text, name or "")
        probe_there = probes_by_name.get(label_set.name)
        if probe_there is not None and tag_label_sets.of_probe(probe_there) != label_set:
            raise UsageError(
                f"{label_set.name} has been learned already, with other classes",
                hint="choose it, or give another name",
            )
    except ImseekError as error:
        errors.show_error(error)
        return None, None
    return label_set, probe_there


def _label(
    name: str, collection: Collection, label_set: LabelSet, counts: dict[str, int], probe: ProbeInfo | None
) -> None:
    slot = f"teach-{name}-{label_set.name}-{'-'.join(label_set.classes)}"
    key = f"{slot}-labeller"
    batch: Batch | None = st.session_state.get(slot)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control("Pictures", (USEFUL, FOUND), key="pictures", default=USEFUL, required=True)
        words = ""
        if source == FOUND:
            words = (st.text_input("Words", key="teach-words", placeholder="a cat asleep") or "").strip()

    def next_(before: Batch | None) -> Batch:
        with st.spinner("Choosing pictures to label…"):
            if source == FOUND:
                return batches.search_batch(name, collection, label_set, before, counts, words)
            return batches.propose_batch(name, collection, label_set, before, counts, probe)

    request = (source, words)
    if source == FOUND and not words:
        st.text("Enter a search to find pictures to label.")
        return
    if batch is None or st.session_state.get(f"{slot}-asked") != request:
        with errors.show_errors():
            batch = next_(batch)
        st.session_state[slot], st.session_state[f"{slot}-asked"] = batch, request

    def keep() -> None:
        current: Batch = st.session_state[slot]
        keys = given_keys(key, current.number)
        if keys is not None:
            current.keep(collection, label_set, keys)

    if batch.error is not None:
        errors.show_error(batch.error)
        st.text("Your latest labels are not stored yet.")
        st.button("Store now", on_click=keep)
    choices = [ClassChoice(k, one_line(tag), counts.get(tag, 0)) for k, tag in label_set.keys().items()]
    events = labeller(
        batch.cards,
        choices,
        key=key,
        epoch=batch.number,
        given=batch.stored_keys,
        base=app_state.images_url(name),
        opens=app_state.current_app().opens,
        changed=keep,
    )
    for line in batch.notes:
        st.text(line)
    if events.like is not None:
        results.search_like(*events.like)
    if events.more and batch.error is None:
        with errors.show_errors():
            st.session_state[slot] = next_(batch)
        st.rerun(scope="fragment")

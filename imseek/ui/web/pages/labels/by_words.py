"""Labels by words: classes are typed, and a preview of their images is shown at once."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Final

import streamlit as st

from imseek import labels, tags
from imseek.collection import Collection, text_encoder
from imseek.errors import ImseekError
from imseek.labels import Classes
from imseek.labels.results import LabelPreview
from imseek.progress import ProgressCallback
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state, job_costs
from imseek.ui.web.components.shelves import shelves
from imseek.ui.web.components.text_area import MAX_CHARACTERS, lines
from imseek.ui.web.pages.labels import label_shelves, label_tasks, saved_labels
from imseek.ui.web.pages.labels.label_options import (
    DEFAULT_TEMPLATE,
    EXAMPLES,
    NUMBER,
    OWN_TEMPLATES,
    SAMPLE,
    TRAINED,
    LabelOptions,
    SaveResult,
    as_text,
    encoder_caveat,
    free_name,
    preview_line,
)
from imseek.ui.web.parts import errors, results
from imseek.ui.web.plain_text import escape_markdown, one_line

#: Slot of :mod:`working`.
SLOT: Final = "labels-save"
#: Session key of the number of times that labels were saved.
_SAVES_KEY: Final = "labels-sent"
_HELP: Final = (
    "One class per line. To give a class several words: bird: bird, sparrow, seagull. "
    "Lines starting with # are ignored."
)


@st.fragment
def show(name: str, collection: Collection) -> None:
    """Draw the part, in a fragment, so that typing reruns only this."""
    if (why := _why_no_text(collection)) is not None:
        st.text(f"This collection cannot be labelled by words: {why}.")
        st.text("“By examples” works with every encoder: label some pictures, and imseek learns from them.")
        return
    left, right = st.columns((2, 5), gap="large")
    with left:
        options = _read_options(name, collection)
        classes = options.read()
        saving = st.container()
    with right:
        preview = _preview(name, collection, options, classes)
    with saving:
        if preview is not None and isinstance(classes, Classes):
            # A new key after each save makes a new, closed popover.
            save_number = st.session_state.get(_SAVES_KEY, 0)
            with st.popover("Save these labels", type="primary", key=f"labels-save-{save_number}"):
                _save(collection, options, classes, preview)
        _show_outcome(collection)
    saved_labels.show(name, collection)


def _why_no_text(collection: Collection) -> str | None:
    """Return why the encoder cannot read words, None if it can."""
    try:
        encoder = text_encoder(collection)
    except ImseekError as error:
        return str(error)
    return None if "text" in encoder.info.modalities else f"its encoder, {encoder.info.reference}, knows no words"


def _read_options(name: str, collection: Collection) -> LabelOptions:
    text = lines(
        "Classes",
        key=f"labels-lines-{name}",
        text=st.session_state.get(saved_labels.TEXT_KEY, ""),
        epoch=st.session_state.get(saved_labels.EPOCH, 0),
        placeholder="cat\ndog\nbird: bird, sparrow, seagull",
        hint=_HELP,
    )
    st.session_state[saved_labels.TEXT_KEY] = text
    with st.container(horizontal=True, vertical_alignment="center"):
        none = st.checkbox("Allow “none of these”", True, key="labels-none")
        with st.popover("Import classes…"):
            _sources(collection)
    with st.expander("More"):
        return _more(collection, text, none)


def _sources(collection: Collection) -> None:
    def read() -> None:
        file = st.session_state["labels-file"]
        if file is not None:
            try:
                saved_labels.fill(file.getvalue()[:MAX_CHARACTERS].decode("utf-8-sig"))
            except UnicodeDecodeError:
                st.session_state["labels-file-wrong"] = True

    st.session_state.pop("labels-file-wrong", None)
    st.file_uploader("A file with one class per line", type=["txt"], key="labels-file", on_change=read)
    if st.session_state.get("labels-file-wrong"):
        st.text("⚠️ That file is not UTF-8. Save it as UTF-8 text.")
    with errors.show_errors():
        existing = [one.tag for one in tags.counts(collection)]
    choice = st.multiselect("Tags", existing, key="labels-tags", format_func=escape_markdown, disabled=not existing)
    st.button("Use these tags", on_click=lambda: saved_labels.fill(as_text(choice)), disabled=not choice)


def _more(collection: Collection, text: str, none: bool) -> LabelOptions:
    sentences = st.selectbox(
        "Prompt templates",
        (DEFAULT_TEMPLATE, *labels.template_sets(), OWN_TEMPLATES),
        key="labels-sentences",
    )
    if sentences == OWN_TEMPLATES:
        sentences = (
            st.text_area("Templates, with {} for the class", "a photo of a {}", key="labels-own") or DEFAULT_TEMPLATE
        )
    none_text = ""
    if none:
        none_text = st.text_area(
            "Descriptions of “none of these”, one per line",
            key="labels-none-text",
            placeholder="a photo",
            height=80,
        )
    with errors.show_errors():
        scales = labels.known_scales(collection.path)
    several = False
    if scales.several:
        several = st.toggle("Allow several classes per picture", key="labels-several")
    threshold = st.slider("Minimum probability", 0.0, 1.0, 0.5 if several else 0.0, 0.05)
    choice = st.selectbox(
        "Confidence scale", (TRAINED, *scales.names, NUMBER), key="labels-temperature", format_func=escape_markdown
    )
    st.text(f"The encoder: {one_line(scales.own.source)}. This changes probabilities, not the ranking.")
    temperature = None if choice == TRAINED else choice
    if choice == NUMBER:
        number = st.number_input("Temperature", 0.001, 10.0, 1 / scales.own.factor, 0.01, format="%.3f")
        temperature = str(number)
    centred = st.checkbox("Every class occurs in the collection", key="labels-centred")
    where = st.text_input(
        "Only pictures where",
        key="labels-where",
        placeholder="year >= 2020",
        help="A condition on the metadata, as in an SQL WHERE clause.",
    )
    return LabelOptions(
        text,
        sentences,
        none_text if none else None,
        several,
        threshold or None,
        temperature,
        centred,
        where or "",
    )


def _preview(name: str, collection: Collection, options: LabelOptions, classes: Classes | str) -> LabelPreview | None:
    if isinstance(classes, str):
        st.text(classes)
        return None
    # Only for the first one: later previews are too fast to read it.
    first = name not in st.session_state.setdefault("labels-read", set())
    spinner = st.spinner("Loading the encoder: this takes a few seconds the first time…") if first else nullcontext()
    try:
        with spinner:
            preview = labels.preview(collection, classes, images=SAMPLE, **options.arguments())
        st.session_state["labels-read"].add(name)
    except ImseekError as error:
        errors.show_error(error)
        return None
    if not preview.of:
        st.text("No pictures match this condition.")
        return None
    sample_size = len(preview.labels.image_ids)
    st.text(preview_line(sample_size, preview.of))
    if (note := encoder_caveat(preview.labels.encoder)) is not None:
        st.text(f"⚠️ {note}")
    for line in preview.labels.notes:
        st.text(one_line(line))
    examples = preview.labels.examples(EXAMPLES)
    like = shelves(
        label_shelves.shelves(name, collection.path, examples, of=sample_size),
        key=f"labels-shelves-{name}",
        base=app_state.images_url(name),
        opens=app_state.current_app().opens,
    )
    if unused := label_shelves.unused_labels(examples):
        st.text(f"No pictures: {one_line(', '.join(unused))}")
    if like is not None:
        results.search_like(*like)
    return preview


def _save(collection: Collection, options: LabelOptions, classes: Classes, preview: LabelPreview) -> None:
    duration = job_costs.describe(job_costs.seconds("label", preview.of))
    st.text(
        f"Nothing is stored until you save, which takes {duration}. You can filter by saved labels, update them, and "
        "delete them."
    )
    with errors.show_errors():
        names = {one.name for one in labels.saved(collection)}
    free = free_name(names)
    name = (st.text_input("Name", key="labels-name", placeholder=free) or "").strip() or free
    if name in names:
        st.text(f"This replaces the saved labels {one_line(name)}.")
    tag = st.checkbox("Also add each label as a tag", key="labels-tag")
    busy = label_tasks.is_busy(collection.path, SLOT)
    task_name = f"Label {format_count(preview.of, 'picture')}"
    if st.button(f"{task_name} and save", type="primary", disabled=busy, key="labels-go"):
        arguments = options.arguments()

        def task(progress: ProgressCallback, stop: threading.Event) -> SaveResult:
            outcome = labels.label(collection, classes, save=name, tag=tag, progress=progress, stop=stop, **arguments)
            return SaveResult(name, len(outcome.image_ids), outcome.tagged)

        label_tasks.begin(collection.path, SLOT, task_name, task)
        st.session_state[_SAVES_KEY] = st.session_state.get(_SAVES_KEY, 0) + 1
        st.rerun()


def _show_outcome(collection: Collection) -> None:
    outcome = label_tasks.outcome(collection.path, SLOT)
    if isinstance(outcome, SaveResult):
        st.text(f"✓ {outcome.line()}")

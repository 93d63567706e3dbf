"""Train a probe on labelled images, show its predictions, and save them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import streamlit as st

from imseek import probes
from imseek.collection import Collection
from imseek.overview import read_state
from imseek.probes.results import ProbeApplyReport, ProbeInfo, ProbeScore
from imseek.progress import Cancelled, ProgressCallback
from imseek.ui.render.words import format_count
from imseek.ui.web import app_state, job_costs
from imseek.ui.web.components.shelves import shelves
from imseek.ui.web.pages.labels import label_shelves, label_tasks, saved_labels, tag_label_sets
from imseek.ui.web.pages.labels.tag_label_sets import LabelSet
from imseek.ui.web.parts import errors, results
from imseek.ui.web.plain_text import capitalise, one_line

#: Default minimum probability of a tag.
_TAG_THRESHOLD: Final = 0.9


@dataclass(frozen=True, slots=True)
class TrainedProbe:
    """A probe ``applied`` to all images; nothing is stored but the probe itself."""

    info: ProbeInfo
    applied: ProbeApplyReport


def show(name: str, collection: Collection, title: str, probe: ProbeInfo | None) -> None:
    """Draw the predictions of the probe ``title``, in a fragment."""
    slot = f"learn-{title}"
    work = label_tasks.find(collection.path, slot)
    if probe is None and work is None:
        st.text("Not trained yet. Label some pictures of each class, then press Train.")
        return
    if work is None and st.button("Predict all pictures"):
        _apply_to_all(collection, title, slot)
    outcome = label_tasks.outcome(collection.path, slot)
    if isinstance(outcome, TrainedProbe):
        _show_predictions(name, collection, outcome)
        _save(name, collection, outcome, slot)
    elif probe is not None and not label_tasks.is_busy(collection.path, slot):
        st.text(score_line(probe.score))
    if probe is not None:
        _drop(collection, probe.name, slot)


def score_line(score: ProbeScore) -> str:
    """Describe the accuracy of a probe."""
    if score.accuracy is None:
        return "How good it is could not be measured: label two pictures or more of each class."
    accuracy = score.accuracy
    return (
        f"Right for {accuracy.value:.0%} of {score.tested:,} labelled pictures that were held out in turn "
        f"(95 % interval: {accuracy.low:.0%} to {accuracy.high:.0%})."
    )


def show_train_button(
    collection: Collection,
    label_set: LabelSet,
    probe: ProbeInfo | None,
    counts: Mapping[str, int],
    on_begin: Callable[[], None],
) -> None:
    """Draw the button that starts training, with advice; ``on_begin`` is called as it starts."""
    slot = f"learn-{label_set.name}"
    busy = label_tasks.is_busy(collection.path, slot)
    why = tag_label_sets.why_not_learnable(label_set, counts)
    labelled = sum(counts.get(tag, 0) for tag in label_set.tags)
    verb = "Train" if probe is None else "Train again"
    text = f"{verb} on {labelled:,} labels" if why is None else verb

    def start() -> None:
        labels = label_set.labels(counts)

        def task(progress: ProgressCallback, stop: threading.Event) -> TrainedProbe:
            info = probes.fit(collection, label_set.name, labels, force=True, progress=progress, stop=stop)
            return TrainedProbe(info, probes.apply(collection, label_set.name, progress=progress))

        label_tasks.begin(collection.path, slot, f"Training {label_set.name}", task)
        label_tasks.forget(collection.path, f"{slot}-save")
        st.session_state["learn-begun"] = True
        on_begin()

    disabled = why is not None or busy
    st.button(text, type="primary", disabled=disabled, key="learn-go", on_click=start)
    if st.session_state.pop("learn-begun", False):
        st.rerun()  # The whole page, which shows running tasks.
    hints = [tag_label_sets.advice(label_set, counts) if why is None else why]
    if why is None:
        duration = job_costs.describe(1 + job_costs.seconds("label", read_state(collection.path).images))
        hints.append(f"Training, with predictions for all pictures, takes {duration}.")
    if probe is not None and why is None and labelled != sum(probe.counts):
        hints.append(f"It was learned from {sum(probe.counts):,} labels.")
    st.text(one_line(" ".join(filter(None, hints))))


def _apply_to_all(collection: Collection, title: str, slot: str) -> None:
    def task(progress: ProgressCallback, stop: threading.Event) -> TrainedProbe:
        applied = probes.apply(collection, title, progress=progress, stop=stop)
        if applied.interrupted:
            raise Cancelled
        return TrainedProbe(probes.get(collection, title), applied)

    label_tasks.begin(collection.path, slot, "Predicting all pictures", task)
    st.rerun()


def _show_predictions(name: str, collection: Collection, training: TrainedProbe) -> None:
    info, applied = training.info, training.applied
    labels = ", ".join(f"{tag} {n:,}" for tag, n in zip(info.classes, info.counts, strict=True))
    st.text(score_line(info.score))
    st.text(f"Learned from {one_line(labels)}. What it says of {format_count(applied.images, 'picture')}:")
    for note in info.notes:
        st.text(one_line(note))
    none = f"not {', '.join(info.classes)}"[:80]
    shelf_data = label_shelves.shelves(name, collection.path, applied.examples, of=applied.images, none=none)
    like = shelves(
        shelf_data,
        key=f"learned-{name}-{info.name}",
        base=app_state.images_url(name),
        opens=app_state.current_app().opens,
    )
    if unused := label_shelves.unused_labels(applied.examples):
        st.text(f"No pictures: {one_line(', '.join(unused))}")
    if like is not None:
        results.search_like(*like)


def _save(name: str, collection: Collection, training: TrainedProbe, slot: str) -> None:
    info = training.info
    saving = f"{slot}-save"
    busy = label_tasks.is_busy(collection.path, saving)
    with st.container(border=True):
        columns = st.checkbox("Save as columns (for filters)", True, key=f"{slot}-columns")
        tag = st.checkbox("Tag pictures with their class", key=f"{slot}-tag")
        column = info.name
        if columns:
            column = (st.text_input("Column name", info.name, key=f"{slot}-name") or info.name).strip()
        threshold = 0.5 if info.several else _TAG_THRESHOLD
        if tag:
            threshold = st.slider("Minimum probability for tags", 0.05, 0.99, threshold, 0.01, key=f"{slot}-sure")
        st.text("Labels given by people stay unchanged.")
        if st.button("Save", type="primary", disabled=busy or not (columns or tag), key=f"{slot}-go"):

            def task(progress: ProgressCallback, stop: threading.Event) -> ProbeApplyReport | None:
                report = probes.apply(
                    collection,
                    info.name,
                    save=column if columns else None,
                    tag=tag,
                    threshold=threshold if tag else None,
                    progress=progress,
                    stop=stop,
                )
                return None if report.interrupted else report

            label_tasks.begin(collection.path, saving, f"Saving {info.name}", task)
            st.rerun()
        report = label_tasks.outcome(collection.path, saving)
        if isinstance(report, ProbeApplyReport):
            st.text(f"✓ {saved_line(report)}")
            if report.saved is not None:
                saved_labels.show_pictures(report.saved, info.classes, f"{slot}-show")


def saved_line(report: ProbeApplyReport) -> str:
    """Describe what was stored."""
    parts = [] if report.saved is None else [f"saved as the columns {report.saved} and {report.saved}_score"]
    if report.tagged or report.untagged or report.kept or report.saved is None:
        parts.append(f"{report.tagged:,} tags given")
    if report.untagged:
        parts.append(f"{report.untagged:,} of before taken back")
    if report.kept:
        parts.append(f"{report.kept:,} left as people labelled them")
    text = ", ".join(parts)
    return f"{capitalise(text)}."


def _drop(collection: Collection, title: str, slot: str) -> None:
    with st.popover("Delete model"):
        st.text("Deletes the trained model, its columns, and the tags that it added.")
        st.text("Labels given by people stay.")
        if st.button("Delete it", key=f"{slot}-drop", type="primary"):
            with errors.show_errors():
                probes.drop(collection, title)
            for one in (slot, f"{slot}-save"):
                label_tasks.forget(collection.path, one)
            st.session_state.pop("set", None)
            st.rerun()

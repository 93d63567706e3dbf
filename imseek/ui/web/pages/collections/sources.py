"""Sources of a collection: list, update, relocate, remove and add them."""

from __future__ import annotations

import sys
from typing import Any

import streamlit as st

from imseek.collection import Collection
from imseek.library import NamedCollection
from imseek.types.collection_info import CollectionInfo, SourceInfo
from imseek.types.pictures import display_path
from imseek.ui.render.indexing_text import plan_summary
from imseek.ui.render.words import format_count
from imseek.ui.web import background, job_costs
from imseek.ui.web.app_state import current_app
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.components.folders import folders
from imseek.ui.web.pages.collections import create_task, run_status
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import capitalise

_PLAN = "plan"
_THOUSAND = 1000


def show(entry: NamedCollection, info: CollectionInfo) -> None:
    """Draw the sources with their states, then the form to add one."""
    at_work = run_status.running_job(entry)
    busy = at_work is not None
    with st.container():  # Its own container, so that nothing below it moves.
        if busy:
            run_status.show_busy()
    if info.sources:
        with st.container():
            _sources(entry, info.sources, busy)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Update all", type="primary", disabled=busy, key="collections-update-all"):
                run_status.start(entry, create_task.IndexRequest().command())
            files = sum(source.images + source.failures for source in info.sources)
            scan = job_costs.describe(job_costs.seconds("scan", files))
            each = job_costs.describe(job_costs.encoding_seconds(_THOUSAND, basic=has_basic_encoder(info)))
            st.caption(
                "Scans all sources: adds new pictures, removes those whose files are gone. "
                f"Takes {scan}, and {each} for each {_THOUSAND:,} new pictures."
            )
    st.subheader("Add pictures" if info.sources else "Add the first pictures", anchor=False)
    _add(entry, busy, basic=has_basic_encoder(info))
    work = background.find(_PLAN, str(entry.path))
    if work is not None:
        _plan(work)


def has_basic_encoder(info: CollectionInfo) -> bool:
    """Whether pictures are encoded by a basic encoder alone, which takes little time."""
    return all(one.space.quality == "basic" for one in info.spaces if one.space.modality == "image")


def _sources(entry: NamedCollection, sources: tuple[SourceInfo, ...], busy: bool) -> None:
    for source in sources:
        with st.container(border=True):
            st.text(display_path(source.path) or "A list of files and URLs")
            facts = [source.kind, format_count(source.images, "picture")]
            facts += [f"{source.failures:,} not indexed"] if source.failures else []
            st.caption(", ".join(facts) if source.present else ", ".join([*facts, "missing"]))
            if not source.present:
                st.text("⚠️ Missing. Connect its drive if it is not connected, or say where it has moved.")
            with st.container(horizontal=True):
                key = f"{entry.name}-{source.source_id}"
                is_available = source.present and not busy
                if source.path and st.button("Update", key=f"collections-update-{key}", disabled=not is_available):
                    run_status.start(entry, create_task.IndexRequest((_source_text(source),)).command())
                if source.path and st.button("Moved…", key=f"collections-moved-{key}", disabled=busy):
                    _relocate(entry, source)
                if st.button("Remove…", key=f"collections-remove-{key}", disabled=busy):
                    _remove(entry, source)


def _source_text(source: SourceInfo) -> str:
    return source.path.decode("utf-8", "surrogateescape")


@st.dialog("Where has it moved?", width="large")
def _relocate(entry: NamedCollection, source: SourceInfo) -> None:
    st.text(display_path(source.path))
    listing = folders("New location", key=f"collections-new-place-{source.source_id}")
    st.text("Pictures keep their IDs, labels and judgements, and are not encoded again.")
    with st.container(horizontal=True):
        if st.button("Use this folder", type="primary", disabled=listing.chosen is None):
            run_status.start(entry, ("source", "relocate", str(source.source_id), "--", listing.chosen or ""))
        if st.button("Cancel", key="collections-move-no"):
            st.rerun()


@st.dialog("Remove this source?")
def _remove(entry: NamedCollection, source: SourceInfo) -> None:
    st.text(display_path(source.path))
    st.text(
        f"{format_count(source.images, 'picture')} will be removed from the collection, with their tags. "
        "The files stay where they are."
    )
    with st.container(horizontal=True):
        if st.button("Remove from the collection", type="primary"):
            run_status.start(entry, ("source", "remove", str(source.source_id)))
        if st.button("Cancel", key="collections-remove-no"):
            st.rerun()


@st.fragment
def _add(entry: NamedCollection, busy: bool, *, basic: bool) -> None:
    hidden = bool(st.session_state.get("collections-hidden"))
    listing = folders("Folder, picture, archive or table", key=f"collections-add-{entry.name}", hidden=hidden)
    with st.expander("More"):
        skip_known = st.checkbox("Skip pictures that are already in this collection at another location")
        follow = st.checkbox("Follow symbolic links")
        hidden = st.checkbox("Include hidden files and folders", key="collections-hidden")
        rehash = st.checkbox("Read every file again, even if it looks unchanged")
        limit = st.number_input("Maximum number of pictures", min_value=1, value=None, step=100, width=300)
    if listing.chosen is None:
        st.text("No such file or folder yet. Keep typing, or choose a folder.")
    else:
        st.text(f"All pictures in {listing.chosen}")
        if listing.pictures:
            st.text(job_costs.describe_indexing(listing.pictures, basic=basic, more=listing.more))
    paths = [] if listing.chosen is None else [listing.chosen]
    with st.container(horizontal=True):
        add = st.button("Index", type="primary", disabled=busy or not paths, key="collections-index")
        plan = st.button("Preview", disabled=busy or not paths)
    request = create_task.IndexRequest(
        tuple(paths),
        skip_known=skip_known,
        follow_symlinks=follow,
        hidden=hidden,
        rehash=rehash,
        limit=None if limit is None else int(limit),
    )
    if add:
        run_status.start(entry, request.command())
    elif plan:
        _start_plan(entry, request, basic=basic)
        st.rerun()


def _start_plan(entry: NamedCollection, request: create_task.IndexRequest, *, basic: bool) -> None:
    def look(work: BackgroundTask[Any]) -> list[str]:
        work.say(f"Scanning {', '.join(request.paths)}")
        return plan_lines(current_app().open(entry.name), request, basic=basic)

    background.start(_PLAN, str(entry.path), look, f"Planning an update of {entry.name}")


def plan_lines(collection: Collection, request: create_task.IndexRequest, *, basic: bool) -> list[str]:
    """Describe what indexing would do, and how long it would take with a ``basic`` encoder or a better one."""
    report = request.plan(collection)
    lines = plan_summary(report)
    if request.limit is not None and request.limit < report.added + report.changed:
        lines.append(f"at most {format_count(request.limit, 'picture')} would be read now")
    new = min(report.added + report.changed, sys.maxsize if request.limit is None else request.limit)
    if new:
        lines.insert(1, f"indexing takes {job_costs.describe(job_costs.encoding_seconds(new, basic=basic))}")
    return lines


@st.fragment(run_every=0.5)
def _show_planning(work: BackgroundTask[Any]) -> None:
    if not work.running:
        st.rerun()
    st.text(work.message)


def _plan(work: BackgroundTask[Any]) -> None:
    if work.running:
        _show_planning(work)
        return
    with st.container(border=True):
        if work.error is not None:
            errors.show_error(work.error)
        else:
            for line in work.result():
                st.text(capitalise(line))
        if st.button("Hide", key="collections-hide-plan"):
            background.forget(work)
            st.rerun()

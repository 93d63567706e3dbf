"""Forms to make a collection, with an introduction for the first one."""

from __future__ import annotations

import os
from typing import Any

import streamlit as st

from imseek import library
from imseek.errors import ImseekError, MissingExtraError
from imseek.ui.web import background, job_costs
from imseek.ui.web.app_state import current_app
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.components.folders import folders
from imseek.ui.web.folders import FolderListing
from imseek.ui.web.pages.collections import create_task, run_status
from imseek.ui.web.parts import errors, navigation

_OPEN = "collections-new"
_NAME = "collections-name"
_FOLDER = "collections-folder"


def show_welcome() -> None:
    """Draw the first step of a newcomer: a folder, or demo photos. What is made appears on this page."""
    with st.container():
        busy = show_progress()
    st.header("Which pictures do you want to search?", anchor=False)
    st.text(
        "Type, paste or drop the path of a folder, or choose it. The pictures stay where they are, and imseek never "
        "changes them."
    )
    listing = folders("Folder with pictures", key=_FOLDER)
    with st.container(horizontal=True, vertical_alignment="center"):
        path = listing.chosen
        if st.button("Index this folder", type="primary", disabled=busy or path is None) and path is not None:
            command = create_task.IndexRequest((path,)).command()
            _start(create_task.CollectionRequest(create_task.free_name(os.environ), index=command))
        st.page_link(navigation.page("collections"), label="More choices", icon=":material/tune:")
    if listing.pictures:
        st.text(_indexing_cost(listing, create_task.AUTO))
    st.caption("Uses the best model available. You can search as soon as the first pictures are indexed.")
    _show_demo(busy=busy)


def show_first_run(*, busy: bool) -> None:
    """Draw the introduction, for a library without collections."""
    st.header("Create your first collection", anchor=False)
    st.text(
        "A collection makes the pictures in your folders searchable. The pictures stay where they are, and imseek "
        "never changes them."
    )
    _show_demo(busy=busy)
    show_form(busy=busy)


def _show_demo(*, busy: bool) -> None:
    try:
        request = create_task.demo_request()
    except MissingExtraError as error:
        st.caption("Demo photos come with an extra:")
        st.text(error.hint or str(error))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Try it with demo photos", disabled=busy):
            _start(request)
        st.caption("19 photos that are already on this computer. Takes less than a minute.")


def show_switch(*, busy: bool) -> None:
    """Draw the switch of the form for another collection, and the form where it is on."""
    if st.toggle("New collection", key=_OPEN):
        show_form(busy=busy)
        st.divider()


def show_form(*, busy: bool) -> None:
    """Draw the form: name, folder, encoder. ``busy`` while a collection is being made."""
    with st.container(border=True):
        _form(busy)


@st.fragment
def _form(busy: bool) -> None:
    if _NAME not in st.session_state:
        st.session_state[_NAME] = create_task.free_name(os.environ)
    name = (st.text_input("Name", key=_NAME, live="300ms", max_chars=64, disabled=busy, width=400) or "").strip()
    problem = create_task.name_problem(name, os.environ)
    with st.container():  # Its own container, so that nothing below it moves.
        if problem and not busy:
            st.text(f"⚠️ {problem}")
    listing = folders("Folder with pictures", key=_FOLDER)
    if listing.chosen is None:
        st.text("No such file or folder yet. Keep typing, or choose a folder.")
    else:
        st.text(f"All pictures in {listing.chosen} and the folders below it will be indexed.")
    encoder = _encoder(busy)
    if listing.pictures:
        st.text(_indexing_cost(listing, encoder))
    with st.expander("More"):
        captions = st.checkbox(
            "Also search captions",
            help="Compares your words with captions too, from the pictures or from files beside them.",
            disabled=busy,
        )
    with st.container(horizontal=True):
        is_ready = not busy and not problem
        create_and_index = st.button(
            "Create and index", type="primary", disabled=not is_ready or listing.chosen is None
        )
        create_empty = st.button("Create empty", disabled=not is_ready)
    if create_and_index and listing.chosen is not None:
        _start(
            create_task.CollectionRequest(
                name, encoder, captions, create_task.IndexRequest((listing.chosen,)).command()
            )
        )
    elif create_empty:
        _start(create_task.CollectionRequest(name, encoder, captions))


def _indexing_cost(listing: FolderListing, encoder: str) -> str:
    """Say how long it takes to index the chosen folder with an encoder."""
    return job_costs.describe_indexing(listing.pictures, basic=encoder == create_task.BUILTIN, more=listing.more)


def _encoder(busy: bool) -> str:
    """Draw the choice of an encoder with its costs, since it is permanent; returns a reference."""
    choices = {choice.reference: choice for choice in create_task.encoder_choices()}
    reference: str = st.selectbox(
        "Encoder",
        list(choices),
        format_func=lambda reference: choices[reference].label,
        help="The model that compares pictures with words. To change it later, all pictures are encoded again.",
        disabled=busy,
        width=400,
    )
    with st.container(gap="xsmall"):
        for line in choices[reference].facts:
            st.text(line)
    return reference


def _start(request: create_task.CollectionRequest) -> None:
    try:
        create_task.start(request, os.environ, current_app().runtime)
    except ImseekError as error:
        errors.show_error(error)
        return
    st.rerun()


def show_progress() -> bool:
    """Show the collections being made, and return whether there are any. One that is ready becomes the chosen one."""
    busy = False
    for name, work in background.of_kind(create_task.KIND).items():
        if work.running:
            busy = True
            _progress(name, work)
        else:
            _finish(name, work)
    return busy


@st.fragment(run_every=0.5)
def _progress(name: str, work: BackgroundTask[Any]) -> None:
    if not work.running:
        st.rerun()
    with st.container(border=True):
        st.text(f"{work.name}…")
        if work.share is not None:
            st.progress(work.share)
        st.text(work.message)
        if st.button("Stop", key=f"collections-stop-{name}"):
            work.stop()
        st.caption("A stopped download resumes next time.")


def _finish(name: str, work: BackgroundTask[Any]) -> None:
    """Handle a task that has ended: show its error, or go on to the new collection."""
    if work.error is None:
        background.forget(work)
        if not work.stopped:
            st.session_state.pop(_NAME, None)
            st.session_state[_OPEN] = False  # If it were deleted, the browser would keep the form open.
            navigation.choose(name)
            if (job := work.result()) is not None:
                run_status.follow_run(library.path_for(name, os.environ), job)
            st.rerun()
        st.toast("Stopped: nothing was created")
        return
    with st.container(border=True):
        st.text(f"The collection {name} could not be created or filled:")
        errors.show_error(work.error)
        if st.button("Dismiss", key=f"collections-understood-{name}"):
            background.forget(work)
            st.rerun()

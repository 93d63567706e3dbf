"""Runs of a collection: the current one, whoever started it, and earlier ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from imseek import jobs
from imseek.errors import ImseekError
from imseek.jobs import Job
from imseek.library import Named
from imseek.showing.words import count
from imseek.ui.web import shell
from imseek.ui.web.hub import hub
from imseek.ui.web.pages.collections import telling
from imseek.ui.web.pages.collections.creating import with_runtime

#: Polling intervals in seconds: of a running job, and for new jobs.
_OFTEN = 1.0
_SELDOM = 5.0
#: Seconds after the end of a run during which its log may still grow.
_AFTERWARDS = 15.0
#: Number of recent runs among which the followed one is looked for.
_LOOKED_AT = 20
_ASKED = "collections-asked-to-stop"
_STARTED = "collections-started"


def start(named: Named, command: Sequence[str]) -> None:
    """Run ``imseek COMMAND`` as a job and follow it; errors are shown."""
    try:
        with st.spinner("Starting"):
            job = jobs.start(named.path, with_runtime(command, hub().runtime))
    except ImseekError as error:
        shell.refused(error)
        return
    look_at(named.path, job)
    st.rerun()


def look_at(path: Path, job: Job) -> None:
    """Follow a run of the collection at ``path``: show its progress and its end, however soon it ends."""
    st.session_state[_STARTED] = (str(path), job.run_id)


def is_at_work(named: Named) -> Job | None:
    """Return the current run, None if there is none."""
    return next((job for job in jobs.list(named.path, limit=1) if job.state == jobs.RUNNING), None)


def show(named: Named) -> None:
    """Draw the current run, or the last one that the user followed once it has ended. Raises StorageError."""
    job = next(iter(jobs.list(named.path, limit=1)), None)
    if job is not None and job.state == jobs.RUNNING and not _is_ours(job):
        look_at(named.path, job)
    seen = _state(job)
    st.fragment(_show, run_every=_OFTEN if seen.changing else _SELDOM)(named, seen)


@dataclass(frozen=True, slots=True)
class _State:
    """State of the last run that the rest of the page depends on."""

    run_id: int = 0
    state: str = ""
    changing: bool = False


def _state(job: Job | None) -> _State:
    if job is None:
        return _State()
    # A process writes its result a moment after its run has ended.
    just = job.ended is not None and telling.seconds_between(job.ended) < _AFTERWARDS
    return _State(job.run_id, job.state, job.state == jobs.RUNNING or just)


def _show(named: Named, seen: _State) -> None:
    try:
        found = jobs.list(named.path, limit=_LOOKED_AT)
    except ImseekError as error:
        shell.refused(error)
        return
    now = next(iter(found), None)
    if _state(now) != seen:
        st.rerun()  # The whole page, since the collection has changed.
    if now is None:
        return
    if now.state == jobs.RUNNING:
        if not _is_ours(now):
            with st.container(border=True, key="collections-run"):
                _under_way(named, now)
        return
    for job in found:
        if st.session_state.get(_STARTED) == (str(named.path), job.run_id):
            with st.container(border=True, key="collections-ended"):
                _ended(named, job)


def _is_ours(job: Job) -> bool:
    """Return whether the run is a dry run of this process, which the page shows elsewhere."""
    return job.pid == os.getpid()


def _under_way(named: Named, job: Job) -> None:
    told = telling.told(job)
    st.text(told.what)
    st.progress(told.share or 0.0)
    st.text(told.how)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.session_state.get(_ASKED) == (str(named.path), job.run_id):
            st.text("Asked to stop: what is under way is committed first.")
        elif st.button("Stop", key="collections-cancel"):
            try:
                jobs.cancel(named.path, job.run_id)
            except ImseekError as error:
                shell.refused(error)
            else:
                st.session_state[_ASKED] = (str(named.path), job.run_id)
                st.rerun(scope="fragment")
        here = "in the background" if job.log is not None else "started in a terminal"
        st.caption(f"run {job.run_id}, process {job.pid}, {here}; it goes on when this page is closed")
    _log(job)


def _ended(named: Named, job: Job) -> None:
    told = telling.told(job)
    st.text(told.what if not told.how else f"{told.what} ({told.how})")
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.kind == "index" and job.state != jobs.FAILED:
            st.page_link(
                shell.page("search"), label="Search these pictures →", query_params={shell.CHOSEN: named.name}
            )
        if st.button("Hide", key="collections-hide"):
            st.session_state.pop(_STARTED, None)
            st.rerun(scope="fragment")
    _log(job, ended=True)


def _log(job: Job, *, ended: bool = False) -> None:
    said = telling.log_of(job)
    if said:
        with st.expander("What it said", expanded=ended):
            st.code(said, language=None, wrap_lines=True, height=240 if said.count("\n") > 8 else "content")


def show_busy() -> None:
    """Say why buttons are disabled."""
    st.text(
        "Something is being done to this collection, as shown above: nothing can be changed until it ends."
    )


def show_all(named: Named) -> None:
    """Draw the table of recent runs, and their logs."""
    found = jobs.list(named.path, limit=50)
    if not found:
        st.text("Nothing has been run on this collection yet.")
        return
    rows = []
    for job in found:
        told = telling.told(job)
        rows.append(
            {
                "run": job.run_id,
                "what": told.what,
                "how far": told.how,
                "started": telling.moment(job.started),
                "ended": telling.moment(job.ended or ""),
            }
        )
    st.dataframe(rows, hide_index=True, alt=f"{count(len(rows), 'run')}, the newest first")
    logged = [job for job in found if job.log is not None]
    if logged:
        known = {job.run_id: job for job in logged}
        run_id = st.selectbox("What a run said", list(known), width=200, key="collections-which-log")
        st.code(telling.log_of(known[run_id]) or "nothing", language=None, wrap_lines=True)

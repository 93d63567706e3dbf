"""Runs of a collection: the current one, whoever started it, and earlier ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from imseek import jobs
from imseek.errors import ImseekError
from imseek.jobs import Job
from imseek.library import NamedCollection
from imseek.ui.render.words import format_count
from imseek.ui.web.app_state import current_app
from imseek.ui.web.pages.collections import run_descriptions
from imseek.ui.web.pages.collections.create_task import with_runtime
from imseek.ui.web.parts import errors, navigation
from imseek.ui.web.plain_text import local_time

#: Polling intervals in seconds: of a running job, and for new jobs.
_POLL_RUNNING = 1.0
_POLL_IDLE = 5.0
#: Seconds after the end of a run during which its log may still grow.
_LOG_GRACE = 15.0
#: Number of recent runs among which the followed one is looked for.
_MAX_RUNS_BACK = 20
_CANCELLED_KEY = "collections-asked-to-stop"
_FOLLOWED_KEY = "collections-started"


def start(entry: NamedCollection, command: Sequence[str]) -> None:
    """Run ``imseek COMMAND`` as a job and follow it; errors are shown."""
    try:
        with st.spinner("Starting…"):
            job = jobs.start(entry.path, with_runtime(command, current_app().runtime))
    except ImseekError as error:
        errors.show_error(error)
        return
    follow_run(entry.path, job)
    st.rerun()


def follow_run(path: Path, job: Job) -> None:
    """Follow a run of the collection at ``path``: show its progress and its end, however soon it ends."""
    st.session_state[_FOLLOWED_KEY] = (str(path), job.run_id)


def running_job(entry: NamedCollection) -> Job | None:
    """Return the current run, None if there is none."""
    return next((job for job in jobs.list(entry.path, limit=1) if job.state == jobs.RUNNING), None)


def show(entry: NamedCollection) -> None:
    """Draw the current run, or the last one that the user followed once it has ended. Raises StorageError."""
    job = next(iter(jobs.list(entry.path, limit=1)), None)
    if job is not None and job.state == jobs.RUNNING and not _is_ours(job):
        follow_run(entry.path, job)
    st.fragment(_show, run_every=_POLL_RUNNING if _is_changing(job) else _POLL_IDLE)(entry, _state(job))


def _state(job: Job | None) -> tuple[int, str]:
    """Return what the rest of the page depends on: the last run, and its state."""
    return (0, "") if job is None else (job.run_id, job.state)


def _is_changing(job: Job | None) -> bool:
    if job is None or job.state == jobs.RUNNING:
        return job is not None
    # A process writes its result a moment after its run has ended.
    return job.ended is not None and run_descriptions.seconds_between(job.ended) < _LOG_GRACE


def _show(entry: NamedCollection, last_state: tuple[int, str]) -> None:
    try:
        runs = jobs.list(entry.path, limit=_MAX_RUNS_BACK)
    except ImseekError as error:
        errors.show_error(error)
        return
    current = next(iter(runs), None)
    if _state(current) != last_state:
        st.rerun()  # The whole page, since the collection has changed. It closes dialogs.
    if current is None:
        return
    if current.state == jobs.RUNNING:
        if not _is_ours(current):
            with st.container(border=True, key="collections-run"):
                _show_running(entry, current)
        return
    for job in runs:
        if st.session_state.get(_FOLLOWED_KEY) == (str(entry.path), job.run_id):
            with st.container(border=True, key="collections-ended"):
                _show_ended(entry, job)


def _is_ours(job: Job) -> bool:
    """Return whether the run is a dry run of this process, which the page shows elsewhere."""
    return job.pid == os.getpid()


def _show_running(entry: NamedCollection, job: Job) -> None:
    summary = run_descriptions.summarise_run(job)
    st.text(summary.title)
    st.progress(summary.share or 0.0)
    st.text(summary.detail)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.session_state.get(_CANCELLED_KEY) == (str(entry.path), job.run_id):
            st.text("Stopping: finishing the current batch…")
        elif st.button("Stop", key="collections-cancel"):
            try:
                jobs.cancel(entry.path, job.run_id)
            except ImseekError as error:
                errors.show_error(error)
            else:
                st.session_state[_CANCELLED_KEY] = (str(entry.path), job.run_id)
                st.rerun(scope="fragment")
        origin = "in the background" if job.log is not None else "started in a terminal"
        st.caption(f"Run {job.run_id}, process {job.pid}, {origin}. It continues if you close this page.")
    _log(job)


def _show_ended(entry: NamedCollection, job: Job) -> None:
    summary = run_descriptions.summarise_run(job)
    st.text(summary.title if not summary.detail else f"{summary.title} ({summary.detail})")
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.kind == "index" and job.state != jobs.FAILED:
            st.page_link(
                navigation.page("search"),
                label="Search these pictures →",
                query_params={navigation.COLLECTION_KEY: entry.name},
            )
        if st.button("Hide", key="collections-hide"):
            st.session_state.pop(_FOLLOWED_KEY, None)
            st.rerun(scope="fragment")
    _log(job, ended=True)


def _log(job: Job, *, ended: bool = False) -> None:
    log = run_descriptions.log_of(job)
    if log:
        with st.expander("Log", expanded=ended):
            st.code(log, language=None, wrap_lines=True, height=240 if log.count("\n") > 8 else "content")


def show_busy() -> None:
    """Say why buttons are disabled."""
    st.text("This collection is busy (see above). You can change it when that has finished.")


def show_all(entry: NamedCollection) -> None:
    """Draw the table of recent runs, and their logs."""
    runs = jobs.list(entry.path, limit=50)
    if not runs:
        st.text("No runs yet.")
        return
    rows = []
    for job in runs:
        summary = run_descriptions.summarise_run(job)
        rows.append(
            {
                "run": job.run_id,
                "what": summary.title,
                "progress": summary.detail,
                "started": local_time(job.started),
                "ended": local_time(job.ended or ""),
            }
        )
    st.dataframe(rows, hide_index=True, alt=f"{format_count(len(rows), 'run')}, the newest first")
    logged = [job for job in runs if job.log is not None]
    if logged:
        jobs_by_id = {job.run_id: job for job in logged}
        run_id = st.selectbox("Log of run", list(jobs_by_id), width=200, key="collections-which-log")
        st.code(run_descriptions.log_of(jobs_by_id[run_id]) or "nothing", language=None, wrap_lines=True)

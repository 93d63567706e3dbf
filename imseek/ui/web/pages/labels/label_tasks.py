"""Background tasks of the labels page, one at a time per slot of a collection."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from imseek.progress import ProgressCallback
from imseek.ui.web import background
from imseek.ui.web.background import BackgroundTask
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import one_line

#: Takes a progress callback and an event that asks it to stop. If stopped, it raises InterruptedError or returns None.
Work: TypeAlias = Callable[[ProgressCallback, threading.Event], Any]

_KIND: Final = "labels"
_PHASES = {"words": "Reading class names", "labels": "Labelling", "labelling": "Looking at pictures"}


def begin(root: Path, slot: str, title: str, work: Work) -> BackgroundTask[Any]:
    """Start a task, unless one is running in the same ``slot`` of the collection; returns the running task."""
    return background.start(_KIND, (root, slot), lambda task: work(task.tell, task.stop_event), title)


def find(root: Path, slot: str) -> BackgroundTask[Any] | None:
    return background.find(_KIND, (root, slot))


def forget(root: Path, slot: str) -> None:
    """Discard the result of a slot."""
    if (task := find(root, slot)) is not None:
        background.forget(task)


def is_busy(root: Path, slot: str) -> bool:
    task = find(root, slot)
    return task is not None and task.running


def outcome(root: Path, slot: str) -> Any:
    """Return the result of the last task of a slot, None if there is none yet. Errors are drawn."""
    task = find(root, slot)
    if task is None or task.running:
        return None
    if task.error is not None:
        errors.show_error(task.error)
    elif task.stopped or task.result() is None:
        st.text(f"{task.name}: stopped. Nothing was stored.")
    else:
        return task.result()
    return None


def describe_progress(task: BackgroundTask[Any]) -> tuple[float | None, str]:
    """Return the progress of a task from 0 to 1 (None if unknown), and a line that describes it."""
    progress = task.progress
    if progress is None:
        return None, f"{task.name} …"
    phase = _PHASES.get(progress.phase, progress.phase.capitalize())
    if not progress.total:
        return None, f"{task.name}: {phase.lower()} …"
    share = min(1.0, progress.done / progress.total)
    return share, f"{task.name}: {phase.lower()}, {progress.done:,} of {progress.total:,}"


def show_running(root: Path) -> None:
    """Draw the running tasks of a collection. The page reruns when one has ended.

    Call it in the page, not in a fragment, where fragments that rerun by themselves may stop doing so.
    """
    for (path, slot), task in background.of_kind(_KIND).items():
        if path == root and task.running:
            _show_task(task, slot)


@st.fragment(run_every=1.0)
def _show_task(task: BackgroundTask[Any], slot: str) -> None:
    if not task.running:
        st.rerun()
    share, line = describe_progress(task)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(one_line(line))
        if st.button("Stop", key=f"{slot}-stop", disabled=task.stopping):
            task.stop()
    st.progress(0.0 if share is None else share)

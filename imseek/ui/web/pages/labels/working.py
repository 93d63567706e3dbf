"""Work on labels that goes on while the page is looked at: one of each slot of a collection at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

import streamlit as st

from imseek.types import ProgressCallback
from imseek.ui.web import background, shell
from imseek.ui.web.background import Task
from imseek.ui.web.plain import one_line

#: Is given what hears of progress, and what asks for an end; where it has heeded that, it raises InterruptedError or
#: returns None.
Work: TypeAlias = Callable[[ProgressCallback, threading.Event], Any]

_KIND: Final = "labels"
_PHASES = {"words": "Reading class names", "labels": "Labelling", "labelling": "Looking at pictures"}


def begin(root: Path, slot: str, what: str, work: Work) -> Task[Any]:
    """Start it, unless something is under way in the same ``slot`` of the collection; returns that, or the new one."""
    return background.start(_KIND, (root, slot), lambda task: work(task.tell, task.stop_asked), what)


def find(root: Path, slot: str) -> Task[Any] | None:
    return background.find(_KIND, (root, slot))


def forget(root: Path, slot: str) -> None:
    """Its result is of no interest any more."""
    if (task := find(root, slot)) is not None:
        background.forget(task)


def is_busy(root: Path, slot: str) -> bool:
    task = find(root, slot)
    return task is not None and task.running


def outcome(root: Path, slot: str) -> Any:
    """What the last work of the slot has given, None where there is nothing yet. What went wrong is drawn."""
    task = find(root, slot)
    if task is None or task.running:
        return None
    if task.error is not None:
        shell.refused(task.error)
    elif task.stopped or task.result() is None:
        st.text(f"{task.name}: stopped. Nothing was stored.")
    else:
        return task.result()
    return None


def told(task: Task[Any]) -> tuple[float | None, str]:
    """How much of it is done, from 0 to 1, None where that is not known; and a line about it."""
    progress = task.progress
    if progress is None:
        return None, f"{task.name} …"
    phase = _PHASES.get(progress.phase, progress.phase.capitalize())
    if not progress.total:
        return None, f"{task.name}: {phase.lower()} …"
    share = min(1.0, progress.done / progress.total)
    return share, f"{task.name}: {phase.lower()}, {progress.done:,} of {progress.total:,}"


def watch(root: Path) -> None:
    """Draw what is under way on a collection, in a page and not in a fragment of it: there, fragments that run by
    themselves may stop to. The page runs again when it has ended."""
    for (path, slot), task in background.of_kind(_KIND).items():
        if path == root and task.running:
            _watch(task, slot)


@st.fragment(run_every=1.0)
def _watch(task: Task[Any], slot: str) -> None:
    if not task.running:
        st.rerun()
    share, line = told(task)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(one_line(line))
        if st.button("Stop", key=f"{slot}-stop", disabled=task.stopping):
            task.stop()
    st.progress(0.0 if share is None else share)

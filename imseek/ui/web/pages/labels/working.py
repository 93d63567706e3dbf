"""Work that a page has begun and does not wait for: in a thread, with its progress, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import streamlit as st

from imseek.errors import ImseekError
from imseek.types import Progress, ProgressCallback
from imseek.ui.web import shell
from imseek.ui.web.plain import one_line

#: Is given what hears of progress, and what asks for an end: it then raises InterruptedError.
Task: TypeAlias = Callable[[ProgressCallback, threading.Event], Any]

_PHASES = {"words": "Reading class names", "labels": "Labelling", "labelling": "Looking at pictures"}


@dataclass
class Work:
    """``what`` it does, for people. After its end ``result`` or ``error`` is there; neither, where it was stopped."""

    what: str
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    result: Any = None
    error: Exception | None = None
    ended: bool = False
    thread: threading.Thread | None = None

    def run(self, task: Task) -> None:
        try:
            self.result = task(self._heard, self.stop)
        except InterruptedError:
            pass
        except Exception as error:
            self.error = error
        finally:
            self.ended = True

    def _heard(self, progress: Progress) -> None:
        self.progress = progress

    def told(self) -> tuple[float | None, str]:
        """How much of it is done, from 0 to 1, None where that is not known; and a line about it."""
        if self.progress is None:
            return None, f"{self.what} …"
        phase = _PHASES.get(self.progress.phase, self.progress.phase.capitalize())
        if not self.progress.total:
            return None, f"{self.what}: {phase.lower()} …"
        share = min(1.0, self.progress.done / self.progress.total)
        if share == 1:
            return share, f"{self.what}: nearly done …"
        return share, f"{self.what}: {phase.lower()}, {self.progress.done:,} of {self.progress.total:,}"


# Of this process, not of a session: who loads the page anew sees what is under way.
_works: dict[tuple[Path, str], Work] = {}


def begin(root: Path, slot: str, what: str, task: Task) -> Work:
    """Start it, unless something is under way in the same ``slot`` of the collection; returns that, or the new one."""
    under_way = _works.get((root, slot))
    if under_way is not None and not under_way.ended:
        return under_way
    work = _works[root, slot] = Work(what)
    work.thread = threading.Thread(target=work.run, args=(task,), name=f"imseek {slot}", daemon=True)
    work.thread.start()
    return work


def find(root: Path, slot: str) -> Work | None:
    return _works.get((root, slot))


def forget(root: Path, slot: str) -> None:
    """Its result is of no interest any more."""
    _works.pop((root, slot), None)


def outcome(root: Path, slot: str) -> Any:
    """What the last work of the slot has given, None where there is nothing yet. What went wrong is drawn."""
    work = find(root, slot)
    if work is None or not work.ended:
        return None
    if isinstance(work.error, ImseekError):
        shell.refused(work.error)
    elif work.error is not None:
        forget(root, slot)
        shell.on_error(work.error)
    elif work.result is None:
        st.text(f"{work.what}: stopped. Nothing was stored.")
    return work.result


def watch(root: Path) -> None:
    """Draw what is under way on a collection, in a page and not in a fragment of it: there, fragments that run by
    themselves may stop to. The page runs again when it has ended."""
    for (path, slot), work in list(_works.items()):
        if path == root and not work.ended:
            _watch(work, slot)


@st.fragment(run_every=1.0)
def _watch(work: Work, slot: str) -> None:
    if work.ended:
        st.rerun()
    share, line = work.told()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(one_line(line))
        if st.button("Stop", key=f"{slot}-stop", disabled=work.stop.is_set()):
            work.stop.set()
    st.progress(0.0 if share is None else share)

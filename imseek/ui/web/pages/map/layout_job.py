"""Jobs that lay out a map: form, estimated time, progress and outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final

import streamlit as st

from imseek import jobs
from imseek.errors import ImseekError, MissingExtraError
from imseek.maps import MAX_FITTED
from imseek.ui.web import job_costs
from imseek.ui.web.parts import errors
from imseek.ui.web.plain_text import capitalise

#: Seconds of processor time (docs/maps.md): fixed, and per image that is fitted, placed or projected.
_START: Final = 1.5
_FIT_SECONDS: Final = 0.0014
_TRANSFORM_SECONDS: Final = 0.0003
_PCA_SECONDS: Final = 0.00002


@dataclass(frozen=True, slots=True)
class LayoutTask:
    """A running job; ``title`` describes it."""

    title: str
    launched: jobs.Launched


#: By path of the collection. Kept by process, so that a reloaded page finds them.
_tasks: dict[Path, LayoutTask] = {}
_lock = Lock()


def estimate(method: str, images: int) -> float:
    """Estimate the seconds that it takes to lay out a map."""
    if method == "pca":
        return 1 + images * _PCA_SECONDS
    return _START + min(images, MAX_FITTED) * _FIT_SECONDS + max(0, images - MAX_FITTED) * _TRANSFORM_SECONDS


def describe_placing(images: int) -> str:
    """Say how long it takes to place ``images`` among those of a map."""
    return job_costs.describe(_START + images * _TRANSFORM_SECONDS)


def start(root: Path, title: str, arguments: Sequence[str]) -> None:
    """Run ``imseek map ARGUMENTS`` for a collection in a process of its own. Raises ImseekError."""
    with _lock:
        before = _tasks.get(root)
        if before is None or before.launched.ended:
            _tasks[root] = LayoutTask(title, jobs.launch(root, ["map", *arguments, "--json"]))


def is_running(root: Path) -> bool:
    return root in _tasks


def missing_extra(method: str) -> MissingExtraError | None:
    """Return the error that names the missing extra of this method, None if nothing is missing."""
    return MissingExtraError("UMAP", "explore") if method == "umap" and find_spec("scipy") is None else None


@st.fragment(run_every=1.0)
def show_progress(root: Path) -> None:
    """Show progress until the job has ended; then the whole page is drawn again."""
    task = _tasks.get(root)
    if task is None:
        return
    if task.launched.ended:
        with _lock:
            if _tasks.get(root) is task:  # Another tab may have been first, or have started again.
                del _tasks[root]
        st.session_state[_OUTCOME_KEY] = task.launched.error or (
            "Stopped. What was ready by then is kept." if task.launched.exit_code else ""
        )
        st.rerun()
    progress = task.launched.progress
    done, total = progress.get("done"), progress.get("total")
    share = done / total if isinstance(done, int) and isinstance(total, int) and total > 0 else 0.0
    phase = str(progress.get("phase", "starting"))
    with st.container(border=True):
        st.text(task.title)
        st.progress(min(1.0, max(0.0, share)), text=f"{capitalise(phase)} …")
        st.text("It continues if you close this page. You can use other pages meanwhile.")
        if st.button("Stop", key="map-stop"):
            task.launched.stop()
            st.text("Stopping…")


_OUTCOME_KEY: Final = "map-ended"


def show_outcome() -> None:
    """Show the outcome of the last job, once."""
    outcome = st.session_state.pop(_OUTCOME_KEY, "")
    if isinstance(outcome, ImseekError):
        errors.show_error(outcome)
    elif outcome:
        st.info(outcome)


def show_form(root: Path, images: int, *, key: str, name: str = "map", again: bool = False) -> None:
    """Draw a form that lays out a map under ``name``."""
    methods = {
        "umap": f"By neighbours (UMAP): those that look alike lie together. Takes {_takes('umap', images)}.",
        "pca": f"A first look (PCA): the two directions in which they differ most. Takes {_takes('pca', images)}.",
    }
    method = st.radio(
        "How", list(methods), format_func=methods.__getitem__, key=f"{key}-way", label_visibility="collapsed"
    )
    lacks = missing_extra(method)
    if lacks is not None:
        errors.show_error(lacks)
    near = 15
    if method == "umap":
        near = st.slider(
            "Neighbours",
            5,
            100,
            15,
            key=f"{key}-near",
            help="How many neighbours count: more show the overall structure, fewer the details.",
        )
    map_name = name
    if not again:
        map_name = st.text_input(
            "Name", name, key=f"{key}-name", help="Lower-case letters, digits and _, beginning with a letter."
        ).strip()
    if st.button("Build the map", type="primary", disabled=lacks is not None or not map_name, key=f"{key}-go"):
        arguments = ["--method", method, "--name", map_name, *(["--refit"] if again else [])]
        if method == "umap":
            arguments += ["--neighbours", str(near)]
        with errors.show_errors():
            start(root, f"Laying out {images:,} pictures", arguments)
        st.rerun()


def _takes(method: str, images: int) -> str:
    return job_costs.describe(estimate(method, images))

"""Route that reports all collections and their running jobs as JSON, which the top bar of every page polls."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from imseek import jobs
from imseek.errors import ImseekError
from imseek.jobs import Job
from imseek.library import NamedCollection
from imseek.overview import read_state
from imseek.ui.web import background
from imseek.ui.web.app_state import AppState
from imseek.ui.web.plain_text import capitalise, one_line

STATE_PATH: Final = "/state"
#: Identifies this process, so that a page notices that it talks to another one.
_PROCESS: Final = secrets.token_hex(8)
#: Seconds for which a run that has ended is still reported, with its outcome.
_ENDED_SECONDS: Final = 60.0


def state_route(app: AppState) -> Route:
    """Return the route of :data:`STATE_PATH`."""

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(describe, app), headers={"Cache-Control": "no-store"})

    return Route(STATE_PATH, answer)


def describe(app: AppState) -> dict[str, Any]:
    """Return ``process``, ``collections`` with counts and states, and ``tasks``, running or just ended."""
    collections, tasks = [], []
    for entry in app.collections():
        description, job = _describe_collection(entry)
        collections.append(description)
        if job is not None:
            tasks.append(job)
    return {"process": _PROCESS, "collections": collections, "tasks": [*tasks, *_background_tasks()]}


def _describe_collection(entry: NamedCollection) -> tuple[dict[str, Any], dict[str, Any] | None]:
    try:
        images = read_state(entry.path).images
        job = next(iter(jobs.list(entry.path, limit=1)), None)
    except ImseekError:
        return {"name": entry.name, "images": None, "state": "cannot be opened"}, None
    task = None if job is None else _describe_job(entry.name, job)
    running = task is not None and task["state"] == "running"
    return {"name": entry.name, "images": images, "state": f"{task['what']}…" if task and running else ""}, task


def _describe_job(collection: str, job: Job) -> dict[str, Any] | None:
    from imseek.ui.web.pages.collections import run_descriptions

    state = {jobs.RUNNING: "running", jobs.DONE: "done", jobs.INTERRUPTED: "stopped"}.get(job.state, "failed")
    if job.ended is not None and run_descriptions.seconds_between(job.ended) > _ENDED_SECONDS:
        return None
    summary = run_descriptions.summarise_run(job)
    return {
        "id": f"{collection}-{job.run_id}",
        "collection": collection,
        "what": summary.title,
        "how": summary.detail,
        "share": summary.share,
        "state": state,
    }


def _background_tasks() -> Iterator[dict[str, Any]]:
    for task in background.tasks():
        progress = task.progress
        share = task.share
        if share is None and progress is not None and progress.total:
            share = min(progress.done / progress.total, 1.0)
        state = "running" if task.running else "failed" if task.error else "stopped" if task.stopped else "done"
        yield {
            "id": f"task-{id(task)}",
            "collection": "",
            "what": capitalise(one_line(task.name)),
            "how": one_line(task.message) if task.error is None else one_line(str(task.error)),
            "share": share,
            "state": state,
        }

"""Check that a plan belongs to this collection and names no files outside its sources."""

from __future__ import annotations

import os
from pathlib import Path

from imseek.data.catalog.place_paths import is_url
from imseek.data.catalog.quarantined_duplicates import LiveSource, find_past_places, live_sources
from imseek.data.catalog.sources import contains
from imseek.data.current_generation import read_current
from imseek.duplicates.actions.plans import FILE_SOURCE_KINDS, Plan, check_quarantine_folder
from imseek.errors import PlanError
from imseek.types.pictures import display_path


def check_plan(root: Path, plan: Plan) -> None:
    """Raise PlanError, naming the entry, if the plan must not be carried out. Nothing is touched."""
    current = read_current(root)
    if plan.collection != current.uuid:
        raise PlanError("the plan was made for another collection")
    plan.check()
    if plan.to is not None:
        check_quarantine_folder(root, plan.to)
    sources = [s for s in live_sources(root).values() if s.kind in FILE_SOURCE_KINDS and not is_url(s.root)]
    paths = {file.path for group in plan.groups for file in (group.keeper, *group.files)}
    # The files of a list source may be anywhere: the catalog knows them.
    listed_paths = {
        path for s in sources if s.kind == "list" for path in find_past_places(root, s.source_id, sorted(paths))
    }
    folders = [source for source in sources if source.kind != "list"]
    for number, group in enumerate(plan.groups, start=1):
        for file in (group.keeper, *group.files):
            if file.collection is not None:
                continue
            entry = f"group {number}, {display_path(file.path)}"
            if file.image_id >= current.next_image_id:
                raise PlanError(f"{entry}: there never was an image {file.image_id}")
            if file.path not in listed_paths and not any(_source_holds(s, file.path) for s in folders):
                raise PlanError(f"{entry}: it lies outside the sources of the collection")


def _source_holds(source: LiveSource, path: bytes) -> bool:
    """Return whether a path is inside a source, both by name and after resolving links in its folder."""
    if not contains(source.root, path):
        return False
    real = os.path.realpath(os.path.dirname(path))
    inside = os.path.dirname(source.root) if source.kind == "file" else source.root
    return contains(os.path.realpath(inside), real)

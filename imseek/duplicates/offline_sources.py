"""Tell which sources of duplicates are not there, such as a disk that is not plugged in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from imseek.data.catalog.place_paths import is_url
from imseek.data.catalog.quarantined_duplicates import LiveSource, live_sources
from imseek.duplicates.results import DuplicateGroup
from imseek.types.pictures import display_path


def is_missing(source: LiveSource) -> bool:
    """Return whether a source's folder or file is not there; one on the web, or without a place of its own, is."""
    return bool(source.root) and not is_url(source.root) and not os.path.exists(source.root)


def describe_missing(source: LiveSource) -> str:
    """Return the reason why nothing can be done to the files of a source."""
    return f"its source {display_path(source.root)} is not there"


def missing_notes(groups: Sequence[DuplicateGroup], roots: Mapping[str, Path]) -> tuple[str, ...]:
    """Return a note for each missing source that images of the groups are of. ``roots`` maps UUIDs to collections."""
    counts = Counter(
        (member.collection, member.place.source_id)
        for group in groups
        for member in group.members
        if member.place is not None
    )
    notes = []
    for uuid, root in roots.items():
        for source in live_sources(root).values():
            if (count := counts.get((uuid, source.source_id))) and is_missing(source):
                shown = display_path(source.root)
                notes.append(f"{shown} is not there: no plan touches the {count:,} of these images that are in it")
    return tuple(notes)

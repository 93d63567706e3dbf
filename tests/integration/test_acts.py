"""Files of duplicates: put away, linked, tagged, and brought back, on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from acting import copies, ids_by_path, report_of, state

import imseek
from imseek.curate import journal, plans
from imseek.curate.apply import apply
from imseek.curate.undo import undo
from imseek.errors import UsageError


@pytest.fixture
def twins(photos: Path, collection: imseek.Collection) -> list[Path]:
    """A photograph and three copies of it, indexed with seven other photographs."""
    made = copies(photos, photos / "coffee.png", ["a.png", "below/b.png", "album/deep/c.png"])
    collection.index([photos])
    return [photos / "coffee.png", *made]


@pytest.mark.parametrize("action", ["quarantine", "hard-link"])
def test_there_and_back(action, photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:  # type: ignore[no-untyped-def]
    root = collection.path
    before, ids = state(photos), ids_by_path(root)
    plan = plans.make(report_of(root, [twins]), action, root=root)
    dry = apply(root, plan)
    assert dry.counts == {"would": 3}
    assert state(photos) == before
    done = apply(root, plan, dry_run=False)
    assert done.counts == {"done": 3}
    if action == "quarantine":
        assert set(ids_by_path(root).values()) == set(ids.values()) - {f.image_id for f in done.files}
        assert {str(p) for p in photos.rglob("?.png")} == {os.fsdecode(f.to) for f in done.files if f.to}
    else:
        assert {p.stat().st_ino for p in twins} == {twins[0].stat().st_ino}
        assert ids_by_path(root) == ids
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed) == (0, 0, 0)
    assert apply(root, plan, dry_run=False).counts in ({"already": 3}, {"left": 3})
    assert undo(root).counts == {"would": 3}
    back = undo(root, dry_run=False)
    assert back.counts == {"done": 3}, back
    assert state(photos) == before
    assert ids_by_path(root) == ids
    if action == "hard-link":
        assert len({p.stat().st_ino for p in twins}) == 4
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed, report.moved) == (0, 0, 0, 0)
    assert ids_by_path(root) == ids
    assert [one.state for one in journal.list_(root)] == ["undone"]
    with pytest.raises(UsageError, match="nothing was done"):
        undo(root)
    assert imseek.upkeep.verify(root).ok

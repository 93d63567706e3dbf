"""What scans make of files that are put away, and of what lies at their places."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest
from acting import (
    copies,
    done,
    edited,
    first,
    ids_by_path,
    planned,
    state,
    unchanged,
)

import imseek
from imseek.data.catalog import tags
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.errors import PlanError


def test_what_is_put_away_is_not_found_again(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    target = photos / "put away"
    done(collection, planned(collection, twins, to=target))
    report = collection.index([photos])
    assert (report.added, report.removed) == (0, 0)
    assert any("put away: not scanned" in note for note in report.notes)
    for path in (target, target / "below", target / "a.png"):
        assert collection.index([path]).added == 0
    assert collection.index(names=[target / "a.png"]).added == 0
    unchanged(collection, photos)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def test_a_file_that_is_put_back_by_hand(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    ids = ids_by_path(collection.path)
    report = done(collection, planned(collection, twins))
    for file in report.files:
        assert file.to is not None
        Path(os.fsdecode(file.to)).rename(os.fsdecode(file.path))
    unchanged(collection, photos)
    assert ids_by_path(collection.path) == ids
    assert undo(collection.path, dry_run=False).counts == {"already": 3}


def test_another_picture_at_the_place(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    before, ids = state(photos), ids_by_path(collection.path)
    with Writer(collection.path, "test") as writer:
        tags.put(writer, {(ids[str(twins[1])], "red"): "me"})
    done(collection, planned(collection, twins))
    shutil.copyfile(photos / "rocket.jpg", twins[1])
    report = collection.index([photos])
    assert (report.copied, report.removed, report.changed) == (1, 0, 0)
    with imseek.open(collection.path) as now:
        assert now.get(ids_by_path(collection.path)[str(twins[1])]).tags == ()
    assert collection.index([photos]).removed == 0
    left = undo(collection.path, dry_run=False)
    assert left.counts == {"done": 2, "left": 1}
    twins[1].unlink()
    assert undo(collection.path, dry_run=False).counts == {"done": 1}
    assert state(photos) == before
    assert ids_by_path(collection.path) == ids
    with imseek.open(collection.path) as now:
        assert now.get(ids[str(twins[1])]).tags == ("red",)
    collection.index([photos])
    assert ids_by_path(collection.path) == ids


def test_undo_makes_folders_anew_and_tells_what_is_lost(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    before = state(photos)
    report = done(collection, planned(collection, twins))
    (photos / "album" / "deep").rmdir()
    (photos / "album").rmdir()
    to = {Path(os.fsdecode(file.path)).name: Path(os.fsdecode(file.to or b"")) for file in report.files}
    to["a.png"].unlink()
    to["b.png"].write_bytes(b"changed")
    back = undo(collection.path, dry_run=False)
    assert {Path(os.fsdecode(f.path)).name: f.reason.partition(":")[0] for f in back.files} == {
        "a.png": "it is neither at its place nor where it was put",
        "b.png": "it has changed where it was put",
        "c.png": "",
    }
    assert state(photos)["album/deep/c.png"] == before["album/deep/c.png"]
    assert to["b.png"].read_bytes() == b"changed"


def test_undo_after_everything_was_moved(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    before = state(photos)
    done(collection, planned(collection, twins))
    moved = photos.with_name("moved")
    photos.rename(moved)
    collection.relocate_source(1, moved)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(moved) == before


def test_pictures_that_a_list_names(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    made = copies(tmp_path / "single", photos / "coffee.png", ["a.png", "b/c.png", "d.png"])
    collection.index(names=made)
    before = state(tmp_path / "single")
    plan = planned(collection, made)
    assert done(collection, plan).counts == {"done": 2}
    report = collection.index()
    assert (report.added, report.removed) == (0, 0)
    away = tmp_path / "single" / ".imseek-quarantine" / "d.png"
    assert away.exists()
    assert collection.index(names=[away, photos / "rocket.jpg"]).added == 1
    assert undo(collection.path, dry_run=False).counts == {"done": 2}
    assert state(tmp_path / "single") == before
    elsewhere = edited(plan, tmp_path, lambda d: first(d, path=str(photos / "coffee.png")))
    with pytest.raises(PlanError, match="outside the sources"):
        done(collection, elsewhere)


def test_put_back_by_hand_before_it_goes_on(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    plan, before, stop = planned(collection, twins), state(photos), threading.Event()
    first = apply(collection.path, plan, dry_run=False, stop=stop, progress=lambda p: stop.set())
    (file,) = first.files
    assert file.to is not None
    shutil.copy2(os.fsdecode(file.to), os.fsdecode(file.path))
    unchanged(collection, photos)
    again = done(collection, plan)
    assert again.counts == {"done": 3}
    assert Path(os.fsdecode(file.to)).exists()
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before

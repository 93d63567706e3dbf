"""Files of duplicates: put away, linked, tagged, and brought back, on disk."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from acting import (
    copies,
    done,
    ids_by_path,
    planned,
    reasons,
    report_of,
    state,
    unchanged,
)

import imseek
from imseek import duplicates
from imseek.data import layout
from imseek.data.catalog import tags
from imseek.data.user_files import file_copies
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions import journal, plans
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.duplicates.results import DuplicatePair
from imseek.errors import UsageError


@pytest.mark.parametrize("action", ["quarantine", "hard-link", "trash"])
def test_there_and_back(
    action: str, photos: Path, collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    root = collection.path
    before, ids = state(photos), ids_by_path(root)
    plan = plans.make_plan(report_of(root, [twins]), action, root=root)
    dry = apply(root, plan)
    assert dry.counts == {"would": 3}
    assert state(photos) == before
    done = apply(root, plan, dry_run=False)
    assert done.counts == {"done": 3}
    away = [Path(os.fsdecode(f.to)) for f in done.files if f.to]
    if action == "quarantine":
        assert set(ids_by_path(root).values()) == set(ids.values()) - {f.image_id for f in done.files}
        assert set(photos.rglob("?.png")) == set(away)
    elif action == "trash":
        assert set((trash / "files").iterdir()) == set(away)
        assert not any(twin.exists() for twin in twins[1:])
    else:
        assert {p.stat().st_ino for p in twins} == {twins[0].stat().st_ino}
        assert ids_by_path(root) == ids
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed) == (0, 0, 0)
    assert apply(root, plan, dry_run=False).counts == {"already": 3}
    assert undo(root).counts == {"would": 3}
    back = undo(root, dry_run=False)
    assert back.counts == {"done": 3}, back
    assert not any(path.exists() for path in away)
    assert list(trash.rglob("*.trashinfo")) == []
    if action == "quarantine":
        marker = photos / ".imseek-quarantine" / layout.QUARANTINE_MARKER
        assert list(marker.parent.rglob("*")) == [marker]
    assert state(photos) == before
    assert ids_by_path(root) == ids
    if action == "hard-link":
        assert len({p.stat().st_ino for p in twins}) == 4
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed, report.moved) == (0, 0, 0, 0)
    assert ids_by_path(root) == ids
    assert [one.state for one in journal.list_undo_infos(root)] == ["undone"]
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(root)
    assert imseek.maintenance.verify(root).ok


def test_a_reflink_is_refused_where_the_file_system_has_none(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("fcntl.ioctl", unable)
    before, plan = state(photos), planned(collection, twins, "reflink")
    shown, report = apply(collection.path, plan), done(collection, plan)
    for one in (shown, report):  # It is known before anything is touched.
        assert one.counts == {"left": 3}
        assert set(reasons(one).values()) == {"this file system cannot share blocks between files"}
    assert report.undo_id is None
    assert state(photos) == before
    assert {path.name for path in photos.rglob(".*")} == set()


def test_what_cannot_be_tried_is_found_out_with_nothing_lost(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file system has no files without a name, only the clone itself tells."""

    def unable(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr("fcntl.ioctl", unable)
    monkeypatch.setattr(file_copies, "can_clone", lambda *_: True)
    before = state(photos)
    report = done(collection, planned(collection, twins, "reflink"))
    assert report.counts == {"left": 3}
    assert set(reasons(report).values()) == {"this file system cannot share blocks between files"}
    assert state(photos) == before
    assert {path.name for path in photos.rglob(".*")} == set()


def test_a_reflink_there_and_back(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has none, the clone is a copy: what is around it is the same."""
    monkeypatch.setattr(file_copies, "write_clone", file_copies.write_copy)
    monkeypatch.setattr(file_copies, "can_clone", lambda *_: True)
    before, inodes = state(photos), [path.stat().st_ino for path in twins]
    assert done(collection, planned(collection, twins, "reflink")).counts == {"done": 3}
    assert state(photos) == before
    assert all(a != b.stat().st_ino for a, b in zip(inodes[1:], twins[1:], strict=True))
    unchanged(collection, photos)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    unchanged(collection, photos)


def test_tags_are_given_and_taken(collection: imseek.Collection, photos: Path, twins: list[Path]) -> None:
    plan = planned(collection, twins, "tag", tag="twice")
    before = state(photos)
    assert done(collection, plan).counts == {"done": 3}
    got = {file.image_id: collection.get(file.image_id).tags for file in plan.files}
    assert set(got.values()) == {("twice",)}
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert {collection.get(file.image_id).tags for file in plan.files} == {()}
    assert state(photos) == before


def test_what_has_the_tag_already_is_not_tagged_again(collection: imseek.Collection, twins: list[Path]) -> None:
    """Neither by the same plan nor by another one: one undo takes away what was given, and only that."""
    plan = planned(collection, twins, "tag", tag="twice")
    first, *others = (file.image_id for file in plan.files)
    with Writer(collection.path, "test") as writer:
        tags.put(writer, {(first, "twice"): "me"})
    assert apply(collection.path, plan).counts == {"already": 1, "would": 2}
    assert done(collection, plan).counts == {"already": 1, "done": 2}
    assert apply(collection.path, plan).counts == {"already": 3}
    for again in (plan, planned(collection, twins[1:], "tag", tag="twice")):
        report = done(collection, again)
        assert (set(report.counts), report.undo_id) == ({"already"}, None)
    (known,) = journal.list_undo_infos(collection.path)
    assert known.actions == {"tag": 2}
    assert undo(collection.path, dry_run=False).counts == {"done": 2}
    with pytest.raises(UsageError, match="nothing to undo"):
        undo(collection.path)
    with imseek.open(collection.path) as now:
        assert [now.get(i).tags for i in (first, *others)] == [("twice",), (), ()]


def test_what_the_report_protects_is_not_given_away(
    collection: imseek.Collection, photos: Path, twins: list[Path]
) -> None:
    """Not by a plan either that is not told of it again."""
    report = duplicates.find(collection.path, kinds=["exact"], protect=twins[1:3])
    (group,) = report.groups
    assert [group.keeps(member) for member in group.members] == [True, True, False, False]
    assert report.surplus == 2
    plan = duplicates.plan(collection.path, report, "quarantine")
    assert {os.fsdecode(file.path) for file in plan.files} == {str(twins[0]), str(twins[3])}
    assert [one.reason for one in plan.refused] == ["it is protected"]


def test_what_is_hardly_sure_is_in_no_plan_unless_one_says_so(collection: imseek.Collection, twins: list[Path]) -> None:
    report = duplicates.find(collection.path, kinds=["exact"])
    (group,) = report.groups
    confidences = (0.79, 0.8, 0.5)
    pairs = [DuplicatePair(1, 2, "same", one, judged=one == 0.5) for one in confidences]
    others = tuple(replace(other, pair=pair) for other, pair in zip(group.others, pairs, strict=True))
    report = replace(report, groups=(replace(group, members=(group.keeper, *others)),))
    plan = duplicates.plan(collection.path, report, "quarantine")
    assert [file.confidence for file in plan.files] == [0.8, 0.5]
    assert [one.reason for one in plan.refused] == ["it is less than 80% sure to be a duplicate"]
    assert len(duplicates.plan(collection.path, report, "quarantine", at_least=0).files) == 3
    with pytest.raises(UsageError, match="0 to 1, not 80"):
        duplicates.plan(collection.path, report, "quarantine", at_least=80)


def test_what_marks_duplicates_says_nothing_of_a_picture(collection: imseek.Collection, twins: list[Path]) -> None:
    """A duplicate that was tagged as one does not become the keeper for it, and its keeper does not get the tag."""
    before = duplicates.find(collection.path, kinds=["exact"])
    (group,) = before.groups
    keeper, others = group.keeper.image_id, [other.image_id for other in group.others]
    tagging = duplicates.plan(collection.path, before, "tag")
    assert done(collection, tagging).counts == {"done": 3}
    assert {collection.get(i).tags for i in others} == {("duplicate",)}
    after = duplicates.find(collection.path, kinds=["exact"])
    assert after.groups == before.groups
    away = duplicates.plan(collection.path, after, "quarantine")
    assert done(collection, away).counts == {"done": 3}
    with imseek.open(collection.path) as now:
        assert now.get(keeper).tags == ()
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    with imseek.open(collection.path) as now:
        assert {now.get(i).tags for i in others} == {("duplicate",)}


def test_the_keeper_inherits(collection: imseek.Collection, photos: Path) -> None:
    made = copies(photos, photos / "coffee.png", ["a.png", "b.png"])
    (photos / "a.json").write_text(json.dumps({"rating": 4, "album": "rome"}))
    (photos / "a.txt").write_text("a cup of coffee")
    (photos / "b.json").write_text(json.dumps({"rating": 2}))
    collection.index([photos])
    ids = ids_by_path(collection.path)
    keeper, a, b = (ids[str(path)] for path in (photos / "coffee.png", *made))
    with Writer(collection.path, "test") as writer:
        tags.put(writer, {(a, "red"): "me", (b, "red"): "me", (b, "cup"): "me", (keeper, "cup"): "me"})
    before = collection.get(keeper)
    plan = planned(collection, [photos / "coffee.png", *made])
    assert done(collection, plan).counts == {"done": 2}
    with imseek.open(collection.path) as now:
        kept = now.get(keeper)
    assert kept.tags == ("cup", "red")
    assert {k: v for k, v in kept.metadata.items() if before.metadata.get(k) != v} == {
        "rating": 4,
        "album": "rome",
        "inherited_caption": "a cup of coffee",
    }
    assert undo(collection.path, dry_run=False).counts == {"done": 2}
    with imseek.open(collection.path) as now:
        assert now.get(keeper) == before
        assert now.get(a).tags == ("red",)
        assert now.get(b).tags == ("cup", "red")


def test_attributes_come_back_with_a_file_that_was_replaced(collection: imseek.Collection, twins: list[Path]) -> None:
    try:
        os.setxattr(twins[1], "user.note", b"mine")
        os.setxattr(twins[0], "user.note", b"the keeper's")
    except OSError:
        pytest.skip("this file system keeps no extended attributes")
    done(collection, planned(collection, twins, "hard-link"))
    assert os.getxattr(twins[1], "user.note") == b"the keeper's"
    undo(collection.path, dry_run=False)
    assert os.getxattr(twins[1], "user.note") == b"mine"
    assert os.listxattr(twins[2]) == []
    assert os.getxattr(twins[0], "user.note") == b"the keeper's"


def test_several_batches_and_groups_with_one_keeper_that_goes_elsewhere(
    photos: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one group keeps no other gives away, and no file is in a plan twice."""
    monkeypatch.setattr("imseek.duplicates.actions.apply.BATCH", 2)
    monkeypatch.setattr("imseek.duplicates.actions.undo.BATCH", 2)
    made = copies(photos, photos / "coffee.png", [f"{n}.png" for n in range(5)])
    collection.index([photos])
    before = state(photos)
    groups = [made[:3], [made[3], made[0], made[4]], [made[1], made[4]]]
    plan = plans.make_plan(report_of(collection.path, groups), "quarantine", root=collection.path)
    assert [Path(os.fsdecode(file.path)).name for file in plan.files] == ["1.png", "2.png", "4.png"]
    assert {(Path(os.fsdecode(one.path)).name, one.reason) for one in plan.refused} == {
        ("0.png", "another group keeps it"),
        ("4.png", "its keeper cannot be relied on: another group gives it away"),
    }
    report = done(collection, plan)
    assert report.counts == {"done": 3}
    assert report.freed == 3 * made[0].stat().st_size
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before

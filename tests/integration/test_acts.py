"""Files of duplicates: put away, linked, tagged, and brought back, on disk."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from acting import copies, ids_by_path, report_of, state

import imseek
from imseek.curate import journal, plans
from imseek.curate.apply import apply
from imseek.curate.plans import Plan
from imseek.curate.undo import undo
from imseek.data import copying, durable, layout, moving, spots, tags
from imseek.data.writer import Writer
from imseek.errors import LockedError, PlanError, StorageError, UsageError
from imseek.types import ApplyReport


@pytest.fixture
def twins(photos: Path, collection: imseek.Collection) -> list[Path]:
    """A photograph and three copies of it, indexed with seven other photographs."""
    made = copies(photos, photos / "coffee.png", ["a.png", "below/b.png", "album/deep/c.png"])
    collection.index([photos])
    return [photos / "coffee.png", *made]


@pytest.fixture
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A trash of our own, on the disk of the pictures."""
    import send2trash.plat_other as linux

    monkeypatch.setattr("send2trash.send2trash", linux.send2trash)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr(linux, "XDG_DATA_HOME", os.fsencode(tmp_path / "share"))
    monkeypatch.setattr(linux, "HOMETRASH_B", os.fsencode(tmp_path / "share" / "Trash"))
    return tmp_path / "share" / "Trash"


def planned(
    collection: imseek.Collection, twins: list[Path], action: str = "quarantine", **options: object
) -> Plan:
    report = report_of(collection.path, [twins])
    return plans.make(report, action, root=collection.path, **options)  # type: ignore[arg-type]


def reasons(report: ApplyReport) -> dict[str, str]:
    """By name, why files were left alone."""
    return {Path(os.fsdecode(f.path)).name: f.reason for f in report.files if f.outcome == "left"}


def done(collection: imseek.Collection, plan: Plan) -> ApplyReport:
    return apply(collection.path, plan, dry_run=False)


def unchanged(collection: imseek.Collection, photos: Path) -> None:
    report = collection.index([photos])
    assert (report.added, report.removed, report.changed, report.moved) == (0, 0, 0, 0), report


@pytest.mark.parametrize("action", ["quarantine", "hard-link", "trash"])
def test_there_and_back(
    action: str, photos: Path, collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    root = collection.path
    before, ids = state(photos), ids_by_path(root)
    plan = plans.make(report_of(root, [twins]), action, root=root)
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
    assert [one.state for one in journal.list_(root)] == ["undone"]
    with pytest.raises(UsageError, match="nothing was done"):
        undo(root)
    assert imseek.upkeep.verify(root).ok


def test_a_reflink_is_refused_where_the_file_system_has_none(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    before = state(photos)
    report = done(collection, planned(collection, twins, "reflink"))
    if report.counts == {"left": 3}:
        assert set(reasons(report).values()) == {"this file system cannot share blocks between files"}
    else:
        assert report.counts == {"done": 3}
        undo(collection.path, dry_run=False)
    assert state(photos) == before
    assert {path.name for path in photos.rglob(".*")} == set()


def test_a_reflink_there_and_back(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file system has none, the clone is a copy: what is around it is the same."""
    monkeypatch.setattr(copying, "write_clone", copying.write_copy)
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


# -- what has happened between plan and apply ----------------------------------------------------------------


def test_files_that_changed_or_went_are_left_alone(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    plan = planned(collection, twins)
    twins[1].write_bytes(twins[1].read_bytes() + b"more")
    twins[2].unlink()
    before = state(photos)
    report = done(collection, plan)
    assert reasons(report) == {
        "a.png": "it has changed since the plan was made",
        "b.png": "it is not there any more",
    }
    assert report.counts == {"left": 2, "done": 1}
    undo(collection.path, dry_run=False)
    assert state(photos) == before
    report_of_index = collection.index([photos])
    assert (report_of_index.changed, report_of_index.removed, report_of_index.added) == (1, 1, 0)


def test_a_file_that_changes_without_a_trace_in_its_stat_is_left_alone(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    plan = planned(collection, twins)
    info = twins[1].stat()
    data = bytearray(twins[1].read_bytes())
    data[-20] ^= 1
    with twins[1].open("r+b") as file:
        file.write(data)
    os.utime(twins[1], ns=(info.st_atime_ns, info.st_mtime_ns))
    assert reasons(done(collection, plan)) == {"a.png": "it has changed since the plan was made"}
    assert twins[1].read_bytes() == data


@pytest.mark.parametrize("harm", ["gone", "changed", "link"])
def test_nothing_goes_where_its_keeper_is_not_what_it_was(
    harm: str, photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    plan = planned(collection, twins)
    keeper = twins[0]
    data = keeper.read_bytes()
    keeper.unlink()
    if harm == "changed":
        keeper.write_bytes(data + b"x")
    elif harm == "link":
        keeper.symlink_to(twins[1])
    before = state(photos)
    report = done(collection, plan)
    assert report.counts == {"left": 3}
    assert all(reason.startswith("its keeper") for reason in reasons(report).values())
    assert state(photos) == before
    assert report.undo_id is None


def test_two_names_of_one_file_are_no_two_copies(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    plan = planned(collection, twins)
    twins[1].unlink()
    os.link(twins[0], twins[1])
    assert reasons(done(collection, plan)) == {
        "a.png": "it is the keeper under another name (a hard link): there are no two copies"
    }
    assert twins[1].samefile(twins[0])
    collection.index([photos])
    # A plan that is made now says so at once.
    again = planned(collection, twins[:2])
    assert again.files == ()
    assert "hard link" in again.refused[0].reason


def test_links_are_never_followed(photos: Path, collection: imseek.Collection, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(photos, elsewhere)
    (photos / "link.png").symlink_to(elsewhere / "coffee.png")
    (photos / "folder").symlink_to(elsewhere)
    collection.index([photos], follow_symlinks=True)
    plan = planned(collection, [photos / "coffee.png", photos / "link.png", photos / "folder" / "coffee.png"])
    assert plan.files == ()
    assert [one.reason for one in plan.refused] == [
        "it is a symbolic link: the picture lies elsewhere",
        "a symbolic link lies on the way to it",
    ]
    # Neither where one takes the place of a folder after the plan was made.
    made = copies(photos, photos / "coffee.png", ["below/z.png"])
    collection.index([photos])
    plan = planned(collection, [photos / "coffee.png", *made])
    (photos / "below").rename(tmp_path / "moved")
    (photos / "below").symlink_to(tmp_path / "moved")
    with pytest.raises(PlanError, match=r"z\.png: it lies outside"):
        done(collection, plan)
    assert (tmp_path / "moved" / "z.png").exists()


def test_names_that_collide(photos: Path, collection: imseek.Collection, tmp_path: Path) -> None:
    made = copies(photos, photos / "coffee.png", ["x/a.png"])
    other = tmp_path / "other"
    made += copies(other, photos / "coffee.png", ["x/a.png"])
    collection.index([photos, other])
    target = tmp_path / "away"
    before = state(photos), state(other)
    report = done(collection, planned(collection, [photos / "coffee.png", *made], to=target))
    assert report.counts == {"done": 2}
    assert sorted(p.name for p in (target / "x").iterdir()) == ["a (2).png", "a.png"]
    again = copies(photos, photos / "coffee.png", ["x/a.png"])
    collection.index([photos])
    second = done(collection, planned(collection, [photos / "coffee.png", *again], to=target))
    assert second.files[0].to == os.fsencode(target / "x" / "a (3).png")
    again[0].write_bytes(b"mine")
    assert (
        undo(collection.path, second.undo_id, dry_run=False).files[0].reason.startswith("another file lies")
    )
    left = undo(collection.path, report.undo_id, dry_run=False)
    assert left.counts == {"done": 1, "left": 1}
    assert again[0].read_bytes() == b"mine"
    again[0].unlink()
    assert undo(collection.path, report.undo_id, dry_run=False).counts == {"done": 1}
    assert (state(photos), state(other)) == before
    assert undo(collection.path, second.undo_id, dry_run=False).counts == {"already": 1}
    assert (target / "x" / "a (3).png").exists()


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
@pytest.mark.parametrize("full", [False, True])
def test_quarantine_on_another_disk(
    full: bool,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Path("/dev/shm") / f"imseek-acts-{os.getpid()}"
    assert Path("/dev/shm").stat().st_dev != photos.stat().st_dev
    before = state(photos)
    real = copying._write

    def write(fd: int, block: bytes) -> None:
        real(fd, block[:100])
        if full:
            raise OSError(28, "No space left on device")
        real(fd, block[100:])

    monkeypatch.setattr(copying, "_write", write)
    try:
        report = done(collection, planned(collection, twins, to=target))
        if full:
            assert set(reasons(report).values()) == {"there is no room left on the disk"}
            assert state(photos) == before
            assert [p for p in target.rglob("*") if p.is_file()] == [target / layout.QUARANTINE_MARKER]
            unchanged(collection, photos)
            return
        assert report.counts == {"done": 3}
        copied = {p: p.stat() for p in target.rglob("*.png")}
        assert {(p.name, i.st_mode, i.st_mtime_ns) for p, i in copied.items()} == {
            (Path(name).name, mode, mtime)
            for name, (_, mode, mtime) in before.items()
            if len(Path(name).name) == 5
        }
        unchanged(collection, photos)
        assert undo(collection.path, dry_run=False).counts == {"done": 3}
        assert state(photos) == before
        unchanged(collection, photos)
    finally:
        shutil.rmtree(target)


def test_a_folder_that_cannot_be_written(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, whom no mode stops: the system's answers are made up, early and late."""
    plan, before = planned(collection, twins), state(photos)
    deep = (photos / "album" / "deep").stat()
    real_access, real_move = os.access, moving.rename_noreplace

    def access(path: object, mode: int, *, dir_fd: int | None = None, **options: bool) -> bool:
        if dir_fd is not None and os.path.samestat(os.fstat(dir_fd), deep):
            return False
        return real_access(path, mode, dir_fd=dir_fd, **options)  # type: ignore[arg-type]

    def rename(source: spots.At, target: spots.At) -> None:
        if source.name == b"b.png":
            raise PermissionError(13, "Permission denied")
        real_move(source, target)

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(moving, "rename_noreplace", rename)
    report = done(collection, plan)
    assert reasons(report) == {"c.png": "its folder cannot be written", "b.png": "Permission denied"}
    monkeypatch.undo()
    unchanged(collection, photos)
    assert str(twins[2]) in ids_by_path(collection.path)
    undo(collection.path, dry_run=False)
    assert state(photos) == before


def test_without_renames_that_refuse_and_without_links(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that know neither: it is copied, compared, and only then ended."""
    before = state(photos)

    def no(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(moving, "rename_noreplace", no)
    assert done(collection, planned(collection, twins)).counts == {"done": 3}  # By second names.
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    monkeypatch.setattr(os, "link", no)
    assert done(collection, planned(collection, twins)).counts == {"done": 3}  # By copies.
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert list(photos.rglob("*.part")) == []


# -- plans that people have edited ---------------------------------------------------------------------------


Document: TypeAlias = dict[str, Any]


def edited(plan: Plan, tmp_path: Path, change: Callable[[Document], object]) -> Plan:
    file = tmp_path / "plan.json"
    plan.save(file)
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return Plan.load(file)


def test_a_plan_is_written_and_read(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    odd = twins[1].with_name("\udcff\n.png")
    twins[1].rename(odd)
    collection.index()
    plan = planned(collection, [twins[0], odd, *twins[2:]], to=tmp_path / "away", protect=[tmp_path / "safe"])
    file = tmp_path / "plan.json"
    plan.save(file)
    assert Plan.load(file) == plan
    assert Plan.load(file).digest == plan.digest
    plan.save(file)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(UsageError, match="is no plan"):
        plan.save(other)
    assert done(collection, Plan.load(file)).counts == {"done": 3}
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def first(document: Document, **members: object) -> None:
    document["groups"][0]["files"][0].update(members)


def renamed(document: Document, before: str, after: str) -> None:
    first(document, path=document["groups"][0]["files"][0]["path"].replace(before, after))


def folder(document: Document) -> str:
    return str(Path(document["groups"][0]["keep"]["path"]).parent)


def keeper_goes(document: Document) -> None:
    (group,) = document["groups"]
    kept = {**group["files"].pop(), "action": "keep"}
    document["groups"].append({**group, "keep": kept, "files": [{**group["keep"], "action": "trash"}]})


EDITS: dict[str, tuple[Callable[[Document], object], str]] = {
    "outside": (lambda d: first(d, path="/etc/passwd"), "outside the sources"),
    "beside": (lambda d: renamed(d, "photos", "photos2"), "outside the sources"),
    "steps back": (lambda d: renamed(d, "/a.png", "/below/../a.png"), "without `.` and `..`"),
    "relative": (lambda d: first(d, path="a.png"), "must be absolute"),
    "no keeper": (lambda d: d["groups"][0].pop("keep"), "group 1: keep is missing"),
    "twice": (lambda d: d["groups"][0]["files"].append(d["groups"][0]["files"][0]), "in the plan twice"),
    "keeper goes": (keeper_goes, "to be kept in one group"),
    "unknown image": (lambda d: first(d, image_id=99_999), "never was an image"),
    "other collection": (lambda d: d.update(collection="x"), "another collection"),
    "unknown action": (lambda d: first(d, action="delete"), "action is 'delete'"),
    "unknown member": (lambda d: first(d, force=True), "nothing is known of 'force'"),
    "hash": (lambda d: first(d, content_hash="abc"), "not a sha256"),
    "protected": (lambda d: d["protect"].append({"path": folder(d)}), "is protected"),
    "quarantine over a source": (lambda d: d.update(to=folder(d)), "would not be scanned any more"),
    "later format": (lambda d: d.update(imseek_plan=2), "format 2"),
    "base64": (lambda d: first(d, path_b64="L2V0Yy9wYXNzd2Q="), "name different files"),
    "links other bytes": (
        lambda d: first(d, action="hard-link", content_hash="0" * 64),
        "only files of the same bytes",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_plan_that_cannot_be_trusted_is_refused_as_a_whole(
    name: str, photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    change, message = EDITS[name]
    before = state(photos)
    with pytest.raises((PlanError, UsageError), match=message):
        done(collection, edited(planned(collection, twins), tmp_path, change))
    assert state(photos) == before
    assert journal.list_(collection.path) == ()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"imseek_plan": 1}', '{"a": 1, "a": 2}', "[" * 100_000, "\xff"]
)
def test_what_is_no_plan(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(PlanError):
        Plan.load(file)


def test_a_path_of_another_picture_is_left_alone(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """Within the sources, but not where the collection has this image."""
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(path=str(photos / "astronaut.png")),
    )
    report = done(collection, plan)
    assert report.counts == {"left": 1, "done": 2}
    assert "it lies elsewhere now" in reasons(report)["astronaut.png"]
    assert twins[1].exists()


def test_files_can_be_kept_by_hand(collection: imseek.Collection, twins: list[Path], tmp_path: Path) -> None:
    plan = edited(
        planned(collection, twins),
        tmp_path,
        lambda d: d["groups"][0]["files"][0].update(action="keep"),
    )
    assert done(collection, plan).counts == {"done": 2}
    assert [path.exists() for path in twins] == [True, True, False, False]


def test_what_lies_in_archives_is_refused(
    collection: imseek.Collection, photos: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    collection.index([photos, archive])
    plan = planned(collection, [photos / "coffee.png", Path(f"{archive}!/coffee.png")])
    assert plan.files == ()
    assert plan.refused[0].reason == "it lies in an archive"


# -- scans ---------------------------------------------------------------------------------------------------


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


def test_a_file_that_is_put_back_by_hand(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
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


def test_undo_after_everything_was_moved(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    before = state(photos)
    done(collection, planned(collection, twins))
    moved = photos.with_name("moved")
    photos.rename(moved)
    collection.relocate_source(1, moved)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(moved) == before


# -- others at work ------------------------------------------------------------------------------------------


def test_it_waits_for_another_writer(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.curate import patience

    plan = planned(collection, twins)
    with Writer(collection.path, "other"):
        monkeypatch.setattr(patience, "PATIENCE", 0.3)
        with pytest.raises(LockedError):
            done(collection, plan)
        assert apply(collection.path, plan).counts == {"would": 3}  # Looking takes no lock.
    assert done(collection, plan).counts == {"done": 3}


def test_stopped_it_goes_on(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    plan, before, stop = planned(collection, twins), state(photos), threading.Event()
    report = apply(collection.path, plan, dry_run=False, stop=stop, progress=lambda p: stop.set())
    assert report.interrupted
    assert report.counts == {"done": 1}
    assert [one.state for one in journal.list_(collection.path)] == ["unfinished"]
    unchanged(collection, photos)
    again = done(collection, plan)
    assert again.counts == {"already": 1, "done": 2}
    assert again.undo_id == report.undo_id
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before


def test_a_file_that_is_written_while_it_is_replaced_comes_back(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that has the file open writes to it after it was read: what it wrote is not lost."""
    plan = planned(collection, twins[:2], "hard-link")
    real = moving.replace

    def replace(target: spots.At, new: spots.At, kept: spots.At, content: spots.Content) -> None:
        with twins[1].open("ab") as file:
            file.write(b"late")
        real(target, new, kept, content)

    monkeypatch.setattr(moving, "replace", replace)
    report = done(collection, plan)
    assert reasons(report) == {"a.png": "it changed while it was replaced"}
    assert twins[1].read_bytes().endswith(b"late")
    assert not twins[1].samefile(twins[0])
    assert [p.name for p in twins[1].parent.glob(".*")] == []


def test_damage_to_the_journal_loses_no_file(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    before = state(photos)
    report = done(collection, planned(collection, twins))
    (file,) = (collection.path / "undo").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    for n, line in enumerate(lines):
        if b'"note"' in line or b'"end"' in line:
            lines[n] = line.replace(b"e", b"f", 1)
    file.write_bytes(b"".join(lines) + b'{"do": "no')
    (info,) = journal.list_(collection.path)
    assert (info.state, info.actions, info.undo_id) == ("unfinished", {"quarantine": 3}, report.undo_id)
    assert "could not be read" in info.notes[0]
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert [one.state for one in journal.list_(collection.path)] == ["undone"]


def test_a_collection_with_something_to_undo_is_not_deleted(
    collection: imseek.Collection, twins: list[Path]
) -> None:
    from imseek import library

    done(collection, planned(collection, twins))
    with pytest.raises(UsageError, match="can be brought back"):
        library.delete(collection.path, "it")
    undo(collection.path, dry_run=False)
    library.delete(collection.path, "it")
    assert not collection.path.exists()


def test_states_are_in_the_catalog(collection: imseek.Collection, twins: list[Path]) -> None:
    plan = planned(collection, twins)
    done(collection, plan)
    with closing(sqlite3.connect(collection.path / layout.CATALOG)) as catalog:
        found = dict(catalog.execute("SELECT image_id, state FROM images"))
    ids = {file.image_id for file in plan.files}
    assert {i for i, state in found.items() if state == "quarantined"} == ids


def test_attributes_come_back_with_a_file_that_was_replaced(
    collection: imseek.Collection, twins: list[Path]
) -> None:
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


def test_found_in_the_trash_without_any_record(
    photos: Path, collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    """As after a power cut: neither the trash nor the journal tells where a file lies."""
    before = state(photos)
    done(collection, planned(collection, twins, "trash"))
    for info in (trash / "info").iterdir():
        info.write_bytes(b"")
    (file,) = (collection.path / "undo").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(line for line in lines if b'"trashed"' not in line))
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before


def test_an_older_file_in_the_trash_is_not_ours(
    photos: Path, collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    """Killed before anything went to the trash: one of the same name and bytes that lies there stays there."""
    old = trash / "files" / "a.png"
    old.parent.mkdir(parents=True)
    (trash / "info").mkdir()
    shutil.copy2(twins[1], old)
    info = f"[Trash Info]\nPath={twins[1]}\nDeletionDate=2020-01-01T00:00:00\n"
    (trash / "info" / "a.png.trashinfo").write_text(info)
    plan = planned(collection, twins, "trash")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imseek.curate.acting.act", interrupt)
        with pytest.raises(KeyboardInterrupt):
            done(collection, plan)
    before = state(photos)
    assert undo(collection.path, dry_run=False).counts == {"already": 3}
    assert state(photos) == before
    assert old.exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fails_at", range(5))
def test_no_room_for_the_journal(
    fails_at: int, photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    plan, before, ids = planned(collection, twins), state(photos), ids_by_path(collection.path)
    real, calls = durable.append, iter(range(100))

    def append(path: Path, data: bytes, *, sync: bool = True) -> None:
        if next(calls) == fails_at:
            real(path, data[: len(data) // 2], sync=sync)
            raise StorageError(f"{path}: No space left on device")
        real(path, data, sync=sync)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "append", append)
        # First the plan, then the way back; each may be what fails.
        for run in (lambda: done(collection, plan), lambda: undo(collection.path, dry_run=False)):
            with suppress(StorageError):
                run()
    collection.index([photos])
    done(collection, plan)
    while any(one.state != "undone" for one in journal.list_(collection.path)):
        assert undo(collection.path, dry_run=False).counts.get("left", 0) == 0
    assert state(photos) == before
    assert ids_by_path(collection.path) == ids


def test_put_back_by_hand_before_it_goes_on(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
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


def test_with_a_writer_that_is_at_work(collection: imseek.Collection, twins: list[Path]) -> None:
    plan = planned(collection, twins)
    with Writer(collection.path, "mine") as writer:
        report = apply(writer, plan, dry_run=False)
        assert report.counts == {"done": 3}
        assert report.generation == writer.generation
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def test_several_batches_and_groups_with_one_keeper_that_goes_elsewhere(
    photos: Path, collection: imseek.Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one group keeps no other gives away, and no file is in a plan twice."""
    monkeypatch.setattr("imseek.curate.apply.BATCH", 2)
    monkeypatch.setattr("imseek.curate.undo.BATCH", 2)
    made = copies(photos, photos / "coffee.png", [f"{n}.png" for n in range(5)])
    collection.index([photos])
    before = state(photos)
    groups = [made[:3], [made[3], made[0], made[4]], [made[1], made[4]]]
    plan = plans.make(report_of(collection.path, groups), "quarantine", root=collection.path)
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

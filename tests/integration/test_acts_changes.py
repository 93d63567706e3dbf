"""What has happened between plan and apply, and disks that do not do what is asked of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from acting import (
    copies,
    done,
    ids_by_path,
    planned,
    reasons,
    state,
    unchanged,
)

import imseek
from imseek.data import layout
from imseek.data.user_files import file_copies, file_moves, safe_path
from imseek.duplicates.actions.undo import undo
from imseek.errors import PlanError


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
    assert undo(collection.path, second.undo_id, dry_run=False).files[0].reason.startswith("another file lies")
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
    real = file_copies._write

    def write(fd: int, block: bytes) -> None:
        real(fd, block[:100])
        if full:
            raise OSError(28, "No space left on device")
        real(fd, block[100:])

    monkeypatch.setattr(file_copies, "_write", write)
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
            (Path(name).name, mode, mtime) for name, (_, mode, mtime) in before.items() if len(Path(name).name) == 5
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
    real_access, real_move = os.access, file_moves.rename_noreplace

    def access(path: object, mode: int, *, dir_fd: int | None = None, **options: bool) -> bool:
        if dir_fd is not None and os.path.samestat(os.fstat(dir_fd), deep):
            return False
        return real_access(path, mode, dir_fd=dir_fd, **options)  # type: ignore[arg-type]

    def rename(source: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        if source.name == b"b.png":
            raise PermissionError(13, "Permission denied")
        real_move(source, target)

    monkeypatch.setattr(os, "access", access)
    monkeypatch.setattr(file_moves, "rename_noreplace", rename)
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

    monkeypatch.setattr(file_moves, "rename_noreplace", no)
    assert done(collection, planned(collection, twins)).counts == {"done": 3}  # By second names.
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    monkeypatch.setattr(os, "link", no)
    assert done(collection, planned(collection, twins)).counts == {"done": 3}  # By copies.
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert list(photos.rglob("*.part")) == []

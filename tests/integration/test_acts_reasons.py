"""Why a file is left alone by apply and by undo: each reason is told, and nothing is touched."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from acting import Document, done, edited, first, ids_by_path, planned, reasons, report_of, state

import imseek
from imseek.data import layout
from imseek.data.user_files import file_copies, safe_path
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions import plans, precheck, quarantine_recovery, revert
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo


def changed_in_the_catalog(root: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(root / layout.CATALOG)) as catalog, catalog:
        catalog.execute(statement, values)
    (root / layout.CHECKSUMS).unlink()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    kept = path.with_name("kept" + path.name)
    path.rename(kept)
    path.symlink_to(kept)


def other_bytes(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def no_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def file_for_a_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.touch()


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "it is not there any more"),
    "no folder": (no_folder, "it is not there any more"),
    "file for a folder": (file_for_a_folder, "a symbolic link, or a file, lies on the way to it"),
    "pipe": (pipe, "it is not a regular file"),
    "link": (link, "it is a symbolic link: the picture lies elsewhere"),
    "other bytes": (other_bytes, "it has changed since the plan was made"),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("action", ["quarantine", "hard-link", "tag", "trash"])
def test_a_file_that_is_not_what_it_was(
    harm: str, action: str, collection: imseek.Collection, twins: list[Path], photos: Path, trash: Path
) -> None:
    change, reason = HARMS[harm]
    plan = planned(collection, [twins[0], twins[2]], action)
    change(twins[2])
    before = state(photos)
    for report in (apply(collection.path, plan), done(collection, plan)):
        assert reasons(report) == {"b.png": reason}
        assert report.undo_id is None
    assert state(photos) == before


@pytest.mark.parametrize("harm", HARMS)
def test_a_keeper_that_is_not_what_it_was(
    harm: str, collection: imseek.Collection, twins: list[Path], photos: Path
) -> None:
    change, reason = HARMS[harm]
    plan = planned(collection, [twins[2], twins[1]])
    change(twins[2])
    before = state(photos)
    for report in (apply(collection.path, plan), done(collection, plan)):
        assert reasons(report) == {"a.png": f"its keeper: {reason}"}
    assert state(photos) == before


def test_a_keeper_that_is_put_away(collection: imseek.Collection, twins: list[Path]) -> None:
    """Or lies elsewhere by now, or is unknown."""
    plan = planned(collection, [twins[1], twins[2]])
    report = done(collection, planned(collection, [twins[0], twins[1]]))
    assert reasons(done(collection, plan)) == {"b.png": "its keeper: it is quarantined"}
    undo(collection.path, report.undo_id, dry_run=False)
    twins[1].rename(twins[1].with_name("new name.png"))
    collection.index()
    (reason,) = reasons(done(collection, plan)).values()
    assert reason == f"its keeper: it lies elsewhere now: {twins[1].with_name('new name.png')}"


def test_what_the_collection_says_of_a_file_by_now(
    collection: imseek.Collection, twins: list[Path], photos: Path
) -> None:
    plan = planned(collection, twins)
    ids = ids_by_path(collection.path)
    a, b, c = (ids[str(twin)] for twin in twins[1:])
    twins[1].rename(photos / "new name.png")
    collection.index([photos])
    changed_in_the_catalog(collection.path, "UPDATE images SET content_hash = ? WHERE image_id = ?", b"0" * 32, b)
    report = apply(collection.path, plan)
    assert reasons(report) == {
        "a.png": f"it lies elsewhere now: {photos / 'new name.png'}",
        "b.png": "the collection has other bytes of it by now",
    }
    assert {a, b, c} == {file.image_id for file in report.files}


def test_an_image_that_has_left_the_collection(collection: imseek.Collection, twins: list[Path], photos: Path) -> None:
    plan, data = planned(collection, twins[:2]), twins[1].read_bytes()
    twins[1].unlink()
    collection.index([photos])
    twins[1].write_bytes(data)
    assert set(reasons(apply(collection.path, plan)).values()) <= {
        "the collection does not have it any more",
        "it is not known where it lies",
    }
    assert apply(collection.path, plan).counts == {"left": 1}


def test_links_are_for_equal_bytes_on_one_disk(
    collection: imseek.Collection,
    twins: list[Path],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = report_of(collection.path, [[twins[0], photos / "rocket.jpg"], [twins[2], twins[1]]])
    plan = plans.make_plan(report, "quarantine", root=collection.path)

    def links(document: Document) -> None:
        first(document, action="reflink", content_hash=document["groups"][0]["keep"]["content_hash"])
        document["groups"][1]["files"][0].update(action="hard-link")

    plan = edited(plan, tmp_path, links)
    real, deep = safe_path.read_content, os.fsencode(twins[2].name)

    def read(at: safe_path.FolderEntry) -> safe_path.Content:
        found = real(at)
        if at.name != deep:
            return found
        info = found.info
        return replace(found, info=os.stat_result((*info[:2], info.st_dev + 1, *info[3:10])))

    monkeypatch.setattr(safe_path, "read_content", read)
    assert reasons(apply(collection.path, plan)) == {
        "rocket.jpg": "the collection has other bytes of it by now",
        "a.png": "the keeper lies on another file system",
    }


def test_a_file_that_is_linked_to_its_keeper_already_needs_nothing(
    collection: imseek.Collection, twins: list[Path]
) -> None:
    plan = planned(collection, twins[:2], "hard-link")
    twins[1].unlink()
    os.link(twins[0], twins[1])
    for report in (apply(collection.path, plan), done(collection, plan)):
        (file,) = report.files
        assert (file.outcome, file.to, report.undo_id) == ("already", None, None)
        assert "keeper under another name" in file.reason


def test_a_second_name_of_the_keeper_can_be_tagged(collection: imseek.Collection, twins: list[Path]) -> None:
    """It is an image of its own, and no file is touched."""
    twins[1].unlink()
    os.link(twins[0], twins[1])
    collection.index()
    plan = planned(collection, twins[:2], "tag")
    assert apply(collection.path, plan).counts == {"would": 1}
    assert done(collection, plan).counts == {"done": 1}


def test_of_files_that_were_replaced_those_that_are_there_are_not_read_again(
    collection: imseek.Collection, twins: list[Path]
) -> None:
    """One of them goes before their inodes and times are taken down."""
    done(collection, planned(collection, twins, "hard-link"))
    (journal,) = journals.load_journals(collection.path)
    intents = list(journal.intents.values())
    Path(os.fsdecode(intents[0].full)).unlink()
    placings = list(precheck.current_placings(intents))
    assert [placing.image_id for placing in placings] == [intent.image_id for intent in intents[1:]]
    info = twins[0].stat()
    for placing, intent in zip(placings, intents[1:], strict=True):
        assert (placing.source_id, placing.path) == (intent.source_id, intent.path)
        seen = placing.stat
        assert (seen.size, seen.mtime_ns, seen.inode) == (info.st_size, info.st_mtime_ns, info.st_ino)


def test_the_second_look_before_a_file_goes_sees_what_has_changed(
    collection: imseek.Collection, twins: list[Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper too: its bytes, although its time and size are the same."""
    from imseek.duplicates.actions.intent_builder import IntentBuilder

    plan, real = planned(collection, twins), IntentBuilder.intents

    def intents(self: IntentBuilder, *given: Any) -> Any:
        found = real(self, *given)
        info, data = twins[0].stat(), bytearray(twins[0].read_bytes())
        data[-20] ^= 1
        twins[0].write_bytes(data)
        os.utime(twins[0], ns=(info.st_atime_ns, info.st_mtime_ns))
        return found

    monkeypatch.setattr(IntentBuilder, "intents", intents)
    assert set(reasons(done(collection, plan)).values()) == {"its keeper: it has changed since the plan was made"}
    assert all(twin.exists() for twin in twins)
    assert journals.list_undo_infos(collection.path)[0].actions == {}


# -- undo -----------------------------------------------------------------------------------------------------


def why(collection: imseek.Collection, dry_run: bool) -> dict[str, str]:
    """Of the latest journal, whether or not something of it is away."""
    undo_id = journals.list_undo_infos(collection.path)[0].undo_id
    report = undo(collection.path, undo_id, dry_run=dry_run)
    return {Path(os.fsdecode(f.path)).name: f.reason for f in report.files if f.outcome == "left"}


@pytest.mark.parametrize("dry_run", [True, False])
def test_why_a_file_does_not_come_back(
    dry_run: bool, collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    done(collection, planned(collection, twins, to=away))
    twins[1].write_bytes(b"mine")
    other_bytes(away / "below" / "b.png")
    (away / "album" / "deep" / "c.png").unlink()
    before = state(photos), state(away)
    assert why(collection, dry_run) == {
        "a.png": f"another file lies at its place; it is in {away / 'a.png'}",
        "b.png": f"it has changed where it was put: {away / 'below' / 'b.png'}",
        "c.png": revert.NOT_FOUND,
    }
    assert (state(photos), state(away)) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_why_a_file_that_is_gone_does_not_come_back_either(
    dry_run: bool, collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    """Another one at its place is told, and a folder that is no quarantine any more."""
    away = tmp_path / "away"
    done(collection, planned(collection, twins[:3], to=away))
    for name in ("a.png", "below/b.png"):
        (away / name).unlink()
    twins[1].write_bytes(b"mine")
    assert why(collection, dry_run) == {
        "a.png": f"{revert.NOT_FOUND}: another file lies there",
        "b.png": revert.NOT_FOUND,
    }
    (away / layout.QUARANTINE_MARKER).rename(away / "renamed.txt")
    (reason,) = set(why(collection, True).values())
    assert reason.startswith(f"{away} is not a quarantine: ")
    (away / "renamed.txt").rename(away / layout.QUARANTINE_MARKER)
    shutil.copyfile(twins[0], away / "below" / "b.png")
    assert list(why(collection, True)) == ["a.png"], "what was gone may come back"


def test_why_a_link_is_not_undone(
    collection: imseek.Collection, twins: list[Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(collection, planned(collection, twins, "hard-link"))
    twins[1].unlink()
    twins[2].unlink()
    twins[2].write_bytes(b"mine")
    before = state(photos)
    for dry_run in (True, False):
        monkeypatch.setattr(os, "access", lambda *_, dir_fd=None: dir_fd is None)
        assert why(collection, dry_run) == {
            "a.png": "it is not there any more",
            "b.png": "it has changed since it was linked",
            "c.png": "its folder cannot be written",
        }
        monkeypatch.undo()
        assert state(photos) == before
    assert undo(collection.path, dry_run=False).counts == {"done": 1, "left": 2}
    assert twins[2].read_bytes() == b"mine"


@pytest.mark.parametrize("dry_run", [True, False])
def test_where_the_pictures_are_not_mounted_what_is_away_stays_there(
    dry_run: bool, collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    done(collection, planned(collection, twins, to=tmp_path / "away"))
    photos.rename(tmp_path / "unplugged")
    assert set(why(collection, dry_run).values()) == {f"{photos} is not there, perhaps not mounted"}
    assert not photos.exists()
    (tmp_path / "unplugged").rename(photos)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


def test_a_copy_in_place_of_a_link_is_read_before_it_is_used(
    collection: imseek.Collection, twins: list[Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that writes other bytes than it is given: the link stays, and what was written goes."""
    done(collection, planned(collection, twins[:2], "hard-link"))
    assert undo(collection.path).counts == {"would": 1}
    real = file_copies.write_copy

    def write(source: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        real(source, target)
        fd = os.open(target.name, os.O_WRONLY, dir_fd=target.folder)
        os.pwrite(fd, b"x", 100)
        os.close(fd)

    with monkeypatch.context() as patched:
        patched.setattr(file_copies, "write_copy", write)
        assert why(collection, False) == {"a.png": "its copy differs from what was read before"}
    assert twins[1].samefile(twins[0])
    assert list(photos.rglob(".imseek-*")) == []
    assert undo(collection.path, dry_run=False).counts == {"done": 1}
    assert not twins[1].samefile(twins[0])


def test_a_file_at_its_place_and_in_quarantine_too_is_told(
    collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """A copy that a person has made: neither of them is ended."""
    done(collection, planned(collection, twins[:2], to=tmp_path / "away"))
    shutil.copyfile(tmp_path / "away" / "a.png", twins[1])
    for dry_run in (True, False):
        (file,) = undo(collection.path, dry_run=dry_run).files
        assert file.outcome == "already"
        assert str(tmp_path / "away" / "a.png") in file.reason
    assert (tmp_path / "away" / "a.png").exists()
    assert twins[1].exists()


def test_a_file_that_cannot_be_read_at_the_place_is_another_one(
    collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """A pipe, a folder, a link: it stays, and so does what is away."""
    done(collection, planned(collection, twins, to=tmp_path / "away"))
    os.mkfifo(twins[1])
    twins[2].mkdir()
    twins[3].symlink_to(tmp_path / "away" / "album" / "deep" / "c.png")
    assert {reason.split(";")[0] for reason in why(collection, False).values()} == {"another file lies at its place"}
    assert (twins[1].is_fifo(), twins[2].is_dir(), twins[3].is_symlink()) == (True, True, True)
    assert len(list((tmp_path / "away").rglob("*.png"))) == 3


# -- what the journals tell a catalog from before -------------------------------------------------------------


def kept(root: Path, ids: list[int]) -> None:
    from imseek.data.catalog.quarantined_duplicates import QuarantineChange, apply_change

    with Writer(root, "an older catalog") as writer:
        apply_change(writer, QuarantineChange(kept=ids))


def test_only_what_is_still_away_is_put_away_in_a_catalog_from_before(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    """Not what lies at its place, nor what is nowhere, nor what has other bytes in the collection."""
    assert quarantine_recovery.recover_quarantine(collection.path) == 0
    report = done(collection, planned(collection, twins, to=tmp_path / "away"))
    ids = [file.image_id for file in report.files]
    assert quarantine_recovery.recover_quarantine(collection.path) == 0, "it knows"
    kept(collection.path, ids)
    shutil.copyfile(tmp_path / "away" / "a.png", twins[1])
    (tmp_path / "away" / "below" / "b.png").unlink()
    assert quarantine_recovery.recover_quarantine(collection.path) == 1
    assert set(ids_by_path(collection.path).values()) & set(ids) == set(ids[:2])
    kept(collection.path, ids)
    changed_in_the_catalog(collection.path, "UPDATE images SET content_hash = ? WHERE image_id = ?", b"0" * 32, ids[2])
    assert quarantine_recovery.recover_quarantine(collection.path) == 0


def test_what_was_linked_and_then_deleted_by_hand_is_not_put_away(
    collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    """Although the trash has a file of that name and those bytes: a person has put it there."""
    import send2trash

    done(collection, planned(collection, twins[:2], "hard-link"))
    send2trash.send2trash(str(twins[1]))
    assert len(list((trash / "files").iterdir())) == 1
    assert quarantine_recovery.recover_quarantine(collection.path) == 0


def test_journals_of_what_is_undone_can_go(collection: imseek.Collection, twins: list[Path]) -> None:
    first = done(collection, planned(collection, twins[:2]))
    undo(collection.path, dry_run=False)
    second = done(collection, planned(collection, twins[:2]))
    assert quarantine_recovery.remove_undone_journals(collection.path) == 1
    assert [info.undo_id for info in journals.list_undo_infos(collection.path)] == [second.undo_id]
    assert first.undo_id != second.undo_id

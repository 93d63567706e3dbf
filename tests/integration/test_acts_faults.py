"""Others at work, stops, faults of the disk and of the journal."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest
from acting import (
    done,
    ids_by_path,
    planned,
    reasons,
    state,
    unchanged,
)

import imseek
from imseek.data import layout
from imseek.data.files import durable_files
from imseek.data.user_files import file_moves, safe_path
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions import execute, journal
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.errors import LockedError, StorageError, UsageError
from imseek.ui.cli import main


def test_it_waits_for_another_writer(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.data.writing import writer_wait

    plan = planned(collection, twins)
    with Writer(collection.path, "other"):
        monkeypatch.setattr(writer_wait, "DEFAULT_TIMEOUT", 0.3)
        with pytest.raises(LockedError):
            done(collection, plan)
        assert apply(collection.path, plan).counts == {"would": 3}  # Looking takes no lock.
    assert done(collection, plan).counts == {"done": 3}


def test_stopped_it_goes_on(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    plan, before, stop = planned(collection, twins), state(photos), threading.Event()
    report = apply(collection.path, plan, dry_run=False, stop=stop, progress=lambda p: stop.set())
    assert report.interrupted
    assert report.counts == {"done": 1}
    assert [one.state for one in journal.list_undo_infos(collection.path)] == ["unfinished"]
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
    real = file_moves.replace

    def replace(
        target: safe_path.FolderEntry,
        new: safe_path.FolderEntry,
        kept: safe_path.FolderEntry,
        content: safe_path.Content,
    ) -> None:
        with twins[1].open("ab") as file:
            file.write(b"late")
        real(target, new, kept, content)

    monkeypatch.setattr(file_moves, "replace", replace)
    report = done(collection, plan)
    assert reasons(report) == {"a.png": "it changed while it was replaced"}
    assert twins[1].read_bytes().endswith(b"late")
    assert not twins[1].samefile(twins[0])
    assert [p.name for p in twins[1].parent.glob(".*")] == []


def test_a_file_that_is_saved_anew_in_the_last_moment_stays(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look and the swap: what was swapped out is seen to be another file, and lies there again."""
    plan = planned(collection, twins[:2], "hard-link")
    real, saved = file_moves.exchange, twins[1].with_name("anew")
    calls = []

    def exchange(new: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        if not calls:
            saved.write_bytes(b"an edited picture")
            saved.replace(twins[1])
        calls.append(target.name)
        real(new, target)

    monkeypatch.setattr(file_moves, "exchange", exchange)
    assert reasons(done(collection, plan)) == {"a.png": "another file took its place"}
    assert calls == [b"a.png"] * 2
    assert twins[1].read_bytes() == b"an edited picture"
    assert [p.name for p in twins[1].parent.glob(".*")] == []
    assert journal.list_undo_infos(collection.path)[0].actions == {}


def test_of_a_file_that_is_saved_anew_twice_the_last_one_lies_at_its_place(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time between swap and swap back. Nothing that was there is dropped, now or by the next run."""
    plan, before = planned(collection, twins[:2], "hard-link"), twins[1].read_bytes()
    real, saved = file_moves.exchange, twins[1].with_name("anew")
    versions = [b"edited twice", b"edited once"]

    def exchange(new: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        if versions:
            saved.write_bytes(versions.pop())
            saved.replace(twins[1])
        real(new, target)

    monkeypatch.setattr(file_moves, "exchange", exchange)
    for _ in range(2):
        (reason,) = reasons(done(collection, plan)).values()
        assert reason.startswith("it changed, and its previous content is in the same folder")
        assert twins[1].read_bytes() == b"edited twice"
        beside = {p.read_bytes() for p in twins[1].parent.glob(".*")}
        assert beside == {before, b"edited once"}


def test_killed_with_another_file_swapped_out_it_lies_there_again(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run finds it under a name of ours, and drops neither it nor what was there before."""
    plan, before = planned(collection, twins[:2], "hard-link"), twins[1].read_bytes()
    real, saved = file_moves.exchange, twins[1].with_name("anew")

    def exchange(new: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        saved.write_bytes(b"an edited picture")
        saved.replace(twins[1])
        real(new, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(file_moves, "exchange", exchange)
        with pytest.raises(KeyboardInterrupt):
            done(collection, plan)
    assert twins[1].samefile(twins[0])
    (reason,) = reasons(done(collection, plan)).values()
    assert reason.startswith("it changed, and its previous content is in the same folder")
    assert twins[1].read_bytes() == b"an edited picture"
    assert [p.read_bytes() for p in twins[1].parent.glob(".*")] == [before]


def test_a_file_that_goes_in_the_last_moment_is_not_brought_back(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, real = planned(collection, twins[:2], "hard-link"), file_moves.exchange

    def exchange(new: safe_path.FolderEntry, target: safe_path.FolderEntry) -> None:
        twins[1].unlink()
        real(new, target)

    monkeypatch.setattr(file_moves, "exchange", exchange)
    assert reasons(done(collection, plan)) == {"a.png": "it is not there any more"}
    assert not twins[1].exists()
    assert [p.name for p in twins[1].parent.glob(".*")] == []


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL])
def test_links_where_names_cannot_be_swapped(
    number: int,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def exchange(*_: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(file_moves, "exchange", exchange)
    before = state(photos)
    assert done(collection, planned(collection, twins, "hard-link")).counts == {"done": 3}
    assert all(twin.samefile(twins[0]) for twin in twins)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert [p.name for p in twins[1].parent.glob(".*")] == []


def test_damage_to_the_journal_loses_no_file(
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = state(photos)
    report = done(collection, planned(collection, twins))
    (file,) = (collection.path / "undo").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    for n, line in enumerate(lines):
        if b'"note"' in line or b'"end"' in line:
            lines[n] = line.replace(b"e", b"f", 1)
    file.write_bytes(b"".join(lines) + b'{"do": "no')
    (info,) = journal.list_undo_infos(collection.path)
    assert (info.state, info.actions, info.undo_id) == ("unfinished", {"quarantine": 3}, report.undo_id)
    assert "could not be read" in info.notes[0]
    assert main(["undo", "--yes", "-c", str(collection.path)]) == 1
    assert "4 lines of" in (shown := capsys.readouterr().out), shown
    assert state(photos) == before
    assert [one.state for one in journal.list_undo_infos(collection.path)] == ["undone"]


def test_a_collection_with_something_to_undo_is_not_deleted(collection: imseek.Collection, twins: list[Path]) -> None:
    from imseek import library

    done(collection, planned(collection, twins))
    with pytest.raises(UsageError, match="undo a clean-up"):
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
        patch.setattr("imseek.duplicates.actions.execute.execute_intent", interrupt)
        with pytest.raises(KeyboardInterrupt):
            done(collection, plan)
    before = state(photos)
    assert undo(collection.path, dry_run=False).counts == {"already": 3}
    assert state(photos) == before
    assert old.exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("fails_at", range(5))
def test_no_room_for_the_journal(fails_at: int, photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    plan, before, ids = planned(collection, twins), state(photos), ids_by_path(collection.path)
    real, calls = durable_files.append, iter(range(100))

    def append(path: Path, data: bytes, *, sync: bool = True) -> None:
        if next(calls) == fails_at:
            real(path, data[: len(data) // 2], sync=sync)
            raise StorageError(f"{path}: No space left on device")
        real(path, data, sync=sync)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable_files, "append", append)
        # First the plan, then the way back; each may be what fails.
        for run in (lambda: done(collection, plan), lambda: undo(collection.path, dry_run=False)):
            with suppress(StorageError):
                run()
    collection.index([photos])
    done(collection, plan)
    while any(one.state != "undone" for one in journal.list_undo_infos(collection.path)):
        assert undo(collection.path, dry_run=False).counts.get("left", 0) == 0
    assert state(photos) == before
    assert ids_by_path(collection.path) == ids


def test_with_a_writer_that_is_at_work(collection: imseek.Collection, twins: list[Path]) -> None:
    plan = planned(collection, twins)
    with Writer(collection.path, "mine") as writer:
        report = apply(writer, plan, dry_run=False)
        assert report.counts == {"done": 3}
        assert report.generation == writer.generation
    assert undo(collection.path, dry_run=False).counts == {"done": 3}


@pytest.mark.parametrize("action", ["quarantine", "trash", "hard-link"])
def test_a_disk_that_fails_when_it_has_happened(
    action: str, photos: Path, collection: imseek.Collection, twins: list[Path], trash: Path
) -> None:
    """It is told as left, but is on record, and comes back with its id, also if a scan comes first."""
    before, ids = state(photos), ids_by_path(collection.path)
    name = {"quarantine": "_move_to_quarantine", "trash": "_move_to_trash", "hard-link": "_replace_by_link"}[action]
    real = getattr(execute, name)

    def fail(*arguments: object) -> None:
        real(*arguments)
        raise OSError(5, "Input/output error")

    plan = planned(collection, twins, action)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, name, fail)
        report = done(collection, plan)
    assert reasons(report) == dict.fromkeys(["a.png", "b.png", "c.png"], "Input/output error")
    assert [(one.state, one.notes) for one in journal.list_undo_infos(collection.path)] == [("unfinished", ())]
    unchanged(collection, photos)
    assert apply(collection.path, plan).counts == {"already": 3}
    assert done(collection, plan).counts == {"already": 3}
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert ids_by_path(collection.path) == ids


def test_a_disk_that_fails_when_names_are_made_durable_is_told_with_the_collection(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    """Once for many files: what has happened is on record, and comes back."""
    before, plan = state(photos), planned(collection, twins)

    def fail(folders: safe_path.UnsyncedFolders) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for run in (lambda: done(collection, plan), lambda: undo(collection.path, dry_run=False)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(safe_path.UnsyncedFolders, "sync", fail)
            with pytest.raises(StorageError, match=f"^{collection.path}: Input/output error"):
                run()
    assert set(undo(collection.path, dry_run=False).counts) <= {"already", "done"}
    assert state(photos) == before

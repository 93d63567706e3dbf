"""Where files are put away: no place is taken for that of another file, whoever has put it there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import copies, done, ids_by_path, planned, reasons, state, unchanged

import imseek
from imseek.data.catalog import quarantined_duplicates
from imseek.data.user_files import file_moves, safe_path
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions import quarantine_recovery
from imseek.duplicates.actions.intent_builder import IntentBuilder
from imseek.duplicates.actions.plans import Plan
from imseek.duplicates.actions.undo import undo


class Killed(BaseException):
    """What a kill is to a test: nothing handles it."""


def kill(*_: object, **__: object) -> None:
    raise Killed


def cut_short(collection: imseek.Collection, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> str:
    """Killed when all is on record and no file has moved; returns the id of the record."""
    with monkeypatch.context() as patched:
        patched.setattr(quarantined_duplicates, "apply_change", kill)
        with pytest.raises(Killed):
            done(collection, plan)
    return journals.list_undo_infos(collection.path)[0].undo_id


def twice(photos: Path, backup: Path) -> tuple[Path, Path]:
    """A picture, and a copy of it with the same time at the same place of another folder."""
    (one,) = copies(photos, photos / "coffee.png", ["x/a.png"])
    other = backup / "x" / "a.png"
    other.parent.mkdir(parents=True)
    shutil.copy2(one, other)
    return one, other


@pytest.fixture(params=["same", "other"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder of quarantine, on the disk of the pictures and on another one."""
    if request.param == "same":
        yield tmp_path / "away"
        return
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs a second file system")
    folder = Path("/dev/shm") / f"imseek-places-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_record_that_was_cut_short_takes_no_other_file_for_its_own(
    photos: Path,
    collection: imseek.Collection,
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = twice(photos, tmp_path / "backup")
    collection.index([photos, tmp_path / "backup"])
    before, ids = state(tmp_path / "backup"), ids_by_path(collection.path)
    first_id = cut_short(collection, planned(collection, [other, one], to=target), monkeypatch)
    # Another plan, the other way round.
    report = done(collection, planned(collection, [one, other], to=target))
    assert report.files[0].to == os.fsencode(target / "x" / "a (2).png")
    assert undo(collection.path, first_id, dry_run=False).counts == {"already": 1}
    assert undo(collection.path, report.undo_id, dry_run=False).counts == {"done": 1}
    assert state(tmp_path / "backup") == before
    assert one.exists()
    collection.index([photos, tmp_path / "backup"])
    assert ids_by_path(collection.path) == ids


@pytest.mark.parametrize("way", ["undo", "goes on"])
def test_collections_that_put_away_in_one_folder(
    way: str,
    photos: Path,
    collection: imseek.Collection,
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = twice(photos, tmp_path / "backup")
    shutil.copy2(one, tmp_path / "backup" / "kept.png")
    collection.index([photos])
    plan = planned(collection, [photos / "coffee.png", one], to=target)
    before = state(photos), state(tmp_path / "backup")
    cut_short(collection, plan, monkeypatch)
    with imseek.create(tmp_path / "second", encoder="fake") as second:
        second.index([tmp_path / "backup"])
        report = done(second, planned(second, [tmp_path / "backup" / "kept.png", other], to=target))
        assert report.files[0].to == os.fsencode(target / "x" / "a.png")
        if way == "undo":
            assert undo(collection.path, dry_run=False).counts == {"already": 1}
        else:
            assert done(collection, plan).files[0].to == os.fsencode(target / "x" / "a (2).png")
            assert undo(collection.path, dry_run=False).counts == {"done": 1}
        assert undo(second.path, dry_run=False).counts == {"done": 1}
    assert (state(photos), state(tmp_path / "backup")) == before


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
@pytest.mark.parametrize("goes_on", [False, True])
def test_copies_of_our_own_are_known_again(
    goes_on: bool,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed when a copy has its name and the original is there, on the way there and on the way back."""
    target = Path("/dev/shm") / f"imseek-copies-{os.getpid()}"
    before, plan = state(photos), planned(collection, twins, to=target)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(file_moves, "remove_original", kill)
            patched.setattr(file_moves, "unlink_durably", kill)
            with pytest.raises(Killed):
                done(collection, plan)
        assert len(list(target.rglob("*.png"))) == 1
        if goes_on:
            assert done(collection, plan).counts == {"already": 1, "done": 2}
            with monkeypatch.context() as patched:
                patched.setattr(file_moves, "remove_original", kill)
                patched.setattr(file_moves, "is_same_inode", lambda *_: False)
                with pytest.raises(Killed):
                    undo(collection.path, dry_run=False)
            assert len(list(target.rglob("*.png"))) == 3
        undo(collection.path, dry_run=False)
        assert state(photos) == before
        assert list(target.rglob("*.png")) == []
    finally:
        shutil.rmtree(target)


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
def test_a_copy_on_the_way_back_is_known_where_the_way_there_was_cut_short(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with the original ended and nothing told of it, and then on the way back."""
    target, real = Path("/dev/shm") / f"imseek-both-{os.getpid()}", file_moves.remove_original
    before, plan = state(photos), planned(collection, twins, to=target)

    def end(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        raise Killed

    try:
        with monkeypatch.context() as patched:
            patched.setattr(file_moves, "remove_original", end)
            with pytest.raises(Killed):
                done(collection, plan)
            patched.setattr(file_moves, "remove_original", kill)
            patched.setattr(file_moves, "is_same_inode", lambda *_: False)
            with pytest.raises(Killed):
                undo(collection.path, dry_run=False)
        assert undo(collection.path, dry_run=False).counts == {"already": 2, "done": 1}
        assert state(photos) == before
        assert list(target.rglob("*.png")) == []
    finally:
        shutil.rmtree(target)


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="needs a second file system")
@pytest.mark.parametrize("moved", [False, True])
def test_copies_of_a_later_record_are_known_again(
    moved: bool,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed on the way back, and put away and brought back once more: what lies at the place is the other's copy."""
    target = Path("/dev/shm") / f"imseek-later-{os.getpid()}"
    before, ids, plan = state(photos), ids_by_path(collection.path), planned(collection, twins, to=target)
    try:
        first = done(collection, plan).undo_id
        with monkeypatch.context() as patched:
            patched.setattr(file_moves, "remove_original", kill)
            patched.setattr(file_moves, "is_same_inode", lambda *_: False)
            with pytest.raises(Killed):
                undo(collection.path, dry_run=False)
        unchanged(collection, photos)
        second = done(collection, plan)
        assert (second.counts, second.undo_id == first) == ({"already": 2, "done": 1}, False)
        unchanged(collection, photos)
        assert len(list(target.rglob("*.png"))) == 4
        assert undo(collection.path, dry_run=False).counts == {"done": 1}
        if moved:
            photos.rename(tmp_path / "elsewhere")
            photos = tmp_path / "elsewhere"
            ids = {path.replace("/photos/", "/elsewhere/"): i for path, i in ids.items()}
            collection.relocate_source(1, photos)
        report = undo(collection.path, dry_run=False)
        assert (report.undo_id, report.counts, {f.reason for f in report.files}) == (first, {"done": 3}, {""})
        assert state(photos) == before
        assert list(target.rglob("*.png")) == []
        unchanged(collection, photos)
        assert ids_by_path(collection.path) == ids
    finally:
        shutil.rmtree(target)


def test_a_number_behind_a_name_that_is_as_long_as_can_be(photos: Path, collection: imseek.Collection) -> None:
    name = "ä" * 125 + "x.png"
    assert len(os.fsencode(name)) == 255
    for n in range(2):
        (photos / name).write_bytes((photos / "coffee.png").read_bytes() + b"x" * n)
        collection.index([photos])
        report = done(collection, planned(collection, [photos / "coffee.png", photos / name]))
        assert report.counts == {"done": 1}
    assert report.files[0].to == os.fsencode(photos / ".imseek-quarantine" / ("ä" * 123 + " (2).png"))
    assert undo(collection.path, dry_run=False).counts == {"done": 1}
    assert str(photos / name) in ids_by_path(collection.path)


def test_names_that_the_other_disk_cannot_hold(
    photos: Path, collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, plan = safe_path.stat_entry, planned(collection, twins[:2])
    (photos / ".imseek-quarantine").mkdir()

    def look(at: safe_path.FolderEntry) -> os.stat_result | None:
        if os.path.samestat(os.fstat(at.folder), (photos / ".imseek-quarantine").stat()):
            raise OSError(36, "File name too long")
        return real(at)

    with monkeypatch.context() as patched:
        patched.setattr("imseek.data.user_files.safe_path.stat_entry", look)
        patched.setattr(file_moves, "rename_noreplace", lambda _, at: look(at))
        assert reasons(done(collection, plan)) == {"a.png": "File name too long"}
    assert str(twins[1]) in ids_by_path(collection.path)
    assert journals.list_undo_infos(collection.path)[0].actions == {}


def test_where_no_folder_of_quarantine_can_be_made(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    (photos / "below" / "more").mkdir()
    (photos / ".imseek-quarantine").write_text("somebody's file")
    before = state(photos)
    report = done(collection, planned(collection, twins))
    assert report.counts == {"left": 3}
    assert all(reason.endswith("File exists") for reason in reasons(report).values())
    assert state(photos) == before
    assert str(twins[1]) in ids_by_path(collection.path)


def test_a_file_that_goes_while_it_is_put_on_record(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = IntentBuilder.intents

    def intents(self: IntentBuilder, *given: object) -> object:
        twins[2].unlink(missing_ok=True)
        return real(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(IntentBuilder, "intents", intents)
    report = done(collection, planned(collection, twins, "hard-link"))
    assert reasons(report) == {"b.png": "it is not there any more"}
    assert report.counts == {"left": 1, "done": 2}


def test_the_last_is_undone_first_also_within_a_second(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "ffffff")
    made = [
        str(done(collection, planned(collection, [twins[0], twin], "tag", tag=f"t{n}")).undo_id)
        for n, twin in enumerate(twins[1:])
    ]
    assert made == sorted(made)
    assert [info.undo_id for info in journals.list_undo_infos(collection.path)] == made[::-1]
    for undo_id in made[::-1]:
        assert undo(collection.path, dry_run=False).undo_id == undo_id


@pytest.mark.parametrize("where", ["quarantine", "pictures"])
@pytest.mark.parametrize("how", ["none", "empty"])
def test_what_lies_on_a_disk_that_is_not_mounted_is_not_gone(
    where: str, how: str, photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    before, ids = state(photos), ids_by_path(collection.path)
    done(collection, planned(collection, twins, to=tmp_path / "away"))
    if where == "pictures":
        undo(collection.path, dry_run=False)
        done(collection, planned(collection, twins, "hard-link"))
    disk = photos if where == "pictures" else tmp_path / "away"
    disk.rename(tmp_path / "unplugged")
    if how == "empty":
        disk.mkdir()
    report = undo(collection.path, dry_run=False)
    assert {file.reason for file in report.files} == {f"{disk} is not there, perhaps not mounted"}
    assert journals.list_undo_infos(collection.path)[0].state == "done"
    if how == "empty":
        disk.rmdir()
    (tmp_path / "unplugged").rename(disk)
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert ids_by_path(collection.path) == ids


def test_a_record_that_is_damaged_is_not_purged(collection: imseek.Collection, twins: list[Path], photos: Path) -> None:
    report = done(collection, planned(collection, twins))
    file = journals.find(collection.path, str(report.undo_id)).file
    lines = file.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b"quarantine", b"quarantinE", 1)
    file.write_bytes(b"\n".join(lines))
    assert undo(collection.path, dry_run=False).counts == {"done": 2}
    assert quarantine_recovery.remove_undone_journals(collection.path) == 0
    assert file.exists()


@pytest.mark.parametrize("command", ["apply", "undo"])
def test_a_file_that_is_saved_anew_while_a_link_is_made_ready_stays(
    command: str,
    photos: Path,
    collection: imseek.Collection,
    twins: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As editors save: another file is renamed to its place, while the name of the old one is made durable."""
    plan, real, saved = planned(collection, twins[:2], "hard-link"), safe_path.sync_entries, photos / "saved"
    if command == "undo":
        done(collection, plan)
    saved.write_bytes(b"saved anew")

    def sync(*places: safe_path.FolderEntry) -> None:
        real(*places)
        if saved.exists() and places[0].name.endswith(b".old"):
            saved.rename(twins[1])

    monkeypatch.setattr(file_moves, "sync_entries", sync)
    if command == "undo":
        assert undo(collection.path, dry_run=False).files[0].reason == "another file took its place"
    else:
        assert reasons(done(collection, plan)) == {"a.png": "another file took its place"}
    assert twins[1].read_bytes() == b"saved anew"
    assert not list(photos.rglob(".imseek-*-*.*"))

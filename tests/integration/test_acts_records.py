"""What apply and undo tell of their work: progress, notes, bytes that are free, and why files were left alone."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from acting import copies, done, planned, reasons, report_of, state

import imseek
from imseek.duplicates.actions import execute, plans
from imseek.duplicates.actions import journal as journals
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.errors import CollectionNotFoundError, PlanError, UsageError
from imseek.progress import Progress


def counts(seen: list[Progress]) -> list[tuple[str, int, int | None, int]]:
    return [(one.phase, one.done, one.total, one.skipped) for one in seen]


def test_progress_of_a_plan_and_of_its_undo(collection: imseek.Collection, twins: list[Path]) -> None:
    """A file that is left alone counts, and is read too."""
    size = twins[0].stat().st_size
    plan = planned(collection, twins)
    with twins[1].open("ab") as file:
        file.write(b"more")
    seen: list[Progress] = []
    report = apply(collection.path, plan, progress=seen.append)
    assert report.dry_run
    assert report.counts == {"left": 1, "would": 2}
    assert counts(seen) == [("apply", 2, 3, 1), ("apply", 3, 3, 1)]
    assert [one.bytes for one in seen] == [size, 2 * size]
    seen.clear()
    report = apply(collection.path, plan, dry_run=False, progress=seen.append)
    assert not report.dry_run
    assert counts(seen) == [("apply", 2, 3, 1), ("apply", 3, 3, 1)]
    assert [one.bytes for one in seen] == [3 * size, 4 * size]  # Each is read once more before it goes.
    assert (report.freed, report.interrupted, report.notes) == (2 * size, False, ())
    for dry_run, outcome in ((True, "would"), (False, "done")):
        seen.clear()
        back = undo(collection.path, dry_run=dry_run, progress=seen.append)
        assert (back.dry_run, back.counts, back.interrupted) == (dry_run, {outcome: 2}, False)
        assert counts(seen) == [("undo", 1, 2, 0), ("undo", 2, 2, 0)]
        assert back.undo_id == report.undo_id


def test_what_each_file_of_a_report_says(collection: imseek.Collection, twins: list[Path]) -> None:
    plan = planned(collection, twins[:3])
    dry = apply(collection.path, plan)
    report = done(collection, plan)
    facts = {file.path: (file.image_id, file.bytes) for file in plan.files}
    for told, outcome in ((dry, "would"), (report, "done")):
        assert {file.path: (file.image_id, file.bytes) for file in told.files} == facts
        assert {(file.action, file.outcome, file.reason) for file in told.files} == {("quarantine", outcome, "")}
    assert [file.to for file in dry.files] == [file.to for file in report.files]
    again = apply(collection.path, plan)
    assert {(file.outcome, file.to, file.reason) for file in again.files} == {("already", None, "")}
    back = undo(collection.path, dry_run=False)
    assert [file.path for file in back.files] == [file.path for file in report.files][::-1], "latest first"
    assert {file.path: file.image_id for file in back.files} == {path: i for path, (i, _) in facts.items()}
    assert {(file.action, file.outcome, file.reason) for file in back.files} == {("quarantine", "done", "")}
    with imseek.open(collection.path) as now:
        assert back.generation == now.info().generation > report.generation > dry.generation


def test_a_file_with_two_names_frees_nothing(collection: imseek.Collection, twins: list[Path], photos: Path) -> None:
    os.link(twins[1], photos / "second name.png")
    report = done(collection, planned(collection, twins[:3]))
    assert report.counts == {"done": 2}
    assert report.freed == twins[0].stat().st_size


def test_tags_free_nothing(collection: imseek.Collection, twins: list[Path]) -> None:
    report = done(collection, planned(collection, twins, "tag"))
    assert (report.counts, report.freed) == ({"done": 3}, 0)
    assert {file.to for file in report.files} == {None}


def test_a_run_that_goes_on_says_so(collection: imseek.Collection, twins: list[Path], photos: Path) -> None:
    plan, stop = planned(collection, twins), threading.Event()
    report = apply(collection.path, plan, dry_run=False, stop=stop, progress=lambda _: stop.set())
    assert (report.interrupted, report.notes) == (True, ())
    (note,) = apply(collection.path, plan).notes
    assert "cut short" in note
    other = planned(collection, [twins[0], twins[3]], "tag")
    assert apply(collection.path, other).notes == ()
    again = done(collection, plan)
    (note,) = again.notes
    assert "cut short" in note
    assert {file.to for file in again.files} == {
        os.fsencode(photos / ".imseek-quarantine" / twin.relative_to(photos)) for twin in twins[1:]
    }
    assert apply(collection.path, plan).notes == (), "it is at its end"


@pytest.mark.parametrize("dry_run", [True, False])
def test_nothing_is_begun_once_it_is_to_stop(
    collection: imseek.Collection, twins: list[Path], photos: Path, dry_run: bool
) -> None:
    plan, stop, before = planned(collection, twins), threading.Event(), state(photos)
    stop.set()
    report = apply(collection.path, plan, dry_run=dry_run, stop=stop)
    assert (report.interrupted, report.files, report.undo_id) == (True, (), None)
    done(collection, plan)
    away = state(photos, aside=True)
    back = undo(collection.path, dry_run=dry_run, stop=stop)
    assert (back.interrupted, back.files) == (True, ())
    assert state(photos, aside=True) == away
    assert undo(collection.path, dry_run=False).counts == {"done": 3}
    assert state(photos) == before


def test_an_undo_that_is_stopped_goes_on(
    collection: imseek.Collection, twins: list[Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two files, and between two batches."""
    monkeypatch.setattr("imseek.duplicates.actions.undo.BATCH", 2)
    before, stop = state(photos), threading.Event()
    done(collection, planned(collection, twins))
    report = undo(collection.path, dry_run=False, stop=stop, progress=lambda p: stop.set())
    assert (report.interrupted, report.counts) == (True, {"done": 1})
    assert journals.list_undo_infos(collection.path)[0].state == "partly"
    stop.clear()
    report = undo(collection.path, dry_run=False, stop=stop, progress=lambda p: stop.set() if p.done == 2 else None)
    assert report.counts == {"done": 2}
    assert state(photos) == before


def test_a_trash_that_hides_what_it_takes_is_told(
    collection: imseek.Collection, twins: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.setattr("send2trash.send2trash", lambda path: Path(path).rename(hidden / Path(path).name))
    plan = planned(collection, twins, "trash")
    report = done(collection, plan)
    assert (report.counts, {file.to for file in report.files}) == ({"done": 3}, {None})
    (note,) = report.notes
    assert "3 of them" in note
    back = undo(collection.path, dry_run=False)
    assert back.counts == {"left": 3}
    assert {file.reason for file in back.files} == {"it is neither at its place nor where it was put"}


def test_a_trash_that_takes_a_file_and_fails(
    collection: imseek.Collection, twins: list[Path], trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that lies in it is found there; one that nobody finds again is told; one that was not taken stays."""
    import send2trash.plat_other as linux

    def send(path: str) -> None:
        match Path(path).name:
            case "a.png":
                linux.send2trash(path)
            case "b.png":
                Path(path).unlink()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("send2trash.send2trash", send)
    report = done(collection, planned(collection, twins, "trash"))
    assert report.counts == {"done": 1, "left": 2}
    assert reasons(report) == {
        "b.png": "the trash took it and failed: Input/output error",
        "c.png": "Input/output error",
    }
    assert [file.to for file in report.files if file.outcome == "done"] == [os.fsencode(trash / "files" / "a.png")]
    assert twins[3].exists()


def test_a_file_that_changes_on_its_way_to_the_trash_stays(
    collection: imseek.Collection, twins: list[Path], trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = execute._move_to_trash

    def late(*arguments: object) -> object:
        with twins[1].open("ab") as file:
            file.write(b"late")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(execute, "_move_to_trash", late)
    assert reasons(done(collection, planned(collection, twins[:2], "trash"))) == {"a.png": "it changed just now"}
    assert twins[1].read_bytes().endswith(b"late")


def test_a_folder_in_place_of_a_quarantine_that_is_a_link(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (photos / ".imseek-quarantine").symlink_to(tmp_path / "elsewhere")
    before = state(photos)
    report = done(collection, planned(collection, twins))
    assert {reason.split(" is ")[0] for reason in reasons(report).values()} == {str(photos / ".imseek-quarantine")}
    assert state(photos) == before
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_quarantine_says_what_it_is(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    """Also one whose folder was there already; a text of the user's in its place stays."""
    for folder in (tmp_path / "new", tmp_path / "there"):
        if folder.name == "there":
            folder.mkdir()
        done(collection, planned(collection, twins, to=folder))
        marker = folder / "IMSEEK-QUARANTINE.txt"
        assert "imseek duplicates undo" in marker.read_text()
        marker.write_text("mine")
        undo(collection.path, dry_run=False)
        done(collection, planned(collection, twins[:2], to=folder))
        assert marker.read_text() == "mine"
        undo(collection.path, dry_run=False)


# -- plans that cannot be made ------------------------------------------------------------------------------


def test_what_no_plan_can_be_made_of(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    report, root = report_of(collection.path, [twins]), collection.path
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    for said, options in {
        "empty": {"action": "tag", "tag": " "},
        "trash moves nothing": {"action": "trash", "to": tmp_path / "away"},
        f"not '{photos}'": {"protect": str(photos)},
        "not b'": {"protect": bytes(photos)},
        f"{photos} holds source 1": {"to": photos},
        f"{tmp_path} holds source 1": {"to": tmp_path},
        f"{root} and the collection": {"to": root},
        f"{root / 'away'} and the collection": {"to": root / "away"},
        f"{tmp_path / 'full'} holds other files": {"to": tmp_path / "full"},
        f"{tmp_path / 'open'}": {"to": tmp_path / "open"},
        f"{tmp_path / 'file'} cannot be used: Not a directory": {"to": tmp_path / "file"},
    }.items():
        with pytest.raises(UsageError) as caught:
            plans.make_plan(report, **{"action": "quarantine", "root": root, **options})  # type: ignore[arg-type]
        assert said in str(caught.value)
        if said.endswith(("holds other files", "/open")):
            assert caught.value.hint
    with (
        imseek.create(tmp_path / "second", encoder="fake") as second,
        pytest.raises(UsageError, match="another collection"),
    ):
        plans.make_plan(report, "tag", root=second.path)
    with pytest.raises(CollectionNotFoundError):
        plans.make_plan(report, "tag", root=tmp_path / "none")


def test_places_of_a_plan_are_absolute(
    collection: imseek.Collection, twins: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    plan = planned(collection, twins, to="away", protect=["~/safe", tmp_path / "x" / ".." / "y"])
    assert plan.to == os.fsencode(tmp_path / "away")
    assert plan.protect == (os.fsencode(tmp_path / "home" / "safe"), os.fsencode(tmp_path / "y"))
    assert (plan.action, plan.collection, plan.generation) == (
        "quarantine",
        collection.info().uuid,
        collection.info().generation,
    )
    assert [file.path for file in plan.files] == [os.fsencode(twin) for twin in twins[1:]]
    assert {file.bytes for file in plan.files} == {twins[0].stat().st_size}
    assert plan.groups[0].keeper.action == "keep"


def test_why_duplicates_are_not_acted_on(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    """Because of what the collection knows of them, and because of what lies there now."""
    other = copies(photos, twins[0], ["d.png"])
    collection.index([photos])
    report = report_of(collection.path, [[*twins, *other]])
    (group,) = report.groups
    *members, last = group.members
    told = replace(report, groups=(replace(group, members=(*members, replace(last, content_hash="0" * 64))),))
    with twins[1].open("ab") as file:
        file.write(b"more")
    collection.index([photos])
    twins[2].unlink()
    twins[2].mkdir()
    (photos / "link to album").symlink_to(photos / "album")
    plan = plans.make_plan(told, "quarantine", root=collection.path, protect=[photos / "link to album"])
    assert [(one.image_id, os.fsdecode(one.path), one.reason) for one in plan.refused] == [
        (members[1].image_id, "", "the collection does not have it any more"),
        (members[2].image_id, str(twins[2]), "it is not a regular file"),
        (members[3].image_id, str(twins[3]), f"{photos / 'link to album'} is protected"),
        (last.image_id, str(other[0]), "it has changed since the report"),
    ]
    assert (plan.files, plan.groups) == ((), ())


@pytest.mark.parametrize("harm", ["changed", "link", "away"])
def test_a_keeper_that_cannot_be_relied_on_saves_all_of_its_group(
    harm: str, collection: imseek.Collection, twins: list[Path], photos: Path
) -> None:
    report = report_of(collection.path, [twins])
    match harm:
        case "changed":
            with twins[0].open("ab") as file:
                file.write(b"more")
            collection.index([photos])
        case "link":
            twins[0].rename(photos / "elsewhere.png")
            twins[0].symlink_to(photos / "elsewhere.png")
        case _:
            done(collection, planned(collection, [twins[1], twins[0]]))
    plan = plans.make_plan(report, "quarantine", root=collection.path)
    assert plan.files == ()
    assert len(plan.refused) == 3
    assert [one.path for one in plan.refused] == [os.fsencode(twin) for twin in twins[1:]]
    said = {
        "changed": "the collection does not have it any more",
        "link": "symbolic link",
        "away": "it is quarantined",
    }[harm]
    assert all(said in one.reason and "its keeper" in one.reason for one in plan.refused)


def test_only_equal_bytes_are_linked(collection: imseek.Collection, twins: list[Path], photos: Path) -> None:
    report = report_of(collection.path, [[twins[0], photos / "rocket.jpg", twins[1]]])
    for action in ("hard-link", "reflink"):
        plan = plans.make_plan(report, action, root=collection.path)  # type: ignore[arg-type]
        assert [file.path for file in plan.files] == [os.fsencode(twins[1])]
        assert "other bytes than the keeper" in plan.refused[0].reason
    assert len(plans.make_plan(report, "trash", root=collection.path).files) == 2


def test_a_plan_of_files_that_lie_elsewhere_by_now_is_refused_with_their_names(
    collection: imseek.Collection, twins: list[Path], photos: Path, tmp_path: Path
) -> None:
    plan = planned(collection, twins)
    with (
        imseek.create(tmp_path / "second", encoder="fake") as second,
        pytest.raises(PlanError, match="another collection"),
    ):
        apply(second.path, plan)
    collection.remove_source(1)
    with pytest.raises(PlanError, match=r"group 1, /.*coffee\.png: .*outside"):
        apply(collection.path, plan)


def test_a_picture_that_is_a_source_of_its_own(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    made = copies(tmp_path / "single", photos / "coffee.png", ["a.png", "b.png"])
    collection.index([photos, *made])
    before = state(tmp_path / "single")
    plan = planned(collection, [photos / "coffee.png", *made])
    report = done(collection, plan)
    assert report.counts == {"done": 2}
    assert {file.to for file in report.files} == {
        os.fsencode(tmp_path / "single" / ".imseek-quarantine" / name) for name in ("a.png", "b.png")
    }
    assert undo(collection.path, dry_run=False).counts == {"done": 2}
    assert state(tmp_path / "single") == before

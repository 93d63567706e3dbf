"""What is put away outlives what is done to the collection meanwhile: repairs, purges, other encoders, watching."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from acting import ids_by_path, planned, state
from wait import wait_until

import imseek
from imseek import maintenance
from imseek import watch as watching
from imseek.data import layout
from imseek.duplicates.actions import journal
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.types.indexing_runs import IndexReport


def test_a_catalog_from_before_is_told_what_is_put_away(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    root, before, ids = collection.path, state(photos), ids_by_path(collection.path)
    old = tmp_path / "old"
    shutil.copytree(root, old)
    assert apply(root, planned(collection, twins), dry_run=False).counts == {"done": 3}
    for name in (layout.CATALOG, *layout.BACKUPS, layout.CHECKSUMS):
        (root / name).unlink(missing_ok=True)
        if (old / name).exists():
            shutil.copyfile(old / name, root / name)
    report = maintenance.repair(root)
    assert any("3 images as put away" in line for line in report.restored), report
    assert report.after.ok
    with imseek.open(root) as again:
        found = again.index([photos])
    assert (found.added, found.removed) == (0, 0)
    assert undo(root, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    assert ids_by_path(root) == ids


def test_purged_and_encoded_again_it_comes_back_with_its_id(
    photos: Path, collection: imseek.Collection, twins: list[Path]
) -> None:
    root, before, ids = collection.path, state(photos), ids_by_path(collection.path)
    apply(root, planned(collection, twins), dry_run=False)
    maintenance.purge(root)
    assert len(journal.list_undo_infos(root)) == 1, "what can be undone is kept"
    assert maintenance.reencode(root, "fake:32").outcome == "switched"
    assert undo(root, dry_run=False).counts == {"done": 3}
    assert state(photos) == before
    with imseek.open(root) as again:
        again.index([photos])
    assert ids_by_path(root) == ids
    maintenance.purge(root)
    assert journal.list_undo_infos(root) == ()
    assert maintenance.verify(root).ok


def test_a_removed_source_gives_its_files_back(photos: Path, collection: imseek.Collection, twins: list[Path]) -> None:
    before = state(photos)
    apply(collection.path, planned(collection, twins), dry_run=False)
    collection.remove_source(1)
    report = undo(collection.path, dry_run=False)
    assert report.counts == {"done": 3}
    assert sum("takes its file in anew" in note for note in report.notes) == 3
    assert state(photos) == before


def test_while_the_folder_is_followed(
    photos: Path, collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    """Events of files that are put away, and brought back, reach the follower, and change nothing."""
    root, before, ids = collection.path, state(photos), ids_by_path(collection.path)
    stop = threading.Event()
    reports: list[IndexReport] = []
    problems: list[BaseException] = []

    def follow() -> None:
        try:
            with imseek.open(root) as own:
                watching.watch(own, [photos], settle=0.3, stop=stop, on_report=reports.append)
        except BaseException as error:
            problems.append(error)

    def seen(name: str) -> None:
        """The follower has come past all events of before."""
        shutil.copyfile(photos / "rocket.jpg", tmp_path / name)
        with (tmp_path / name).open("ab") as file:
            file.write(name.encode())
        (tmp_path / name).rename(photos / name)
        wait_until(lambda: str(photos / name) in ids_by_path(root) or bool(problems), 60)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        wait_until(lambda: bool(reports) or bool(problems), 60)
        seen("1.jpg")
        report = apply(root, planned(collection, twins, to=photos / "put away"), dry_run=False)
        assert report.counts == {"done": 3}, report.files
        seen("2.jpg")
        assert set(ids_by_path(root)) - set(ids) == {str(photos / "1.jpg"), str(photos / "2.jpg")}
        assert undo(root, dry_run=False).counts == {"done": 3}
        seen("3.jpg")
    finally:
        stop.set()
        thread.join(60)
    assert problems == []
    assert sum(one.added for one in reports) == 3
    assert sum(one.removed + one.changed + one.moved + one.copied for one in reports) == 0
    now = ids_by_path(root)
    assert {path: now[path] for path in ids} == ids
    for n in (1, 2, 3):
        (photos / f"{n}.jpg").unlink()
    assert {k: v for k, v in state(photos).items() if not k.startswith("put away")} == before

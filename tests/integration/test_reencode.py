"""Re-encoding: searches see the old space, then the new one; what was built is not built again; nothing is lost."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from templates import Templates

import imseek
from imseek import maintenance
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.errors import UsageError

NEW = "fake:32"


@pytest.fixture
def root(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    return templates.indexed(tmp_path / "made", photos, encoder="fake:64")


def rows(root: Path, space_id: int) -> dict[int, bytes]:
    reader = Reader(root)
    return {
        int(segment.ids[n]): segment.rows[n].tobytes()
        for segment in reader.segments(space_id)
        for n in np.setdiff1d(np.arange(len(segment.ids)), segment.dead)
    }


def test_the_vectors_are_those_of_a_new_collection(root: Path, photos: Path, tmp_path: Path) -> None:
    report = maintenance.reencode(root, NEW)
    assert (report.outcome, report.encoded, report.missing, report.replaced) == ("switched", 8, (), 0)
    with imseek.create(tmp_path / "other", encoder=NEW) as other:
        other.index([photos])
    assert rows(root, 1) == rows(tmp_path / "other", 0)
    assert maintenance.verify(root).ok


def test_searches_see_the_old_then_the_new(root: Path) -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []
    done = threading.Event()
    with imseek.open(root) as collection:

        def ask() -> None:
            while not done.is_set():
                result = collection.search(0, metadata=False)
                seen.append((result.encoder, tuple(sorted(hit.image_id for hit in result))))

        asker = threading.Thread(target=ask)
        asker.start()
        maintenance.reencode(root, NEW)
        collection.search(0)
        done.set()
        asker.join()
        assert collection.search(0).encoder == NEW
    assert {ids for _, ids in seen} == {tuple(range(8))}
    encoders = [encoder for encoder, _ in seen]
    assert encoders == sorted(encoders, key=["fake:64", NEW].index)


def test_back_again_encodes_only_what_is_new(root: Path, photos: Path) -> None:
    before = rows(root, 0)
    maintenance.reencode(root, NEW)
    shutil.copy(photos / "chelsea.png", photos / "copy.png")
    (photos / "new.png").write_bytes((photos / "coffee.png").read_bytes() + b"\0")
    with imseek.open(root) as collection:
        collection.index()
    report = maintenance.reencode(root, "fake:64")
    assert (report.space_id, report.before, report.encoded, report.copied) == (0, 8, 1, 1)
    assert before.items() <= rows(root, 0).items()
    assert len(rows(root, 0)) == 10


def test_pictures_that_are_gone_are_named_and_come_back(root: Path, photos: Path) -> None:
    whole = (photos / "coffee.png").read_bytes()
    (photos / "coffee.png").unlink()
    report = maintenance.reencode(root, NEW)
    assert report.outcome == "switched"
    assert [(m.reason, m.settled, Path(m.place.display).name) for m in report.missing if m.place] == [
        ("vanished", True, "coffee.png")
    ]
    lost = report.missing[0].image_id
    assert lost not in rows(root, 1)
    (photos / "coffee.png").write_bytes(whole)
    with imseek.open(root) as collection:
        collection.index()
    assert sorted(rows(root, 1)) == list(range(8))
    assert maintenance.verify(root).ok


def test_an_absent_source_refuses_the_switch(root: Path, photos: Path) -> None:
    photos.rename(photos.with_name("away"))
    report = maintenance.reencode(root, NEW)
    assert (report.outcome, len(report.missing)) == ("refused", 8)
    with imseek.open(root) as collection:
        assert collection.search(0).encoder == "fake:64"
        (other,) = collection.info().other_spaces
        assert (other.state, other.images) == ("building", 0)
    photos.with_name("away").rename(photos)
    assert maintenance.reencode(root, NEW).outcome == "switched"


def test_dropping(root: Path) -> None:
    maintenance.reencode(root, NEW, add=True)
    with pytest.raises(UsageError, match="under another name"):
        maintenance.reencode(root, NEW)
    files = [path for path in (root / "spaces" / "0").rglob("*") if path.is_file()]
    report = maintenance.drop_space(root, 0)
    assert (report.space_id, report.encoder) == (0, "fake:64")
    assert (report.files, report.bytes) == (len(files), sum(path.stat().st_size for path in files))
    with imseek.open(root) as collection:
        assert report.generation == collection.info().generation
    with pytest.raises(UsageError, match="the only one"):
        maintenance.drop_space(root, 1)
    maintenance.purge(root)
    assert not list(root.glob("spaces/0/**/*.npy"))
    assert maintenance.verify(root).ok
    with imseek.open(root) as collection:
        assert sorted(hit.image_id for hit in collection.search(0)) == list(range(8))


def test_damage_in_a_kept_space_costs_only_that(root: Path) -> None:
    maintenance.reencode(root, NEW)
    (kept,) = root.glob("spaces/0/img_emb/*.npy")
    kept.write_bytes(kept.read_bytes()[:-1])
    report = maintenance.repair(root)
    assert report.after.ok
    assert len(rows(root, 1)) == 8
    assert maintenance.reencode(root, "fake:64").encoded == 8


def test_a_catalog_from_before_a_switch_takes_up_the_vectors_of_the_new_space(root: Path, tmp_path: Path) -> None:
    """An image without a row there is encoded again; the others keep theirs."""
    shutil.copytree(root, tmp_path / "old")
    maintenance.reencode(root, NEW)
    expected = rows(root, 1)
    (file,) = root.glob("spaces/1/img_emb/*.npy")
    stored = np.load(file)
    stored[3] = 0
    np.save(file, stored)
    for name in (layout.CATALOG, *layout.BACKUPS, layout.CHECKSUMS):
        (root / name).unlink(missing_ok=True)
        if (tmp_path / "old" / name).exists():
            shutil.copyfile(tmp_path / "old" / name, root / name)
    report = maintenance.repair(root)
    assert report.after.ok, report
    kept = rows(root, 1)
    assert len(kept) == 7
    assert kept.items() <= expected.items()
    with imseek.open(root) as collection:
        collection.index()
        assert collection.search(0).encoder == NEW
    assert rows(root, 1) == expected
    assert maintenance.verify(root).ok

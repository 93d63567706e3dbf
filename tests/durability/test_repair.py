"""Repairs that take more than one file, and care for what is not ours to judge.

Single damages and pairs of them are in test_damages.py.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import imseek
from durability.damages import (
    PUT_AWAY,
    QUARANTINED,
    SUSPENDED,
    State,
    Target,
    collection,
    damage,
    flip_bit,
    index,
    paths_of,
    photos,
    searched,
    shard_of,
)
from durability.stage import draw
from imseek.data import catalog_checksums, layout, safe_path
from imseek.data.current_file import read_current, read_identity
from imseek.data.reader import Reader
from imseek.data.writer import Writer
from imseek.errors import CorruptCollectionError


@pytest.fixture
def home(tmp_path: Path, original: Path) -> Path:
    return shutil.copytree(original, tmp_path / "home")


def test_nothing_to_repair(home: Path) -> None:
    report = imseek.upkeep.repair(collection(home))
    assert report.after.ok
    assert (report.restored, report.lost) == ((), ())


@pytest.mark.parametrize("name", [layout.COLLECTION, layout.CURRENT, layout.CHECKSUMS])
def test_a_flipped_bit_of_a_sealed_file_is_found_when_it_is_read(home: Path, name: str) -> None:
    root = collection(home)
    read = {
        layout.COLLECTION: read_identity,
        layout.CURRENT: read_current,
        layout.CHECKSUMS: catalog_checksums.read,
    }[name]
    data = (root / name).read_bytes()
    for place in range(len(data)):
        bit = 1 << place % 8
        (root / name).write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        with pytest.raises(CorruptCollectionError):
            read(root)


def test_every_flipped_bit_of_the_catalog_is_found(home: Path, chance: random.Random) -> None:
    """Also where SQLite's own check finds nothing: in values, in free space."""
    root = collection(home)
    data = (root / layout.CATALOG).read_bytes()
    unseen_by_sqlite = 0
    for place in chance.sample(range(len(data)), 40):
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        (root / layout.CATALOG).write_bytes(damaged)
        problems = imseek.upkeep.verify(root).problems
        assert [problem.kind for problem in problems if problem.file == layout.CATALOG] == ["catalog"], (
            f"byte {place}"
        )
        unseen_by_sqlite += any("as the last writer left it" in problem.message for problem in problems)
        with pytest.raises(imseek.errors.StorageError), Writer(root, "test"):
            pytest.fail("a writer takes up a damaged catalog")
    assert unseen_by_sqlite > 5


# -- more than one file --------------------------------------------------------------------------------------


def lose(root: Path, *names: str) -> None:
    for name in names:
        (root / name).unlink()


def test_the_catalog_and_its_backups_are_lost(home: Path) -> None:
    root = collection(home)
    before, generation = State.of(root), Reader(root).generation
    next_id = Reader(root).current.next_image_id
    lose(root, layout.CATALOG, *layout.BACKUPS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert any("tags" in line for line in report.lost)
    assert searched(root) == before.searched
    assert Reader(root).generation > generation
    assert Reader(root).current.next_image_id >= next_id
    (home / PUT_AWAY).rename(photos(home) / QUARANTINED)
    index(home)
    after = State.of(root)
    assert imseek.upkeep.verify(root).ok
    # The quarantined one was not known from any file that is left, and was indexed anew. Neither was the suspended
    # one, which has no picture.
    kept = {name: i for name, (i, *_) in before.images.items() if name not in (QUARANTINED, SUSPENDED)}
    assert {name: i for name, (i, *_) in after.images.items() if name != QUARANTINED} == kept
    assert after.images[QUARANTINED][0] >= next_id
    assert {i: v for i, v in after.searched.items() if i in before.searched} == before.searched


def test_an_old_current_json_does_not_hide_the_newer_backup(home: Path) -> None:
    """It says that the last generation was the one of the older backup."""
    root = collection(home)
    before = State.of(root)
    shutil.copyfile(home / "older" / layout.CURRENT, root / layout.CURRENT)
    lose(root, layout.CATALOG)
    report = imseek.upkeep.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert State.of(root) == before


def test_the_identity_and_the_catalog_are_lost(home: Path) -> None:
    root = collection(home)
    before, uuid = State.of(root), Reader(root).identity.uuid
    lose(root, layout.CATALOG, layout.COLLECTION)
    assert imseek.upkeep.repair(root).lost == ()
    assert State.of(root) == before
    assert Reader(root).identity.uuid == uuid


def test_nothing_says_which_encoder(home: Path) -> None:
    root = collection(home)
    lose(root, layout.CATALOG, layout.CURRENT, *layout.BACKUPS)
    before = sorted(path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK)
    with pytest.raises(CorruptCollectionError, match="which encoder"):
        imseek.upkeep.repair(root)
    after = [path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK]
    assert sorted(p for p in after if layout.STAGING not in p.parts) == before


def test_merged_after_the_backup_that_is_left(home: Path) -> None:
    """The old shards are gone, the merged one is known to current.json only: it holds every vector."""
    from imseek.data.compaction import merge

    root = collection(home)
    before = State.of(root)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    with Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imseek.data.writer.GRACE_SECONDS", -1.0)
        with Writer(root, "test"):
            pass
    assert len(list((root / layout.METADATA).glob("*.parquet"))) == 1
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok, report.after.problems
    assert State.of(root) == before


def test_removed_and_added_after_the_backup_that_is_left(home: Path) -> None:
    root = collection(home)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    for n in range(30, 36):
        draw(photos(home) / f"{n}.png", n)
    index(home)
    (photos(home) / "31.png").unlink()
    index(home)
    before = State.of(root)
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert searched(root) == before.searched, "the one that was removed stays removed"
    index(home)
    assert State.of(root) == before
    draw(photos(home) / "40.png", 40)
    index(home)
    assert State.of(root).images["40.png"][0] > max(before.searched), "no id is used again"


def test_every_file_that_can_be_derived_is_lost(home: Path) -> None:
    root = collection(home)
    before = State.of(root)
    listed = paths_of(root)
    lose(
        root,
        layout.CURRENT,
        layout.COLLECTION,
        layout.CHECKSUMS,
        *listed["ids"],
        *listed["dead"],
        *layout.BACKUPS,
    )
    report = imseek.upkeep.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert State.of(root) == before


def test_damaged_here_and_there(home: Path, chance: random.Random) -> None:
    """Several kinds at once: each is named, and what has nothing to do with them stays."""
    root = collection(home)
    before = State.of(root)
    listed = paths_of(root)
    for name in (
        listed["vectors"][1],
        listed["metadata"][2],
        listed["ids"][2],
        listed["column"][0],
        listed["dead"][0],
    ):
        flip_bit(Target(root / name, root, None), chance)
    flip_bit(Target(root / layout.CATALOG, root, None), chance)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert {listed["vectors"][1], listed["metadata"][2], listed["column"][0]} == {
        line.split(":")[0] for line in report.lost
    }
    assert State.of(root).images == before.images
    index(home)
    after = State.of(root)
    # The row of a file that is put away cannot be made again until it is back.
    rows = {i: row for i, row in before.rows.items() if i != before.images[QUARANTINED][0]}
    assert after == replace(before, columns=after.columns, rows=rows)
    assert after.columns == {i: value for i, value in before.columns.items() if shard_of(before, i) == 3}


# -- care ----------------------------------------------------------------------------------------------------


def test_a_stray_file_is_an_orphan(home: Path) -> None:
    root = collection(home)
    (root / "metadata/000099.parquet").write_bytes(b"what is this?")
    (root / "spaces/0/img_emb/notes.txt").write_text("mine")
    problems = imseek.upkeep.verify(root).problems
    assert {(p.kind, p.file) for p in problems} == {
        ("orphan", "metadata/000099.parquet"),
        ("orphan", "spaces/0/img_emb/notes.txt"),
    }
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert len(report.restored) == 2


def test_a_later_format_is_left_alone(home: Path) -> None:
    root = collection(home)
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'of the future', '2100-01-01')")
    lose(root, layout.CHECKSUMS)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    for refused in (
        imseek.upkeep.verify,
        imseek.upkeep.repair,
        lambda path: Writer(path, "test").__enter__(),
    ):
        with pytest.raises(imseek.errors.FormatVersionError, match="version 3"):
            refused(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    assert after == before


def test_verify_does_not_judge_unfinished_work(home: Path) -> None:
    root = collection(home)
    with Writer(root, "test"):
        for refused in (imseek.upkeep.verify, imseek.upkeep.repair):
            with pytest.raises(imseek.errors.LockedError, match=str(os.getpid())):
                refused(root)
    assert imseek.upkeep.verify(root).ok


def test_a_damaged_shard_is_not_merged(home: Path) -> None:
    """A fresh checksum would vouch for the damage for ever."""
    from imseek.data.compaction import merge

    root = collection(home)
    damage("a bit flipped", root / paths_of(root)["vectors"][1])
    generation = Reader(root).generation
    with pytest.raises(CorruptCollectionError, match=r"000001\.npy"), Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    assert Reader(root).generation == generation
    assert imseek.upkeep.repair(root).after.ok


def test_no_collection(tmp_path: Path) -> None:
    for refused in (imseek.upkeep.verify, imseek.upkeep.repair):
        with pytest.raises(imseek.errors.CollectionNotFoundError):
            refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["metadata", "ids", "vectors", "dead", "column"])
def test_what_cannot_be_read_now_is_not_given_up(
    home: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every file can be read, so the refusal is the system's, simulated."""
    root = collection(home)
    name = paths_of(root)[kind][0]
    (root / layout.CURRENT).unlink()  # Something to repair.
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    real = safe_path.open_regular

    def refuse(entry: safe_path.FolderEntry) -> int:
        if os.path.samestat(os.stat(entry.name, dir_fd=entry.folder), (root / name).stat()):
            raise PermissionError(13, "Permission denied")
        return real(entry)

    monkeypatch.setattr(safe_path, "open_regular", refuse)
    problems = imseek.upkeep.verify(root).problems
    assert [p.repairable for p in problems if p.file == name] == [False]
    with pytest.raises(imseek.errors.StorageError, match="cannot be read"):
        imseek.upkeep.repair(root)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert imseek.upkeep.repair(root).lost == ()


# -- shards that the catalog does not know -------------------------------------------------------------------


@pytest.mark.parametrize("lie", ["no table", "an id is null", "a hash is null", "a negative id", "a huge id"])
def test_a_shard_whose_table_is_broken_is_not_taken_up(home: Path, lie: str) -> None:
    root = collection(home)
    before = State.of(root)
    name = layout.metadata(2)
    if lie == "no table":
        (root / name).write_bytes(b"no table")
    else:
        table = pq.read_table(root / name)
        column = "content_hash" if "hash" in lie else "image_id"
        values = table.column(column).to_pylist()
        at = -1 if lie in ("an id is null", "a huge id") else 0
        values[at] = {"a negative id": -5, "a huge id": layout.MAX_ID}.get(lie)
        kind = table.schema.field(column).type
        at = table.column_names.index(column)
        table = table.set_column(at, pa.field(column, kind), pa.array(values, kind))
        pq.write_table(table, root / name)
    lose(root, layout.CATALOG, *layout.BACKUPS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok, report.after.problems
    assert any(name in line and "removed" in line for line in report.restored)
    assert searched(root) == {i: row for i, row in before.searched.items() if shard_of(before, i) != 2}

"""Repairs that take more than one file, and care for what is not ours to judge.

Single damages and pairs of them are in test_damages.py.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from templates import Templates

import imseek
from durability.damages import (
    PUT_AWAY,
    QUARANTINED,
    SUSPENDED,
    State,
    Target,
    collection,
    damage,
    derived,
    flip_bit,
    index,
    judge,
    paths_of,
    photos,
    searched,
    shard_of,
)
from durability.stage import draw
from imseek.data import layout
from imseek.data.catalog.migrations import MIGRATIONS
from imseek.data.catalog.sqlite import catalog_checksums
from imseek.data.collection_records import FOREVER, read_identity
from imseek.data.current_generation import read_current
from imseek.data.files import collection_files
from imseek.data.reader import Reader
from imseek.data.repair import orphan_shards, verify
from imseek.data.shards import shard_files
from imseek.data.user_files import safe_path
from imseek.data.writing.space_build_rows import part_dtype
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError
from imseek.types.maintenance_reports import Problem, VerifyReport


@pytest.fixture
def home(tmp_path: Path, original: Path) -> Path:
    return shutil.copytree(original, tmp_path / "home")


def test_nothing_to_repair(home: Path) -> None:
    report = imseek.maintenance.repair(collection(home))
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
        problems = imseek.maintenance.verify(root).problems
        assert [problem.kind for problem in problems if problem.file == layout.CATALOG] == ["catalog"], f"byte {place}"
        unseen_by_sqlite += any("from what the last writer saved" in problem.message for problem in problems)
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
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert any("tags" in line for line in report.lost)
    assert searched(root) == before.searched
    assert Reader(root).generation > generation
    assert Reader(root).current.next_image_id >= next_id
    (home / PUT_AWAY).rename(photos(home) / QUARANTINED)
    index(home)
    after = State.of(root)
    assert imseek.maintenance.verify(root).ok
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
    report = imseek.maintenance.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert State.of(root) == before


def test_the_identity_and_the_catalog_are_lost(home: Path) -> None:
    root = collection(home)
    before, uuid = State.of(root), Reader(root).identity.uuid
    lose(root, layout.CATALOG, layout.COLLECTION)
    assert imseek.maintenance.repair(root).lost == ()
    assert State.of(root) == before
    assert Reader(root).identity.uuid == uuid


def test_nothing_says_which_encoder(home: Path) -> None:
    root = collection(home)
    lose(root, layout.CATALOG, layout.CURRENT, *layout.BACKUPS)
    before = sorted(path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK)
    with pytest.raises(CorruptCollectionError, match="which encoder"):
        imseek.maintenance.repair(root)
    after = [path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK]
    assert sorted(p for p in after if layout.STAGING not in p.parts) == before


def test_merged_after_the_backup_that_is_left(home: Path) -> None:
    """The old shards are gone, the merged one is known to current.json only: it holds every vector."""
    from imseek.data.shards.compaction import merge

    root = collection(home)
    before = State.of(root)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    with Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imseek.data.writing.writer.GRACE_SECONDS", -1.0)
        with Writer(root, "test"):
            pass
    assert len(list((root / layout.METADATA).glob("*.parquet"))) == 1
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS)
    report = imseek.maintenance.repair(root)
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
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert searched(root) == before.searched, "the one that was removed stays removed"
    index(home)
    assert State.of(root) == before
    draw(photos(home) / "40.png", 40)
    index(home)
    assert State.of(root).images["40.png"][0] > max(before.searched), "no id is used again"


def test_files_besides_those_of_a_shard_are_missed_where_an_older_backup_is_taken(home: Path) -> None:
    root = collection(home)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    columns, judgements = (paths_of(root)[kind][0] for kind in ("column", "judgements"))
    draw(photos(home) / "30.png", 30)
    index(home)
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS, columns, judgements)
    report = imseek.maintenance.repair(root)
    assert report.after.ok, report.after.problems
    assert f"{columns}: derived values, to be computed again" in report.lost
    assert f"{judgements} from the catalog" in report.restored


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
    report = imseek.maintenance.repair(root)
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
    report = imseek.maintenance.repair(root)
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
    problems = imseek.maintenance.verify(root).problems
    assert {(p.kind, p.file) for p in problems} == {
        ("orphan", "metadata/000099.parquet"),
        ("orphan", "spaces/0/img_emb/notes.txt"),
    }
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert len(report.restored) == 2


def test_a_later_format_is_left_alone(home: Path) -> None:
    root = collection(home)
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'of the future', '2100-01-01')")
    lose(root, layout.CHECKSUMS)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    for refused in (
        imseek.maintenance.verify,
        imseek.maintenance.repair,
        lambda path: Writer(path, "test").__enter__(),
    ):
        with pytest.raises(imseek.errors.FormatVersionError, match=f"version {len(MIGRATIONS) + 1}"):
            refused(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    assert after == before


def test_verify_does_not_judge_unfinished_work(home: Path) -> None:
    root = collection(home)
    with Writer(root, "test"):
        for refused in (imseek.maintenance.verify, imseek.maintenance.repair):
            with pytest.raises(imseek.errors.LockedError, match=str(os.getpid())):
                refused(root)
    assert imseek.maintenance.verify(root).ok


def test_a_damaged_shard_is_not_merged(home: Path) -> None:
    """A fresh checksum would vouch for the damage for ever."""
    from imseek.data.shards.compaction import merge

    root = collection(home)
    damage("a bit flipped", root / paths_of(root)["vectors"][1])
    generation = Reader(root).generation
    with pytest.raises(CorruptCollectionError, match=r"000001\.npy"), Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    assert Reader(root).generation == generation
    assert imseek.maintenance.repair(root).after.ok


def test_no_collection(tmp_path: Path) -> None:
    for refused in (imseek.maintenance.verify, imseek.maintenance.repair):
        with pytest.raises(imseek.errors.CollectionNotFoundError):
            refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["metadata", "ids", "vectors", "dead", "column"])
def test_what_cannot_be_read_now_is_not_given_up(home: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    problems = imseek.maintenance.verify(root).problems
    assert [p.repairable for p in problems if p.file == name] == [False]
    with pytest.raises(imseek.errors.StorageError, match="cannot be read"):
        imseek.maintenance.repair(root)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert imseek.maintenance.repair(root).lost == ()


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
    report = imseek.maintenance.repair(root)
    assert report.after.ok, report.after.problems
    assert any(name in line and "removed" in line for line in report.restored)
    assert searched(root) == {i: row for i, row in before.searched.items() if shard_of(before, i) != 2}


def test_a_disk_that_fails_now_does_not_end_a_shard(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system cannot read at the moment is no damage: the repair ends, and can be had again."""
    root = collection(home)
    before = State.of(root)
    lose(root, layout.CATALOG, *layout.BACKUPS)
    real = shard_files.load_table

    def fail(folder: Path, name: str, *args: Any, **kwargs: Any) -> Any:
        if name == layout.metadata(2):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(folder, name, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(shard_files, "load_table", fail)
        with pytest.raises(imseek.errors.StorageError, match="Input/output"):
            imseek.maintenance.repair(root)
    assert not (root / layout.CATALOG).exists()
    assert imseek.maintenance.repair(root).after.ok
    assert searched(root) == before.searched


def test_derived_columns_of_a_shard_are_taken_up_one_by_one(home: Path) -> None:
    """One is gone, one is no table, one has other ids; the fourth is sound."""
    root = collection(home)
    before = State.of(root)
    columns = paths_of(root)["column"]
    lose(root, layout.CATALOG, *layout.BACKUPS, columns[0])
    (root / columns[1]).write_bytes(b"no table")
    table = pq.read_table(root / columns[2])
    ids = pa.array([i + 1 for i in table.column("image_id").to_pylist()], pa.int64())
    pq.write_table(table.set_column(0, table.schema.field(0), ids), root / columns[2])
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert searched(root) == before.searched
    # The suspended image is in no file that is left.
    sound = {i: before.columns[i] for i in before.searched if shard_of(before, i) == 3}
    assert derived(root) == sound


@pytest.mark.parametrize("list_of_dead", ["sound", "damaged", "cannot be read"])
def test_without_current_json_the_newest_list_of_dead_rows_counts(
    home: Path, list_of_dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removed image stays removed in a shard that only its own files tell of; without the list it comes back."""
    root = collection(home)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    for n in range(30, 33):
        draw(photos(home) / f"{n}.png", n)
    index(home)
    every = searched(root)
    (photos(home) / "31.png").unlink()
    index(home)
    before = searched(root)
    (removed,) = every.keys() - before.keys()
    for name, data in kept.items():
        (root / name).write_bytes(data)
    (dead,) = (shard.dead for shard in read_current(root).shards if shard.shard_id == 4)
    assert dead is not None
    lose(root, layout.CATALOG, layout.CHECKSUMS, layout.CURRENT)
    if list_of_dead == "damaged":
        (root / dead).write_bytes(b"no array")
    elif list_of_dead == "cannot be read":
        real = orphan_shards.load_array

        def fail(folder: Path, name: str, **kwargs: Any) -> Any:
            if name == dead:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(folder, name, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(orphan_shards, "load_array", fail)
            with pytest.raises(imseek.errors.StorageError, match="Input/output"):
                imseek.maintenance.repair(root)
    report = imseek.maintenance.repair(root)
    assert report.after.ok, report.after.problems
    assert searched(root) == ({**before, removed: every[removed]} if list_of_dead == "damaged" else before)


# -- files that say they are another collection's ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [(layout.COLLECTION, "identity"), (layout.CURRENT, "current"), (layout.CHECKSUMS, "checksums")],
)
def test_a_sealed_file_of_another_collection_is_found_by_its_uuid(
    home: Path, tmp_path: Path, templates: Templates, name: str, kind: str
) -> None:
    root, other = collection(home), templates.empty(tmp_path / "other")
    before, uuid = State.of(root), Reader(root).identity.uuid
    shutil.copyfile(other / name, root / name)
    problems = imseek.maintenance.verify(root).problems
    assert (kind, name, "it belongs to another collection") in [(p.kind, p.file, p.message) for p in problems]
    assert imseek.maintenance.repair(root).after.ok
    assert State.of(root) == before
    assert Reader(root).identity.uuid == uuid


def test_the_catalog_of_another_collection_is_found_by_its_uuid(
    home: Path, tmp_path: Path, templates: Templates
) -> None:
    root, other = collection(home), templates.empty(tmp_path / "other")
    before = State.of(root)
    shutil.copyfile(other / layout.CATALOG, root / layout.CATALOG)
    lose(root, layout.CHECKSUMS)  # Else its checksum would tell.
    problems = imseek.maintenance.verify(root).problems
    assert [p.message for p in problems if p.kind == "catalog"] == ["it belongs to another collection"]
    report = imseek.maintenance.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert State.of(root) == before


def test_bytes_behind_the_catalog_are_found_without_its_checksum(home: Path) -> None:
    root = collection(home)
    before = State.of(root)
    with (root / layout.CATALOG).open("ab") as file:
        file.write(bytes(4096))
    lose(root, layout.CHECKSUMS)
    problems = imseek.maintenance.verify(root).problems
    assert [p.message for p in problems if p.kind == "catalog"] == ["it has data after its last page"]
    assert imseek.maintenance.repair(root).after.ok
    assert State.of(root) == before


# -- a catalog and files that contradict each other, with all checksums right ------------------------------------


def tell_catalog(root: Path, *statements: str) -> None:
    """Change the catalog as a writer would, with its checksum; it vouches for all of the root's files as they are."""
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        for (path,) in connection.execute("SELECT path FROM files").fetchall():
            if (root / path).exists():
                data = (root / path).read_bytes()
                digest = hashlib.sha256(data).hexdigest()
                connection.execute("UPDATE files SET size = ?, sha256 = ? WHERE path = ?", (len(data), digest, path))
    recorded = catalog_checksums.read(root).with_digest(layout.CATALOG, catalog_checksums.digest_catalog(root))
    (root / layout.CHECKSUMS).write_bytes(catalog_checksums.encode_checksums(recorded))


def problem_of(root: Path, kind: str) -> tuple[str, str]:
    (found,) = ((p.file, p.message) for p in imseek.maintenance.verify(root).problems if p.kind == kind)
    return found


def test_images_whose_shard_is_gone_are_encoded_again(home: Path) -> None:
    root = collection(home)
    before = State.of(root)
    tell_catalog(
        root,
        "UPDATE shards SET died = 1 WHERE shard_id = 2",
        "DELETE FROM files WHERE shard_id = 2",
    )
    assert problem_of(root, "images") == (layout.CATALOG, "3 images belong to missing shards")
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert any("vectors and metadata of 3 images" in line for line in report.lost)
    index(home)
    after = State.of(root)
    assert after.searched == before.searched
    assert after.images == before.images


def test_images_that_are_not_in_their_shard_are_found(home: Path) -> None:
    root = collection(home)
    before = State.of(root)
    image = next(i for i in before.searched if shard_of(before, i) == 2)
    tell_catalog(root, f"UPDATE images SET shard_id = 0 WHERE image_id = {image}")
    message = "1 images that the catalog lists for it are missing"
    assert problem_of(root, "metadata") == (layout.metadata(0), message)
    assert imseek.maintenance.repair(root).after.ok
    index(home)
    assert State.of(root).searched == before.searched


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        ("a row less", "an array of float16 and shape (2, 64), where (3, 64) is stated"),
        ("NaN", "it holds NaN or infinity"),
    ],
)
def test_vectors_that_cannot_be_those_of_their_shard_are_found(home: Path, lie: str, message: str) -> None:
    root = collection(home)
    before = State.of(root)
    path = root / layout.vectors(0, 2)
    rows = np.load(path)
    if lie == "NaN":
        rows[1, 5] = np.nan
    np.save(path, rows[:2] if lie == "a row less" else rows)
    tell_catalog(root)
    assert problem_of(root, "vectors") == (layout.vectors(0, 2), message)
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    index(home)
    after = State.of(root)
    assert (after.searched, after.images) == (before.searched, before.images)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), "an array of float64 and shape (3,)"),
        (np.zeros((2, 2), part_dtype(64)), "shape (2, 2)"),
        (None, "magic string"),
    ],
    ids=["numbers", "two dimensions", "no array"],
)
def test_a_part_of_a_space_that_is_no_part_is_given_up(home: Path, content: Any, message: str) -> None:
    root = collection(home)
    before = State.of(root)
    path = layout.part(0, 90)
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        (root / path).write_bytes(b"no array, and long enough")
    else:
        np.save(root / path, content)
    columns = "path, kind, space_id, row_count, size, sha256, born, died"
    values = f"'{path}', 'part', 0, 3, 0, '', 1, {FOREVER}"
    tell_catalog(root, f"INSERT INTO files ({columns}) VALUES ({values})")
    file, said = problem_of(root, "part")
    assert file == path
    assert message in said
    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert report.lost == (f"{path}: rows of a space that is being built, to be made again",)
    assert not (root / path).exists()
    assert State.of(root) == before


# -- verifying ---------------------------------------------------------------------------------------------------


def test_what_a_writer_changed_meanwhile_is_looked_at_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what was before it and half of what came after it would look like damage."""
    root = collection(home)
    real, calls = verify.examine, []

    def look(folder: Path) -> VerifyReport:
        calls.append(folder)
        if len(calls) > 1:
            return real(folder)
        with Writer(root, "test") as writer:
            judge(writer, 2)
        return VerifyReport((Problem("orphan", "x", "of the moment", repairable=True),), 0, 0)

    monkeypatch.setattr(verify, "examine", look)
    assert imseek.maintenance.verify(root).ok
    assert calls == [root, root]


def test_a_file_whose_end_cannot_be_read_is_not_given_up(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with a bad sector: the file opens, and its first byte comes."""
    root = collection(home)
    name = layout.vectors(0, 1)
    (root / layout.CURRENT).unlink()  # Something to repair.
    real = collection_files.digest_of_file

    def fail(file: Any) -> Any:
        if os.path.samestat(os.fstat(file.fileno()), (root / name).stat()):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(file)

    with monkeypatch.context() as patch:
        patch.setattr(collection_files, "digest_of_file", fail)
        with pytest.raises(imseek.errors.StorageError, match=rf"{name} cannot be read .*it was not discarded"):
            imseek.maintenance.repair(root)
    assert (root / name).exists()
    report = imseek.maintenance.repair(root)
    assert (report.after.ok, report.lost) == (True, ())

"""The writer: generations, leases, what a failed run leaves, and what the next one clears away."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import BOTH_CATALOGS

import imseek
from imseek.data import layout
from imseek.data.catalog import shard_catalog as data_files
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset, FailedFile, NewImage, Placement
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sqlite import catalog_backups, catalog_checksums
from imseek.data.catalog.sqlite.catalog_checksums import digest_catalog, read
from imseek.data.current_generation import read_current
from imseek.data.files import durable_files
from imseek.data.reader import Reader
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, LockedError, StorageError
from imseek.types.pictures import ImageFacts

STAT = FileStat(10, 1, 2, 3, 4)


def image(number: int, **more: Any) -> NewImage:
    content_hash = hashlib.sha256(str(number).encode()).digest()
    facts = ImageFacts(width=number + 1, height=1, format="PNG", mode="RGB")
    vector = np.random.default_rng(number).standard_normal(64)
    return NewImage(
        1,
        b"%d.png" % number,
        STAT,
        content_hash,
        row_of(facts, content_hash, 10),
        {0: (vector / np.linalg.norm(vector)).astype(np.float16)},
        **more,
    )


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    """A collection with the source 1, at generation 1."""
    with Writer(collection.path, "test") as writer:
        assert sources.add(writer, "folder", b"/photos").source_id == 1
    return collection.path


def rows(root: Path, query: str) -> list[tuple[Any, ...]]:
    with connect_read_only(root) as connection:
        return connection.execute(query).fetchall()


def ids(root: Path) -> list[int]:
    reader = Reader(root)
    return sorted(i for shard in reader.current.shards for i in reader.shard_ids(shard).tolist())


# -- generations and leases ----------------------------------------------------------------------------------


@BOTH_CATALOGS
def test_every_commit_raises_the_generation_by_one(root: Path) -> None:
    with Writer(root, "test") as writer:
        before = writer.generation
        for n in range(3):
            assert commit(writer, Changeset(new=[image(n)])) == before + n + 1
            assert read_current(root).generation == before + n + 1 == writer.generation
        assert commit(writer, Changeset()) == before + 3, "nothing to commit, no generation"
        assert commit(writer, Changeset(failed=[FailedFile(1, b"x.png", STAT, "corrupt", "")])) == before + 4
    assert read_current(root).generation == before + 4


@BOTH_CATALOGS
def test_ids_ascend_and_unused_ones_go_back(root: Path) -> None:
    for n in range(3):
        with Writer(root, "test") as writer:
            commit(writer, Changeset(new=[image(2 * n), image(2 * n + 1)]))
    assert ids(root) == [0, 1, 2, 3, 4, 5]
    assert sorted(p.name for p in (root / "metadata").glob("*.parquet")) == [f"00000{n}.parquet" for n in range(3)]
    leases = rows(root, "SELECT ids_from, ids_to, shards_from, shards_to FROM runs WHERE kind = 'test' ORDER BY run_id")
    assert leases == [(0, 0, 0, 0), (0, 2, 0, 1), (2, 4, 1, 2), (4, 6, 2, 3)]


@BOTH_CATALOGS
def test_a_lease_that_runs_out_is_continued(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imseek.data.writing.writer._LEASE_IDS", 4)
    monkeypatch.setattr("imseek.data.writing.writer._LEASE_SHARDS", 2)
    with Writer(root, "test") as writer:
        taken = [i for count in (3, 3, 1, 9, 2) for i in writer.take_ids(count)]
        assert taken == list(range(18))
        assert [writer.take_shard() for _ in range(5)] == [0, 1, 2, 3, 4]


KILLED = """
import os, sys
from pathlib import Path
from imseek.data.writing.writer import Writer
writer = Writer(Path(sys.argv[1]), "victim").__enter__()
print(*writer.take_ids(5), writer.take_shard(), flush=True)
os._exit(0)
"""


@BOTH_CATALOGS
def test_ids_of_a_killed_run_are_never_used(root: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", KILLED, str(root)]
    used = subprocess.run(command, capture_output=True, check=True).stdout.split()
    with Writer(root, "test") as writer:
        assert min(writer.take_ids(1)) > int(used[4])
        assert writer.take_shard() > int(used[5])
    assert ("victim", "interrupted") in rows(root, "SELECT kind, state FROM runs")


@BOTH_CATALOGS
def test_ids_of_a_failed_commit_are_never_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("half-way")

    with monkeypatch.context() as patch:
        patch.setattr(data_files, "publish", fail)
        with pytest.raises(RuntimeError, match="half-way"), Writer(root, "test") as writer:
            commit(writer, Changeset(new=[image(n) for n in range(5)]))
    with Writer(root, "test") as writer:
        assert list(writer.take_ids(1)) == [5]
    assert ("test", "failed") in rows(root, "SELECT kind, state FROM runs")


# -- what a commit does --------------------------------------------------------------------------------------


@BOTH_CATALOGS
def test_births_and_deaths(root: Path) -> None:
    with Writer(root, "test") as writer:
        g = commit(writer, Changeset(new=[image(0), image(1), image(2)]))
        commit(writer, Changeset(gone=[1]))
        commit(writer, Changeset(moved=[Placement(2, 1, b"moved.png", STAT)]))
        commit(writer, Changeset(new=[image(3, replaces=0)], gone=[0]))
    forever = 2**63 - 1
    assert rows(root, "SELECT image_id, born, died FROM images ORDER BY image_id") == [
        (0, g, g + 3),
        (1, g, g + 1),
        (2, g, forever),
        (3, g + 3, forever),
    ]
    assert rows(root, "SELECT image_id, path, born, died FROM places ORDER BY place_id") == [
        (0, b"0.png", g, g + 3),
        (1, b"1.png", g, g + 1),
        (2, b"2.png", g, g + 2),
        (2, b"moved.png", g + 2, forever),
        (3, b"3.png", g + 3, forever),
    ]


@BOTH_CATALOGS
def test_an_image_that_is_encoded_again_keeps_its_tags_once(root: Path) -> None:
    """Its vector was lost, and it comes back under its id: nothing is carried over from itself to itself."""
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
        with writer.catalog.transaction() as connection:
            connection.execute("INSERT INTO tags VALUES (0, 'cat', 'by hand', 1, 9223372036854775807)")
        commit(writer, Changeset(new=[image(0, image_id=0, replaces=0)]))
    assert rows(root, "SELECT image_id, tag FROM tags WHERE died > 100") == [(0, "cat")]


def test_values_beyond_a_database(root: Path) -> None:
    """A file from the year 2300, with an inode of 64 bits: it is stored, and read at every scan."""
    stat = FileStat(2**40, 10**19, 10**19, 2**64 - 1, 10**18)
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)], failed=[FailedFile(1, b"\xff\n'\".png", stat, "corrupt", "")]))
        commit(writer, Changeset(checked=[Placement(0, 1, b"0.png", stat)]))
        known = writer.catalog.known_places(1)[b"0.png"].stat
        assert not known.same_as(stat)
        assert list(writer.catalog.known_failures(1)) == [b"\xff\n'\".png"]


def test_thousands_of_images_in_one_commit(root: Path) -> None:
    """More than SQLite takes variables in a statement."""
    many = [image(n) for n in range(2000)]
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=many))
        commit(writer, Changeset(gone=list(range(0, 2000, 2))))
        moved = [Placement(n, 1, b"m%d" % n, STAT) for n in range(1, 2000, 2)]
        commit(writer, Changeset(moved=moved))
    reader = Reader(root)
    assert reader.current.images == 1000
    assert {p.path for p in reader.places(range(2000)).values()} == {b"/photos/m%d" % n for n in range(1, 2000, 2)}


# -- failure -------------------------------------------------------------------------------------------------


def test_a_change_that_fails_changes_nothing(root: Path) -> None:
    before = (root / layout.CURRENT).read_bytes()
    with Writer(root, "test") as writer:
        g = writer.generation

        def change(connection: Any, generation: int) -> None:
            connection.execute("UPDATE sources SET kind = 'nonsense'")
            raise RuntimeError("half-way")

        with pytest.raises(RuntimeError, match="half-way"):
            writer.apply(change)
        assert writer.generation == g
        assert commit(writer, Changeset(new=[image(0)])) == g + 1, "the writer goes on"
    assert rows(root, "SELECT kind FROM sources") == [("folder",)]
    assert (root / layout.CURRENT).read_bytes() != before


def test_a_nested_transaction_fails_at_once(root: Path) -> None:
    with Writer(root, "test") as writer:
        with (
            pytest.raises(RuntimeError, match="a transaction inside another"),
            writer.catalog.transaction(),
        ):
            writer.current()
        assert writer.current().generation == 1


@pytest.mark.parametrize("when", ["fsync", "rename", "commit", "everything"])
def test_a_full_disk(root: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """The error that people should read comes out, the lock is free, and the collection is as it was."""
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        writer = Writer(root, "victim")
        with pytest.raises(StorageError) as error, writer:  # noqa: PT012
            if when in ("fsync", "everything"):
                patch.setattr(os, "fsync", full)
            if when == "rename":
                patch.setattr(os, "rename", full)
            if when in ("commit", "everything"):
                # As a full disk does: the file may not grow any more.
                with writer.catalog.transaction() as connection:
                    pages = connection.execute("PRAGMA page_count").fetchone()[0]
                    connection.execute(f"PRAGMA max_page_count = {pages}")
            commit(writer, Changeset(new=[image(n) for n in range(1, 500)]))
    assert not isinstance(error.value, CorruptCollectionError)
    assert str(error.value).startswith(str(root))
    assert ("full" if when == "commit" else "No space left on device") in str(error.value)
    assert "free some space" in str(error.value.hint)
    if when == "everything":
        assert any("could not be ended" in note for note in error.value.__notes__)
    assert ids(root) == [0]
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(1)]))
    assert imseek.maintenance.verify(root).ok
    assert len(ids(root)) == 2


def test_an_error_on_entry_frees_the_lock_and_the_catalog(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("on entry")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_sweep", fail)
        with pytest.raises(RuntimeError, match="on entry"):
            Writer(root, "victim").__enter__()
    assert open_files(root) == []
    with Writer(root, "test"):
        pass


def test_a_catalog_that_is_none(root: Path) -> None:
    (root / layout.CHECKSUMS).unlink()
    (root / layout.CATALOG).write_bytes(b"this is no database" * 100)
    with pytest.raises(CorruptCollectionError) as error:
        Writer(root, "test").__enter__()
    assert error.value.hint == f"imseek collection repair {root}"
    assert open_files(root) == []


def test_another_program_holds_the_catalog(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer, closing(sqlite3.connect(root / layout.CATALOG)) as other:
        with writer.catalog.transaction() as connection:
            connection.execute("PRAGMA busy_timeout = 50")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match="locked"):
            commit(writer, Changeset(new=[image(0)]))
        other.rollback()
        commit(writer, Changeset(new=[image(0)]))


def open_files(root: Path) -> list[str]:
    """What this process has open below ``root``."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = str(Path(f"/proc/self/fd/{fd}").readlink())
        except OSError:
            continue
        if target.startswith(str(root)):
            found.append(target)
    return found


# -- recovering and sweeping ---------------------------------------------------------------------------------


def test_a_current_file_behind_is_brought_up(root: Path) -> None:
    behind = (root / layout.CURRENT).read_bytes()
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
    (root / layout.CURRENT).write_bytes(behind)
    assert [p.kind for p in imseek.maintenance.verify(root).problems] == ["current"]
    with Writer(root, "test"):
        assert ids(root) == [0]
    assert imseek.maintenance.verify(root).ok


def test_a_catalog_behind_is_not_taken_up(root: Path) -> None:
    """Somebody put back an old catalog. To go on from there would bury what was committed since."""
    old = (root / layout.CATALOG).read_bytes()
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
    (root / layout.CATALOG).write_bytes(old)
    (root / layout.CHECKSUMS).unlink()
    before = (root / layout.CURRENT).read_bytes()
    with pytest.raises(CorruptCollectionError, match=r"generation 1, but current\.json at 2"):
        Writer(root, "test").__enter__()
    assert (root / layout.CURRENT).read_bytes() == before
    assert imseek.maintenance.repair(root).after.ok
    assert ids(root) == [0]


def test_the_catalog_of_another_collection_is_not_taken_up(root: Path, tmp_path: Path) -> None:
    imseek.create(tmp_path / "other", encoder="fake").close()
    (root / layout.CATALOG).write_bytes((tmp_path / "other" / layout.CATALOG).read_bytes())
    (root / layout.CHECKSUMS).unlink()
    (root / layout.CURRENT).unlink()
    with pytest.raises(CorruptCollectionError, match="another collection"):
        Writer(root, "test").__enter__()


def grace(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    monkeypatch.setattr("imseek.data.catalog.shard_catalog.time.time", clock)


@BOTH_CATALOGS
def test_retired_files_wait_for_readers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    clock = [now]
    grace(monkeypatch, lambda: clock[0])
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0), image(1)]))
        commit(writer, Changeset(gone=[0]))
        commit(writer, Changeset(gone=[1]))
    files = {
        "metadata/000000.parquet",
        "metadata/000000.ids.npy",
        "spaces/0/img_emb/000000.npy",
        "dead/000000.3.npy",
    }

    def there() -> set[str]:
        return {name for name in files if (root / name).exists()}

    assert there() == files, "the writer that retires them does not remove them"
    clock[0] = now + 3590
    with Writer(root, "test"):
        pass
    assert there() == files
    clock[0] = now + 3601
    with Writer(root, "test"):
        assert there() == set()
    assert rows(root, "SELECT COUNT(*) FROM files") == [(0,)]
    assert imseek.maintenance.verify(root).ok


def test_a_clock_set_back_does_not_keep_files_for_ever(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    clock = [now + 20 * 365 * 86_400]
    grace(monkeypatch, lambda: clock[0])
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
        commit(writer, Changeset(gone=[0]))
    clock[0] = now
    with Writer(root, "test"):
        assert (root / "metadata/000000.parquet").exists(), "readers have their hour from now on"
    clock[0] += 3601
    with Writer(root, "test"):
        assert not (root / "metadata/000000.parquet").exists()


def test_orphans_of_a_known_run_are_swept_and_others_are_not(root: Path) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
    command = [sys.executable, "-W", "error", "-c", KILLED, str(root)]
    orphan = int(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1])
    # What a commit that died before its transaction leaves, and what nobody knows of.
    mine = [root / layout.metadata(orphan), root / layout.vectors(0, orphan), root / layout.dead(0, 99)]
    unknown = [root / layout.metadata(500), root / layout.vectors(0, 500), root / "metadata/notes.txt"]
    for path in (*mine, *unknown):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    with Writer(root, "test") as writer:
        assert [path.exists() for path in mine] == [False] * 3
        assert all(path.exists() for path in unknown), "these may be all that is left of a lost catalog"
        assert writer.take_shard() == 501, "and are not written over"
    assert ids(root) == [0]


# -- backups and checksums -----------------------------------------------------------------------------------


def test_backups_take_turns(root: Path) -> None:
    def generations() -> list[int]:
        return [catalog_backups.generation_of(root / name) for name in layout.BACKUPS]

    for n in range(4):
        with Writer(root, "test") as writer:
            commit(writer, Changeset(new=[image(n)]))
        found = generations()
        assert sorted(found) == [n + 1, n + 2] if n else found == [1, 2]
        assert not list(root.glob("catalog.bak.?-*"))
        # Time stamps say nothing: clocks jump, and copies have new ones.
        for name in layout.BACKUPS:
            os.utime(root / name, (0, 0) if n % 2 else None)
    before = generations()
    with Writer(root, "test"):
        pass
    assert generations() == before, "nothing changed, nothing to back up"


def test_a_backup_that_fails_leaves_the_older_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(0)]))
    before = {name: (root / name).read_bytes() for name in layout.BACKUPS}

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable_files, "sync_file", full)
        with pytest.raises(StorageError, match="No space"), Writer(root, "test") as writer:
            commit(writer, Changeset(new=[image(1)]))
    assert {name: (root / name).read_bytes() for name in layout.BACKUPS} == before
    assert ids(root) == [0, 1], "what was committed is there"
    with Writer(root, "test"):
        pass
    assert imseek.maintenance.verify(root).ok


def test_the_catalog_is_recorded_as_it_was_left(root: Path) -> None:
    with Writer(root, "test") as writer:
        assert layout.CATALOG not in read(root).files, "while it is written, nothing is claimed of it"
        commit(writer, Changeset(new=[image(0)]))
    recorded = read(root).files
    assert set(recorded) == {layout.CATALOG, *layout.BACKUPS}
    assert recorded[layout.CATALOG] == digest_catalog(root)
    assert recorded[layout.CATALOG] == durable_files.digest_of(root / layout.CATALOG), "no log is left beside it"
    for name in layout.BACKUPS:
        assert recorded[name] == durable_files.digest_of(root / name)


def test_the_checksum_of_a_catalog_is_that_of_its_serialisation(root: Path) -> None:
    """Made page by page: SQLite serialises no more than two gigabytes, which ten million images take."""
    with Writer(root, "test") as writer:
        for n in range(60):
            commit(writer, Changeset(new=[image(n)]))
        assert (root / f"{layout.CATALOG}-wal").stat().st_size > 0
        with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
            content = connection.serialize()
        found = digest_catalog(root)
    assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_checksum_of_a_catalog_where_sqlite_gives_no_pages(
    root: Path,
) -> None:
    with closing(_without_pages(root)) as connection:
        (content,) = catalog_checksums._pages(connection)
    assert durable_files.FileDigest(len(content), hashlib.sha256(content).hexdigest()) == digest_catalog(root)


def _without_pages(root: Path) -> sqlite3.Connection:
    class Connection(sqlite3.Connection):
        def execute(self, query: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(query.replace("sqlite_dbpage", "no_such_table"), *parameters)

    return sqlite3.connect(root / layout.CATALOG, factory=Connection)


def test_the_log_stays_small(root: Path) -> None:
    """Readers hold no transaction, so that it can be folded in while they are open."""
    reader = Reader(root)
    with Writer(root, "test") as writer:
        for n in range(150):
            commit(writer, Changeset(new=[image(n)]))
            reader.places([0])
        assert (root / f"{layout.CATALOG}-wal").stat().st_size < 6_000_000
    log = root / f"{layout.CATALOG}-wal"  # A reader that holds a connection keeps the file, emptied.
    assert not log.exists() or log.stat().st_size == 0
    reader.close()
    assert open_files(root) == []

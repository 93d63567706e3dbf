"""Readers that stay open while writers commit, merge and replace columns: each answers from its generation."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from databases import BOTH_CATALOGS

import imseek
from imseek.data import layout
from imseek.data.catalog import content_lookup, shard_catalog, sources, sql
from imseek.data.catalog.changeset import Changeset, NewImage, Placement
from imseek.data.catalog.content_lookup import HashLookup
from imseek.data.catalog.logit_scales import read_logit_scale
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import column, insert
from imseek.data.catalog.sqlite.backend import SqliteBackend
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards import compaction, shard_files
from imseek.data.shards.derived_columns import put_columns
from imseek.data.shards.shard_files import row_of
from imseek.data.user_files.file_stat import FileStat
from imseek.data.vectors import open_index
from imseek.data.writing import space_build_rows
from imseek.data.writing.commit import commit
from imseek.data.writing.space_build_rows import PartialRows
from imseek.data.writing.writer import Writer
from imseek.errors import (
    CorruptCollectionError,
    ImageNotFoundError,
    LockedError,
    StaleGenerationError,
    StorageError,
    UsageError,
)
from imseek.types.pictures import ImageFacts

STAT = FileStat(10, 1, 2, 3, 4)


def hash_of(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def image(number: int, extra: dict[str, Any] | None = None, **more: Any) -> NewImage:
    facts = ImageFacts(width=number + 1, height=1, format="PNG", mode="RGB", extra=extra or {})
    vector = np.random.default_rng(number).standard_normal(64)
    return NewImage(
        1,
        b"%d.png" % number,
        STAT,
        hash_of(number),
        row_of(facts, hash_of(number), 10),
        {0: (vector / np.linalg.norm(vector)).astype(np.float16)},
        **more,
    )


@pytest.fixture
def root(collection: imseek.Collection) -> Path:
    with Writer(collection.path, "test") as writer:
        sources.add(writer, "folder", b"/photos")
    return collection.path


def add(root: Path, *batches: Sequence[int]) -> None:
    """One commit per batch of image numbers; ids are given in the same order."""
    with Writer(root, "test") as writer:
        for batch in batches:
            commit(writer, Changeset(new=[image(n) for n in batch]))


def merge_all(root: Path) -> None:
    with Writer(root, "test") as writer:
        compaction.merge(writer, writer.current().shards)


def answers(reader: Reader) -> dict[str, Any]:
    """All that a reader can say of its generation."""
    found = open_index("memory", reader.segments(0), 64).search(np.eye(64, dtype=np.float32)[:5], 1000)
    ids = sorted(found[0].ids.tolist())
    return {
        "ids": ids,
        "hits": [list(zip(m.ids.tolist(), m.scores.tolist(), strict=True)) for m in found],
        "places": {i: place.path for i, place in reader.places(ids).items()},
        "metadata": reader.metadata(ids),
        "vectors": {i: reader.vector(i, 0).tobytes() for i in ids},
    }


def sweep(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("imseek.data.writing.writer.GRACE_SECONDS", -1.0)
        with Writer(root, "test"):
            pass


# -- a reader over commits and merges ------------------------------------------------------------------------


@BOTH_CATALOGS
def test_a_reader_keeps_answering_from_its_generation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, [0, 1, 2], [3, 4], [5])
    old = Reader(root)
    expected = answers(old)
    assert expected["ids"] == [0, 1, 2, 3, 4, 5]
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(6), image(7)], gone=[1, 4]))
        commit(writer, Changeset(moved=[Placement(2, 1, b"elsewhere.png", STAT)]))
    newer = Reader(root)
    in_between = answers(newer)
    assert answers(old) == expected
    merge_all(root)
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[0, 7]))
    assert answers(old) == expected
    assert answers(newer) == in_between
    assert in_between["ids"] == [0, 2, 3, 5, 6, 7]
    assert (expected["places"][2], in_between["places"][2]) == (b"/photos/2.png", b"/photos/elsewhere.png")
    newest = answers(Reader(root))
    assert newest["ids"] == [2, 3, 5, 6]
    assert newest["vectors"].items() <= in_between["vectors"].items()
    # Once its files are swept, what it has mapped is still there, and it says what is not.
    sweep(root, monkeypatch)
    assert {i: old.vector(i, 0).tobytes() for i in expected["ids"]} == expected["vectors"]
    with pytest.raises(StaleGenerationError):
        old.metadata([0])
    with pytest.raises(StaleGenerationError):
        Reader.segments(_unopened(old), 0)
    assert answers(old.reopen()) == newest == answers(Reader(root))


def _unopened(reader: Reader) -> Reader:
    """A reader of the same generation that has mapped nothing yet."""
    fresh = Reader(reader.root)
    fresh.current = reader.current
    return fresh


def test_a_renewed_reader_shares_what_both_have(root: Path) -> None:
    add(root, [0, 1], [2, 3])
    old = Reader(root)
    rows = [segment.rows for segment in old.segments(0)]
    add(root, [4])
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[0]))
    new = old.reopen()
    segments = new.segments(0)
    assert [a is b for a, b in zip([s.rows for s in segments], rows, strict=False)] == [True, True]
    assert segments[0].dead.tolist() == [0]
    assert old.segments(0)[0].dead.tolist() == []


@BOTH_CATALOGS
def test_what_is_not_live_is_not_found(root: Path) -> None:
    add(root, [0, 1, 2])
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[1]))
    reader = Reader(root)
    for image_id in (1, 3, -1, 2**62):
        for ask in (reader.image, reader.intrinsic, lambda i: reader.vector(i, 0)):
            with pytest.raises(ImageNotFoundError, match=str(image_id)):
                ask(image_id)
    assert reader.metadata([1, 2, 3]).keys() == {2}
    assert reader.places([]) == {}
    with pytest.raises(ImageNotFoundError):
        reader.vector(0, 9)


@BOTH_CATALOGS
def test_tags_are_those_of_the_generation(root: Path) -> None:
    add(root, [0])
    with Writer(root, "test") as writer:

        def tag(connection: Any, generation: int) -> None:
            row = {"image_id": 0, "tag": "a", "provenance": "x", "born": generation, "died": FOREVER}
            insert(connection, "tags", [row])

        before = Reader(root)
        writer.apply(tag)
        during = Reader(root)
        writer.apply(lambda c, g: c.execute("UPDATE tags SET died = ?", (g,)) and None)
    assert [r.image(0).tags for r in (before, during, Reader(root))] == [(), ("a",), ()]


# -- merging -------------------------------------------------------------------------------------------------


@BOTH_CATALOGS
def test_searching_before_is_as_searching_after(root: Path) -> None:
    """Ids of the parts interleave, some rows are dead, and a column is there for some of them."""
    with Writer(root, "test") as writer:
        commit(writer, Changeset(new=[image(n) for n in range(0, 9)]))
        commit(writer, Changeset(gone=[0, 4, 8]))
        # Their vectors were lost and come back: ids of the first shard in the second.
        back = [image(n, image_id=n) for n in (2, 6)]

        def lose(connection: Any, generation: int) -> None:
            connection.execute("UPDATE images SET shard_id = NULL WHERE image_id IN (2, 6)")
            shard_catalog.write_dead_rows(writer, connection, generation, 0)

        writer.apply(lose)
        commit(writer, Changeset(new=[*back, image(9)]))
        put_columns(writer, "quality", {"sharp": {n: n / 2 for n in range(9)}, "label": {1: "cat"}})
        commit(writer, Changeset(new=[image(10), image(11)]))
    before = Reader(root)
    expected = answers(before)
    assert [before.shard_ids(s).tolist() for s in before.current.shards][1] == [2, 6, 9]
    merge_all(root)
    after = Reader(root)
    (shard,) = after.current.shards
    assert after.shard_ids(shard).tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert (shard.rows, shard.dead, shard.dead_rows) == (9, None, 0)
    assert answers(after) == expected
    assert expected["metadata"][1]["label"] == "cat"
    assert expected["metadata"][7]["sharp"] == 3.5
    assert "sharp" not in expected["metadata"][10]
    assert imseek.maintenance.verify(root).ok


def test_extra_columns_of_unlike_types_do_not_stop_merging(root: Path) -> None:
    extras = [{"a": 1, "b": 1}, {"a": 2.5, "b": "two"}, {"a": None}, {"a": 4, "b": True, "c": 2**80}]
    with Writer(root, "test") as writer:
        for n, extra in enumerate(extras):
            commit(writer, Changeset(new=[image(n, extra)]))
        # Within one shard too.
        commit(writer, Changeset(new=[image(4, {"b": 5}), image(5, {"b": "five"}), image(6, {"b": False})]))
    merge_all(root)
    found = Reader(root).metadata(range(7))
    assert [found[n].get("a") for n in range(7)] == [1.0, 2.5, None, 4.0, None, None, None]
    assert [found[n].get("b") for n in range(7)] == ["1", "two", None, "true", "5", "five", "false"]
    assert found[3]["c"] == str(2**80)


@BOTH_CATALOGS
def test_a_lookup_that_is_closed_beside_a_query_answers_nothing(tmp_path: Path, catalog: str | None) -> None:
    """When a run fails, its workers are still at their files: no query may meet the closing of its connection."""
    root = tmp_path / "collection"
    imseek.create(root, encoder="fake", catalog=catalog).close()
    for _ in range(30):
        lookup = HashLookup(root)
        closed = threading.Event()

        def ask(lookup: HashLookup = lookup, closed: threading.Event = closed) -> None:
            while not closed.is_set():
                assert lookup.find(bytes(32)) is None

        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            time.sleep(0.005)
            lookup.close()
            time.sleep(0.001)
            closed.set()
            for done in asking:
                done.result()
        assert lookup.find(bytes(32)) is None


@BOTH_CATALOGS
def test_quarantined_rows_are_kept(root: Path) -> None:
    """A state, not a deletion: passed over by searches, but not left behind by merges."""
    add(root, [0, 1], [2, 3])

    def quarantine(writer: Writer, numbers: list[int], state: str) -> None:

        def change(connection: Any, generation: int) -> None:
            connection.executemany("UPDATE images SET state = ? WHERE image_id = ?", [(state, n) for n in numbers])
            for shard in current.shards:
                shard_catalog.write_dead_rows(writer, connection, generation, shard.shard_id)

        current = writer.current()
        writer.apply(change)

    with Writer(root, "test") as writer:
        quarantine(writer, [0, 2, 3], "quarantined")
    reader = Reader(root)
    assert answers(reader)["ids"] == [1]
    assert len(reader.current.shards) == 2, "a shard with nothing to search keeps what it holds"
    lookup = HashLookup(root)
    try:
        assert [lookup.find(hash_of(n)) for n in range(4)] == [None, 1, None, None]
    finally:
        lookup.close()
    merge_all(root)
    assert answers(Reader(root))["ids"] == [1]
    assert imseek.maintenance.verify(root).ok
    with Writer(root, "test") as writer:
        quarantine(writer, [0, 2, 3], "live")
    after = answers(Reader(root))
    assert after["ids"] == [0, 1, 2, 3]
    assert after["vectors"] == {n: image(n).vectors[0].tobytes() for n in range(4)}
    # Where all have died, nothing is kept.
    with Writer(root, "test") as writer:
        quarantine(writer, [0], "quarantined")
        commit(writer, Changeset(gone=[0, 1, 2, 3]))
    assert Reader(root).current.shards == ()


def test_every_space_is_merged(root: Path) -> None:
    add(root, [0, 1], [2])
    second = np.random.default_rng(9).standard_normal((3, 8)).astype(np.float16)
    with Writer(root, "test") as writer:

        def more(connection: Any, generation: int) -> None:
            first = connection.execute("SELECT * FROM spaces")
            names = [one[0] for one in first.description]
            space = {**dict(zip(names, first.fetchone(), strict=True)), "space_id": 1, "dim": 8, "born": generation}
            insert(connection, "spaces", [{**space, "is_current": 0}])
            for shard_id, rows in ((0, second[:2]), (1, second[2:])):
                path = layout.vectors(1, shard_id)
                staged = shard_catalog.stage(writer, path, "vectors", rows, space_id=1)
                shard_catalog.publish(writer, connection, generation, shard_id, [staged])

        writer.apply(more)
        commit(writer, Changeset(gone=[1]))
    merge_all(root)
    reader = Reader(root)
    assert [shard.spaces for shard in reader.current.shards] == [(0, 1)]
    assert (reader.vector(0, 1) == second[0]).all()
    assert (reader.vector(2, 1) == second[2]).all()
    assert (reader.vector(2, 0) == image(2).vectors[0]).all()
    assert reader.current.space.space_id == 0
    assert imseek.maintenance.verify(root).ok


def test_merging_in_blocks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merged shard is gathered piece by piece, since a million vectors may be larger than memory."""
    monkeypatch.setattr(shard_files, "BLOCK_ROWS", 7)
    add(root, range(0, 40), range(40, 45), range(45, 100))
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[3, 41, 99]))
    expected = answers(Reader(root))
    merge_all(root)
    assert answers(Reader(root)) == expected


def test_many_commits_leave_few_files_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merging as it goes; a search keeps two or three files of each shard mapped."""
    monkeypatch.setattr(compaction, "_TIER_ROWS", 4)
    with Writer(root, "test") as writer:
        for n in range(100):
            commit(writer, Changeset(new=[image(n)]))
            compaction.merge_due(writer)
    reader = Reader(root)
    assert len(reader.current.shards) < 25
    assert answers(reader)["ids"] == list(range(100))
    opened = sum(str(root) in os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    assert opened < 3 * 25
    assert opened < resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# -- columns -------------------------------------------------------------------------------------------------


@BOTH_CATALOGS
def test_columns_are_replaced_as_a_whole(root: Path) -> None:
    add(root, [0, 1], [2])
    with Writer(root, "test") as writer:
        put_columns(writer, "scores", {"sharp": {0: 1, 1: 2, 2: 3}, "dull": {0: True}})
        put_columns(writer, "labels", {"label": {2: "dog"}})
    first = Reader(root)
    expected = first.metadata([0, 1, 2])
    assert [expected[n].get("sharp") for n in range(3)] == [1, 2, 3]
    assert (expected[0]["dull"], expected[2]["label"]) == (True, "dog")
    with Writer(root, "test") as writer:
        generation = put_columns(writer, "scores", {"sharp": {0: 0.5, 2: 7}})
    second = Reader(root)
    assert second.generation == generation
    found = second.metadata([0, 1, 2])
    assert [found[n].get("sharp") for n in range(3)] == [0.5, None, 7.0]
    assert isinstance(found[2]["sharp"], float), "one type for all shards"
    assert "dull" not in found[0]
    assert found[2]["label"] == "dog", "another set is left alone"
    assert first.metadata([0, 1, 2]) == expected
    assert imseek.maintenance.verify(root).ok


@pytest.mark.parametrize("name", ["", "UPPER", "../x", "1st", "a b", "a" * 65, "é"])
def test_names_of_column_sets(root: Path, name: str) -> None:
    with Writer(root, "test") as writer, pytest.raises(ValueError, match="cannot name a column set"):
        put_columns(writer, name, {"a": {}})


def test_columns_do_not_hide_what_is_intrinsic(root: Path) -> None:
    with Writer(root, "test") as writer:
        with pytest.raises(ValueError, match="'width' is an intrinsic column"):
            put_columns(writer, "x", {"width": {0: 1}})
        with pytest.raises(TypeError, match="bytes"):
            put_columns(writer, "x", {"a": {0: b"bytes"}})
    assert Reader(root).generation == 1


# -- reading under difficulties ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [b"", b"\x93NUMPY\x01\x00", os.urandom(300), b"\x93NUMPY\x01\x00v\x00{'descr': '<f2'"]
)
@pytest.mark.parametrize("file", ["ids", "vectors", "metadata"])
def test_a_damaged_file_is_told_with_what_to_do(root: Path, file: str, damage: bytes) -> None:
    add(root, [0, 1])
    name = {"ids": layout.ids(0), "vectors": layout.vectors(0, 0), "metadata": layout.metadata(0)}[file]
    (root / name).write_bytes(damage)
    reader = Reader(root)
    with pytest.raises(CorruptCollectionError, match=Path(name).name) as error:
        reader.metadata([0]) if file == "metadata" else reader.segments(0)
    assert error.value.hint == f"imseek collection repair {root}"


def test_what_happens_to_a_table_after_it_was_read_is_noticed(root: Path, tmp_path: Path) -> None:
    """Its decoded rows stay in memory, and are those of the file that is there."""
    add(root, [0, 1])
    table, away = root / layout.metadata(0), tmp_path / "away"
    reader = Reader(root)
    expected = reader.metadata([0, 1])
    assert reader.metadata([1])[1] == expected[1]
    table.rename(away)
    with pytest.raises(StaleGenerationError):
        reader.metadata([0])
    table.symlink_to(away)
    with pytest.raises(CorruptCollectionError, match="is a link"):
        reader.metadata([0])
    table.unlink()
    table.write_bytes(b"no table")
    with pytest.raises(CorruptCollectionError, match="is damaged"):
        reader.metadata([0])
    away.replace(table)
    assert reader.metadata([0, 1]) == expected
    folder = table.parent.rename(tmp_path / "folder")
    table.parent.symlink_to(folder)
    with pytest.raises(CorruptCollectionError, match="is a link"):
        reader.metadata([0])


def test_a_damaged_catalog_is_told_with_what_to_do(root: Path) -> None:
    add(root, [0])
    for damage in (b"", b"no database" * 500):
        (root / layout.CATALOG).write_bytes(damage)
        with pytest.raises(CorruptCollectionError) as error:
            Reader(root).places([0])
        assert error.value.hint == f"imseek collection repair {root}"


def test_a_catalog_that_is_held_is_not_called_damaged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: real(*a, **{**k, "timeout": 0.05}))
    other = real(root / layout.CATALOG)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("UPDATE meta SET value = value")
    other.commit()
    try:
        with pytest.raises(LockedError):
            Reader(root).places([0])
    finally:
        other.close()


def test_no_file_descriptor_is_left(root: Path) -> None:
    add(root, [0])
    reader = Reader(root)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/", os.O_RDONLY))
        with pytest.raises(StorageError) as error:
            reader.places([0])
        assert not isinstance(error.value, CorruptCollectionError), "nothing is damaged"
        with pytest.raises(StorageError, match="Too many open files") as error:
            reader.segments(0)
        assert "ulimit" in str(error.value.hint)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert reader.places([0]).keys() == {0}


def test_a_folder_whose_name_is_no_text(collection: imseek.Collection, tmp_path: Path) -> None:
    odd = tmp_path / "\udcff\n'?#%41"
    collection.path.rename(odd)
    with Writer(odd, "test") as writer:
        sources.add(writer, "folder", b"/photos\xfe")
        commit(writer, Changeset(new=[image(0), image(1)]))
        commit(writer, Changeset(gone=[0]))
    found = answers(Reader(odd))
    assert (found["ids"], found["places"]) == ([1], {1: b"/photos\xfe/1.png"})
    assert imseek.maintenance.verify(odd).ok
    (odd / layout.CATALOG).unlink()
    assert imseek.maintenance.repair(odd).after.ok


# -- read-only -----------------------------------------------------------------------------------------------

READ = """
import os, sys, imseek, numpy as np
from imseek.errors import ReadOnlyError
def read(path):
    with imseek.open(path) as collection:
        print(sorted(hit.image_id for hit in collection.search(np.ones(64))), collection.info().images)
        print(len(imseek.maintenance.verify(path).problems))
        try:
            collection.index([path])
        except ReadOnlyError as error:
            print(error)
read(sys.argv[1])  # As root: all that is needed is imported, which nobody may not be allowed to.
os.setuid(65534)
read(sys.argv[2])
"""


@pytest.fixture
def public(root: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy that others may read and not write, with three images."""
    add(root, [0, 1], [2])
    folder = Path("/tmp") / f"imseek-read-only-{os.getpid()}"
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns(layout.LOCK))
    yield folder
    shutil.rmtree(folder)


def closed(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def read_by_nobody(folder: Path, other: Path) -> list[str]:
    """What somebody without the right to write gets to see; ``other`` is a collection to warm up on."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    command = [sys.executable, "-W", "error", "-c", READ, str(other), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[2:]


def test_a_folder_that_cannot_be_written_is_searched(public: Path, root: Path) -> None:
    closed(public)
    assert read_by_nobody(public, root) == ["[0, 1, 2] 3", "0", f"{public} cannot be written"]
    assert not (public / f"{layout.CATALOG}-shm").exists()


def test_a_log_that_cannot_be_folded_is_read(public: Path, root: Path) -> None:
    """A copy of a collection whose writer was killed: immutable, SQLite would pass over its log."""
    live = shutil.copytree(public, public.with_name(f"{public.name}-live"))
    try:
        with Writer(live, "test") as writer:
            commit(writer, Changeset(new=[image(3)]))
            shutil.copytree(live, public, dirs_exist_ok=True, ignore=shutil.ignore_patterns(layout.LOCK))
        assert (public / f"{layout.CATALOG}-wal").stat().st_size > 0
        closed(public)
        assert read_by_nobody(public, root)[:2] == ["[0, 1, 2, 3] 4", "0"]
    finally:
        shutil.rmtree(live)


def test_a_log_without_its_index_is_read(public: Path, root: Path) -> None:
    """Left to itself, SQLite gives up where it has no right to make one."""
    with Writer(public, "test") as writer:
        commit(writer, Changeset(new=[image(3)]))
        left = shutil.copytree(public, public.with_name(f"{public.name}-left"))
    try:
        (left / f"{layout.CATALOG}-shm").unlink()
        closed(left)
        before = {path.name: path.read_bytes() for path in left.iterdir() if path.is_file()}
        assert read_by_nobody(left, root)[:2] == ["[0, 1, 2, 3] 4", "0"]
        assert {path.name: path.read_bytes() for path in left.iterdir() if path.is_file()} == before
    finally:
        shutil.rmtree(left)


def test_read_only_is_known_without_trying(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, [0])
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    with pytest.raises(imseek.errors.ReadOnlyError, match="cannot be written"):
        Writer(root, "test")
    with connect_read_only(root) as connection:
        with pytest.raises(StorageError, match="readonly"), connect_read_only(root) as inner:
            inner.execute("DELETE FROM images")
        assert connection.execute("SELECT COUNT(*) FROM images").fetchone() == (1,)
    assert answers(Reader(root))["ids"] == [0]


class Broken:
    """A connection on which a query fails, as one to a server that was started anew, or a disk that fails."""

    closed = False

    def execute(self, *_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        self.closed = True


def test_a_lookup_that_failed_asks_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, [0, 1])
    broken = Broken()
    real = SqliteBackend.open_for_reading
    opened = iter([lambda _: broken, real])
    monkeypatch.setattr(SqliteBackend, "open_for_reading", lambda backend: next(opened)(backend))
    lookup = HashLookup(root)
    try:
        with pytest.raises(StorageError, match="disk I/O"):
            lookup.find(hash_of(1))
        assert broken.closed
        assert lookup.find(hash_of(1)) == 1
        assert lookup.find_all(hash_of(7)) == []
    finally:
        lookup.close()


def test_copies_are_found_once_each_however_many_are_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies whose ids are in different queries to the catalog."""
    add(root, [0, 1])
    add(root, [0, 1, 2])
    monkeypatch.setattr(sql, "_CHUNK", 1)
    found = content_lookup.same_contents(root, [4, 2, 0, 1])
    assert list(found) == [4, 2, 0, 1]
    assert found == {
        4: (hash_of(2), [4]),
        2: (hash_of(0), [0, 2]),
        0: (hash_of(0), [0, 2]),
        1: (hash_of(1), [1, 3]),
    }


@pytest.mark.parametrize("rows", [[1, 0], [0, 0], [0, 2]], ids=["descending", "twice", "beyond the end"])
def test_a_list_of_dead_rows_that_is_none_is_damage(root: Path, rows: list[int]) -> None:
    """It would hide other images than those that were removed."""
    add(root, [0, 1])
    with Writer(root, "test") as writer:
        commit(writer, Changeset(gone=[0]))
    reader = Reader(root)
    (shard,) = reader.current.shards
    assert shard.dead is not None
    assert reader.dead_rows(shard).tolist() == [0]
    np.save(root / shard.dead, np.array(rows, np.uint32))
    lie = replace(shard, dead_rows=len(rows))
    with pytest.raises(CorruptCollectionError, match="not those of a shard, in order"):
        Reader(root).dead_rows(lie)


def test_an_image_whose_place_is_lost_is_told_from_one_that_is_not_there(root: Path) -> None:
    add(root, [0, 1])
    with sqlite3.connect(root / layout.CATALOG) as connection:
        connection.execute("DELETE FROM places WHERE image_id = 1")
    connection.close()
    reader = Reader(root)
    assert reader.indexed_place(0).path == b"0.png"
    with pytest.raises(ImageNotFoundError, match="the location of image 1 is unknown"):
        reader.indexed_place(1)
    with pytest.raises(ImageNotFoundError, match="no image 2 in this collection"):
        reader.indexed_place(2)


def test_a_place_in_a_source_that_is_not_there_is_damage(root: Path) -> None:
    add(root, [0])
    with sqlite3.connect(root / layout.CATALOG) as connection:
        connection.execute("DELETE FROM sources")
    connection.close()
    with pytest.raises(CorruptCollectionError, match="source that is not in the catalog") as error:
        Reader(root).indexed_place(0)
    assert error.value.hint == f"imseek collection repair {root}"


def test_a_space_that_is_not_there_has_no_scale(root: Path) -> None:
    with sqlite3.connect(root / layout.CATALOG) as connection:
        connection.execute("UPDATE spaces SET logit_scale = 12.5, facts = '{\"logit_bias\": -3.0}'")
    connection.close()
    assert read_logit_scale(root, 0) == (12.5, -3.0)
    assert read_logit_scale(root, 99) == (None, None)


def test_vectors_of_another_width_are_not_committed(root: Path) -> None:
    wide = image(0)
    wide = replace(wide, vectors={0: np.ones(65, np.float16)})
    with Writer(root, "test") as writer, pytest.raises(ValueError, match="width 65 for space 0 of width 64"):
        commit(writer, Changeset(new=[wide]))
    assert Reader(root).current.shards == ()


def test_a_source_without_a_folder_cannot_have_moved(root: Path, tmp_path: Path) -> None:
    with Writer(root, "test") as writer:
        for n, place in enumerate((b"", b"https://example.org/pictures"), start=2):
            sources.add(writer, "urls", place)
            with pytest.raises(UsageError, match=f"source {n} is not a local folder or file, so it cannot have moved"):
                sources.relocate(writer, n, os.fsencode(tmp_path))


def test_a_file_that_is_missing_is_not_merged_away(root: Path) -> None:
    add(root, [0], [1])
    (root / layout.vectors(0, 1)).unlink()
    with pytest.raises(CorruptCollectionError, match=r"000001\.npy"):
        merge_all(root)
    assert [shard.shard_id for shard in Reader(root).current.shards] == [0, 1]


# -- spaces that are being built -----------------------------------------------------------------------------


def rows_of(ids: Sequence[int], dim: int = 64) -> dict[int, np.ndarray]:
    return {i: np.full(dim, i + 1, np.float16) for i in ids}


def put_part(writer: Writer, parts: PartialRows, ids: Sequence[int]) -> str:
    change = parts.plan(rows_of(ids), np.empty(0, np.int64))
    writer.apply(lambda connection, generation: change.apply(writer, connection, generation))
    parts.confirm(change)
    return change.staged[0].path


@pytest.mark.parametrize("damage", ["a byte", "gone", "no array", "other columns", "another width"])
def test_a_damaged_part_of_a_space_is_made_again(root: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, [0, 1, 2, 3])
    monkeypatch.setattr(space_build_rows, "PART_ROWS", 1)
    with Writer(root, "test") as writer:
        parts = PartialRows(writer, 0, 64)
        paths = [put_part(writer, parts, ids) for ids in ([0, 2], [1, 3])]
        assert len(parts) == 4
    path = root / paths[0]
    data = {"no array": b"no array", "a byte": path.read_bytes()[:-1] + b"?"}.get(damage, b"")
    path.unlink()
    if damage in ("other columns", "another width"):
        kind = np.float32 if damage == "other columns" else space_build_rows.part_dtype(32)
        np.save(path, np.zeros(2, kind))
        data = path.read_bytes()
    elif damage != "gone":
        path.write_bytes(data)
    with Writer(root, "test") as writer:
        if damage in ("no array", "other columns", "another width"):  # As if it had been written so.
            stated = (len(data), hashlib.sha256(data).hexdigest(), paths[0])
            query = "UPDATE files SET size = ?, sha256 = ? WHERE path = ?"
            writer.apply(lambda connection, _: connection.execute(query, stated) and None)
        parts = PartialRows(writer, 0, 64)
        assert len(parts) == 2
        assert parts.contain(np.arange(4)).tolist() == [False, True, False, True]
        found = np.zeros((4, 64), np.float16)
        parts.fill(np.arange(4), found)
        assert found[:, 0].tolist() == [0, 2, 0, 4]
        put_part(writer, parts, [0, 2])
        assert not path.exists()
        parts.fill(np.arange(4), found)
        assert found[:, 0].tolist() == [1, 2, 3, 4]
    assert imseek.maintenance.verify(root).ok


def test_rows_of_dead_images_leave_the_parts_of_a_space(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(root, [0, 1, 2, 3, 4])
    monkeypatch.setattr(space_build_rows, "PART_ROWS", 1)
    with Writer(root, "test") as writer:
        parts = PartialRows(writer, 0, 64)
        mixed, dead, living, damaged = (put_part(writer, parts, ids) for ids in ([0, 1], [2], [3], [4]))
        (root / damaged).write_bytes(b"")
        commit(writer, Changeset(gone=[1, 2]))
        space_build_rows.remove_dead_rows(writer)
        parts = PartialRows(writer, 0, 64)
        assert parts.contain(np.arange(5)).tolist() == [True, False, False, True, False]
        with writer.catalog.transaction() as connection:
            listed = set(column(connection, "SELECT path FROM files WHERE kind = 'part'"))
        assert living in listed
        assert listed.isdisjoint({mixed, dead, damaged})
        assert len(listed) == 2

"""One collection on a folder that two hosts share, simulated: each believes to hold the lock."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

import imseek
from durability.stage import Stage, check, draw, small
from imseek.data import layout
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset
from imseek.data.catalog.sqlite.catalog_checksums import read
from imseek.data.catalog.sqlite.lock import WriterLock
from imseek.data.current_generation import read_current
from imseek.data.files import write_check
from imseek.data.reader import Reader
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.errors import LockedError, ReadOnlyError


@pytest.fixture
def stage(prepared: Callable[[str], Path], fast_folder: Path) -> Stage:
    """Twelve images in one shard."""
    return Stage(shutil.copytree(prepared("remove a source"), fast_folder / "home"))


@contextmanager
def on(host: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On another host: with its name and start, and with a lock that it does not share."""

    def acquire(self: WriterLock) -> None:
        self._file_stat = (self._root / layout.LOCK).stat()

    with monkeypatch.context() as patch:
        patch.setattr("imseek.data.writing.writer.host", lambda: host)
        patch.setattr("imseek.data.writing.writer.boot_id", lambda: f"start of {host}")
        patch.setattr(WriterLock, "acquire", acquire)
        yield


def runs(stage: Stage) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(stage.root / layout.CATALOG)) as connection:
        return connection.execute("SELECT host, state FROM runs ORDER BY run_id DESC LIMIT 2").fetchall()


def test_who_has_been_overtaken_changes_nothing_any_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second line of defence: the later writer ends the earlier one's run, who finds out at its next change."""
    with on("first", monkeypatch):
        earlier = Writer(stage.root, "index").__enter__()
        before = earlier.take_ids(3)
        with on("second", monkeypatch), Writer(stage.root, "index") as later:
            assert runs(stage) == [("second", "running"), ("first", "interrupted")]
            after = later.take_ids(3)
            assert not {*before} & {*after}
            with pytest.raises(LockedError, match="taken over by another writer") as error:
                commit(earlier, Changeset(gone=[0]))
            assert error.value.exit_code == 75
            assert "one host" in str(error.value.hint)
            with pytest.raises(LockedError):
                earlier.take_ids(100_000)
            with pytest.raises(LockedError):
                earlier.take_shard()
            with pytest.raises(LockedError):
                earlier.__exit__(None, None, None)
            assert later.staging.is_dir(), "not the earlier one's to clear away"
            assert layout.CATALOG not in read(stage.root).files, "nor to vouch for"
            source = sources.add(later, "folder", b"/elsewhere")
            sources.remove(later, source.source_id)
    assert runs(stage) == [("second", "done"), ("first", "interrupted")]
    with Writer(stage.root, "index") as writer:
        assert writer.take_ids(1)[0] >= after[0], "what the earlier one leased is not given back under the later one"
    check(stage, removed=False)


@pytest.mark.parametrize("merging", [True, False], ids=["at a merge", "at a commit"])
def test_an_index_run_that_is_overtaken(stage: Stage, monkeypatch: pytest.MonkeyPatch, merging: bool) -> None:
    """What it had committed stays; the rest comes with the next run, and nothing is there twice."""
    from imseek.indexer import pipeline

    for n in range(8):
        draw(stage.photos / f"new{n}.png", 300 + n)
    small(merging=merging)
    real = pipeline.commit

    def overtaken(writer: Writer, batch: Changeset) -> int:
        generation = real(writer, batch)
        with on("second", monkeypatch), Writer(stage.root, "source"):
            return generation

    with on("first", monkeypatch), monkeypatch.context() as patch:
        patch.setattr(pipeline, "commit", overtaken)
        with pytest.raises(LockedError, match="taken over"):
            stage.index()
    with imseek.open(stage.root) as collection:
        assert len(collection.search(np.ones(64), limit=100).hits) == 16
    stage.index()
    check(stage, removed=False)


def test_a_run_of_another_host_is_told_and_does_not_keep_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is alive cannot be told from here: so the lock decides, and the message names it."""
    with Writer(stage.root, "test"):
        pass
    with closing(sqlite3.connect(stage.root / layout.CATALOG)) as connection, connection:
        connection.execute(
            "UPDATE runs SET state = 'running', host = 'elsewhere', boot_id = 'other', pid = 7, kind = 'index' "
            "WHERE run_id = (SELECT MAX(run_id) FROM runs)"
        )
    (stage.root / layout.CHECKSUMS).unlink()  # As after a kill.
    holder = WriterLock(stage.root)
    holder.acquire()
    try:
        with pytest.raises(LockedError, match=r"by `index`, process 7 on elsewhere, started "):
            stage.index()
    finally:
        holder.release()
    stage.index()
    assert runs(stage)[1] == ("elsewhere", "interrupted")
    check(stage, removed=False)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_folder_is_read_and_not_written(stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts = stage.photos.parent / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - ext4 d rw\n2 1 0:2 / {stage.photos} rw - {kind} server:/x rw\n")
    real = write_check.file_system
    monkeypatch.setattr(write_check, "file_system", lambda path: real(path, str(mounts)))
    before = read_current(stage.root)
    with imseek.open(stage.root) as collection:
        assert len(collection.search(np.ones(64), limit=100).hits) == collection.info().images == 12
        for write in (
            collection.index,
            lambda: collection.remove_source(1),
            lambda: imseek.maintenance.merge(stage.root),
            lambda: imseek.maintenance.purge(stage.root),
        ):
            with pytest.raises(ReadOnlyError, match=rf"network file system \({kind}\)") as error:
                write()
            assert "local disk" in str(error.value.hint)
    with pytest.raises(ReadOnlyError, match="network file system"):
        imseek.create(stage.photos / "new", encoder="fake")
    assert imseek.maintenance.verify(stage.root).ok
    assert read_current(stage.root) == before == Reader(stage.root).current

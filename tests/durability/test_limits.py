"""What a process needs beside the disk is refused or taken away: file descriptors, folders for temporary files, the
folder it works in, and the collection itself under a writer's hands."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import imseek
from durability.faults import sample
from durability.forks import Server
from durability.stage import PASSING, Stage, draw, go_on, look
from imseek.data import layout
from imseek.data.catalog import sources
from imseek.data.catalog.changeset import Changeset
from imseek.data.catalog.sqlite import catalog_backups
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError, StorageError

#: Of descriptors, from too few for the catalog to enough for everything.
LIMITS = range(2, 50)


@pytest.fixture
def stage(prepared: Callable[[str], Path], fast_folder: Path) -> Stage:
    """Three shards, ready to be merged."""
    return Stage(shutil.copytree(prepared("merge"), fast_folder / "home"))


# -- file descriptors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index again", "merge", "put columns", "repair the catalog", "search", "verify"])
def test_file_descriptors_run_out(
    servers: list[Server],
    prepared: Callable[[str], Path],
    fast_folder: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    """It works, or says that it is this; nothing is called damaged, and nothing is."""
    reads = name in ("search", "verify")
    template = prepared("merge" if reads else name)
    limits = [1, *sorted(sample(LIMITS, 3, f"file descriptors of {name}")), 50]
    refused = 0
    for spare in limits:
        home = fast_folder / str(spare)
        shutil.copytree(template, home)
        status, refusal = servers[0]("few_files", name=name, home=home, spare=spare)
        assert status == 0
        if refusal is not None:
            refused += 1
            assert refusal["kind"] == "StorageError", f"{spare} to spare: {refusal}"
            assert str(home) in refusal["message"]
            assert "open" in f"{refusal['message']} {refusal['hint']}", refusal
        try:
            _, kinds = servers[0]("heir", name="merge" if reads else name, home=home)
        except AssertionError as error:
            raise AssertionError(f"{spare} to spare: {refusal}\n{error}") from error
        assert name.startswith("repair") or set(kinds) <= PASSING, f"{spare} to spare: {kinds}"
        shutil.rmtree(home)
    assert 0 < refused < len(limits)
    record_property("trials", len(limits))


def test_a_backup_that_cannot_be_opened_now_is_not_taken_for_damaged(stage: Stage) -> None:
    """Else `repair` would go on from an older one, or from none."""
    backup_file = stage.root / layout.BACKUPS[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        for ask in (
            lambda: catalog_backups.is_usable(backup_file, None),
            lambda: catalog_backups.generation_of(backup_file),
        ):
            with pytest.raises(StorageError, match="unable to open") as error:
                ask()
            assert not isinstance(error.value, CorruptCollectionError)
            assert "ulimit" in str(error.value.hint)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert catalog_backups.is_usable(backup_file, None)


# -- folders that are gone -----------------------------------------------------------------------------------


def test_no_folder_for_temporary_files(stage: Stage) -> None:
    """Nothing is written outside the collection."""
    temporary = "/no/such/folder"
    environment = {**os.environ, "TMPDIR": temporary, "SQLITE_TMPDIR": temporary}
    for command in (["index"], ["maintain", "--purge"], ["search", "red"]):
        line = [sys.executable, "-W", "error", "-m", "imseek", *command, "-c", str(stage.root)]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert imseek.maintenance.verify(stage.root).ok


def test_the_current_folder_is_gone(stage: Stage, tmp_path: Path) -> None:
    """What needs none works; a command that would look for a collection there says so."""
    gone = tmp_path / "gone"
    code = f"import os, sys; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r}); from imseek.ui.cli.app import main; "
    for arguments, exit_code in ((["index", "-c", str(stage.root)], None), (["info"], 2)):
        gone.mkdir()
        line = [sys.executable, "-W", "error", "-c", f"{code} sys.exit(main({arguments}))"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        assert done.returncode in ((0, 2) if exit_code is None else (exit_code,))
        if done.returncode:
            assert "imseek: the current folder no longer exists" in done.stderr
    assert imseek.maintenance.verify(stage.root).ok


def after_that(stage: Stage, root: Path) -> None:
    """The collection that lies at ``root`` now, moved back where it was."""
    if root != stage.root:
        shutil.rmtree(stage.root, ignore_errors=True)
        root.rename(stage.root)
    assert set(look(stage)) <= PASSING
    go_on("index", stage)


def test_staging_is_removed_under_a_writer(stage: Stage) -> None:
    expected = pytest.raises(StorageError, match=r"staging/.*No such file")
    with expected as error, Writer(stage.root, "test") as writer:
        shutil.rmtree(writer.staging)
        sources.add(writer, "folder", b"/elsewhere")
    assert "moved or deleted" in str(error.value.hint)
    with Writer(stage.root, "test") as writer:
        for source in writer.catalog.sources():
            if source.root == b"/elsewhere":  # It was committed; only current.json could not be written.
                sources.remove(writer, source.source_id)
    after_that(stage, stage.root)


@pytest.mark.parametrize("instead", ["nothing", "a copy"])
@pytest.mark.parametrize("when", ["before a change", "within a change"])
def test_the_collection_is_moved_away_under_a_writer(stage: Stage, instead: str, when: str) -> None:
    """What lies there now is not touched, not even where it looks like the same collection."""
    moved = stage.root.with_name("moved")

    def move() -> None:
        stage.root.rename(moved)
        if instead == "a copy":
            shutil.copytree(moved, stage.root)
        else:
            assert not stage.root.exists()

    contents: dict[str, bytes] = {}

    def there() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes() for path in stage.root.rglob("*") if path.is_file() and path.suffix == ".json"
        }

    expected = pytest.raises(StorageError, match=r"moved or deleted|No such file")
    with expected, Writer(stage.root, "test") as writer:
        if when == "before a change":
            move()
            contents = there()
            commit(writer, Changeset(gone=[0]))
        else:
            writer.apply(lambda _connection, _generation: move())
    if when == "before a change":
        assert there() == contents
        assert stage.root.exists() == (instead == "a copy"), "nor is it made again"
    after_that(stage, moved)


def test_the_collection_is_removed_under_a_writer(stage: Stage) -> None:
    expected = pytest.raises(StorageError, match="moved or deleted")
    with expected, Writer(stage.root, "test") as writer:
        shutil.rmtree(stage.root)
        commit(writer, Changeset(gone=[0]))
    assert not stage.root.exists()


def test_a_folder_of_the_collection_is_removed_under_a_writer(stage: Stage) -> None:
    """It is made again for what is written; what was in it is found missing and repaired."""
    with imseek.open(stage.root) as collection:
        images = collection.info().images
    with Writer(stage.root, "test"):
        shutil.rmtree(stage.root / "metadata")
    draw(stage.photos / "new.png", 500)
    stage.index()
    assert {"metadata", "ids"} <= {problem.kind for problem in imseek.maintenance.verify(stage.root).problems}
    assert imseek.maintenance.repair(stage.root).after.ok
    stage.index()
    with imseek.open(stage.root) as collection:
        assert len(collection.search(np.ones(64), limit=100).hits) == images + 1

"""Read-only media: what can be read is, also what a killed writer left in the log; what writes says why it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import imseek
from durability.faults import needs_root, remount, tmpfs
from durability.stage import Stage, columns, merged, remove_source
from imseek.data import layout
from imseek.errors import ReadOnlyError

pytestmark = needs_root()


@pytest.fixture
def stage(prepared: Callable[[str], Path], fast_folder: Path) -> Iterator[Stage]:
    """Three shards, a dead row and a column on a disk of their own, still to be made read-only."""
    with tmpfs(fast_folder / "disk") as disk:
        yield Stage(shutil.copytree(prepared("merge"), disk / "home"))


def left_by_a_kill(stage: Stage) -> int:
    """The last commit of a writer is in the log only; returns the number of images after it."""
    with imseek.open(stage.root) as collection:
        before = collection.info().images
    victim = f"""
import os, signal
from pathlib import Path
from durability.stage import Stage, small
from imseek.indexer import pipeline
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
small(merging=False)
pipeline.merge_due = die
Stage(Path({str(stage.photos.parent)!r})).index()
"""
    for n in range(2):
        shutil.copy(stage.photos / f"0{n}.png", stage.photos / f"copy{n}.png")
    environment = {**os.environ, "PYTHONPATH": "tests"}
    subprocess.run([sys.executable, "-c", victim], env=environment, check=False, capture_output=True)
    assert (stage.root / f"{layout.CATALOG}-wal").stat().st_size > 0
    return before + 2


@pytest.mark.parametrize("left", ["nothing", "a log", "a log without its index"])
def test_a_collection_on_a_read_only_disk(stage: Stage, left: str) -> None:
    images = 11
    if left != "nothing":
        images = left_by_a_kill(stage)
    if left == "a log without its index":
        (stage.root / f"{layout.CATALOG}-shm").unlink()
    remount(stage.photos.parent.parent, "ro")
    with imseek.open(stage.root) as collection:
        hits = collection.search(np.ones(64), limit=100).hits
        assert len(hits) == collection.info().images == images
        assert all(hit.place is not None and Path(os.fsdecode(hit.place.path)).exists() for hit in hits)
        assert collection.get(hits[0].image_id).metadata["width"] == 8
    assert imseek.maintenance.verify(stage.root).problems == ()
    for write in (Stage.index, remove_source, merged, columns):
        with pytest.raises(ReadOnlyError, match="cannot be written") as error:
            write(stage)
        assert error.value.exit_code == 1
    with pytest.raises(ReadOnlyError, match="cannot be written"):
        imseek.maintenance.purge(stage.root)
    with pytest.raises(ReadOnlyError, match="Read-only file system"):
        imseek.create(stage.photos / "new", encoder="fake")


def test_a_damaged_collection_on_a_read_only_disk(stage: Stage) -> None:
    """It is verified; mending it has to wait."""
    (stage.root / layout.vectors(0, 1)).write_bytes(b"")
    remount(stage.photos.parent.parent, "ro")
    assert [problem.kind for problem in imseek.maintenance.verify(stage.root).problems] == ["vectors"]
    with pytest.raises(ReadOnlyError, match="cannot be written"):
        imseek.maintenance.repair(stage.root)


def test_pictures_on_a_read_only_disk(prepared: Callable[[str], Path], fast_folder: Path) -> None:
    with tmpfs(fast_folder / "pictures") as disk:
        photos = Stage(shutil.copytree(prepared("merge"), disk / "home")).photos
        shutil.rmtree(photos / ".imseek")
        remount(disk, "ro")
        with imseek.create(fast_folder / "collection", encoder="fake") as collection:
            report = collection.index([photos])
            assert (report.added, report.skipped) == (11, 0)
            with pytest.raises(ReadOnlyError):
                imseek.create(photos / ".imseek", encoder="fake", here=True)


@pytest.mark.parametrize("command", [["search", "red"], ["index"]])
def test_the_command_line(stage: Stage, command: list[str]) -> None:
    remount(stage.photos.parent.parent, "ro")
    imseek = [sys.executable, "-W", "error", "-m", "imseek", *command, "-c", str(stage.root)]
    done = subprocess.run(imseek, capture_output=True, text=True, check=False)
    if command == ["index"]:
        assert done.returncode == 1
        assert done.stderr.splitlines()[-2:] == [
            f"imseek: {stage.root} cannot be written",
            "hint: searching works; indexing does not",
        ]
    else:
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr

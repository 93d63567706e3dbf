"""A disk that is really full, after a few more blocks or a few more files, for each command that writes.

How many is drawn for each command, others in each commit; ``IMSEEK_FAULTS=all`` tries all of them.

On a tmpfs of just that size every writer meets the end of the disk at its own place: imseek's files, Arrow's, SQLite's
log, its shared memory, and the copies of the catalog.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import pytest

import imseek
from durability.faults import ALL, needs_root, remount, sample, tmpfs
from durability.forks import Server, forked
from durability.stage import PASSING, SCENARIOS, Stage, draw, made

pytestmark = needs_root()

BLOCK = 4096
HINTS = ("free some space", "free disk space", "may be full")


#: What may be left of the disk, in blocks and in files.
LEFT = {"size": range(1, 40), "nr_inodes": range(1, 8)}
#: Drawn for each command in every run. Where all are wanted: from nothing on, until the command fits.
TRIALS = 1


@pytest.mark.always
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_end_of_the_disk(
    servers: list[Server],
    prepared: Callable[[str], Path],
    fast_folder: Path,
    name: str,
    record_property: Callable[[str, object], None],
) -> None:
    template = prepared(name)

    def is_refused(server: Server, of: str, left: int) -> bool:
        home = fast_folder / f"{of} {left}"
        home.mkdir()
        with tmpfs(Stage(home).photos) as disk:
            shutil.copytree(template, home, dirs_exist_ok=True)
            used = os.statvfs(disk)
            blocks, files = used.f_blocks - used.f_bfree, used.f_files - used.f_ffree
            small = {"size": f"size={(blocks + left) * BLOCK}", "nr_inodes": f"nr_inodes={files + left}"}
            remount(disk, small[of])
            status, refusal = server("attempt", name=name, home=home)
            remount(disk, "size=64m,nr_inodes=100000")
            assert status == 0, f"{left} of {of} left: {status}"
            if refusal is not None:
                assert str(home) in refusal["message"]
                assert refusal["code"] == 1
                assert any(hint in str(refusal["hint"]) for hint in HINTS), refusal
            try:
                _, kinds = server("heir", name=name, home=home)
            except AssertionError as failure:
                raise AssertionError(f"{left} of {of} left: {refusal}\n{failure}") from failure
            assert name.startswith("repair") or set(kinds) <= PASSING, f"{left} of {of} left: {kinds}"
        return refusal is not None

    def refusals(server: Server, of: str) -> int:
        return sum(takewhile(bool, (is_refused(server, of, left) for left in count())))

    if ALL:
        with ThreadPoolExecutor(len(servers)) as pool:
            refused = list(pool.map(refusals, servers, LEFT))
        assert refused[0] > 0, "the disk was full"
    else:
        trials = [(of, left) for of, every in LEFT.items() for left in every]
        refused = [is_refused(servers[0], *trial) for trial in sample(trials, TRIALS, f"full disk of {name}")]
        if not any(refused):
            assert is_refused(servers[0], "size", 0), "the disk was full"
    record_property("trials", max(1, sum(refused)))
    print(f"{name}: refused {sum(refused)} times for want of room")


def test_the_command_line_says_so(fast_folder: Path) -> None:
    with tmpfs(fast_folder / "disk") as disk:
        stage = Stage(disk)
        stage.photos.mkdir()
        for n in range(40):
            draw(stage.photos / f"{n}.png", n)
        imseek = [sys.executable, "-W", "error", "-m", "imseek"]
        create = [*imseek, "collection", "create", str(stage.root), "--encoder", "fake"]
        index = [*imseek, "index", str(stage.photos), "-c", str(stage.root)]
        subprocess.run(create, check=True, capture_output=True)
        used = os.statvfs(disk)
        remount(disk, f"size={(used.f_blocks - used.f_bfree + 12) * BLOCK}")
        full = subprocess.run(index, capture_output=True, text=True, check=False)
        assert (full.returncode, full.stdout) == (1, "")
        said = full.stderr.splitlines()
        assert said[-2].startswith(f"imseek: {stage.root}/")
        assert said[-1].startswith("hint: free some space")
        assert "Traceback" not in full.stderr
        remount(disk, "size=64m")
        done = subprocess.run(index, capture_output=True, text=True, check=True)
        assert "40 added; 40 images in the collection" in done.stdout


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_there_can_be_read_while_the_disk_is_full(fast_folder: Path, killed: bool) -> None:
    """Also what a killed writer left in SQLite's log."""
    with tmpfs(fast_folder / "disk") as disk:
        stage = Stage(disk)
        stage.photos.mkdir()
        for n in range(4):
            draw(stage.photos / f"{n}.png", n)
        made(stage)
        stage.index()
        draw(stage.photos / "new.png", 9)

        def index_and_die() -> None:
            with imseek.open(stage.root) as collection:
                collection.index([stage.photos], progress=lambda p: os._exit(1) if p.done else None)

        if killed:
            forked(index_and_die)
        (stage.root / "catalog.sqlite-shm").unlink(missing_ok=True)
        used = os.statvfs(disk)
        remount(disk, f"size={(used.f_blocks - used.f_bfree) * BLOCK}")
        with imseek.open(stage.root) as collection:
            places = [hit.place for hit in collection.search(np.ones(64)).hits]
            names = {Path(os.fsdecode(place.path)).name for place in places if place is not None}
            assert names == {"0.png", "1.png", "2.png", "3.png"} | ({"new.png"} if killed else set())
            assert collection.info().images == len(names)
            with pytest.raises(imseek.errors.StorageError) as refused:
                collection.index()
            assert "free some space" in str(refused.value.hint)
        assert {problem.kind for problem in imseek.maintenance.verify(stage.root).problems} <= PASSING
        shared = stage.root / "catalog.sqlite-shm"
        assert not shared.exists() or shared.stat().st_size < 32_768, "there was no room for it"

"""A write-ahead log that a kill left: it is part of the catalog, and what is lost with it is found or named.

After a kill the catalog has no checksum, so there only what SQLite notices, and commits that current.json knows of,
are promised.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import imseek
from durability.damages import DAMAGES, State, collection, damage, index, photos, searched
from durability.stage import draw
from imseek.data import layout
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError

WAL = f"{layout.CATALOG}-wal"

KILLED = """
import os, sys, imseek
from imseek.indexer import encode_stage, pipeline
def commit(writer, batch, commit=pipeline.commit, done=[]):
    generation = commit(writer, batch)
    done.append(len(batch.new))
    if len(done) == 2:
        os._exit(9)
    return generation
pipeline.COMMIT_IMAGES, encode_stage.ENCODE_BATCH, pipeline.commit = 3, 3, commit
with imseek.open(sys.argv[1]) as collection:
    collection.index([sys.argv[2]])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """The process died after two commits of three images each, all of it in the write-ahead log."""
    home = tmp_path_factory.mktemp("killed") / "home"
    shutil.copytree(original, home)
    for n in range(20, 26):
        draw(photos(home) / f"{n}.png", n)
    command = [sys.executable, "-W", "error", "-c", KILLED, str(collection(home)), str(photos(home))]
    assert subprocess.run(command, check=False).returncode == 9
    assert (collection(home) / WAL).stat().st_size > 100_000
    return home


def test_a_log_left_behind_is_read(killed: Path, tmp_path: Path) -> None:
    home = shutil.copytree(killed, tmp_path / "home")
    assert imseek.maintenance.verify(collection(home)).ok
    assert {f"{n}.png" for n in range(20, 26)} <= set(State.of(collection(home)).images)


@pytest.mark.parametrize("kind", sorted(DAMAGES.keys() - {"an older version", "appended to"}))
def test_damage_to_a_log_left_behind(killed: Path, tmp_path: Path, kind: str) -> None:
    """SQLite takes up a damaged log as far as it is sound, and says nothing: current.json knows what is missing."""
    whole = shutil.copytree(killed, tmp_path / "whole")
    expected = State.of(collection(whole))
    home = shutil.copytree(killed, tmp_path / "home")
    root = collection(home)
    (tmp_path / WAL).write_bytes(os.urandom(5000))
    damage(kind, root / WAL, other=tmp_path / WAL)
    (root / f"{layout.CATALOG}-shm").unlink(missing_ok=True)

    assert "catalog" in [problem.kind for problem in imseek.maintenance.verify(root).problems]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(CorruptCollectionError) as refusal, Writer(root, "test"):
        pytest.fail("a writer goes on without what was committed")
    assert "collection repair" in str(refusal.value.hint)
    assert (root / layout.CURRENT).read_bytes() == before[root / layout.CURRENT]

    report = imseek.maintenance.repair(root)
    assert report.after.ok
    assert any("without their places" in line for line in report.restored)
    assert searched(root) == expected.searched, "every acknowledged image is found again at once"
    index(home)
    assert imseek.maintenance.verify(root).ok
    assert State.of(root) == expected, "and, once its folder was scanned, at its place"


def test_what_follows_a_log_left_behind_is_passed_over(killed: Path, tmp_path: Path) -> None:
    home = shutil.copytree(killed, tmp_path / "home")
    expected = State.of(collection(shutil.copytree(killed, tmp_path / "whole")))
    damage("appended to", collection(home) / WAL)
    assert imseek.maintenance.verify(collection(home)).ok
    index(home)
    assert searched(collection(home)) == expected.searched


@pytest.mark.parametrize("kind", ["deleted", "emptied", "cut somewhere"])
def test_a_log_left_behind_by_a_damaged_catalog(killed: Path, tmp_path: Path, kind: str) -> None:
    """It must never be taken for the log of the catalog that takes the place of the damaged one."""
    expected = State.of(collection(shutil.copytree(killed, tmp_path / "whole")))
    home = shutil.copytree(killed, tmp_path / "home")
    root = collection(home)
    damage(kind, root / layout.CATALOG)
    assert imseek.maintenance.repair(root).after.ok
    # SQLite itself deletes the log of an empty file as soon as that is opened.
    assert kind == "emptied" or list(root.glob(f"{WAL}.damaged.*")), "kept beside"
    assert searched(root) == expected.searched
    index(home)
    assert State.of(root) == expected

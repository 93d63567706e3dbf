"""Backups while a writer indexes, moves, removes, merges and purges: each is one generation, whole and true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_seed import number
from snapshotting import clustered, collection_of

import imseek
from durability.disk import Acknowledge, Sync
from durability.faults import sample
from durability.forks import Server
from durability.power import outages, recorded, try_outage
from durability.readers import TESTS
from durability.reference import FOREVER, Truth, digest, read_all
from imseek.data import layout
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.current_generation import read_current

WRITE = """
import sys
from pathlib import Path
from durability.churn import write
write(Path(sys.argv[1]), seconds=100.0, pictures=200, seed=int(sys.argv[2]))
"""


def test_each_is_one_generation_of_a_collection_that_never_rests(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    taken: list[tuple[Path, Any]] = []
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITE, str(home), str(number("a writer"))], env=environment
    ) as writer:

        def wait_for(true: Callable[[], bool]) -> None:
            while not true():
                assert writer.poll() is None
                time.sleep(0.01)

        wait_for((home / "ready").exists)
        for n in range(8):
            target = tmp_path / f"{n}.tar"
            taken.append((target, imseek.backup.write(home / "collection", target).backup))
            last = taken[-1][1].generation
            wait_for(lambda last=last: read_current(home / "collection").generation > last)
        (home / "enough").touch()
    assert writer.returncode == 0
    truths = {truth.generation: truth for truth in read_all(home / "reference")}
    vectors = {int(i): row for truth in truths.values() for i, row in zip(truth.new_ids, truth.new_rows, strict=True)}
    assert len({info.generation for _, info in taken}) == 8, "they were made while the writer was at work"
    for target, info in taken:
        folder = target.with_suffix("")
        imseek.backup.restore(target, folder)
        report = imseek.maintenance.verify(folder)
        assert report.ok, report.problems
        assert read_current(folder).generation == info.generation
        compare(folder, truths[info.generation], vectors)


def compare(root: Path, truth: Truth, vectors: dict[int, np.ndarray]) -> None:
    """What a restored collection holds is what its generation held, as its writer has recorded it."""
    live = f"died = {FOREVER}"
    with connect_read_only(root) as connection:
        roots = dict(connection.execute(f"SELECT source_id, root FROM sources WHERE {live}"))
        rows = connection.execute(
            "SELECT i.image_id, i.content_hash, i.shard_id, p.source_id, p.path FROM images i "
            f"LEFT JOIN (SELECT * FROM places WHERE {live}) p USING (image_id) WHERE i.{live} ORDER BY i.image_id"
        ).fetchall()
    assert [row[0] for row in rows] == truth.ids.tolist()
    assert [digest(row[1].hex()) for row in rows] == truth.contents.tolist()
    assert [digest(roots[s] + b"/" + path) for *_, s, path in rows] == truth.places.tolist()
    stored = {}
    for shard in read_current(root).shards:
        ids = np.load(root / layout.ids(shard.shard_id)).tolist()
        array = np.load(root / layout.vectors(0, shard.shard_id))
        stored |= {(i, shard.shard_id): row for i, row in zip(ids, array, strict=True)}
    for image_id, _, shard_id, *_ in rows:
        assert stored[image_id, shard_id].tobytes() == vectors[image_id].tobytes()


@pytest.mark.usefixtures("strace")
def test_a_missing_fsync_of_a_restore_is_noticed(servers: list[Server], fast_folder: Path) -> None:
    """Of a file, of its folder, and of the folder that the collection has its name in."""
    recording = recorded("restore", fast_folder / "template", servers[0])
    operations = recording.operations
    for ending in ("collection/spaces/0/img_emb/000001.npy", "collection/metadata", "."):
        left_out = [n for n, o in enumerate(operations) if isinstance(o, Sync) and o.path.endswith(ending)]
        assert left_out, [o.path for o in operations if isinstance(o, Sync)]
        rest = [operation for n, operation in enumerate(operations) if n not in left_out]
        end = next(n for n, operation in enumerate(rest) if isinstance(operation, Acknowledge)) + 1
        found = outages(recording, seeds=0, operations=rest, first=end, last=end)
        (state,) = (state for state in found if state.cut == "nothing")
        with pytest.raises(AssertionError, match="power cut before"):
            try_outage(recording, state, servers[0], fast_folder / "trial")


KILLED = """
import functools, os, signal, sys
import imseek, imseek.backup
from imseek.progress import Task
from imseek.data.files import durable_files
from imseek.data.archive import tar_stream
left = int(sys.argv[3])
def count(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
tar_stream.CHUNK, imseek.backup.Task = 4096, functools.partial(Task, interval=0)
publish = durable_files.publish
durable_files.publish = lambda moves: (count(), publish(moves), count())
imseek.backup.write(sys.argv[1], sys.argv[2], replace=True, progress=count)
print(left)
"""


def test_killed_at_any_moment_the_last_one_stays(tmp_path: Path) -> None:
    """Or the new one is there, whole; and whoever comes later clears up."""
    root, target = collection_of(tmp_path / "vectors", clustered(300, 2)), tmp_path / "a.tar"
    imseek.backup.write(root, target)
    first = target.stat().st_ino  # Archives of one second are the same bytes.

    def killed(after: int) -> int:
        command = [sys.executable, "-W", "error", "-c", KILLED, str(root), str(target), str(after)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == (-signal.SIGKILL if after < 10**6 else 0), done.stderr
        assert imseek.backup.verify(target).backup.images == 300
        return 10**6 - int(done.stdout or 0)

    moments = killed(10**6)
    assert moments > 50
    second, bytes_of_second = target.stat().st_ino, target.read_bytes()
    assert second != first
    for moment in (*sample(range(2, moments - 1), 3, "kills of a backup"), moments - 1):
        killed(moment)
        assert (target.stat().st_ino, target.read_bytes()) == (second, bytes_of_second)
    killed(moments)  # Between its name and the end.
    assert target.stat().st_ino != second
    left = list(tmp_path.glob(".imseek-backup-*"))
    assert len(left) == 5
    for folder in left:
        os.utime(folder, (1, 1))
    imseek.backup.write(root, target, replace=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "vectors"]

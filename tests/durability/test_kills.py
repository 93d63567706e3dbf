"""Killed before any durable operation: the collection opens, searches, verifies, and goes on where it stopped.

Run as a script, this file is a server that imports imseek once and then forks, for each trial, a victim that kills
itself with SIGKILL before its n-th operation, and an heir that looks at what is left and goes on. An operation is a
rename, an unlink, a new or removed folder, a commit of SQLite or the closing of the catalog. What happens within
``staging/``, which nobody reads, and ``os.fsync``, around which a kill finds the same files, is recorded but no trial
unless ``IMSEEK_CRASH=all``. A test of power cuts can replay the same recording.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

#: Left over by a kill until the next writer comes.
PASSING = {"orphan", "current"}
COLUMN = "quality"


class Operations:
    """Records the durable operations of this process, and kills it before one of them."""

    NAMES = ("rename", "unlink", "mkdir", "rmdir", "fsync")

    def __init__(self, die_before: int | None, *, count_all: bool) -> None:
        self.log: list[str] = []
        self.counted = 0
        self._die_before = die_before
        self._count_all = count_all

    def install(self) -> None:
        from sqlalchemy import Engine, event

        from imseek.data.catalog import Catalog

        for name in self.NAMES:
            setattr(os, name, self._recorded(name, getattr(os, name)))
        event.listen(Engine, "commit", lambda _: self.happens("commit"))
        Catalog.close = self._recorded("close", Catalog.close)  # type: ignore[method-assign]

    def _recorded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            # shutil.rmtree, the only user of dir_fd, is only called on the staging folder.
            staging = kwargs.get("dir_fd") is not None or (
                name in ("mkdir", "rmdir") and "staging" in str(args[0])
            )
            self.happens(name, *args, counts=name != "fsync" and not staging)
            return function(*args, **kwargs)

        return operation

    def happens(self, name: str, *args: Any, counts: bool = True) -> None:
        self.log.append(" ".join([name, *(Path(a).name for a in args if isinstance(a, str | Path))]))
        if counts or self._count_all:
            if self.counted == self._die_before:
                os.kill(os.getpid(), signal.SIGKILL)
            self.counted += 1


# -- what the victims do -------------------------------------------------------------------------------------


class Stage:
    """A collection and a folder of pictures, made for a scenario and copied for each trial."""

    def __init__(self, home: Path) -> None:
        self.photos = home / "photos"
        self.root = self.photos / ".imseek"  # Places are relative, so that a copy is as good as the original.
        self.acknowledged = home / "acknowledged"

    def index(self) -> None:
        import imseek

        with imseek.open(self.root) as collection:
            collection.index([self.photos], progress=lambda p: self._note(p.done))

    def _note(self, done: int) -> None:
        # Only committed images are `done`. A plain write: the page cache outlives the kill.
        if done:
            self.acknowledged.write_text(str(done))


def small(*, merging: bool = True) -> None:
    """Commits of four images, merged by twos."""
    from imseek.data import merge
    from imseek.indexer import pipeline

    pipeline.COMMIT_IMAGES = 4
    pipeline.ENCODE_BATCH = 4
    merge.FACTOR = 2 if merging else 1000


def nothing(stage: Stage) -> None:
    pass


def made(stage: Stage) -> None:
    import imseek

    imseek.create(stage.root, encoder="fake", here=True).close()


def indexed(stage: Stage) -> None:
    made(stage)
    small()
    stage.index()


def in_pieces(stage: Stage) -> None:
    """Three shards, one with a dead row, and a derived column."""
    made(stage)
    small(merging=False)
    stage.index()
    (stage.photos / "05.png").unlink()
    stage.index()
    columns(stage)


def changed(stage: Stage) -> None:
    """Files have come, gone, moved, been copied, been changed and swapped names."""
    indexed(stage)
    photos = stage.photos
    (photos / "00.png").unlink()
    (photos / "01.png").rename(photos / "zz.png")
    shutil.copy(photos / "02.png", photos / "copy.png")
    (photos / "03.png").rename(photos / "aside")
    (photos / "04.png").rename(photos / "03.png")
    (photos / "aside").rename(photos / "04.png")
    draw(photos / "05.png", 105)
    for n in range(4):
        draw(photos / f"new{n}.png", 200 + n)


def retired(stage: Stage) -> None:
    """Merged: the old shards wait for their grace time to pass."""
    in_pieces(stage)
    merged(stage)


def without_a_vector_file(stage: Stage) -> None:
    in_pieces(stage)
    flip(stage.root / "spaces/0/img_emb/000001.npy")


def without_a_catalog(stage: Stage) -> None:
    """The catalog is damaged, and one backup is gone: what the last run did is only in shards and current.json."""
    made(stage)
    small(merging=False)
    for n in range(6):
        (stage.photos / f"{n:02}.png").rename(stage.photos / f"{n:02}.later")
    stage.index()
    for n in range(6):
        (stage.photos / f"{n:02}.later").rename(stage.photos / f"{n:02}.png")
    stage.index()
    newest = max(stage.root.glob("catalog.bak.*"), key=generation_of)
    newest.unlink()
    flip(stage.root / "catalog.sqlite")


def run_create(stage: Stage) -> None:
    import imseek

    if not (stage.root / "collection.json").exists():
        imseek.create(stage.root, encoder="fake", here=True).close()


def run_index(stage: Stage) -> None:
    small(merging=False)
    stage.index()


def run_index_and_merge(stage: Stage) -> None:
    small()
    stage.index()


def remove_source(stage: Stage) -> None:
    import imseek

    with imseek.open(stage.root) as collection:
        for source in collection.info().sources:
            collection.remove_source(source.source_id)


def merged(stage: Stage) -> None:
    from imseek.data.merge import merge_due
    from imseek.data.writer import Writer

    small()
    with Writer(stage.root, "merge") as writer:
        merge_due(writer)


def columns(stage: Stage) -> None:
    from imseek.data.columns import put_columns
    from imseek.data.reader import Reader
    from imseek.data.writer import Writer

    ids = live_ids(Reader(stage.root))
    with Writer(stage.root, "columns") as writer:
        put_columns(writer, COLUMN, {COLUMN: {image_id: image_id / 2 for image_id in ids}})


def sweep(stage: Stage) -> None:
    from imseek.data import writer

    writer.GRACE_SECONDS = -1.0
    with writer.Writer(stage.root, "sweep"):
        pass


def repair(stage: Stage) -> None:
    import imseek

    imseek.upkeep.repair(stage.root)


SCENARIOS: dict[str, tuple[Callable[[Stage], None], Callable[[Stage], None]]] = {
    "create": (nothing, run_create),
    "index": (made, run_index),
    "index again": (changed, run_index_and_merge),
    "remove a source": (indexed, remove_source),
    "merge": (in_pieces, merged),
    "put columns": (in_pieces, columns),
    "sweep": (retired, sweep),
    "repair a shard": (without_a_vector_file, repair),
    "repair the catalog": (without_a_catalog, repair),
}


# -- what the heir finds -------------------------------------------------------------------------------------


def look(stage: Stage) -> list[str]:
    """The collection just after the kill. Returns the kinds of problems."""
    import imseek

    if not (stage.root / "collection.json").exists():
        return []
    report = imseek.upkeep.verify(stage.root)
    with imseek.open(stage.root) as collection:
        if not {"vectors", "catalog"} & {problem.kind for problem in report.problems}:
            hits = collection.search(np.ones(64), limit=1000).hits
            assert len({hit.image_id for hit in hits}) == len(hits)
            acknowledged = int(stage.acknowledged.read_text()) if stage.acknowledged.exists() else 0
            assert len(hits) >= acknowledged, f"{acknowledged} were acknowledged, {len(hits)} are there"
    return [problem.kind for problem in report.problems]


def check(stage: Stage, *, removed: bool) -> None:
    """Every picture is there exactly once, with its own vector, and nothing else is."""
    import imseek
    from imseek.data.reader import Reader

    report = imseek.upkeep.verify(stage.root)
    assert report.ok, report.problems
    reader = Reader(stage.root)
    ids = live_ids(reader)
    assert len(set(ids)) == len(ids)
    wanted = {} if removed else {path.name: path for path in stage.photos.glob("*.png")}
    places = {image_id: Path(os.fsdecode(place.path)).name for image_id, place in reader.places(ids).items()}
    assert sorted(places.values()) == sorted(wanted)
    assert sorted(places) == sorted(ids)
    facts = reader.metadata(ids)
    for image_id, name in places.items():
        assert facts[image_id]["content_hash"] == hashlib.sha256(wanted[name].read_bytes()).hexdigest()
        assert reader.vector(image_id, 0) == pytest.approx(vector_of(wanted[name]), abs=1e-3)
    with closing(sqlite3.connect(stage.root / "catalog.sqlite")) as connection:
        alive = "died = 9223372036854775807"
        assert sorted(
            i for (i,) in connection.execute(f"SELECT image_id FROM images WHERE {alive}")
        ) == sorted(ids)
        assert sorted(
            i for (i,) in connection.execute(f"SELECT image_id FROM places WHERE {alive}")
        ) == sorted(ids)
    assert not (stage.root / "staging").exists()


def live_ids(reader: Any) -> list[int]:
    found = []
    for shard in reader.current.shards:
        found += np.delete(np.array(reader.shard_ids(shard)), reader.dead_rows(shard)).tolist()
    return found


def vector_of(path: Path) -> Any:
    from imseek.encoders import registry
    from imseek.media.decode import decode

    encoder = registry.load("fake")
    return encoder.encode_images(encoder.prepare(decode(path.read_bytes()).pixels)[None])[0].astype(
        np.float16
    )


def draw(path: Path, seed: int) -> None:
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def generation_of(path: Path) -> int:
    from imseek.data.backup import generation_of

    return generation_of(path)


# -- the server ----------------------------------------------------------------------------------------------


def forked(work: Callable[[], object]) -> tuple[int, Any]:
    """The wait status of a child that does ``work``, and the JSON value that it returned (an error: its text)."""
    read, write = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            result = json.dumps(work())
        except BaseException:
            import traceback

            result = json.dumps({"error": traceback.format_exc()})
        os.write(write, result.encode()[:60_000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    return os.waitpid(pid, 0)[1], json.loads(text) if text else None


def prepare(name: str, home: Path) -> None:
    stage = Stage(home)
    stage.photos.mkdir(parents=True)
    for n in range(12):
        draw(stage.photos / f"{n:02}.png", n)
    SCENARIOS[name][0](stage)
    stage.acknowledged.unlink(missing_ok=True)


def victim(name: str, home: Path, die_before: int | None, count_all: bool) -> Any:
    operations = Operations(die_before, count_all=count_all)
    operations.install()
    SCENARIOS[name][1](Stage(home))
    return {"counted": operations.counted, "log": operations.log}


def heir(name: str, home: Path) -> Any:
    stage = Stage(home)
    kinds = look(stage)
    SCENARIOS[name][1](stage)
    if name == "create":
        stage.index()
    if name.startswith("repair"):
        stage.index()
    if name == "remove a source":
        sweep(stage)  # Where nothing is left to remove, no writer has come yet.
    check(stage, removed=name == "remove a source")
    return kinds


def serve() -> None:
    # Everything that a trial needs is imported before the forks; none of it starts a thread.
    import faiss  # noqa: F401
    import filelock  # noqa: F401
    import sqlalchemy.dialects.sqlite  # noqa: F401

    import imseek.data.columns
    import imseek.data.repair
    import imseek.data.vectors.faiss_index
    import imseek.encoders.fake
    import imseek.indexer.pipeline
    import imseek.media.phash
    import imseek.media.pillow
    import imseek.media.probe
    import imseek.upkeep  # noqa: F401

    work = {"prepare": prepare, "victim": victim, "heir": heir}
    for line in sys.stdin:
        order = json.loads(line)
        do = partial(work[order.pop("what")], order.pop("name"), Path(order.pop("home")), **order)
        status, result = forked(do)
        print(json.dumps({"status": status, "result": result}), flush=True)


class Server:
    """This file, run as a script."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "error", __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, what: str, name: str, home: Path, **more: Any) -> tuple[int, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, "name": name, "home": str(home), **more}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if isinstance(answer["result"], dict) and "error" in answer["result"]:
            raise AssertionError(f"{what} of {name}: {answer['result']['error']}")
        return answer["status"], answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    started = [Server() for _ in range(2)]
    yield started
    for server in started:
        server.close()


@pytest.fixture
def fast_folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: a kill, unlike a power cut, does not tell the difference."""
    shm = Path("/dev/shm")
    folder = shm / f"imseek-crash-{os.getpid()}" if os.access(shm, os.W_OK) else tmp_path / "crash"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_before_every_operation(
    servers: list[Server], fast_folder: Path, name: str, record_property: Callable[[str, object], None]
) -> None:
    count_all = os.environ.get("IMSEEK_CRASH") == "all"
    template = fast_folder / "template"
    servers[0]("prepare", name, template)
    whole = fast_folder / "whole"
    shutil.copytree(template, whole)
    status, done = servers[0]("victim", name, whole, die_before=None, count_all=count_all)
    assert status == 0
    assert done["counted"] > 10, "the harness sees the operations"
    assert any(line.startswith("fsync") for line in done["log"])
    trials = list(range(done["counted"]))

    def try_some(which: int) -> None:
        for n in trials[which :: len(servers)]:
            home = fast_folder / f"{n}"
            shutil.copytree(template, home)
            status, _ = servers[which]("victim", name, home, die_before=n, count_all=count_all)
            assert os.WIFSIGNALED(status), f"operation {n} did not happen again"
            assert os.WTERMSIG(status) == signal.SIGKILL
            try:
                _, kinds = servers[which]("heir", name, home)
            except AssertionError as error:
                raise AssertionError(f"killed before operation {n}\n{error}") from error
            assert name.startswith("repair") or set(kinds) <= PASSING, f"killed before operation {n}: {kinds}"
            shutil.rmtree(home)

    with ThreadPoolExecutor(len(servers)) as pool:
        for _ in pool.map(try_some, range(len(servers))):
            pass
    record_property("trials", len(trials))
    print(f"{name}: killed before each of {len(trials)} operations")


INDEX = """
import sys, imseek
from imseek.indexer import pipeline
def commit(writer, batch, space_id, commit=pipeline.commit):
    generation = commit(writer, batch, space_id)
    print(len(batch.new), flush=True)
    return generation
pipeline.COMMIT_IMAGES, pipeline.ENCODE_BATCH, pipeline.commit = 4, 4, commit
with imseek.open(sys.argv[1]) as collection:
    collection.index([sys.argv[2]])
"""


def test_twenty_kills_while_indexing_300_images(fast_folder: Path) -> None:
    """At random moments (seeded): between commits, inside them, in SQLite, while files are being written."""
    import imseek

    stage = Stage(fast_folder)
    stage.photos.mkdir()
    for n in range(300):
        draw(stage.photos / f"{n:03}.png", n)
    made(stage)
    chance = random.Random(20)
    acknowledged = 0
    for _ in range(20):
        command = [sys.executable, "-W", "error", "-c", INDEX, str(stage.root), str(stage.photos)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randrange(4))]
            time.sleep(chance.random() * 0.05)
            process.kill()
            lines += process.stdout.readlines()
        assert process.returncode == -signal.SIGKILL
        acknowledged += sum(int(line) for line in lines if line.endswith("\n"))
        problems = imseek.upkeep.verify(stage.root).problems
        assert {problem.kind for problem in problems} <= PASSING, problems
        with imseek.open(stage.root) as collection:
            assert collection.info().images >= acknowledged
    assert 0 < acknowledged < 300, "the kills came while there was work to do"
    stage.index()
    check(stage, removed=False)


if __name__ == "__main__":
    serve()

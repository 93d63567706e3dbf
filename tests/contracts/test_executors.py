"""One suite over every executor: whoever does the work, the same is stored under the same ids, and is reported alike.

Each is compared with the threads that a run has by itself: ``in process`` is the executor for Ray on a cluster that the
test plays, ``ray`` the same on a real one of two workers.

Vectors are the same but for the last bit of a float16 here and there: pictures are encoded in other batches, and a
matrix product of another height adds up in another order.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from crews import InProcess, children_of, listening, worker_processes
from sourcing.cases import CASES, Picture, SourceCase, draw

import imseek
from imseek.data.user_files import file_stat
from imseek.progress import Progress
from imseek.types.indexing_runs import IndexReport

EXECUTORS = ("in process", "ray")
#: Kinds of sources that stand for the others: read by workers, sent to them, and sent as rows.
SEVERAL = ("zip", "tar.gz", "Parquet", "JSON Lines of paths", "imagefolder")


#: Vectors by space, the place, the metadata.
Stored: TypeAlias = tuple[list[Any], tuple[int, bytes] | None, Mapping[str, Any]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers' worth of Ray on this machine, for all tests of this module."""
    from imseek.indexer.executors.ray_cluster import connect_ray

    with connect_ray(imseek.Ray(workers=2)) as ray:
        yield ray


@pytest.fixture(params=EXECUTORS)
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> imseek.Ray:
    """Where the work is done that is compared with that of threads; small shards, so that there are several."""
    if request.param == "ray":
        request.getfixturevalue("cluster")
    else:
        monkeypatch.setattr("imseek.indexer.executors.ray_executor.ray_cluster", InProcess(seed=7))
    return imseek.Ray(workers=2, shard=3)


@dataclass
class Pair:
    """Two collections that are told the same, one by threads."""

    local: imseek.Collection
    other: imseek.Collection
    executor: imseek.Ray

    def index(self, *arguments: Any, **options: Any) -> IndexReport:
        local = self.local.index(*arguments, **options)
        other = self.other.index(*arguments, **options, executor=self.executor)
        assert told(other, self.other) == told(local, self.local)
        check_same(content_of(self.other), content_of(self.local))
        return other


def told(report: IndexReport, collection: imseek.Collection) -> dict[str, Any]:
    """All that a report says, but for when, and in which of the two collections."""
    own = os.fsencode(collection.path)
    known = [replace(one, collection=one.collection.replace(own, b"own")) for one in report.known_pictures]
    return {**asdict(report), "known_pictures": known, "seconds": 0, "generation": 0}


def check_same(one: Mapping[int, Stored], other: Mapping[int, Stored]) -> None:
    assert one.keys() == other.keys()
    for image_id, stored in one.items():
        assert stored[1:] == other[image_id][1:]
        for vector, beside in zip(stored[0], other[image_id][0], strict=True):
            bit = np.spacing(np.maximum(np.abs(vector), np.abs(beside)))
            assert (np.abs(vector.astype(np.float64) - beside) <= bit).all()


def content_of(collection: imseek.Collection) -> dict[int, Stored]:
    """Everything that is stored of each image, by id: its vector in each space, place, metadata."""
    spaces = collection.info().spaces
    reader = collection.engine.reader
    hits = collection.search(np.ones(64), limit=10_000, metadata=False)
    found = {}
    for image_id, image in collection.get_many([hit.image_id for hit in hits]).items():
        rows = [reader.vector(image_id, one.space.space_id) for one in spaces]
        place = image.place and (image.place.source_id, image.place.path)
        found[image_id] = (rows, place, image.metadata)
    assert len(found) == len(hits) == collection.info().images
    return found


@pytest.fixture
def pair(tmp_path: Path, elsewhere: imseek.Ray, later: Callable[[float], None]) -> Iterator[Pair]:
    later(10)  # What was written a moment ago is trusted.
    with ExitStack() as stack:
        local, other = (
            stack.enter_context(imseek.create(tmp_path / name, encoder="fake", also=["fake:32"], captions=True))
            for name in ("local", "other")
        )
        yield Pair(local, other, elsewhere)


def pictures(*seeds: int) -> dict[str, Picture]:
    return {
        f"{seed:03}.png": Picture(draw(seed), f"picture number {seed}", {"licence": "MIT", "rank": seed})
        for seed in seeds
    }


def test_a_collection_over_its_life(pair: Pair, photos: Path, tmp_path: Path) -> None:
    """New, broken, copied; moved, changed, vanished; read anew; limited; passed over: step by step the same."""
    (photos / "broken.jpg").write_bytes((photos / "rocket.jpg").read_bytes()[:400])
    (photos / "coffee.txt").write_text("a cup of coffee on a table")
    shutil.copyfile(photos / "chelsea.png", photos / "copy.png")
    cases = [case for case in CASES if case.name in SEVERAL]
    places = [
        str(photos),
        *(case.write(tmp_path / f"{n}", pictures(1, 2, 3, 10 + n)) for n, case in made(cases, tmp_path)),
    ]
    # What was written within this time before it is read is read again, and the two collections are read in turn.
    time.sleep(file_stat.RACY_NS / 1e9)
    planned = pair.index(places, dry_run=True)
    assert planned.files_opened == 0
    first = pair.index(places)
    assert (first.skipped, first.copied, first.live) == (1, 1 + 3 * (len(cases) - 1), 9 + 4 * len(cases))
    time.sleep(file_stat.RACY_NS / 1e9)  # The clock of file systems is up to a tick behind.
    (photos / "rocket.jpg").rename(photos / "below" / "moved.jpg")
    (photos / "chelsea.png").write_bytes((photos / "astronaut.png").read_bytes())
    (photos / "camera.png").unlink()
    (photos / "broken.jpg").write_bytes(draw(99))
    for n, case in made(cases, tmp_path):
        case.write(tmp_path / f"{n}", pictures(1, 3, 20 + n))
    second = pair.index()
    assert second.moved >= 1
    assert second.changed >= 1
    assert second.removed >= 1
    again = pair.index(rehash=True)
    assert (again.unchanged, again.added, again.removed) == (second.live, 0, 0)
    more = pictures(*range(30, 37))
    folder = CASES[0].write(tmp_path, more)
    assert pair.index([folder], limit=4).added == 4
    shutil.copytree(folder, tmp_path / "twice")
    passed = pair.index([tmp_path / "twice"], skip_known=True)
    assert (passed.known, passed.added) == (4, 3)


def made(cases: list[SourceCase], tmp_path: Path) -> list[tuple[int, SourceCase]]:
    for n, _ in enumerate(cases):
        (tmp_path / f"{n}").mkdir(exist_ok=True)
    return list(enumerate(cases))


@pytest.mark.sample(case=4)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_kind_of_source(
    case: SourceCase, tmp_path: Path, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    later(10)
    monkeypatch.setattr("imseek.indexer.executors.ray_executor.ray_cluster", InProcess(seed=3))
    with (
        imseek.create(tmp_path / "local", encoder="fake") as local,
        imseek.create(tmp_path / "other", encoder="fake") as other,
    ):
        both = Pair(local, other, imseek.Ray(workers=2, shard=2))
        broken = {"bad.png": Picture(draw(3)[:60])} if case.opens else {}
        place = case.write(tmp_path, {**pictures(1, 2, 4), **broken})
        first = both.index([place], source=case.options)
        assert (first.added, first.skipped) == (3, len(broken))
        case.write(tmp_path, pictures(1, 4, 5))
        second = both.index()
        assert second.live == 3


def test_stopping_keeps_what_was_committed_and_the_next_run_goes_on(
    elsewhere: imseek.Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imseek.indexer.pipeline.COMMIT_IMAGES", 3)
    folder = CASES[0].write(tmp_path, pictures(*range(60)))
    stop = threading.Event()

    def watch(progress: Progress) -> None:
        if progress.done >= 3:
            stop.set()

    with imseek.create(tmp_path / "collection", encoder="fake") as collection:
        first = collection.index([folder], executor=elsewhere, progress=watch, stop=stop)
        assert first.interrupted
        assert 3 <= first.live < 60
        before = content_of(collection)
        last = collection.index(executor=elsewhere)
        assert (last.added, last.live) == (60 - first.live, 60)
        after = content_of(collection)
        check_same({image_id: after[image_id] for image_id in before}, before)
        assert not (collection.path / "staging").exists()


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_costs_its_unfinished_shard_only(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """SIGKILL to one of two processes in the middle of a run: all is there once, and others have done the rest."""
    made = pictures(*range(120))
    folder = CASES[0].write(tmp_path, made)
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.done >= 24 and not killed:
            first = worker_processes()[0]
            os.kill(first, signal.SIGKILL)
            killed.append(first)

    with imseek.create(tmp_path / "collection", encoder="fake") as collection:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("imseek.indexer.pipeline.COMMIT_IMAGES", 8)
            report = collection.index([folder], executor=imseek.Ray(workers=2, shard=4), progress=kill)
        assert killed
        assert (report.added, report.skipped, report.live) == (120, 0, 120)
        lost = "1 worker was lost during the run; what was in hand there was done again"
        assert report.notes[-1] == lost
        assert "died" not in capfd.readouterr().out  # Where `--json` goes.
        hashes = {collection.read(image_id) for image_id in content_of(collection)}
        assert hashes == {picture.data for picture in made.values()}
        assert collection.index(executor=imseek.Ray(workers=2)).unchanged == 120


def test_a_cluster_of_its_own_is_for_this_machine_and_this_user_only(cluster: Any) -> None:
    processes = children_of(os.getpid())
    assert len(processes) > 3
    # 127.0.0.1, by itself and within IPv6.
    assert listening(processes) == {"0100007F", "0000000000000000FFFF00000100007F"}
    (node,) = cluster.nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    session = Path(cluster._private.worker._global_node.get_session_dir_path())
    assert session.parent.parent.stat().st_mode & 0o777 == 0o700
    assert cluster._private.ray_constants.ENABLE_RAY_CLUSTER

"""What the executor for Ray does about workers that die, fail or do not fit, on a cluster that the test plays."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crews import InProcess, WorkerDiedError
from sourcing.cases import Picture, draw

import imseek
from imseek.encoders.recipes import Recipe
from imseek.encoders.registry import load
from imseek.errors import EncoderMismatchError, ExecutorError, ImseekError, MissingExtraError, UsageError
from imseek.indexer.executors import ray_cluster, ray_executor
from imseek.indexer.executors.staging import Manifest, StagedError, Staging
from imseek.types.pictures import SkipReason

pytestmark = pytest.mark.slow

Work = Callable[[], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures, in the order of their seeds."""
    made = tmp_path / "pictures"
    made.mkdir()
    for seed in range(12):
        (made / f"{seed:02}.png").write_bytes(draw(seed))
    return made


def indexed(
    monkeypatch: pytest.MonkeyPatch,
    collection: imseek.Collection,
    folder: Path,
    played: InProcess,
    **options: Any,
) -> imseek.IndexReport:
    monkeypatch.setattr(ray_executor, "ray_cluster", played)
    report = collection.index([folder], executor=imseek.Ray(**{"workers": 2, "shard": 3, **options}))
    assert not (collection.path / "staging").exists()
    return report


def names_of(collection: imseek.Collection) -> list[str]:
    hits = collection.search(np.ones(64), limit=100)
    return sorted(Path(hit.path or "").name for hit in hits)


ALL = [f"{seed:02}.png" for seed in range(12)]


@pytest.mark.parametrize("method", ["read", "make"])
@pytest.mark.parametrize("after", [False, True], ids=["before its work", "after its work"])
def test_a_worker_that_dies_costs_what_it_had_in_hand(
    method: str, after: bool, monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    """Also where all is staged and only the answer is missing: a file of the dead is not taken for another's."""
    given: Counter[int] = Counter()
    dead: list[int] = []

    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        if called == "read":
            given[arguments[0]] += 1
        if called == method and not dead:
            if after:
                work()
            dead.append(worker)
            raise WorkerDiedError
        return work()

    played = InProcess(seed=5, fate=fate)
    report = indexed(monkeypatch, collection, folder, played)
    assert (report.added, report.skipped) == (12, 0)
    assert report.notes == ("1 worker was lost during the run; what was in hand there was done again",)
    assert names_of(collection) == ALL
    assert played.hired == 3
    assert sum(given.values()) <= 4 + ray_executor.PIECES_PER_WORKER
    assert set(given) == {0, 1, 2, 3}


def test_a_picture_that_ends_workers_is_reported_and_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        if called == "read" and any(parcel.payload.path == b"04.png" for parcel in arguments[1]):
            raise WorkerDiedError
        return work()

    report = indexed(monkeypatch, collection, folder, InProcess(fate=fate))
    assert (report.added, report.skipped) == (11, 1)
    (failure,) = report.failures
    assert (Path(failure.path.decode()).name, failure.reason) == ("04.png", SkipReason.ENCODER_FAILED)
    assert failure.message == "3 workers ended while they had it in hand"
    assert names_of(collection) == [name for name in ALL if name != "04.png"]
    assert indexed(monkeypatch, collection, folder, InProcess()).added == 1  # It is tried again in each run.


def test_what_is_staged_and_torn_is_made_again(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    torn: list[str] = []

    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        answer = work()
        if called == "make" and not torn:
            (file,) = (collection.path / "staging").rglob(answer.staged.name)
            file.write_bytes(file.read_bytes()[:-1])
            torn.append(answer.staged.name)
        return answer

    report = indexed(monkeypatch, collection, folder, InProcess(fate=fate))
    assert torn
    assert (report.added, report.skipped) == (12, 0)
    assert names_of(collection) == ALL


def test_what_is_never_staged_whole_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        answer = work()
        if called == "make":
            for file in (collection.path / "staging").rglob(answer.staged.name):
                file.unlink()
        return answer

    with pytest.raises(ExecutorError, match=r"what a worker on .* staged cannot be read: FileNotFoundError"):
        indexed(monkeypatch, collection, folder, InProcess(fate=fate))
    assert indexed(monkeypatch, collection, folder, InProcess()).added == 12


def test_a_place_that_is_not_shared_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        answer = work()
        if called == "hello":
            next((collection.path / "staging").rglob(answer.staged.name)).unlink()
        return answer

    with pytest.raises(ExecutorError, match="cannot be read here") as raised:
        indexed(monkeypatch, collection, folder, InProcess(fate=fate))
    assert raised.value.hint is not None
    assert "--staging" in raised.value.hint


def test_workers_that_never_begin_end_the_run(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        raise WorkerDiedError("no memory")

    with pytest.raises(ExecutorError, match="workers end before they begin: no memory"):
        indexed(monkeypatch, collection, folder, InProcess(fate=fate))


def test_a_worker_with_other_weights_is_refused(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("imseek.encoders.fake.FakeEncoder.fingerprint", lambda _: "f" * 64)
            return work()

    with pytest.raises(ExecutorError, match=r"EncoderMismatchError: .*other weights of fake"):
        indexed(monkeypatch, collection, folder, InProcess(fate=fate))
    assert collection.info().images == 0


def test_a_source_that_a_worker_does_not_see_is_no_vanished_picture(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("imseek.indexer.executors.worker.trouble_at", lambda _: "it is missing")
            return work()

    with pytest.raises(ExecutorError, match="pictures cannot be read there: it is missing"):
        indexed(monkeypatch, collection, folder, InProcess(fate=fate))


def test_another_imseek_and_none_are_told() -> None:
    actor = actor_class()()
    (told,) = {actor.hello("0.0", b"")}
    assert told.startswith("process ")
    with pytest.raises(ExecutorError, match=rf"has imseek {imseek.__version__}, this process 0\.0"):
        ray_cluster.answer_of(told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "imseek._version", None)
        none = actor_class()().hello(imseek.__version__, b"")
    with pytest.raises(ExecutorError, match="imseek is not installed there"):
        ray_cluster.answer_of(none)


def actor_class() -> Any:
    """The class that is sent to workers."""

    class Remote:
        def __init__(self, made: Any) -> None:
            self.made = made

        def options(self, **_: Any) -> Any:
            return self

        def remote(self) -> Any:
            return self.made

    class Module:
        remote = Remote

    return ray_cluster.start_worker(Module, imseek.Ray(), 0)


def test_a_recipe_makes_the_same_encoder_and_no_other() -> None:
    recipe = Recipe.of(load("fake:16"))
    assert recipe.load(None).fingerprint() == load("fake:16").fingerprint()
    with pytest.raises(EncoderMismatchError):
        Recipe("fake:16", "0" * 64, "fake:16", "0" * 64).load(None)


def test_staging_in_a_store_without_renames() -> None:
    staging = Staging("memory://staged", "imseek-1", "7")
    rows = np.arange(12, dtype=np.float16).reshape(3, 4)
    manifest = staging.write("0.1.npy", rows)
    assert (staging.read(manifest) == rows).all()
    with pytest.raises(StagedError, match="not what was written"):
        staging.read(Manifest(manifest.name, manifest.size, "0" * 64))
    with pytest.raises(StagedError, match="FileNotFoundError"):
        staging.read(Manifest("1.1.npy", 1, ""))
    Staging("memory://staged", "imseek-1", "8").clear()  # The run after it, which knows that this one is dead.
    with pytest.raises(StagedError):
        staging.read(manifest)


def test_staging_elsewhere_is_used_and_left_empty(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "shared"
    names: list[str] = []

    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        answer = work()
        names.extend(path.name for path in place.rglob("*.npy"))
        return answer

    report = indexed(monkeypatch, collection, folder, InProcess(fate=fate), staging=place.as_uri())
    assert report.added == 12
    assert {"0.1.npy", "3.1.npy"} <= set(names)
    assert not list(place.rglob("*"))


def test_what_is_large_travels_in_smaller_shards(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    monkeypatch.setattr("imseek.indexer.executors.work_units.SHARD_BYTES", 1)
    played = InProcess()
    assert indexed(monkeypatch, collection, folder, played).added == 12
    assert sum(method == "read" for _, method in played.done) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "ray://head:10001"}, "is a Ray client"),
        ({"address": ""}, "auto or HOST:PORT"),
        ({"workers": 0}, "number of workers must be a whole number of at least 1, not 0"),
        ({"shard": True}, "size of a shard"),
        ({"cpus": 0}, "more than 0 CPUs"),
        ({"cpus": float("inf")}, "more than 0 CPUs, not inf"),
        ({"cpus": float("nan")}, "more than 0 CPUs, not nan"),
        ({"gpus": -1}, "0 or more GPUs"),
        ({"gpus": float("inf")}, "0 or more GPUs, not inf"),
        ({"staging": ""}, "staging"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        imseek.Ray(**options)


def test_a_cluster_without_room_is_refused() -> None:
    class Small:
        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {"CPU": 4.0, "GPU": 1.0}

    assert ray_cluster.plan_workers(Small, imseek.Ray()) == (1, 1.0)
    assert ray_cluster.plan_workers(Small, imseek.Ray(gpus=0.5)) == (2, 0.5)
    assert ray_cluster.plan_workers(Small, imseek.Ray(gpus=0, cpus=2)) == (2, 0)
    assert ray_cluster.plan_workers(Small, imseek.Ray(workers=9)) == (9, 1.0)
    with pytest.raises(UsageError, match="a worker takes 8 CPUs and 1 GPUs, and the cluster has 4 and 1"):
        ray_cluster.plan_workers(Small, imseek.Ray(cpus=8))


@pytest.mark.parametrize(
    ("options", "address", "message"),
    [
        ({"workers": 1_000_000}, "", "workers that take 1,000,000 CPUs are too many for this machine"),
        ({"cpus": 1e6}, "", "1,000,000 CPUs are too many"),
        ({}, "ray://head:10001", "ray://head:10001 is a Ray client"),
        ({"address": ":6379"}, "", "no Ray cluster at :6379: no host is named"),
    ],
)
def test_clusters_that_cannot_be_meant(
    options: dict[str, Any], address: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started, and nothing is left; an address may come from Ray's variable."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ImseekError, match=message), ray_cluster.connect_ray(imseek.Ray(**options)):
        pass
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_nobody_at_an_address(collection: imseek.Collection, folder: Path) -> None:
    with pytest.raises(ExecutorError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        collection.index([folder], executor=imseek.Ray(address="127.0.0.1:1"))
    assert collection.info().images == 0


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError) as raised:
        collection.index([folder], executor=imseek.Ray())
    assert raised.value.extra == "ray"


def test_the_same_picture_twice_is_encoded_once(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    (folder / "00b.png").write_bytes(draw(0))
    rows: list[int] = []

    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        answer = work()
        if called == "make":
            rows.extend(sorted({one.row for one in answer.pictures}))
        return answer

    report = indexed(monkeypatch, collection, folder, InProcess(fate=fate), shard=64)
    assert (report.added, report.copied) == (12, 1)
    assert rows == list(range(12))


def test_pictures_that_are_known_are_neither_decoded_nor_sent_back(
    monkeypatch: pytest.MonkeyPatch, collection: imseek.Collection, folder: Path
) -> None:
    indexed(monkeypatch, collection, folder, InProcess())
    asked: list[bool] = []

    def fate(worker: int, called: str, arguments: Sequence[Any], work: Work) -> Any:
        if called == "make":
            asked.extend(arguments[2])
        return work()

    (folder / "new.png").write_bytes(Picture(draw(40)).data)
    monkeypatch.setattr(ray_executor, "ray_cluster", InProcess(fate=fate))
    report = collection.index(executor=imseek.Ray(workers=2), rehash=True)
    assert (report.unchanged, report.added) == (12, 1)
    assert sorted(asked) == [False] * 12 + [True]

"""Archives, tables, backups and staging on a real S3 server."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crews import InProcess
from object_store import Folder
from PIL import Image
from sourcing.archives import tar_of, zip_of
from sourcing.tables import parquet

import imseek
from imseek import maintenance
from imseek.errors import ContentChangedError, UsageError
from imseek.indexer.sources import remote_files

pytestmark = pytest.mark.slow


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


@pytest.fixture(scope="session")
def pictures(photo_files: list[Path]) -> list[bytes]:
    """Eight real photographs, made small."""
    made = []
    for path in photo_files:
        file = io.BytesIO()
        with Image.open(path) as picture:
            picture.convert("RGB").resize((64, 48)).save(file, "PNG")
        made.append(file.getvalue())
    return made


@pytest.fixture
def shards(bucket: Folder, pictures: list[bytes]) -> Folder:
    """Three tars of two pictures each."""
    for n in range(3):
        bucket.put(f"0000{n}.tar", tar_of({"a.png": pictures[2 * n], "b.png": pictures[2 * n + 1]}))
    return bucket


def contents(collection: imseek.Collection) -> dict[str, bytes]:
    """Each image's content, by its place."""
    hits = collection.search(np.ones(64), limit=100)
    return {hit.uri or "": collection.read(hit.image_id) for hit in hits}


def no_archive_is_read(patch: pytest.MonkeyPatch) -> None:
    """Of tables, the columns are looked at in each run."""
    read = remote_files.open_binary

    def refuse(url: bytes) -> Any:
        assert url.endswith(b".parquet")
        return read(url)

    patch.setattr(remote_files, "open_binary", refuse)


# -- sources -------------------------------------------------------------------------------------------------------


def test_archives_and_a_table_are_read_once(
    collection: imseek.Collection, bucket: Folder, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = bucket.put("a.tar", tar_of({"a.png": pictures[0], "a.txt": b"an astronaut", "b.png": pictures[1]}))
    packed = bucket.put("b.tar.gz", tar_of({"c.png": pictures[2]}, "w:gz"))
    zipped = bucket.put("c.zip", zip_of({"d/d.png": pictures[3], "e.png": pictures[4]}))
    rows = [{"image": pictures[n], "text": f"number {n}"} for n in range(5, 8)]
    table = bucket.put("d.parquet", parquet(rows))
    report = collection.index([tar, packed, zipped, table])
    assert (report.added, report.skipped, report.notes) == (8, 0, ())
    assert contents(collection) == {
        f"tar://a.png::{tar}": pictures[0],
        f"tar://b.png::{tar}": pictures[1],
        f"tar://c.png::{packed}": pictures[2],
        f"zip://d/d.png::{zipped}": pictures[3],
        f"zip://e.png::{zipped}": pictures[4],
        f"{table}#row=0": pictures[5],
        f"{table}#row=1": pictures[6],
        f"{table}#row=2": pictures[7],
    }
    captions = {n: collection.search(pictures[n], limit=1)[0].metadata["caption"] for n in (0, 7)}
    assert captions == {0: "an astronaut", 7: "number 7"}
    with monkeypatch.context() as patch:
        no_archive_is_read(patch)
        again = collection.index()
    assert (again.unchanged, again.files_opened, again.generation) == (8, 0, report.generation)


def test_a_changed_object_is_noticed_and_a_removed_one_retires_its_images(
    collection: imseek.Collection, shards: Folder, pictures: list[bytes]
) -> None:
    assert collection.index([shards.url()]).added == 6
    ids = {n: collection.search(pictures[n], limit=1)[0].image_id for n in range(6)}
    before = tar_of({"a.png": pictures[2], "b.png": pictures[3]})
    after = tar_of({"a.png": pictures[2], "b.png": pictures[6]})
    assert len(before) == len(after), "its size tells nothing"
    shards.put("00001.tar", after)
    report = collection.index()
    assert (report.changed, report.added, report.removed, report.unchanged) == (1, 0, 0, 5)
    assert collection.read(ids[2]) == pictures[2]
    shards.remove("00000.tar")
    report = collection.index()
    assert (report.removed, report.live) == (2, 4)
    assert set(contents(collection).values()) == {pictures[n] for n in (2, 4, 5, 6)}
    for n in range(1, 3):
        shards.remove(f"0000{n}.tar")
    report = collection.index()
    assert (report.removed, report.live) == (0, 4), "a folder of which nothing is left may have been moved"
    assert report.notes


def test_whoever_has_a_collection_open_sees_what_others_put_there(
    collection: imseek.Collection, shards: Folder, pictures: list[bytes]
) -> None:
    """What was listed at first is not remembered: a longer archive would be read to its old end."""
    collection.index([shards.url()])
    (hit,) = collection.search(pictures[0], limit=1)
    assert collection.read(hit.image_id) == pictures[0]
    shards.put("00000.tar", tar_of({"c.png": pictures[6] * 40, "a.png": pictures[0]}))
    assert collection.read(hit.image_id) == pictures[0]
    shards.put("00000.tar", tar_of({"a.png": pictures[7]}))
    with pytest.raises(ContentChangedError):
        collection.read(hit.image_id)


@pytest.mark.parametrize(
    ("pattern", "added", "notes"),
    [
        ("{00002..00004}.tar", 2, 1),
        ("0000?.tar", 6, 0),
        ("*", 6, 0),
    ],
)
def test_patterns(collection: imseek.Collection, shards: Folder, pattern: str, added: int, notes: int) -> None:
    report = collection.index([shards.url(pattern)])
    assert (report.added, report.skipped, len(report.notes)) == (added, 0, notes)


def test_what_a_folder_holds_says_what_it_is(
    collection: imseek.Collection, bucket: Folder, pictures: list[bytes]
) -> None:
    bucket.put("shards/00000.tar", tar_of({"a.png": pictures[0]}))
    bucket.put("shards/00000.parquet", parquet([{"key": "a", "url": "http://127.0.0.1:9/a.png"}]))
    bucket.put("set/data/train.parquet", parquet([{"image": pictures[1]}]))
    bucket.put("plain/a.png", pictures[2])
    for name in ("shards", "set/"):
        assert collection.index([bucket.url(name)]).added == 1
    assert [source.kind for source in collection.info().sources] == ["archive", "table"]
    with pytest.raises(UsageError, match="plain holds neither archives nor tables"):
        collection.index([bucket.url("plain")])
    with pytest.raises(UsageError, match="nowhere: it is not there"):
        collection.index([bucket.url("nowhere")])
    assert len(collection.info().sources) == 2


# -- backups -------------------------------------------------------------------------------------------------------


def test_a_backup_comes_back_the_same(collection: imseek.Collection, shards: Folder, tmp_path: Path) -> None:
    collection.index([shards.url()])
    imseek.tags.add(collection, "liked", [1, 3])
    url = shards.url("backups/a.tar")
    report = imseek.backup.write(collection, url)
    assert shards.files.size(url) == report.size
    assert imseek.backup.verify(url).backup == report.backup
    with pytest.raises(UsageError, match="is there already"):
        imseek.backup.write(collection, url)
    made = imseek.backup.restore(url, tmp_path / "again", trust=True)
    assert made.uuid == collection.uuid
    assert maintenance.verify(made.path).ok
    with imseek.open(made.path) as again:
        assert answers(again) == answers(collection)
        assert contents(again) == contents(collection)
        assert imseek.tags.counts(again) == imseek.tags.counts(collection) != {}
        assert again.index().unchanged == 6
    imseek.backup.write(collection, url, replace=True)
    assert shards.unfinished() == []


def answers(collection: imseek.Collection) -> list[tuple[int, float, str | None, Mapping[str, Any]]]:
    return [(hit.image_id, hit.score, hit.uri, hit.metadata) for hit in collection.search("red", limit=100)]


def test_a_backup_that_fails_leaves_what_was_there(collection: imseek.Collection, shards: Folder) -> None:
    collection.index([shards.url()])
    stop = threading.Event()
    with pytest.raises(InterruptedError):
        imseek.backup.write(collection, shards.url("a.tar"), progress=lambda _: stop.set(), stop=stop)
    assert "a.tar" not in shards.names()
    imseek.backup.write(collection, shards.url("a.tar"))
    whole = shards.files.cat(shards.url("a.tar"))
    with pytest.raises(InterruptedError):
        imseek.backup.write(collection, shards.url("a.tar"), replace=True, progress=lambda _: stop.set(), stop=stop)
    assert shards.files.cat(shards.url("a.tar")) == whole
    assert shards.unfinished() == []


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads are cut into the smallest parts that S3 takes."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "default_block_size", 5 * 2**20)


@pytest.mark.usefixtures("in_parts")
def test_parts_of_an_upload_that_fails_are_thrown_away(bucket: Folder) -> None:
    part = np.random.default_rng(0).bytes(5 * 2**20)
    with remote_files.create_binary(bucket.url("whole").encode()) as file:
        for _ in range(2):
            file.write(part)
        file.write(b"end")
        assert bucket.names() == []
        assert len(bucket.unfinished()) == 1, "its parts are on the server"
    assert bucket.files.cat(bucket.url("whole")) == part + part + b"end"
    with pytest.raises(ZeroDivisionError), remote_files.create_binary(bucket.url("half").encode()) as file:  # noqa: PT012
        file.write(part + b"more")
        raise ZeroDivisionError
    assert (bucket.names(), bucket.unfinished()) == (["whole"], [])


def test_of_two_uploads_at_once_one_that_fails_costs_the_other_nothing(bucket: Folder) -> None:
    with remote_files.create_binary(bucket.url("good").encode()) as good:
        good.write(b"the first half, ")
        with pytest.raises(ZeroDivisionError), remote_files.create_binary(bucket.url("bad").encode()) as bad:  # noqa: PT012
            bad.write(b"bad")
            raise ZeroDivisionError
        assert bucket.names() == []
        good.write(b"the second half")
    assert bucket.names() == ["good"]
    assert bucket.files.cat(bucket.url("good")) == b"the first half, the second half"


# -- staging -------------------------------------------------------------------------------------------------------


def test_staging_in_a_bucket_is_used_and_left_empty(
    collection: imseek.Collection, bucket: Folder, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()

    def fate(worker: int, called: str, arguments: Any, work: Callable[[], Any]) -> Any:
        answer = work()
        seen.update(Path(name).name for name in bucket.names())
        return answer

    monkeypatch.setattr("imseek.indexer.executors.ray_executor.ray_cluster", InProcess(fate=fate))
    executor = imseek.Ray(workers=2, shard=3, staging=bucket.url("staging"))
    report = collection.index([photos], executor=executor)
    assert (report.added, report.skipped) == (8, 0)
    assert any(name.endswith(".npy") for name in seen)
    assert bucket.names() == []


@pytest.mark.long
def test_workers_of_ray_read_from_a_bucket_and_stage_in_it(
    collection: imseek.Collection, shards: Folder, pictures: list[bytes]
) -> None:
    zipped = shards.put("b.zip", zip_of({f"{n}.png": pictures[n] for n in (6, 7)}))
    executor = imseek.Ray(workers=1, shard=2, staging=shards.url("staging"))
    report = collection.index([shards.url("*.tar"), zipped], executor=executor)
    assert (report.added, report.skipped) == (8, 0)
    assert set(contents(collection).values()) == set(pictures)
    assert [name for name in shards.names() if name.startswith("staging")] == []

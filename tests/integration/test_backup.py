"""A collection goes into an archive and comes back: all that it is, also while it is written to."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acting import planned
from databases import BOTH_CATALOGS
from durability.damages import State, build
from durability.damages import collection as built
from durability.recipes import format_1
from snapshotting import add, clustered, collection_of

import imseek
from imseek import IndexPolicy, duplicates, maintenance
from imseek.data import layout
from imseek.data.catalog import duplicate_judgements, model_files, models
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sqlite.catalog_backups import generation_of
from imseek.data.collection_records import read_identity
from imseek.data.current_generation import read_current
from imseek.data.writing.writer import Writer
from imseek.duplicates.actions.apply import apply
from imseek.duplicates.actions.undo import undo
from imseek.errors import (
    CollectionNotFoundError,
    CorruptCollectionError,
    StorageError,
    UsageError,
)
from imseek.progress import Progress


@pytest.fixture
def known(photos: Path, tmp_path: Path, catalog: str | None) -> Iterator[imseek.Collection]:
    """Real photographs in the space of ``builtin``, with captions, tags, labels, judgements, a model and a map."""
    from PIL import Image

    for n, path in enumerate(sorted(photos.rglob("*.*"))):
        with Image.open(path) as picture:
            exif = picture.getexif()
            exif[0x010E] = f"a {path.stem} in the sun, number {n}"
            picture.convert("RGB").resize((160, 120)).save(path.with_suffix(".jpg"), exif=exif)
        if path.suffix != ".jpg":
            path.unlink()
    with imseek.create(tmp_path / "known", encoder="builtin", captions=True, catalog=catalog) as made:
        made.index([photos])
        ids = [hit.image_id for hit in made.search("a photo", limit=100)]
        imseek.tags.add(made, "liked", ids[:3])
        imseek.tags.add(made, "seen", where="width > 100", provenance="a test")
        with connect_read_only(made.path) as connection:
            hashes = sorted(row[0].hex() for row in connection.execute("SELECT content_hash FROM images"))
        with Writer(made.path, "test") as at_work:
            at = "2026-01-01T00:00:00+00:00"
            said = duplicate_judgements.make_judgement(hashes[0], hashes[1], "different", "a test", at)
            duplicate_judgements.record(at_work, [said])
            rows = np.arange(6, dtype=np.float32).reshape(2, 3)
            model_files.put(at_work, models.Model("learned", "test", {"why": "to see"}, {"rows": rows}))
        imseek.labels.label(made, ["a cat", "a rocket"], save="kind")
        imseek.maps.lay_out(made.path, method="pca")
    with imseek.open(tmp_path / "known") as opened:
        yield opened


def facts(collection: imseek.Collection) -> dict[str, Any]:
    """All that can be asked of a collection, as far as it does not say where it lies."""
    ids = sorted(hit.image_id for hit in collection.search("anything", limit=1000))
    queries: list[Any] = ["a cat", "a rocket in the sky", *ids]
    answers = [*collection.search_many(queries, limit=100), collection.search("in the sun", by="caption")]
    root = collection.path
    tables = (
        "sources",
        "spaces",
        "images",
        "places",
        "tags",
        "judgements",
        "failures",
        "containers",
        "shards",
    )
    with connect_read_only(root) as connection:
        rows = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in tables}
    found = models.find(root, "learned")
    assert found is not None
    return {
        "answers": [[(hit.image_id, hit.score, hit.path, repr(hit.metadata)) for hit in answer] for answer in answers],
        "images": {i: repr(image) for i, image in collection.get_many(ids).items()},
        "pictures": [len(collection.read(i)) for i in ids],
        "tags": imseek.tags.counts(collection),
        "judgements": [repr(j) for j in duplicates.judgements(collection)],
        "map": repr(imseek.maps.maps(root)),
        "labels": repr(imseek.labels.saved(root)),
        "model": (found.facts, {name: array.tolist() for name, array in found.arrays.items()}),
        "models": models.names(root),
        "info": [repr(s) for s in collection.info().spaces],
        **rows,
    }


@BOTH_CATALOGS
def test_all_that_a_collection_is_comes_back(known: imseek.Collection, tmp_path: Path) -> None:
    before = facts(known)
    report = imseek.backup.write(known, tmp_path / "known.tar")
    assert imseek.backup.verify(tmp_path / "known.tar").backup == report.backup
    made = imseek.backup.restore(tmp_path / "known.tar", tmp_path / "again")
    assert (made.uuid, made.path) == (known.uuid, tmp_path / "again")
    assert maintenance.verify(tmp_path / "again").ok
    with imseek.open(tmp_path / "again") as again:
        assert facts(again) == before
        assert again.info().images == known.info().images == 8
    assert read_current(tmp_path / "again") == read_current(known.path)
    of_files = {layout.CATALOG, *layout.CATALOG_COMPANIONS, layout.CURRENT, layout.CHECKSUMS}
    beside = {*layout.BACKUPS, layout.LOCK, layout.ADDRESS}
    assert files(tmp_path / "again") | of_files == (files(known.path) | of_files) - beside
    assert read_identity(tmp_path / "again").format == layout.FORMAT, "a collection in its folder, like any other"
    with imseek.open(tmp_path / "again") as again:  # And it goes on.
        (tmp_path / "photos/coffee.jpg").unlink()
        assert again.index().removed == 1
    assert maintenance.verify(tmp_path / "again").ok


@BOTH_CATALOGS
def test_one_of_its_own_can_be_used_beside_the_original(known: imseek.Collection, tmp_path: Path) -> None:
    before = facts(known)
    imseek.backup.write(known, tmp_path / "known.tar")
    made = imseek.backup.restore(tmp_path / "known.tar", tmp_path / "copy", new_identity=True)
    assert made.uuid != known.uuid
    assert made.backup.uuid == known.uuid
    assert read_identity(tmp_path / "copy").uuid == made.uuid
    assert maintenance.verify(tmp_path / "copy").ok
    with imseek.open(tmp_path / "copy") as copy:
        assert facts(copy) == before
        assert len(imseek.search_all([known, copy], "a cat", limit=100)) == 16
    # Judgements and models can still be taken back from their files, which state the uuid.
    for name in (layout.CATALOG, *layout.BACKUPS):
        (tmp_path / "copy" / name).unlink(missing_ok=True)
    assert maintenance.repair(tmp_path / "copy").after.ok
    assert len(duplicates.judgements(tmp_path / "copy")) == 1
    assert models.find(tmp_path / "copy", "learned") is not None


def test_dead_suspended_quarantined_failed(tmp_path: Path) -> None:
    """A collection with every kind of file and state, with relative places: it moves with its pictures."""
    build(tmp_path / "home")
    root = built(tmp_path / "home")
    imseek.backup.write(root, tmp_path / "a.tar")
    shutil.copytree(tmp_path / "home/photos", tmp_path / "moved", ignore=shutil.ignore_patterns(".imseek"))
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "moved/.imseek")
    assert State.of(tmp_path / "moved/.imseek") == State.of(root)
    assert maintenance.verify(tmp_path / "moved/.imseek").ok
    with imseek.open(tmp_path / "moved/.imseek") as opened:
        (hit,) = opened.search(0, limit=1)
        assert Path(str(hit.path)).parent == tmp_path / "moved"
        assert opened.read(hit.image_id)


def test_what_was_put_away_can_be_brought_back(
    collection: imseek.Collection, twins: list[Path], tmp_path: Path
) -> None:
    assert apply(collection.path, planned(collection, twins), dry_run=False).counts == {"done": 3}
    (collection.path / layout.UNDO / "notes of mine.jsonl").write_text("not ours")
    imseek.backup.write(collection, tmp_path / "a.tar")
    copied = imseek.backup.restore(tmp_path / "a.tar", tmp_path / "copy", new_identity=True)
    assert copied.journals_left_out == 1
    assert duplicates.undoable(tmp_path / "copy") == ()  # Only one collection may bring them back.
    with imseek.open(tmp_path / "copy") as copy:
        assert copy.info().images == collection.info().images
    plain = imseek.backup.restore(tmp_path / "a.tar", tmp_path / "plain")
    assert (plain.journals_left_out, duplicates.undoable(tmp_path / "plain")) == (1, ())
    assert not (tmp_path / "plain" / layout.UNDO).exists()
    with pytest.raises(UsageError, match="only one collection may restore the files"):
        imseek.backup.restore(tmp_path / "a.tar", tmp_path / "both", new_identity=True, with_undo=True)
    again = imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again", with_undo=True)
    assert again.journals_left_out == 0
    # The same user's imseek wrote it: nothing is asked.
    assert undo(tmp_path / "again", dry_run=False).counts == {"done": 3}
    assert all(path.exists() for path in twins)


@pytest.fixture
def vectors(tmp_path: Path, catalog: str | None) -> Path:
    """300 images without pictures, in three shards, with an approximate index."""
    root = collection_of(tmp_path / "vectors", clustered(300, 2), catalog=catalog)
    add(root, clustered(50, 3), "more")
    add(root, clustered(50, 4), "yet more")
    maintenance.build_index(root, IndexPolicy(kind="IVF4,Flat"))
    return root


@BOTH_CATALOGS
def test_indexes_come_along_unless_they_are_left_out(vectors: Path, tmp_path: Path) -> None:
    whole = imseek.backup.write(vectors, tmp_path / "whole.tar")
    without = imseek.backup.write(vectors, tmp_path / "without.tar", index=False)
    assert (whole.backup.index, without.backup.index) == (True, False)
    assert without.size < whole.size
    for name in ("whole", "without"):
        imseek.backup.restore(tmp_path / f"{name}.tar", tmp_path / name)
        assert maintenance.verify(tmp_path / name).ok
    assert read_current(tmp_path / "whole").snapshots == read_current(vectors).snapshots != {}
    assert read_current(tmp_path / "without").snapshots == {}
    assert not list((tmp_path / "without").rglob("faiss.index"))
    query = clustered(1, 2)[0]
    with (
        imseek.open(vectors) as a,
        imseek.open(tmp_path / "whole") as b,
        imseek.open(tmp_path / "without") as c,
    ):
        found = [[(hit.image_id, hit.score) for hit in one.search(query)] for one in (a, b, c)]
    assert found[0] == found[1] == found[2]
    maintenance.merge(tmp_path / "without")
    assert read_current(tmp_path / "without").snapshots != {}, "what is due is built by the next that comes"


@BOTH_CATALOGS
def test_what_is_retired_meanwhile_is_in_the_backup_all_the_same(vectors: Path, tmp_path: Path) -> None:
    """However slow it is: shards are merged, files purged, images removed while the archive is written."""
    before, stored = read_current(vectors), contents(vectors)
    done: list[str] = []

    def slowly(now: Progress) -> None:
        if not done:
            done.append("meanwhile")
            maintenance.merge(vectors)
            with imseek.open(vectors) as opened:
                opened.remove_source(1)
            maintenance.purge(vectors)
            assert not any((vectors / layout.vectors(0, shard.shard_id)).exists() for shard in before.shards)

    report = imseek.backup.write(vectors, tmp_path / "a.tar", progress=slowly)
    assert done
    assert report.backup.generation == before.generation
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again")
    assert maintenance.verify(tmp_path / "again").ok
    assert read_current(tmp_path / "again") == before
    assert contents(tmp_path / "again") == stored


def contents(root: Path) -> dict[int, bytes]:
    """Stored vectors by id."""
    found = {}
    for shard in read_current(root).shards:
        ids = np.load(root / layout.ids(shard.shard_id))
        rows = np.load(root / layout.vectors(0, shard.shard_id))
        found |= {int(i): row.tobytes() for i, row in zip(ids, rows, strict=True)}
    return found


@BOTH_CATALOGS
def test_a_file_that_goes_in_the_moment_is_of_a_generation_that_is_past(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imseek.data.archive import generation_snapshot

    monkeypatch.setattr(generation_snapshot, "_PAUSE", 0.0)
    opened, turns = generation_snapshot._open_listed_file, []

    def late(root: Path, path: str, *rest: Any) -> Any:
        if len(turns) < 2 and path.startswith("judgements"):
            turns.append(path)
            judge(vectors, len(turns))  # Whose commit unlinks the file before at once.
        return opened(root, path, *rest)

    judge(vectors, 0)
    monkeypatch.setattr(generation_snapshot, "_open_listed_file", late)
    report = imseek.backup.write(vectors, tmp_path / "a.tar")
    assert len(set(turns)) == 2
    assert report.backup.generation == read_current(vectors).generation
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again")
    assert len(duplicates.judgements(tmp_path / "again")) == 3
    monkeypatch.setattr(generation_snapshot, "_open_listed_file", opened)
    (vectors / layout.vectors(0, 0)).unlink()
    with pytest.raises(CorruptCollectionError, match=r"000000\.npy is missing"):
        imseek.backup.write(vectors, tmp_path / "b.tar")


def judge(root: Path, n: int) -> None:
    with Writer(root, "test") as at_work:
        said = duplicate_judgements.make_judgement(
            f"{n:064x}", f"{n + 100:064x}", "same", "a test", "2026-01-01T00:00:00+00:00"
        )
        duplicate_judgements.record(at_work, [said])


def test_a_damaged_file_is_not_backed_up(vectors: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    imseek.backup.write(vectors, target)
    good = target.read_bytes()
    path = vectors / layout.vectors(0, 1)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(CorruptCollectionError, match=r"000001\.npy is damaged") as caught:
            imseek.backup.write(vectors, target, replace=True)
        assert caught.value.hint == f"imseek collection repair {vectors}"
        assert target.read_bytes() == good, "what was there stays"
    path.write_bytes(whole)
    with closing(sqlite3.connect(vectors / layout.CATALOG)) as connection:  # A value that rots on the disk.
        connection.execute("UPDATE images SET content_hash = x'00' WHERE image_id = 3")
        connection.commit()
    with pytest.raises(CorruptCollectionError, match="differs from what the last writer saved"):
        imseek.backup.write(vectors, target, replace=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "vectors"]


def test_a_catalog_that_no_checksum_vouches_for_and_sqlite_cannot_read_is_named(vectors: Path, tmp_path: Path) -> None:
    catalog = vectors / layout.CATALOG
    with closing(sqlite3.connect(catalog)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'files'").fetchone()
    data = bytearray(catalog.read_bytes())
    data[(page - 1) * size : page * size] = b"\xff" * size
    catalog.write_bytes(data)
    (vectors / layout.CHECKSUMS).unlink()
    with pytest.raises(CorruptCollectionError, match="malformed") as caught:
        imseek.backup.write(vectors, tmp_path / "a.tar")
    assert str(catalog) in str(caught.value), "the file that is damaged is named"
    assert caught.value.hint == f"imseek collection repair {vectors}"
    assert not (tmp_path / "a.tar").exists()


@BOTH_CATALOGS
def test_a_run_that_goes_on_is_no_run_of_the_copy(vectors: Path, tmp_path: Path) -> None:
    with Writer(vectors, "test") as at_work:
        at_work.apply(lambda connection, generation: None)
        imseek.backup.write(vectors, tmp_path / "a.tar")
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again")
    with connect_read_only(tmp_path / "again") as connection:
        states = [state for (state,) in connection.execute("SELECT state FROM runs ORDER BY run_id")]
        retired = connection.execute("SELECT COUNT(*) FROM files WHERE retired_at IS NOT NULL").fetchone()
    assert states[-1] == "interrupted"
    assert retired == (0,), "nothing is swept that was never there"


#: With a file more each time; what others in the tests' own process open would count too.
FEW_FILES = """
import os, resource, sys
import imseek.backup
from imseek.errors import StorageError
imseek.backup.write(*sys.argv[1:], replace=True)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
for more in range(-1, 30):
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + more, hard))
    try:
        imseek.backup.write(*sys.argv[1:], replace=True)
        print("written")
    except StorageError as error:
        print(error.hint)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
"""


def test_too_few_files_may_be_open(vectors: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", FEW_FILES, str(vectors), str(tmp_path / "a.tar")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(said)) == (0, "", 31)
    # SQLite does not say why it cannot open a file: then it is one of three.
    refused = [line for line in said if line != "written"]
    assert all(line.endswith("too many open files: raise the limit (ulimit -n)") for line in refused)
    assert said[0] in refused
    assert said[-1] == "written"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "vectors"]


def test_what_the_system_refuses_is_told(vectors: Path, tmp_path: Path) -> None:
    imseek.backup.write(vectors, tmp_path / "a.tar")

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 100_000:
                raise OSError(errno.EIO, "as a disk that fails")
            return super().read(size)

    failing = Failing((tmp_path / "a.tar").read_bytes())
    with pytest.raises(StorageError, match="the archive: as a disk that fails"):
        imseek.backup.restore(failing, tmp_path / "again")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    try:  # The copy has no room; nothing is said of the collection's own catalog.
        with pytest.raises(StorageError, match=rf"{tmp_path}/.imseek-backup-\S+/catalog.sqlite: "):
            imseek.backup.write(vectors, tmp_path / "full.tar")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with pytest.raises(StorageError, match="/dev/full: No space left"):
        imseek.backup.write(vectors, "/dev/full")
    with pytest.raises(BrokenPipeError):
        imseek.backup.write(vectors, Gone())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "vectors"]


class Gone(io.BytesIO):
    def write(self, data: Any) -> int:
        raise BrokenPipeError(errno.EPIPE, "nobody reads")


def test_where_an_archive_may_go(vectors: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    imseek.backup.write(vectors, str(target))
    with pytest.raises(UsageError, match="is there already"):
        imseek.backup.write(vectors, target)
    with pytest.raises(UsageError, match="is a folder"):
        imseek.backup.write(vectors, tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        imseek.backup.write(vectors, tmp_path / "none/a.tar")
    with pytest.raises(CollectionNotFoundError):
        imseek.backup.write(tmp_path / "none", tmp_path / "b.tar")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "vectors"]
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_bytes)
        imseek.backup.write(vectors, tmp_path / "pipe")
        assert imseek.backup.verify(io.BytesIO(read.result())).backup.images == 400


def test_no_archive_and_no_collection_lies_in_a_collection(vectors: Path, tmp_path: Path) -> None:
    """It would go with it, and be in nobody's backup."""
    (tmp_path / "link").symlink_to(vectors)
    for folder in (vectors, vectors / "spaces", tmp_path / "link"):
        with pytest.raises(UsageError, match="is inside the collection itself"):
            imseek.backup.write(vectors, folder / "a.tar")
    imseek.backup.write(vectors, tmp_path / "a.tar")
    for folder in (vectors / "new", vectors / "spaces" / "new" / "deep", tmp_path / "link" / "new"):
        with pytest.raises(UsageError, match="is inside the collection"):
            imseek.backup.restore(tmp_path / "a.tar", folder)
    assert not [*vectors.rglob("*new*"), *vectors.rglob("*.tar"), *vectors.rglob(".imseek-*")]
    name = "写" * 83 + ".tar"
    imseek.backup.write(vectors, tmp_path / name)
    assert imseek.backup.restore(tmp_path / name, tmp_path / ("写" * 85)).backup.images == 400


def test_an_object_store(vectors: Path, tmp_path: Path) -> None:
    """A URL names what fsspec reaches; what was not finished is not there."""
    import fsspec

    url = "memory://backups/a.tar"
    report = imseek.backup.write(vectors, url)
    assert imseek.backup.verify(url).backup == report.backup
    with pytest.raises(UsageError, match="is there already"):
        imseek.backup.write(vectors, url)
    imseek.backup.restore(url, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(vectors)
    stop = threading.Event()
    with pytest.raises(InterruptedError):
        imseek.backup.write(vectors, "memory://backups/b.tar", progress=lambda _: stop.set(), stop=stop)
    path = vectors / layout.vectors(0, 1)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptCollectionError):
        imseek.backup.write(vectors, f"file://{tmp_path}/b.tar")
    assert not (tmp_path / "b.tar").exists()
    assert [one["name"] for one in fsspec.filesystem("memory").ls("/backups")] == ["/backups/a.tar"]
    for replace in (True, False):  # Nobody is asked whether it is there.
        with pytest.raises(UsageError, match="nothing can be written"):
            imseek.backup.write(vectors, "http://127.0.0.1:9/a.tar", replace=replace)
    with pytest.raises(UsageError, match="not there"):
        imseek.backup.verify("memory://backups/none.tar")


@pytest.mark.parametrize("verb", ["write", "verify", "restore"])
def test_stopped_it_leaves_nothing(vectors: Path, tmp_path: Path, verb: str) -> None:
    imseek.backup.write(vectors, tmp_path / "a.tar")
    before = (tmp_path / "a.tar").read_bytes()
    stop, told = threading.Event(), []

    def tell(now: Progress) -> None:
        told.append(now)
        stop.set()

    calls = {
        "write": lambda: imseek.backup.write(vectors, tmp_path / "a.tar", replace=True, progress=tell, stop=stop),
        "verify": lambda: imseek.backup.verify(tmp_path / "a.tar", progress=tell, stop=stop),
        "restore": lambda: imseek.backup.restore(tmp_path / "a.tar", tmp_path / "b", progress=tell, stop=stop),
    }
    with pytest.raises(InterruptedError):
        calls[verb]()
    assert len(told) == 1
    assert told[0].total == 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "vectors"]
    assert (tmp_path / "a.tar").read_bytes() == before


def test_what_was_killed_is_cleared_away(vectors: Path, tmp_path: Path) -> None:
    """The next backup of the same name, and the next restore, remove what lies there for longer than a minute."""
    left = [tmp_path / f".imseek-{name}-x" for name in ("backup-a.tar", "restore-again", "backup-other.tar")]
    for folder in left:
        folder.mkdir()
        (folder / "archive").write_bytes(b"half")
    imseek.backup.write(vectors, tmp_path / "a.tar")
    assert all(folder.exists() for folder in left), "their makers may just be about to hold them"
    for folder in left:
        os.utime(folder, (1, 1))
    imseek.backup.write(vectors, tmp_path / "a.tar", replace=True)
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again")
    assert [folder.exists() for folder in left] == [False, False, True]


def test_one_that_is_at_work_is_left_alone(vectors: Path, tmp_path: Path) -> None:
    def another(now: Progress) -> None:
        (mine,) = tmp_path.glob(".imseek-backup-*")
        os.utime(mine, (1, 1))
        imseek.backup.write(vectors, tmp_path / "a.tar", replace=True)
        assert mine.exists()

    imseek.backup.write(vectors, tmp_path / "a.tar", replace=True, progress=another)
    assert imseek.backup.verify(tmp_path / "a.tar").backup.images == 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "vectors"]


def test_a_catalog_of_an_early_version(tmp_path: Path) -> None:
    format_1.unpack(tmp_path / "home")
    early = format_1.collection(tmp_path / "home")
    before = {path: (early / path).read_bytes() for path in files(early)}
    report = imseek.backup.write(early, tmp_path / "a.tar")
    assert {path: (early / path).read_bytes() for path in files(early)} == before, "reading changes nothing"
    assert report.backup.generation == generation_of(early / layout.CATALOG)
    imseek.backup.restore(tmp_path / "a.tar", tmp_path / "again")
    assert maintenance.verify(tmp_path / "again").ok
    with imseek.open(early) as opened, imseek.open(tmp_path / "again") as again:
        queries = ["red", 0]
        found = [
            [[(hit.image_id, hit.score) for hit in answer] for answer in one.search_many(queries)]
            for one in (opened, again)
        ]
    assert found[0] == found[1]


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}

"""Every kind of damage to every kind of file: found, mended or named, and nothing that was fine gets worse.

What is promised: `verify` notices any changed byte of any file of a collection that its last writer left in peace.
`repair` brings back all of it from what is left, except vectors and metadata of a damaged shard (encoded again by the
next ``index``, under the same ids) and derived columns, which it names. After a kill the catalog has no checksum, so
there only what SQLite notices, and commits that current.json knows of, are promised.

``IMSEEK_DAMAGES=n`` sets how many bytes are flipped in each file (2 by default).
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import insert, update

import imseek
from imseek.data import checksums, files, layout, schema
from imseek.data.backup import generation_of
from imseek.data.columns import put_columns
from imseek.data.current import read_current, read_identity
from imseek.data.reader import Reader
from imseek.data.writer import Writer
from imseek.errors import CorruptCollectionError

FLIPS = int(os.environ.get("IMSEEK_DAMAGES", "2"))
ALIVE = "died = 9223372036854775807"
IMAGES = 12
QUARANTINED = "07.png"


@dataclass(frozen=True)
class State:
    """What must not get lost: ids, tags and states by place, and the vectors that a search sees, by id."""

    images: dict[str, tuple[int, str, tuple[str, ...]]]
    vectors: dict[int, bytes]

    @classmethod
    def of(cls, root: Path) -> State:
        query = (
            "SELECT p.path, i.image_id, i.state, "
            "(SELECT group_concat(tag) FROM tags t WHERE t.image_id = i.image_id AND t.died = p.died) "
            f"FROM places p JOIN images i USING (image_id) WHERE p.{ALIVE} AND i.{ALIVE}"
        )
        with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
            rows = connection.execute(query).fetchall()
            alive = connection.execute(f"SELECT COUNT(*) FROM images WHERE {ALIVE}").fetchone()[0]
        assert len({path for path, *_ in rows}) == len(rows) == alive, (
            "each image has one place, each place one image"
        )
        images = {
            os.fsdecode(path): (i, state, tuple((tags or "").split(","))) for path, i, state, tags in rows
        }
        return cls(images, searched(root))


def searched(root: Path) -> dict[int, bytes]:
    """The vectors that a search sees, by image id."""
    reader = Reader(root)
    vectors: dict[int, bytes] = {}
    for shard in reader.current.shards:
        alive = np.delete(np.array(reader.shard_ids(shard)), reader.dead_rows(shard)).tolist()
        assert vectors.keys().isdisjoint(alive), "an image lies in one row"
        vectors |= {image_id: reader.vector(image_id, 0).tobytes() for image_id in alive}
    return vectors


def draw(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def photos(home: Path) -> Path:
    return home / "photos"


def collection(home: Path) -> Path:
    """In the folder it describes, so that a copy of both is as good as the original."""
    return home / "photos" / ".imseek"


def index(home: Path) -> None:
    with imseek.open(collection(home)) as opened:
        opened.index([photos(home)])


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards, dead rows, a quarantined image, tags, a derived column, two backups of different age."""
    home = tmp_path_factory.mktemp("template")
    build(home)
    assert imseek.upkeep.verify(collection(home)).ok
    return home


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another collection, just like the first."""
    home = tmp_path_factory.mktemp("stranger")
    build(home)
    return home


def build(home: Path) -> None:
    photos(home).mkdir()
    imseek.create(collection(home), encoder="fake", here=True).close()
    for n in range(IMAGES):
        draw(photos(home) / f"{n:02}.png", n)
        if n % 3 == 2:
            index(home)
    (photos(home) / "02.png").unlink()
    (photos(home) / "05.png").unlink()
    index(home)
    root = collection(home)
    reader = Reader(root)
    everyone = [i for shard in reader.current.shards for i in reader.shard_ids(shard).tolist()]
    with Writer(root, "test") as writer:
        put_columns(writer, "quality", {"sharpness": {i: i / 4 for i in everyone}})
        with writer.catalog.transaction() as connection:
            query = schema.places.c.path == QUARANTINED.encode()
            quarantined = connection.execute(
                schema.places.select().where(query, schema.places.c.died == schema.FOREVER)
            ).one()

        def tag_and_quarantine(connection: Any, generation: int) -> None:
            for image_id in (0, 4, 8):
                tag = {"image_id": image_id, "tag": f"tag{image_id}", "provenance": "test"}
                connection.execute(insert(schema.tags).values(**tag, born=generation, died=schema.FOREVER))
            mine = schema.images.c.image_id == quarantined.image_id
            connection.execute(update(schema.images).where(mine).values(state="quarantined"))
            shard_id = connection.execute(schema.images.select().where(mine)).one().shard_id
            files.write_dead(writer, connection, generation, shard_id)

        writer.apply(tag_and_quarantine)


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Path:
    shutil.copytree(template, tmp_path / "home")
    return tmp_path / "home"


def kinds(root: Path) -> dict[str, list[str]]:
    """Live files by kind, relative to the root."""
    current = Reader(root).current
    shards = [shard.shard_id for shard in current.shards]
    return {
        "identity": [layout.COLLECTION],
        "current": [layout.CURRENT],
        "checksums": [layout.CHECKSUMS],
        "catalog": [layout.CATALOG],
        "newer backup": [max(layout.BACKUPS, key=lambda name: generation_of(root / name))],
        "older backup": [min(layout.BACKUPS, key=lambda name: generation_of(root / name))],
        "metadata": [layout.metadata(n) for n in shards],
        "ids": [layout.ids(n) for n in shards],
        "vectors": [layout.vectors(0, n) for n in shards],
        "dead": [shard.dead for shard in current.shards if shard.dead],
        "column": [shard.columns["quality"] for shard in current.shards],
    }


KINDS = (
    "identity",
    "current",
    "checksums",
    "catalog",
    "newer backup",
    "older backup",
    "metadata",
    "ids",
    "vectors",
    "dead",
    "column",
)


def delete(path: Path, _: Path, __: random.Random) -> None:
    path.unlink()


def empty(path: Path, _: Path, __: random.Random) -> None:
    path.write_bytes(b"")


def truncate(path: Path, _: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(1, len(data))])


def flip(path: Path, _: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def swap(path: Path, other: Path, _: random.Random) -> None:
    """With another file of its kind, of this collection or (where there is one of a kind) of another one."""
    one, two = path.read_bytes(), other.read_bytes()
    assert one != two
    path.write_bytes(two)
    if other.parts[: len(path.parts) - 2] == path.parts[:-2]:
        other.write_bytes(one)


DAMAGES: list[tuple[str, Callable[[Path, Path, random.Random], None], int]] = [
    ("deleted", delete, 0),
    ("emptied", empty, 0),
    ("truncated", truncate, 1),
    ("swapped", swap, 0),
    *((f"flipped {n}", flip, n) for n in range(FLIPS)),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage[0].replace(" ", "-"))
@pytest.mark.parametrize("kind", KINDS)
def test_damage(kind: str, damage: Any, home: Path, stranger: Path) -> None:
    name, do, seed = damage
    root = collection(home)
    before = State.of(root)
    paths = kinds(root)[kind]
    # Not the first shard: what is done to it must not depend on its number.
    path = paths[-1]
    other = root / paths[0] if len(paths) > 1 else collection(stranger) / path
    do(root / path, other, random.Random(f"{kind} {seed}"))

    report = imseek.upkeep.verify(root)
    assert path in {problem.file for problem in report.problems}, f"{name} {path}: {report.problems}"

    mended = imseek.upkeep.repair(root)
    assert mended.after.ok, mended.after.problems
    assert imseek.upkeep.verify(root).ok
    harmed = {path} | ({paths[0]} if do is swap and len(paths) > 1 else set())
    after = State.of(root)
    assert after.images == before.images, "places, ids, states and tags are not in the shards"
    if kind in ("metadata", "vectors"):
        assert {file for file in harmed if any(file in line for line in mended.lost)} == harmed
        gone = {layout.shard_of(file) for file in harmed}
        assert after.vectors == {
            i: v for i, v in before.vectors.items() if shard_of(home, before, i) not in gone
        }
    else:
        assert after.vectors == before.vectors
        assert [line for line in mended.lost if kind != "column" or not any(f in line for f in harmed)] == []
    assert mended.restored or mended.lost, "what was done is named"

    index(home)
    assert imseek.upkeep.verify(root).ok
    assert State.of(root) == before, "the same ids, tags, and vectors"


def shard_of(home: Path, state: State, image_id: int) -> int:
    """The shard that an image lay in: three were indexed in each run, in the order of their names."""
    name = next(path for path, (i, *_) in state.images.items() if i == image_id)
    return int(name[:2]) // 3


def test_nothing_to_repair(home: Path) -> None:
    report = imseek.upkeep.repair(collection(home))
    assert report.after.ok
    assert (report.restored, report.lost) == ((), ())


@pytest.mark.parametrize("name", [layout.COLLECTION, layout.CURRENT, layout.CHECKSUMS])
def test_a_flipped_bit_of_a_sealed_file_is_found_when_it_is_read(home: Path, name: str) -> None:
    root = collection(home)
    read = {layout.COLLECTION: read_identity, layout.CURRENT: read_current, layout.CHECKSUMS: checksums.read}[
        name
    ]
    data = (root / name).read_bytes()
    for place in range(len(data)):
        bit = 1 << place % 8
        (root / name).write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        with pytest.raises(CorruptCollectionError):
            read(root)


def test_every_flipped_bit_of_the_catalog_is_found(home: Path) -> None:
    """Also where SQLite's own check finds nothing: in values, in free space."""
    root = collection(home)
    data = (root / layout.CATALOG).read_bytes()
    chance, unseen_by_sqlite = random.Random(3), 0
    for place in chance.sample(range(len(data)), 40):
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        (root / layout.CATALOG).write_bytes(damaged)
        problems = imseek.upkeep.verify(root).problems
        assert [problem.kind for problem in problems if problem.file == layout.CATALOG] == ["catalog"], (
            f"byte {place}"
        )
        unseen_by_sqlite += any("as the last writer left it" in problem.message for problem in problems)
        with pytest.raises(imseek.errors.StorageError), Writer(root, "test"):
            pytest.fail("a writer takes up a damaged catalog")
    assert unseen_by_sqlite > 5


# -- a write-ahead log left by a kill ------------------------------------------------------------------------

KILLED = """
import os, sys, imseek
from imseek.indexer import pipeline
def commit(writer, batch, space_id, commit=pipeline.commit, done=[]):
    generation = commit(writer, batch, space_id)
    done.append(len(batch.new))
    if len(done) == 2:
        os._exit(9)
    return generation
pipeline.COMMIT_IMAGES, pipeline.ENCODE_BATCH, pipeline.commit = 3, 3, commit
with imseek.open(sys.argv[1]) as collection:
    collection.index([sys.argv[2]])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """The process died after two commits of three images each, all of it in the write-ahead log."""
    home = tmp_path_factory.mktemp("killed") / "home"
    shutil.copytree(template, home)
    for n in range(20, 26):
        draw(photos(home) / f"{n}.png", n)
    command = [sys.executable, "-W", "error", "-c", KILLED, str(collection(home)), str(photos(home))]
    assert subprocess.run(command, check=False).returncode == 9
    assert (collection(home) / WAL).stat().st_size > 100_000
    return home


WAL = f"{layout.CATALOG}-wal"


def test_a_log_left_behind_is_read(killed: Path, tmp_path: Path) -> None:
    home = shutil.copytree(killed, tmp_path / "home")
    assert imseek.upkeep.verify(collection(home)).ok
    assert {f"{n}.png" for n in range(20, 26)} <= set(State.of(collection(home)).images)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage[0].replace(" ", "-"))
def test_damage_to_a_log_left_behind(killed: Path, template: Path, tmp_path: Path, damage: Any) -> None:
    """SQLite takes up a damaged log as far as it is sound, and says nothing: current.json knows what is missing."""
    _, do, seed = damage
    whole = shutil.copytree(killed, tmp_path / "whole")
    expected = State.of(collection(whole))
    home = shutil.copytree(killed, tmp_path / "home")
    root = collection(home)
    (tmp_path / "other").write_bytes(os.urandom(5000))
    do(root / WAL, tmp_path / "other", random.Random(seed))
    (root / f"{layout.CATALOG}-shm").unlink(missing_ok=True)

    assert "catalog" in [problem.kind for problem in imseek.upkeep.verify(root).problems]
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with pytest.raises(CorruptCollectionError) as refusal, Writer(root, "test"):
        pytest.fail("a writer goes on without what was committed")
    assert "collection repair" in str(refusal.value.hint)
    assert (root / layout.CURRENT).read_bytes() == before[root / layout.CURRENT]

    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert any("without their places" in line for line in report.restored)
    assert searched(root) == expected.vectors, "every acknowledged image is found again at once"
    index(home)
    assert imseek.upkeep.verify(root).ok
    assert State.of(root) == expected, "and, once its folder was scanned, at its place"


@pytest.mark.parametrize("do", [delete, empty, truncate], ids=lambda do: do.__name__)
def test_a_log_left_behind_by_a_damaged_catalog(killed: Path, tmp_path: Path, do: Any) -> None:
    """It must never be taken for the log of the catalog that takes the place of the damaged one."""
    expected = State.of(collection(shutil.copytree(killed, tmp_path / "whole")))
    home = shutil.copytree(killed, tmp_path / "home")
    root = collection(home)
    do(root / layout.CATALOG, root, random.Random(1))
    assert imseek.upkeep.repair(root).after.ok
    # SQLite itself deletes the log of an empty file as soon as that is opened.
    assert do is empty or list(root.glob(f"{WAL}.damaged.*")), "kept beside"
    assert searched(root) == expected.vectors
    index(home)
    assert State.of(root) == expected


# -- more than one file --------------------------------------------------------------------------------------


def lose(root: Path, *names: str) -> None:
    for name in names:
        (root / name).unlink()


def test_the_catalog_and_its_backups_are_lost(home: Path) -> None:
    root = collection(home)
    before, generation = State.of(root), Reader(root).generation
    next_id = Reader(root).current.next_image_id
    lose(root, layout.CATALOG, *layout.BACKUPS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert any("tags" in line for line in report.lost)
    assert searched(root) == before.vectors
    assert Reader(root).generation > generation
    assert Reader(root).current.next_image_id >= next_id
    index(home)
    after = State.of(root)
    assert imseek.upkeep.verify(root).ok
    # The quarantined one was not known from any file that is left: it was indexed anew.
    kept = {name: i for name, (i, *_) in before.images.items() if name != QUARANTINED}
    assert {name: i for name, (i, *_) in after.images.items() if name != QUARANTINED} == kept
    assert after.images[QUARANTINED][0] >= next_id
    assert {i: v for i, v in after.vectors.items() if i in before.vectors} == before.vectors


def test_the_identity_and_the_catalog_are_lost(home: Path) -> None:
    root = collection(home)
    before, uuid = State.of(root), Reader(root).identity.uuid
    lose(root, layout.CATALOG, layout.COLLECTION)
    assert imseek.upkeep.repair(root).lost == ()
    assert State.of(root) == before
    assert Reader(root).identity.uuid == uuid


def test_nothing_says_which_encoder(home: Path) -> None:
    root = collection(home)
    lose(root, layout.CATALOG, layout.CURRENT, *layout.BACKUPS)
    before = sorted(path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK)
    with pytest.raises(CorruptCollectionError, match="which encoder"):
        imseek.upkeep.repair(root)
    after = [path for path in root.rglob("*") if path.is_file() and path.name != layout.LOCK]
    assert sorted(p for p in after if layout.STAGING not in p.parts) == before


def test_merged_after_the_backup_that_is_left(home: Path) -> None:
    """The old shards are gone, the merged one is known to current.json only: it holds every vector."""
    from imseek.data.merge import merge

    root = collection(home)
    before = State.of(root)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    with Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imseek.data.writer.GRACE_SECONDS", -1.0)
        with Writer(root, "test"):
            pass
    assert len(list((root / layout.METADATA).glob("*.parquet"))) == 1
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok, report.after.problems
    assert State.of(root) == before


def test_removed_and_added_after_the_backup_that_is_left(home: Path) -> None:
    root = collection(home)
    kept = {name: (root / name).read_bytes() for name in layout.BACKUPS}
    for n in range(30, 36):
        draw(photos(home) / f"{n}.png", n)
    index(home)
    (photos(home) / "31.png").unlink()
    index(home)
    before = State.of(root)
    for name, data in kept.items():
        (root / name).write_bytes(data)
    lose(root, layout.CATALOG, layout.CHECKSUMS)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert searched(root) == before.vectors, "the one that was removed stays removed"
    index(home)
    assert State.of(root) == before
    draw(photos(home) / "40.png", 40)
    index(home)
    assert State.of(root).images["40.png"][0] > max(before.vectors), "no id is used again"


def test_every_file_that_can_be_derived_is_lost(home: Path) -> None:
    root = collection(home)
    before = State.of(root)
    listed = kinds(root)
    lose(
        root,
        layout.CURRENT,
        layout.COLLECTION,
        layout.CHECKSUMS,
        *listed["ids"],
        *listed["dead"],
        *layout.BACKUPS,
    )
    report = imseek.upkeep.repair(root)
    assert (report.after.ok, report.lost) == (True, ())
    assert State.of(root) == before


def test_damaged_here_and_there(home: Path) -> None:
    """Several kinds at once: each is named, and what has nothing to do with them stays."""
    root = collection(home)
    before = State.of(root)
    listed = kinds(root)
    chance = random.Random(5)
    for name in (
        listed["vectors"][1],
        listed["metadata"][2],
        listed["ids"][2],
        listed["column"][0],
        listed["dead"][0],
    ):
        flip(root / name, root, chance)
    flip(root / layout.CATALOG, root, chance)
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert {listed["vectors"][1], listed["metadata"][2], listed["column"][0]} == {
        line.split(":")[0] for line in report.lost
    }
    assert State.of(root).images == before.images
    index(home)
    assert State.of(root) == before


# -- care ----------------------------------------------------------------------------------------------------


def test_a_stray_file_is_an_orphan(home: Path) -> None:
    root = collection(home)
    (root / "metadata/000099.parquet").write_bytes(b"what is this?")
    (root / "spaces/0/img_emb/notes.txt").write_text("mine")
    problems = imseek.upkeep.verify(root).problems
    assert {(p.kind, p.file) for p in problems} == {
        ("orphan", "metadata/000099.parquet"),
        ("orphan", "spaces/0/img_emb/notes.txt"),
    }
    report = imseek.upkeep.repair(root)
    assert report.after.ok
    assert len(report.restored) == 2


def test_a_later_format_is_left_alone(home: Path) -> None:
    root = collection(home)
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection, connection:
        connection.execute("INSERT INTO migrations VALUES (99, 'of the future', '2100-01-01')")
    lose(root, layout.CHECKSUMS)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    for refused in (
        imseek.upkeep.verify,
        imseek.upkeep.repair,
        lambda path: Writer(path, "test").__enter__(),
    ):
        with pytest.raises(imseek.errors.FormatVersionError, match="version 2"):
            refused(root)
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and "-" not in path.name}
    assert after == before


def test_verify_does_not_judge_unfinished_work(home: Path) -> None:
    root = collection(home)
    with Writer(root, "test"):
        for refused in (imseek.upkeep.verify, imseek.upkeep.repair):
            with pytest.raises(imseek.errors.LockedError, match=str(os.getpid())):
                refused(root)
    assert imseek.upkeep.verify(root).ok


def test_a_damaged_shard_is_not_merged(home: Path) -> None:
    """A fresh checksum would vouch for the damage for ever."""
    from imseek.data.merge import merge

    root = collection(home)
    flip(root / kinds(root)["vectors"][1], root, random.Random(1))
    generation = Reader(root).generation
    with pytest.raises(CorruptCollectionError, match=r"000001\.npy"), Writer(root, "test") as writer:
        merge(writer, writer.current().shards)
    assert Reader(root).generation == generation
    assert imseek.upkeep.repair(root).after.ok


def test_no_collection(tmp_path: Path) -> None:
    for refused in (imseek.upkeep.verify, imseek.upkeep.repair):
        with pytest.raises(imseek.errors.CollectionNotFoundError):
            refused(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["metadata", "ids", "vectors", "dead", "column"])
def test_what_cannot_be_read_now_is_not_given_up(
    home: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every file can be read, so the refusal is the system's, simulated."""
    root = collection(home)
    name = kinds(root)[kind][0]
    (root / layout.CURRENT).unlink()  # Something to repair.
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}

    class Refused(io.FileIO):
        def __init__(self, path: Any, *args: Any, **kwargs: Any) -> None:
            raise PermissionError(13, "Permission denied", str(path))

    real, real_open = Path.open, open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        return Refused(path) if str(path) == str(root / name) else real_open(path, *args, **kwargs)

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(
        Path, "open", lambda path, *a, **k: refuse(path) if path == root / name else real(path, *a, **k)
    )
    problems = imseek.upkeep.verify(root).problems
    assert [p.repairable for p in problems if p.file == name] == [False]
    with pytest.raises(imseek.errors.StorageError, match="cannot be read"):
        imseek.upkeep.repair(root)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert imseek.upkeep.repair(root).lost == ()

"""A small collection with every kind of file, ways to damage one, and all the facts that must survive."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import imseek
from durability.stage import draw
from imseek.data import layout
from imseek.data.catalog import duplicate_judgements, shard_catalog
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import Connection, insert
from imseek.data.catalog.sqlite.catalog_backups import generation_of
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer

ALIVE = f"died = {FOREVER}"
IMAGES = 12
PUT_AWAY = "put away.png"
QUARANTINED = "03.png"  # In a shard with a dead row, so that its file of these has an older version.
SUSPENDED = "10.png"


@dataclass(frozen=True)
class State:
    """All facts. ``images`` by place: id, content, state, tags; ``rows`` by id: vector and metadata, whether or not
    they are ``found`` by a search; ``columns``: the derived value by id; ``others``: what else the catalog knows."""

    images: dict[str, tuple[Any, ...]]
    others: dict[str, list[Any]]
    rows: dict[int, tuple[bytes, dict[str, Any]]]
    columns: dict[int, float]
    found: frozenset[int]

    @property
    def searched(self) -> dict[int, bytes]:
        """Vectors by the ids that a search finds."""
        return {image_id: self.rows[image_id][0] for image_id in self.found}

    @classmethod
    def of(cls, root: Path) -> State:
        places = (
            "SELECT p.path, i.image_id, i.content_hash, i.state, "
            "(SELECT group_concat(tag || provenance) FROM tags t WHERE t.image_id = i.image_id AND t.died = p.died) "
            f"FROM places p JOIN images i USING (image_id) WHERE p.{ALIVE} AND i.{ALIVE}"
        )
        others = {
            "sources": f"SELECT source_id, kind, root, relative FROM sources WHERE {ALIVE}",
            "failures": "SELECT source_id, path, reason, message FROM failures",
            "judgements": "SELECT * FROM judgements",
            "documents": f"SELECT image_id, names, captions, keywords, text, written FROM documents WHERE {ALIVE}",
        }
        with connect_read_only(root) as connection:
            rows = connection.execute(places).fetchall()
            alive = connection.execute(f"SELECT COUNT(*) FROM images WHERE {ALIVE}").fetchone()[0]
            known = {name: sorted(connection.execute(query)) for name, query in others.items()}
        assert len({path for path, *_ in rows}) == len(rows) == alive, "each image has one place, each place one image"
        images = {os.fsdecode(path): tuple(facts) for path, *facts in rows}
        return cls(images, known, *_stored(root))


def _stored(
    root: Path,
) -> tuple[dict[int, tuple[bytes, dict[str, Any]]], dict[int, float], frozenset[int]]:
    """What shards and columns hold of living images."""
    from imseek.data.shards.shard_files import load_table

    reader = Reader(root)
    with connect_read_only(root) as connection:
        lies_in = dict(connection.execute(f"SELECT image_id, shard_id FROM images WHERE {ALIVE}"))
    rows: dict[int, tuple[bytes, dict[str, Any]]] = {}
    columns: dict[int, float] = {}
    found: set[int] = set()
    for shard in reader.current.shards:
        ids = reader.shard_ids(shard).tolist()
        vectors = np.load(root / layout.vectors(0, shard.shard_id))
        metadata = load_table(root, layout.metadata(shard.shard_id)).to_pylist()
        values = [None] * len(ids)
        if "quality" in shard.columns:
            values = load_table(root, shard.columns["quality"]).column("sharpness").to_pylist()
        for image_id, vector, facts, value in zip(ids, vectors, metadata, values, strict=True):
            if lies_in.get(image_id) == shard.shard_id:
                rows[image_id] = vector.tobytes(), facts
                if value is not None:
                    columns[image_id] = value
        searched = np.delete(np.array(ids), reader.dead_rows(shard)).tolist()
        assert found.isdisjoint(searched), "an image is found in one row"
        found |= set(searched)
    return rows, columns, frozenset(found)


def searched(root: Path) -> dict[int, bytes]:
    """The vectors that a search sees, by image id. Unlike a state, it can be had where places are lost."""
    rows, _, found = _stored(root)
    return {image_id: rows[image_id][0] for image_id in found}


def derived(root: Path) -> dict[int, float]:
    """The values of the derived column by image id. They too can be had where places are lost."""
    return _stored(root)[1]


def photos(home: Path) -> Path:
    return home / "photos"


def collection(home: Path) -> Path:
    """In the folder it describes, so that a copy of both is as good as the original."""
    return home / "photos" / ".imseek"


def index(home: Path) -> None:
    with imseek.open(collection(home)) as opened:
        opened.index([photos(home)])


def build(home: Path) -> None:
    """Four shards, dead rows, a quarantined and a suspended image, tags, failures, judgements, a derived
    column, two backups of different age. ``home/older`` is a copy of the collection before the last run."""
    photos(home).mkdir(parents=True)
    imseek.create(collection(home), encoder="fake", here=True).close()
    for n in range(IMAGES):
        draw(photos(home) / f"{n:02}.png", n)
        if n % 3 == 2:
            index(home)
    (photos(home) / "02.png").unlink()
    (photos(home) / "05.png").unlink()
    (photos(home) / "broken.png").write_bytes((photos(home) / "00.png").read_bytes()[:60])
    index(home)
    root = collection(home)
    ids = [i for shard in Reader(root).current.shards for i in Reader(root).shard_ids(shard).tolist()]
    with Writer(root, "test") as writer:
        put_columns(writer, "quality", {"sharpness": {i: float(i) for i in ids}})
        judge(writer, 0)
    (photos(home) / SUSPENDED).write_bytes(b"no longer a picture")
    index(home)
    shutil.copytree(root, home / "older")
    with Writer(root, "test") as writer:
        put_columns(writer, "quality", {"sharpness": {i: i / 4 for i in ids}})
        quarantined = _image_at(root, QUARANTINED)

        def mark(connection: Connection, generation: int) -> None:
            for image_id in (0, 4, 8):
                tag = {"image_id": image_id, "tag": f"tag{image_id}", "provenance": "test"}
                insert(connection, "tags", [{**tag, "born": generation, "died": FOREVER}])
            connection.execute("UPDATE images SET state = 'quarantined' WHERE image_id = ?", (quarantined,))
            query = "SELECT shard_id FROM images WHERE image_id = ?"
            (shard_id,) = connection.execute(query, (quarantined,)).fetchone()
            shard_catalog.write_dead_rows(writer, connection, generation, shard_id)

        writer.apply(mark)
        judge(writer, 1)
    # A file that lies at its place is searched again by the next scan.
    (photos(home) / QUARANTINED).rename(home / PUT_AWAY)


def judge(writer: Writer, n: int) -> None:
    """A judgement of the n-th content and the next one."""
    with connect_read_only(writer.root) as connection:
        hashes = sorted(row[0].hex() for row in connection.execute("SELECT DISTINCT content_hash FROM images"))
    said = duplicate_judgements.make_judgement(*hashes[n : n + 2], "different", "test", "2025-01-01T00:00:00+00:00")
    duplicate_judgements.record(writer, [said])


def _image_at(root: Path, name: str) -> int:
    with connect_read_only(root) as connection:
        query = f"SELECT image_id FROM places WHERE path = ? AND {ALIVE}"
        return int(connection.execute(query, (name.encode(),)).fetchone()[0])


def shard_of(state: State, image_id: int) -> int:
    """The shard that an image lay in: three were indexed in each run, in the order of their names."""
    return int(next(path for path, (i, *_) in state.images.items() if i == image_id)[:2]) // 3


# -- files ---------------------------------------------------------------------------------------------------------

#: Of these a collection has one; of the other kinds one for each shard.
SINGLE = ("identity", "current", "checksums", "catalog", "newer backup", "older backup")
KINDS = (*SINGLE, "metadata", "ids", "vectors", "dead", "column", "judgements")


def paths_of(root: Path) -> dict[str, list[str]]:
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
        "judgements": [path.relative_to(root).as_posix() for path in root.glob(f"{layout.JUDGEMENTS}/*")],
    }


@dataclass(frozen=True)
class Target:
    """A file to be damaged, another of its kind (in this collection or, where there is none, in another one), and
    an older version of it, where there is one."""

    path: Path
    other: Path
    older: Path | None

    @classmethod
    def choose(cls, home: Path, stranger: Path, kind: str, damage: str, chance: random.Random) -> Target:
        """Not the first of its kind: what is done to a shard must not depend on its number."""
        root, paths = collection(home), paths_of(collection(home))[kind]
        fit = [path for path in paths if damage != "an older version" or _older(home, kind, path)]
        path = chance.choice(fit[1:] or fit)
        other = root / chance.choice([p for p in paths if p != path]) if len(paths) > 1 else None
        return cls(root / path, other or collection(stranger) / path, _older(home, kind, path))

    @property
    def swaps(self) -> bool:
        """Whether the other file is damaged too when both are swapped."""
        return self.path.name != self.other.name


def _older(home: Path, kind: str, path: str) -> Path | None:
    """A sound file of an earlier generation, by which a careless hand (or a backup program) replaces this one."""
    older = home / "older"
    if kind == "older backup":
        return older / min(layout.BACKUPS, key=lambda name: generation_of(older / name))
    if kind in SINGLE and kind != "identity":
        return older / path
    if kind == "judgements":
        return next(older.glob(f"{layout.JUDGEMENTS}/*"))
    if kind in ("dead", "column"):
        shard_id = layout.shard_of(path)
        versions = list(older.glob(f"{Path(path).parent}/{shard_id:06d}.*"))
        return next((v for v in versions if v.read_bytes() != (collection(home) / path).read_bytes()), None)
    return None  # These are written once.


# -- damages -------------------------------------------------------------------------------------------------------

Damage = Callable[[Target, random.Random], None]


def delete(target: Target, _: random.Random) -> None:
    target.path.unlink()


def empty(target: Target, _: random.Random) -> None:
    target.path.write_bytes(b"")


def cut_tail(target: Target, chance: random.Random) -> None:
    data = target.path.read_bytes()
    target.path.write_bytes(data[: -chance.randrange(1, min(16, len(data)))])


def cut_half(target: Target, chance: random.Random) -> None:
    data = target.path.read_bytes()
    target.path.write_bytes(data[: chance.randrange(1, len(data))])


def cut_to_head(target: Target, chance: random.Random) -> None:
    data = target.path.read_bytes()
    target.path.write_bytes(data[: chance.randrange(1, min(100, len(data)))])


def append(target: Target, chance: random.Random) -> None:
    with target.path.open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 600)))


def flip_bit(target: Target, chance: random.Random) -> None:
    data = bytearray(target.path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    target.path.write_bytes(data)


def flip_bytes(target: Target, chance: random.Random) -> None:
    data = bytearray(target.path.read_bytes())
    start = chance.randrange(len(data))
    for place in range(start, min(start + 32, len(data))):
        data[place] ^= chance.randrange(1, 256)
    target.path.write_bytes(data)


def zero_sector(target: Target, chance: random.Random) -> None:
    data = bytearray(target.path.read_bytes())
    starts = [n for n in range(0, len(data), 512) if any(data[n : n + 512])]
    start = chance.choice(starts)
    end = min(start + 512, len(data))
    data[start:end] = bytes(end - start)
    target.path.write_bytes(data)


def swap(target: Target, _: random.Random) -> None:
    one, two = target.path.read_bytes(), target.other.read_bytes()
    assert one != two
    target.path.write_bytes(two)
    if target.swaps:
        target.other.write_bytes(one)


def age(target: Target, _: random.Random) -> None:
    assert target.older is not None
    shutil.copyfile(target.older, target.path)


#: These come out the same each time.
PLAIN: dict[str, Damage] = {"deleted": delete, "emptied": empty}
RANDOM: dict[str, Damage] = {
    "a bit flipped": flip_bit,
    "bytes flipped": flip_bytes,
    "a sector zeroed": zero_sector,
    "cut by a few bytes": cut_tail,
    "cut somewhere": cut_half,
    "cut to its head": cut_to_head,
    "appended to": append,
    "swapped": swap,
    "an older version": age,
}
DAMAGES = {**PLAIN, **RANDOM}


def damage(kind: str, path: Path, seed: int = 0, *, other: Path | None = None) -> None:
    """Do one of the damages to a file."""
    DAMAGES[kind](Target(path, other or path, None), random.Random(seed))


def has_older_version(kind: str) -> bool:
    return kind not in ("identity", "metadata", "ids", "vectors")

"""A collection from which much has been removed, the traces that this left, and the search for them.

The search looks at every file as it is, and at every zstd frame in it: the pages of Parquet files, those of
dictionaries too. (Statistics in the footer are not compressed.)
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

import imseek
from imseek import maintenance
from imseek.data import layout
from imseek.data.catalog import duplicate_judgements, shard_catalog
from imseek.data.catalog.sql import Connection, insert
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards.derived_columns import put_columns
from imseek.data.writing.writer import Writer
from imseek.ocr import text_store
from imseek.ocr.results import TextLine

STAYS = ("keep0", "keep1", "keep2", "moves", "changes", "leaves", "quarantined", "suspended")
GOES = ("gone0", "gone1")
#: Images of which nothing may be left.
REMOVED = ("changes", "leaves", *GOES)
ALIVE = f"died = {FOREVER}"
ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Case:
    """A collection beside the folders of its pictures. ``traces`` is what must go, ``ids`` the removed images."""

    home: Path
    traces: dict[str, bytes]
    ids: frozenset[int]

    @property
    def root(self) -> Path:
        return self.home / ".imseek"

    def copy(self, home: Path) -> Case:
        shutil.copytree(self.home, home)
        return replace(self, home=home)


def removed_from(home: Path) -> Case:
    """Removed but not purged."""
    root = home / ".imseek"
    fill(home)
    by_name = decorate(root)
    flip(root / layout.CATALOG)
    assert maintenance.repair(root).after.ok
    traces = traces_of(root, by_name)
    remove(home)
    return Case(home, traces, frozenset(by_name[name] for name in REMOVED))


def fill(home: Path) -> None:
    """Three shards; two sources, each with a broken file."""
    first, goes = home / "the folder before", home / "the folder that goes"
    with imseek.create(home / ".imseek", encoder="fake", here=True) as collection:
        for folder, names in ((first, STAYS[:1]), (first, STAYS[1:]), (goes, GOES)):
            folder.mkdir(exist_ok=True)
            (folder / f"broken among {names[0]}.png").write_bytes(b"\x89PNG\r\n\x1a\n, but no picture")
            for name in names:
                draw(folder / f"{name}.png", name)
            collection.index([folder])


def draw(path: Path, name: str) -> None:
    """A picture of noise; its EXIF has everything that is kept of EXIF, found in no other picture."""
    chance = np.random.default_rng(list(name.encode()))
    exif = Image.Exif()
    exif[Base.Model] = f"camera of {name}"
    exif[Base.ImageDescription] = f"caption of {name}"
    exif.get_ifd(IFD.Exif)[Base.LensModel] = f"lens of {name}"
    latitude, longitude = ((*chance.integers(60, size=2).tolist(), chance.random() * 59) for _ in range(2))
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N",
            GPS.GPSLatitude: latitude,
            GPS.GPSLongitudeRef: "E",
            GPS.GPSLongitude: longitude,
        }
    )
    pixels = chance.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST).save(path, exif=exif)


def decorate(root: Path) -> dict[str, int]:
    """Tags, derived columns, texts, a judgement, an image in quarantine, thumbnails. Returns the ids by name."""
    reader = Reader(root)
    ids = [i for shard in reader.current.shards for i in reader.shard_ids(shard).tolist()]
    places = {i: Path(os.fsdecode(place.path)) for i, place in reader.places(ids).items()}
    by_name = {path.stem: i for i, path in places.items()}
    with Writer(root, "test") as writer:
        numbers = {i: i + 1 / 7 for i in ids}
        put_columns(writer, "derived", {"number": numbers, "note": {i: f"label of {n}" for n, i in by_name.items()}})
        text_store.begin(writer, "reading 1")
        lines = {i: [TextLine(0.1, 0.1, 0.5, 0.1, 0.9, writing_in(name))] for name, i in by_name.items()}
        text_store.store(writer, lines)

        def change(connection: Connection, generation: int) -> None:
            life = {"provenance": "test", "born": generation, "died": FOREVER}
            tags = [{"image_id": i, "tag": f"tag of {name}", **life} for name, i in by_name.items()]
            insert(connection, "tags", tags)
            query = "UPDATE images SET state = 'quarantined' WHERE image_id = ?"
            connection.execute(query, (by_name["quarantined"],))
            for shard in reader.current.shards:
                shard_catalog.write_dead_rows(writer, connection, generation, shard.shard_id)

        writer.apply(change)
        duplicate_judgements.record(
            writer, [duplicate_judgements.make_judgement("a" * 64, "b" * 64, "same", "test", "2026-01-01")]
        )
    away = places[by_name["quarantined"]]
    away.rename(away.with_suffix(".away"))  # A file that lies at its place is searched again.
    (root / layout.CACHE / "64").mkdir(parents=True)
    for name, image_id in by_name.items():
        content_hash = reader.metadata([image_id])[image_id]["content_hash"]
        (root / layout.CACHE / "64" / f"{content_hash}.jpg").write_bytes(f"thumbnail of {name}".encode())
    return by_name


def writing_in(name: str) -> str:
    """What is written in a picture: a single word, which stemming leaves as it is."""
    return f"inscription7{name}"


def remove(home: Path) -> None:
    """One source moves, and files in it are moved, changed, deleted and broken; the other is removed."""
    stays = (home / "the folder before").rename(home / "stays")
    (stays / "moves.png").rename(stays / "moved.png")
    draw(stays / "changes.png", "something else")
    (stays / "leaves.png").unlink()
    (stays / "suspended.png").write_bytes(b"\x89PNG\r\n\x1a\n, cut off")
    with imseek.open(home / ".imseek") as collection:
        (source,) = (source for source in collection.info().sources if not source.present)
        collection.relocate_source(source.source_id, stays)
        assert collection.index().removed == 1
        (gone,) = (s for s in collection.info().sources if s.path == os.fsencode(home / "the folder that goes"))
        assert collection.remove_source(gone.source_id) == len(GOES)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# -- what must go, and the search for it ---------------------------------------------------------------------


def traces_of(root: Path, by_name: dict[str, int]) -> dict[str, bytes]:
    traces = {
        "the old name of what moved": b"moves.png",
        "the old place of the source": b"the folder before",
        "the removed source": b"the folder that goes",
        "the failure in the removed source": b"broken among gone0",
    }
    reader = Reader(root)
    for name in REMOVED:
        facts = reader.intrinsic(by_name[name])
        found = {
            "vector": reader.vector(by_name[name], 0).tobytes(),
            "hash": facts["content_hash"],
            "hash in hex": facts["content_hash"].hex().encode(),
            "perceptual hash": struct.pack("<Q", facts["phash"]),
            "latitude": struct.pack("<d", facts["latitude"]),
            "longitude": struct.pack("<d", facts["longitude"]),
            "derived number": struct.pack("<d", by_name[name] + 1 / 7),
        }
        found["text in the picture"] = writing_in(name).encode()
        found |= {kind: facts[kind].encode() for kind in ("camera", "lens", "caption")}
        found |= {f"derived {kind}": f"{kind} of {name}".encode() for kind in ("label", "thumbnail")}
        if name != "changes":  # Name and tag stay, with the new picture.
            found |= {"name": f"{name}.png".encode(), "tag": f"tag of {name}".encode()}
        traces |= {f"{kind} of {name}": trace for kind, trace in found.items()}
    return traces


def found_in(root: Path, traces: dict[str, bytes]) -> dict[str, set[str]]:
    """Which files or folders at the top have which traces in them, in names of files too."""
    found: dict[str, set[str]] = {}
    for path in (path for path in root.rglob("*") if path.is_file()):
        data = path.read_bytes()
        frames = [unpacked(data[at.start() :]) for at in re.finditer(re.escape(ZSTD), data)]
        parts = [os.fsencode(path.name), data, *frames]
        for name, trace in traces.items():
            if any(trace in part for part in parts):
                found.setdefault(name, set()).add(path.relative_to(root).parts[0])
    return found


def unpacked(data: bytes) -> bytes:
    """The zstd frame at the start of ``data``; by bytes, as what follows the frame is an error of the read."""
    out = bytearray()
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        try:
            while byte := stream.read(1):
                out += byte
        except OSError:
            pass
    return bytes(out)


def ids_in(root: Path) -> set[int]:
    """The image ids in shards, columns, catalog and backups."""
    found: set[int] = set()
    for path in root.rglob("*.ids.npy"):
        found |= set(np.load(path).tolist())
    for path in root.rglob("*.parquet"):
        found |= set(pq.read_table(path, columns=["image_id"]).column("image_id").to_pylist())
    for name in (layout.CATALOG, *layout.BACKUPS):
        for table in ("images", "places", "tags", "documents"):
            found |= {image_id for (image_id,) in ask(root, f"SELECT image_id FROM {table}", name)}
    return found


def ask(root: Path, query: str, name: str = layout.CATALOG) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"{(root / name).as_uri()}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def remaining(root: Path) -> dict[str, Any]:
    """Everything that a purge must leave as it is."""
    reader = Reader(root)
    vectors = {}
    for shard in reader.current.shards:
        stored = np.load(root / layout.vectors(0, shard.shard_id))
        rows = dict(zip(reader.shard_ids(shard).tolist(), stored, strict=True))
        alive = ask(root, f"SELECT image_id FROM images WHERE {ALIVE} AND shard_id = {shard.shard_id}")
        vectors |= {i: rows[i].tobytes() for (i,) in alive}
    queries = ["red", "a photograph", *np.eye(64, dtype=np.float32)[:3]]
    with imseek.open(root) as collection:
        answers = [
            [(h.image_id, h.score, h.place, h.metadata) for h in collection.search(q, limit=99)] for q in queries
        ]
        images = {hit[0]: collection.get(hit[0]) for hit in answers[0]}
        info = collection.info()
    tables = ("places", "tags", "sources", "spaces")
    return {
        "vectors": vectors,
        "answers": answers,
        "images": images,
        "sources": info.sources,
        "failures": info.failures,
        "states": sorted(ask(root, f"SELECT image_id, content_hash, state, born FROM images WHERE {ALIVE}")),
        "rows": {name: sorted(ask(root, f"SELECT * FROM {name} WHERE {ALIVE}")) for name in tables},
        "judgements": ask(root, "SELECT * FROM judgements"),
    }

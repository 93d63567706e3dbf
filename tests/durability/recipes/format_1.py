"""How the collection in ``format_1.tar.xz`` was made, and what is known of it (``format_1.json``).

The archive is never made again: it holds the very bytes of format 1. ``python -m durability.recipes.format_1`` made
both files; today it would make a collection with the same facts.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import numpy as np

import imseek
from durability.recipes.drawing import EXIF, draw
from imseek.data import layout
from imseek.data.catalog import catalog_writer, shard_catalog
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sql import Connection, insert
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.repair import catalog_recovery
from imseek.data.shards.compaction import merge
from imseek.data.shards.derived_columns import put_columns
from imseek.data.user_files.file_stat import FileStat
from imseek.data.writing import create, writer
from imseek.data.writing.writer import Writer
from imseek.indexer.sources import folder, local_files

ARCHIVE = Path(__file__).with_name("format_1.tar.xz")
FACTS = Path(__file__).with_name("format_1.json")
#: Where the archive's collection was made. One of its sources is recorded by this path.
MADE_IN = "/tmp/imseek-format-1"
ALIVE = f"died = {FOREVER}"
NOT_UTF_8 = os.fsdecode(b"caf\xe9.png")


def photos(home: Path) -> Path:
    return home / "photos"


def collection(home: Path) -> Path:
    """Inside the folder it describes, so that places in it are relative; those of ``more`` are absolute."""
    return home / "photos" / ".imseek"


def make(home: Path) -> None:
    """Everything that format 1 can hold, in a folder ``home`` that is to be made."""
    clock = Clock()
    with fixed(clock):
        _Recipe(home, clock).make()


class _Recipe:
    def __init__(self, home: Path, clock: Clock) -> None:
        self.photos, self.more, self.root = photos(home), home / "more", collection(home)
        self.clock = clock

    def make(self) -> None:
        self._three_sources()
        self._changes()
        with self._writer() as writer:
            merge(writer, writer.current().shards[:2])
        self.clock.pass_seconds(7200)  # The next writer removes the files of the two.
        for n in range(4):
            draw(self.photos / f"new{n}.png", 20 + n)
        self._index()
        (self.photos / "new0.png").unlink()
        (self.more / "1.png").write_bytes(b"no longer a picture")  # Suspends its image.
        self._index()
        self._columns_and_marks()
        draw(self.photos / "pair0.png", 30)
        draw(self.photos / "pair1.png", 31)
        self._index()
        for n in (32, 33):
            draw(self.photos / f"{n}.png", n)
            self._index()
        with self._writer() as writer:  # The files of these two are retired, and still there.
            merge(writer, writer.current().shards[-2:])
        self._lose_vectors()
        self.photos.with_name("put away.png").rename(self.photos / "1.png")

    def _three_sources(self) -> None:
        imseek.create(self.root, encoder="fake", here=True).close()
        draw(self.photos / "0.png", 0, exif=EXIF)
        for n in range(1, 6):
            draw(self.photos / f"{n}.png", n)
        draw(self.photos / NOT_UTF_8, 6)
        self._index(self.photos)
        gone = self.more.with_name("gone")
        for n in range(3):
            draw(self.more / f"{n}.png", 10 + n)
            draw(gone / f"{n}.png", 13 + n)
        draw(self.more.with_name("single.png"), 16)
        self._index(self.more, self.more.with_name("single.png"), gone)
        with imseek.open(self.root) as opened:
            opened.remove_source(self._source(gone))

    def _changes(self) -> None:
        """Files are moved, copied, changed, deleted; two swap names; others are no pictures. Some were tagged."""

        def tag(connection: Connection, generation: int) -> None:
            for name, tags in {"0.png": ["barn"], "2.png": ["old", "kept"], "3.png": ["gone"]}.items():
                for text in tags:
                    row = {"image_id": self._image(name), "tag": text, "provenance": "recipe"}
                    insert(connection, "tags", [{**row, "born": generation, "died": FOREVER}])

        self._apply(tag)
        (self.photos / "trip").mkdir()
        (self.photos / "0.png").rename(self.photos / "trip/moved.png")
        (self.photos / "copy.png").write_bytes((self.photos / "1.png").read_bytes())
        draw(self.photos / "2.png", 102)
        (self.photos / "3.png").unlink()
        (self.photos / "4.png").rename(self.photos / "aside")
        (self.photos / "5.png").rename(self.photos / "4.png")
        (self.photos / "aside").rename(self.photos / "5.png")
        (self.photos / "broken.png").write_bytes((self.photos / "1.png").read_bytes()[:99])
        (self.photos / "empty.png").touch()
        self._index()

    def _columns_and_marks(self) -> None:
        reader = Reader(self.root)
        ids = [i for shard in reader.current.shards for i in reader.shard_ids(shard).tolist()]
        with self._writer() as writer:
            put_columns(writer, "quality", {"sharpness": {i: i / 4 for i in ids}, "blurred": {ids[0]: True}})
            put_columns(writer, "quality", {"sharpness": {i: i / 8 for i in ids}, "label": {ids[-1]: "new"}})

        def quarantine_and_judge(connection: Connection, generation: int) -> None:
            mine = (self._image("1.png"),)
            connection.execute("UPDATE images SET state = 'quarantined' WHERE image_id = ?", mine)
            (shard_id,) = connection.execute("SELECT shard_id FROM images WHERE image_id = ?", mine).fetchone()
            shard_catalog.write_dead_rows(writer, connection, generation, shard_id)
            query = "SELECT content_hash FROM images ORDER BY image_id LIMIT 2"
            hash_a, hash_b = sorted(row[0] for row in connection.execute(query))
            judgement = {"verdict": "different", "provenance": "recipe", "decided_at": self.clock.text()}
            insert(connection, "judgements", [{"hash_a": hash_a, "hash_b": hash_b, **judgement}])

        with self._writer() as writer:
            writer.apply(quarantine_and_judge)
        # A file that lies at its place is searched again by the next scan.
        (self.photos / "1.png").rename(self.photos.with_name("put away.png"))

    def _lose_vectors(self) -> None:
        """Two images wait to be encoded again."""
        path = self.root / layout.vectors(0, self._shard("pair0.png"))
        path.write_bytes(path.read_bytes()[:-1])
        assert imseek.maintenance.repair(self.root).after.ok

    def _index(self, *paths: Path) -> None:
        self.clock.pass_seconds(60)
        with imseek.open(self.root) as opened:
            opened.index(paths)

    def _apply(self, change: Any) -> None:
        with self._writer() as writer:
            writer.apply(change)

    def _writer(self) -> Writer:
        self.clock.pass_seconds(60)
        return Writer(self.root, "recipe")

    def _source(self, path: Path) -> int:
        with imseek.open(self.root) as opened:
            return next(s.source_id for s in opened.info().sources if s.path == os.fsencode(path))

    def _image(self, name: str) -> int:
        return int(self._of_place("image_id", name))

    def _shard(self, name: str) -> int:
        return int(self._of_place("shard_id", name))

    def _of_place(self, column: str, name: str) -> Any:
        query = f"SELECT {column} FROM places p JOIN images USING (image_id) WHERE path = ? AND p.{ALIVE}"
        with connect_read_only(self.root) as connection:
            return connection.execute(query, (name.encode(),)).fetchone()[0]


# -- what could differ from one run to the next --------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self._at = datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp()

    def pass_seconds(self, seconds: float) -> None:
        self._at += seconds

    def time(self) -> float:
        return self._at

    def text(self) -> str:
        return datetime.fromtimestamp(self._at, UTC).isoformat(timespec="seconds")

    def stat(self, info: os.stat_result, checked_ns: int | None = None) -> FileStat:
        """As if every file had been written the moment before."""
        at = int(self._at * 1e9)
        return FileStat(info.st_size, at, at, 1, at)


@contextmanager
def fixed(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(patch("uuid.uuid4", lambda: UUID(int=1, version=4)))
        stack.enter_context(patch("time.time", clock.time))
        for module in (catalog_writer, create, writer, catalog_recovery):
            stack.enter_context(patch.object(module, "now", clock.text))
        for module in (folder, local_files):
            stack.enter_context(patch.object(module, "file_stat", clock.stat))
        for name, value in {"host": "recipe", "boot_id": "1"}.items():
            stack.enter_context(patch.object(writer, name, lambda value=value: value))
        yield


# -- facts -----------------------------------------------------------------------------------------------------


def facts(home: Path) -> dict[str, Any]:
    """What is to be found in the collection, whatever the format that it is in. Reads only."""
    root = collection(home)
    with imseek.open(root) as opened:
        info = opened.info()
        questions = {"red": "red", "a blue lake": "a blue lake", "a vector": np.ones(info.encoder.dim)}
        found = {name: opened.search(question, limit=1000, by="image").hits for name, question in questions.items()}
        images = [opened.get(hit.image_id) for hit in found["red"]]
    return {
        "uuid": info.uuid,
        "created": info.created,
        "generation": info.generation,
        "encoder": [info.encoder.encoder, info.encoder.fingerprint, info.encoder.dim],
        "sources": [[s.source_id, s.kind, _shown(s.path, home), s.images, s.failures] for s in info.sources],
        "failures": [[f.source_id, _shown(f.path, home), f.reason] for f in info.failures],
        "hits": {name: [[hit.image_id, hit.score] for hit in hits] for name, hits in found.items()},
        "images": {
            str(image.image_id): {
                "place": image.place and _shown(image.place.path, home),
                "hash": image.content_hash,
                "tags": list(image.tags),
                **image.metadata,
            }
            for image in sorted(images, key=lambda image: image.image_id)
        },
        **_catalog_facts(root),
    }


def _catalog_facts(root: Path) -> dict[str, Any]:
    """What no reading function tells."""
    queries = {
        "states": f"SELECT image_id, hex(content_hash), state, shard_id IS NULL FROM images WHERE {ALIVE}",
        "places": f"SELECT image_id, source_id, hex(path) FROM places WHERE {ALIVE}",
        "tags": f"SELECT image_id, tag, provenance FROM tags WHERE {ALIVE}",
        "judgements": "SELECT hex(hash_a), hex(hash_b), verdict, provenance, decided_at FROM judgements",
        "dead": f"SELECT COUNT(*) FROM images WHERE NOT {ALIVE}",
    }
    with connect_read_only(root) as connection:
        return {name: sorted(map(list, connection.execute(query))) for name, query in queries.items()}


def _shown(path: bytes, home: Path) -> str:
    return os.fsdecode(path).replace(str(home), MADE_IN)


# -- the archive -------------------------------------------------------------------------------------------------


def unpack(home: Path) -> None:
    """The collection of the archive, and the pictures that belong to it, in ``home``."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(home, filter="data")


def _pack(home: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(home, arcname=".", filter=_anonymous)
    return lzma.compress(packed.getvalue(), preset=9)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime, member.uid, member.gid, member.uname, member.gname = 1735732800, 0, 0, "", ""
    return member


def main() -> None:
    if ARCHIVE.exists():
        raise SystemExit(f"{ARCHIVE} is there; a format is made only once")
    home = Path(MADE_IN)
    make(home)
    ARCHIVE.write_bytes(_pack(home))
    FACTS.write_text(json.dumps(facts(home), indent=1, sort_keys=True) + "\n")
    shutil.rmtree(home)


if __name__ == "__main__":
    main()

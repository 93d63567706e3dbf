"""Make a collection of many hard vectors (bench/vectors.py) without pictures, in imseek's own format.

    python bench/big.py --count 1000000 --out DIR [--dim 512] [--encoder fake:512] [--dead 0.01]
    python bench/big.py --append 4096 --out DIR

Files and catalog are as `imseek index` leaves them after merging: shards of about a million rows, published and
recorded through imseek's own writer, with made-up metadata (size, format, date, camera, `0012/000012345.jpg` as the
place, and a column `draw`, evenly spread between 0 and 1, to filter by). Only the rows of the catalog are inserted in
bulk, since ten million of them would take an hour one by one; its indexes are dropped before and created again after.
`imseek info`, `search`, `maintain` and `collection verify` treat the result like any other collection.

The live images are the rows of `vectors.blocks`, in order of id. `--dead` is the share of further rows that are
stored and dead, as of pictures that were removed. `--append` adds the next rows in commits of 4,096, as a tail that
no snapshot covers.

Scripts that need pictures too pass `Files`: then places, hashes and sizes are those of files that are there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import recorder

import imseek
from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import LIVE
from imseek.data.catalog.changeset import Changeset, NewImage
from imseek.data.catalog.sources import add
from imseek.data.catalog.sql import Connection
from imseek.data.collection_records import FOREVER
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.data.user_files.file_stat import FileStat
from imseek.data.words import documents
from imseek.data.writing.commit import commit
from imseek.data.writing.writer import Writer

sys.path.insert(0, str(Path(__file__).parent))

import vectors

#: Rows of a shard: whole blocks, about as many as merging makes. 1 % of dead ones leave it below the million of merges.
SHARD = 15 * vectors.ROWS
#: Rows of a commit of the tail.
COMMIT = 4096
#: Dead rows come from blocks beyond those of any collection.
_FAR = 1 << 24
_CAMERAS = (
    None,
    "Canon EOS 5D Mark IV",
    "NIKON D750",
    "Apple iPhone 12",
    "samsung SM-G991B",
    "SONY ILCE-7M3",
)
_SIZES = np.array([(4032, 3024), (3024, 4032), (6000, 4000), (1920, 1080), (1200, 1600), (640, 480)], np.int32)
_INDEXED = ("images", "places")
#: What the catalog records of a file: the fields of FileStat, the sha256 of its bytes, and the perceptual hash.
FILE = np.dtype(
    [
        ("size", np.int64),
        ("mtime_ns", np.int64),
        ("ctime_ns", np.int64),
        ("inode", np.int64),
        ("checked_ns", np.int64),
        ("content_hash", np.uint8, (32,)),
        ("phash", np.uint64),
        ("width", np.int32),
        ("height", np.int32),
    ]
)
STAT = ("size", "mtime_ns", "ctime_ns", "inode", "checked_ns")
#: Returns the vectors from one row number to before another, as arrays.
Rows: TypeAlias = Callable[[int, int], Iterator[vectors.Float16]]


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """JPEG files in the folder ``root``: ``records`` (n,) of FILE, by row number."""

    root: Path
    records: npt.NDArray[np.void]

    @staticmethod
    def path(number: int) -> bytes:
        """Return the path of a row's file in the folder."""
        return b"%04d/%09d.jpg" % (number // 1000, number)


@dataclass(frozen=True, slots=True)
class BuildTimes:
    """Seconds by part of the work."""

    vectors: float
    catalog: float
    rest: float


def make(
    root: Path,
    count: int,
    dim: int = vectors.DIM,
    seed: int = 0,
    encoder: str | None = None,
    dead: float = 0.0,
    profile: vectors.Name = "hard",
    files: Files | None = None,
    live_rows: Rows | None = None,
) -> BuildTimes:
    """Make a collection of ``count`` live images in the folder ``root``, which must not contain one.

    They have the vectors of ``live_rows`` (default: :func:`vectors.rows`), and are pictures in ``files``, if given;
    then none may be dead.
    """
    assert files is None or not dead
    live_rows = live_rows or partial(vectors.rows, dim=dim, seed=seed, profile=profile)
    with imseek.create(root, encoder=encoder or f"fake:{dim}") as collection:
        width = collection.info().encoder.dim
    if width != dim:
        raise SystemExit(f"vectors of {dim} numbers, and the encoder makes {width}: --dim {width}")
    start_time = time.perf_counter()
    seconds = {"vectors": 0.0, "catalog": 0.0}
    with Writer(root, "bench") as writer:
        folder = b"/nowhere/photos" if files is None else os.fsencode(files.root.absolute())
        source = add(writer, "folder", folder).source_id
        indexes = _without_indexes(writer)
        dead_ids: list[int] = []
        for start in range(0, count, SHARD):
            live = min(SHARD, count - start)
            dead_count = round(live * dead)
            dead_rows = vectors.block(_FAR + start // SHARD, dim, seed, profile=profile)
            dead_rows = dead_rows[np.arange(dead_count) % len(dead_rows)]
            dead_ids += _add_shard(writer, source, start, live, dead_rows, live_rows, files, seed, seconds)
            print(f"\r{start + live:,} of {count:,} rows", end="", file=sys.stderr, flush=True)
        at = time.perf_counter()

        def finish(connection: Connection, generation: int) -> None:
            for statement in indexes:
                connection.execute(statement)
            for shard in sorted(shard_catalog.mark_dead(connection, generation, dead_ids)):
                shard_catalog.write_dead_rows(writer, connection, generation, shard)

        writer.apply(finish)
        seconds["catalog"] += time.perf_counter() - at
    print(file=sys.stderr)
    return BuildTimes(**seconds, rest=time.perf_counter() - start_time - sum(seconds.values()))


def append(
    root: Path,
    count: int,
    seed: int = 0,
    profile: vectors.Name = "hard",
    files: Files | None = None,
    live_rows: Rows | None = None,
) -> None:
    """Add the next ``count`` rows, in many small commits; ``files`` and ``live_rows`` are as of :func:`make`."""
    reader = Reader(root)
    (space,) = reader.current.image_spaces
    start = reader.current.images
    live_rows = live_rows or partial(vectors.rows, dim=space.dim, seed=seed, profile=profile)
    with Writer(root, "bench") as writer:
        source = writer.catalog.sources()[0].source_id
        for at in range(start, start + count, COMMIT):
            rows = np.concatenate(list(live_rows(at, min(at + COMMIT, start + count))))
            numbers = np.arange(at, at + len(rows))
            table = _metadata(numbers, np.random.default_rng([seed, 9, at]), numbers, files)
            facts = [{k: v for k, v in row.items() if k != "image_id"} for row in table.to_pylist()]
            batch = Changeset(
                new=[
                    NewImage(
                        source,
                        _path(at + n) if files is None else files.path(at + n),
                        FileStat(facts[n]["bytes"], 0, 0, at + n + 1, 1)
                        if files is None
                        else FileStat(*files.records[list(STAT)][at + n].tolist()),
                        facts[n]["content_hash"],
                        facts[n],
                        {space.space_id: row},
                    )
                    for n, row in enumerate(rows)
                ]
            )
            commit(writer, batch)


def live_ids(root: Path) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(images,) the id of each live image: the n-th is that of row n of `vectors.blocks`."""
    reader = Reader(root)
    ids = [np.delete(reader.shard_ids(shard), reader.dead_rows(shard)) for shard in reader.current.shards]
    return np.sort(np.concatenate(ids))


def _add_shard(
    writer: Writer,
    source: int,
    start: int,
    live: int,
    dead_rows: vectors.Float16,
    live_rows: Rows,
    files: Files | None,
    seed: int,
    seconds: dict[str, float],
) -> list[int]:
    """Add a shard of live and dead rows; return the ids of the dead ones."""
    dead, dim = dead_rows.shape
    id_range = writer.take_ids(live + dead)
    shard_id = writer.take_shard()
    ids = np.arange(id_range.start, id_range.stop)
    rng = np.random.default_rng([seed, 8, start])
    # The dead lie among the others: a run of them would be cheap to skip.
    place = np.sort(rng.choice(live + dead, dead, replace=False))
    is_dead = np.zeros(live + dead, np.bool_)
    is_dead[place] = True

    def rows() -> Iterator[vectors.Float16]:
        at = dead_used = 0
        for block in live_rows(start, start + live):
            while len(block):
                # As many positions as take all of the block's rows, with the dead between them.
                span = is_dead[at : at + len(block)]
                out = np.empty((len(span), dim), np.float16)
                dead_count = int(span.sum())
                out[span] = dead_rows[dead_used : dead_used + dead_count]
                out[~span] = block[: len(span) - dead_count]
                block = block[len(span) - dead_count :]
                at, dead_used = at + len(span), dead_used + dead_count
                yield out
        if at < len(is_dead):
            yield dead_rows[dead_used:]

    start_time = time.perf_counter()
    numbers = np.full(live + dead, start)  # Dead rows may have any.
    numbers[~is_dead] = np.arange(start, start + live)
    table = _metadata(ids, rng, numbers, files)
    hashes = table.column("content_hash").combine_chunks().buffers()[1].to_pybytes()
    blocks = shard_files.MatrixBlocks(live + dead, dim, rows())
    staged = [
        shard_catalog.stage(writer, layout.metadata(shard_id), "metadata", table),
        shard_catalog.stage(writer, layout.ids(shard_id), "ids", ids),
        shard_catalog.stage(writer, layout.vectors(0, shard_id), "vectors", blocks, space_id=0),
    ]
    seconds["vectors"] += time.perf_counter() - start_time
    start_time = time.perf_counter()

    def change(connection: Connection, generation: int) -> None:
        shard_catalog.add_shard(writer, connection, generation, shard_id, len(ids), staged)
        insert = f"INSERT INTO images VALUES (?, ?, {shard_id}, '{LIVE}', {generation}, {FOREVER})"
        each = (hashes[i : i + 32] for i in range(0, len(hashes), 32))
        connection.executemany(insert, zip(ids.tolist(), each, strict=True))
        if files is None:
            connection.execute(
                "INSERT INTO places (place_id, image_id, source_id, path, size, mtime_ns, ctime_ns, inode, "
                "checked_ns, born, died) SELECT image_id + 1, image_id, ?, "
                "CAST(printf('%04d/%09d.jpg', image_id / 10000, image_id) AS BLOB), "
                "200000 + image_id % 4000000, 0, 0, image_id + 1, 1, born, died "
                "FROM images WHERE image_id BETWEEN ? AND ?",
                (source, int(ids[0]), int(ids[-1])),
            )
        else:
            stats = files.records[list(STAT)][start : start + live].tolist()
            connection.executemany(
                "INSERT INTO places (place_id, image_id, source_id, path, size, mtime_ns, ctime_ns, inode, "
                f"checked_ns, born, died) VALUES (?, ?, {source}, ?, ?, ?, ?, ?, ?, {generation}, {FOREVER})",
                (
                    (image_id + 1, image_id, files.path(start + n), *stat)
                    for n, (image_id, stat) in enumerate(zip(ids.tolist(), stats, strict=True))
                ),
            )
        documents.forget_index(connection)  # The next writer adds the documents.

    writer.apply(change)
    seconds["catalog"] += time.perf_counter() - start_time
    return [int(i) for i in ids[is_dead]]


def _path(number: int) -> bytes:
    return b"tail/%09d.jpg" % number


def _metadata(ids: Any, rng: np.random.Generator, numbers: Any, files: Files | None = None) -> pa.Table:
    """Metadata of images with these ids, pictures in ``files`` if given; ``numbers`` are their row numbers."""
    n = len(ids)
    sizes = _SIZES[rng.integers(0, len(_SIZES), n)]
    first = int(datetime(2008, 1, 1, tzinfo=UTC).timestamp() * 1000)
    dates = first + rng.integers(0, 17 * 365 * 86_400, n) * 1000
    undated = rng.random(n) < 0.1
    camera = pa.DictionaryArray.from_arrays(
        pa.array(rng.integers(0, len(_CAMERAS), n), pa.int32()), pa.array(_CAMERAS, pa.string())
    ).cast(pa.string())
    is_located = rng.random(n) < 0.3
    columns = {
        "image_id": pa.array(ids, pa.int64()),
        "content_hash": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), n, [None, pa.py_buffer(rng.bytes(32 * n))]),
        "width": pa.array(sizes[:, 0]),
        "height": pa.array(sizes[:, 1]),
        "format": pa.array(np.where(rng.random(n) < 0.9, "JPEG", "PNG")),
        "mode": pa.array(np.full(n, "RGB")),
        "frames": pa.array(np.ones(n, np.int32)),
        "bytes": pa.array(200_000 + np.asarray(ids, np.int64) % 4_000_000),
        "phash": pa.array(rng.integers(1, 2**64, n, np.uint64, endpoint=False)),
        "orientation": pa.array(np.ones(n, np.int8)),
        "taken_at": pa.array(dates.astype("datetime64[ms]"), pa.timestamp("ms"), mask=undated),
        "taken_at_zone": pa.nulls(n, pa.int16()),
        "camera": camera,
        "lens": pa.nulls(n, pa.string()),
        "latitude": pa.array(rng.uniform(-60, 70, n), mask=~is_located),
        "longitude": pa.array(rng.uniform(-180, 180, n), mask=~is_located),
        "caption": pa.nulls(n, pa.string()),
        **{field.name: pa.nulls(n, field.type) for field in shard_files.LUMA_COLUMNS},
    }
    if files is not None:
        records = files.records[numbers]
        hashes = pa.py_buffer(np.ascontiguousarray(records["content_hash"]).tobytes())
        columns |= {
            "content_hash": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), n, [None, hashes]),
            "format": pa.array(np.full(n, "JPEG")),
            "bytes": pa.array(records["size"]),
            **{name: pa.array(records[name]) for name in ("width", "height", "phash")},
        }
    draw = pa.field("draw", pa.float64())
    return pa.table(
        [*columns.values(), pa.array(vectors.draws(numbers))],
        schema=pa.schema([*shard_files.INTRINSIC_SCHEMA, draw]),
    )


def _without_indexes(writer: Writer) -> list[str]:
    """Drop the indexes of the big tables; return the statements that create them again."""
    statements: list[str] = []

    def change(connection: Connection, _generation: int) -> None:
        connection.execute("PRAGMA cache_size = -400000")
        for table in _INDEXED:
            query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL"
            for name, sql in connection.execute(query, (table,)).fetchall():
                statements.append(sql)
                connection.execute(f"DROP INDEX {name}")

    writer.apply(change)
    return statements


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--append", type=int)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=vectors.DIM)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", choices=vectors.PROFILES, default="hard", help="of bench/vectors.py")
    parser.add_argument("--encoder", help="whose collection it is to be; of width --dim")
    parser.add_argument("--dead", type=float, default=0.01)
    parser.add_argument("--replace", action="store_true", help="delete the folder --out first")
    options = parser.parse_args()
    if options.append:
        append(options.out, options.append, options.seed, options.profile)
        return
    if options.replace:
        shutil.rmtree(options.out, ignore_errors=True)
    start = time.perf_counter()
    times = make(options.out, options.count, options.dim, options.seed, options.encoder, options.dead, options.profile)
    print(
        f"{options.count:,} images in {time.perf_counter() - start:.0f} s: vectors and metadata "
        f"{times.vectors:.0f}, catalog {times.catalog:.0f}, rest (backup, checksums) {times.rest:.0f}"
    )
    recorder.put(images=options.count, vectors_s=times.vectors, catalog_s=times.catalog, rest_s=times.rest)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

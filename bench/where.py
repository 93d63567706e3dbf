"""Time of filters on synthetic collections of 1M and 10M rows: the first run, with columns in memory, and repeated.

    python bench/where.py [--rows 1000000 10000000] [--places] [--folder /tmp/where]

The rows of a collection of several shards repeat those of the first shard, under ids of their own. ``--places`` gives
every image a path in the catalog, which takes long to make for 10M. The collections have only ids, metadata and
catalog, since filters need no vectors. `columns in memory` is the time of another filter over the same columns.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import recorder

import imseek
from imseek.data import layout
from imseek.data.collection_records import FOREVER, Current, Shard, encode_record
from imseek.data.current_generation import read_current
from imseek.data.reader import Reader
from imseek.data.shards import shard_files
from imseek.search.where import Filters

SHARD = 1_000_000
WORDS = "harbour boat cat dog park sunny day red car street night snow child beach tree old house bridge"

#: A filter, and another over the same columns.
FILTERS = {
    "number": ("width > 3000", "width > 3100"),
    "two numbers": ("megapixels >= 12 AND bytes < 4000000", "megapixels >= 13 AND bytes < 4100000"),
    "time": ("taken_at >= '2023-05-01' AND taken_at < '2023-06-01'", "taken_at < '2012-01-01'"),
    "part of a time": ("year = 2023 AND month IN (5, 6)", "year = 2021 AND month = 1"),
    "list": ("format IN ('JPEG', 'PNG')", "format = 'WEBP'"),
    "LIKE": ("caption LIKE '%harbour%'", "caption LIKE '%bridge%'"),
    "ILIKE": ("caption ILIKE '%Harbour%'", "caption ILIKE '%Bridge%'"),
    "pattern": ("regexp_matches(caption, 'red (car|boat)')", "regexp_matches(caption, '^old.*night$')"),
    "position": ("near(59.91, 10.75, 100)", "near(-33.9, 151.2, 500)"),
    "1 in 10,000": ("bytes % 10000 = 7", "bytes % 10000 = 8"),
}
PLACES = {
    "folder": ("folder LIKE '%/07'", "folder LIKE '%/08'"),
    "extension": ("extension = 'png'", "name < 'b'"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--places", action="store_true", help="filters over paths, too")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="where"))
    start = time.perf_counter()
    import_all()
    imported = milliseconds_since(start)
    print(f"imports (duckdb, sqlglot, pyarrow) {imported:.0f} ms")
    connect = statistics.median(time_call(connect_once) for _ in range(5)) * 1e3
    print(f"connect and lock {connect:.1f} ms")
    recorder.put(import_ms=imported, connect_ms=connect)
    try:
        for rows in options.rows:
            root = folder / str(rows)
            make(root, rows, options.places)
            measure(root, rows, {**FILTERS, **(PLACES if options.places else {})})
            shutil.rmtree(root)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


def import_all() -> None:
    import duckdb  # noqa: F401
    import pyarrow.dataset  # noqa: F401

    import imseek.search.where.column_cache
    import imseek.search.where.compiler  # noqa: F401


def connect_once() -> None:
    from imseek.search.where.duckdb_sandbox import connect

    connect().close()


def measure(root: Path, rows: int, conditions: dict[str, tuple[str, str]]) -> None:
    print(f"\n{rows:,} rows, {len(read_current(root).shards)} shards\n")
    print("| filter | passing | first ms | columns in memory ms | repeated ms | resident MB |")
    print("|---|---|---|---|---|---|")
    reader = Reader(root)
    for name, (first, second) in conditions.items():
        filters = Filters()
        cold = time_call(lambda first=first, filters=filters: filters.ids(reader, first))  # type: ignore[misc]
        warm = time_call(lambda second=second, filters=filters: filters.ids(reader, second))  # type: ignore[misc]
        again = time_call(lambda first=first, filters=filters: filters.ids(reader, first))  # type: ignore[misc]
        passing = len(filters.ids(reader, first))
        filters.close()
        print(
            f"| {name}: `{first}` | {passing / rows:.2%} | {cold * 1e3:.0f} | {warm * 1e3:.1f} | {again * 1e3:.3f} "
            f"| {resident():.0f} |"
        )
        recorder.add_row(
            "filters",
            rows=rows,
            filter=name,
            where=first,
            share_passing=passing / rows,
            first_ms=cold * 1e3,
            columns_in_memory_ms=warm * 1e3,
            repeated_ms=again * 1e3,
            resident_mb=resident(),
        )
        sys.stdout.flush()


def make(root: Path, rows: int, places: bool) -> None:
    """Make a collection with everything that filters read."""
    start_time = time.perf_counter()
    imseek.create(root, encoder="fake").close()
    current = read_current(root)
    first = root / layout.metadata(0)
    first.parent.mkdir(exist_ok=True)
    per_shard = min(rows, SHARD)
    shard_files.write_table(first, table(per_shard))
    shards = []
    for number, start in enumerate(range(0, rows, per_shard)):
        if number:
            os.link(first, root / layout.metadata(number))
        np.save(root / layout.ids(number), np.arange(start, start + per_shard))
        shards.append(Shard(number, per_shard, (0,)))
    record = Current(current.uuid, 1, current.committed, rows, current.spaces, tuple(shards), next_image_id=rows + 1)
    (root / layout.CURRENT).write_bytes(encode_record(record))
    if places:
        with sqlite3.connect(root / layout.CATALOG) as connection:
            connection.execute("INSERT INTO sources VALUES (1, 'folder', ?, 0, '{}', 0, ?)", (b"/photos", FOREVER))
            connection.executemany(
                "INSERT INTO places VALUES (?, ?, 1, ?, 1, 1, 1, 1, 1, 1, ?)",
                (
                    (n, n, b"2023/%02d/IMG_%08d.%s" % (n % 12, n, (b"jpg", b"png")[n % 5 == 0]), FOREVER)
                    for n in range(rows)
                ),
            )
        connection.close()
    print(f"made in {time.perf_counter() - start_time:.0f} s", file=sys.stderr)


def table(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    words = np.array(WORDS.split())
    captions = words[rng.integers(0, len(words), rows)]
    for _ in range(5):
        captions = np.char.add(np.char.add(captions, " "), words[rng.integers(0, len(words), rows)])
    seconds = rng.integers(1_262_304_000, 1_704_067_200, rows)  # 2010 to 2023
    unknown = rng.random(rows) < 0.3
    columns: dict[str, Any] = {
        "image_id": np.arange(rows),
        "width": rng.integers(300, 6000, rows),
        "height": rng.integers(300, 6000, rows),
        "format": pa.array(np.array(["JPEG", "PNG", "WEBP", "HEIF"])[rng.integers(0, 4, rows)]),
        "mode": pa.array(["RGB"] * rows),
        "frames": np.ones(rows, np.int32),
        "bytes": rng.integers(10_000, 9_000_000, rows),
        "phash": rng.integers(0, 2**63, rows),
        "orientation": np.ones(rows, np.int8),
        "taken_at": pa.array(seconds * 1000, mask=unknown),
        "taken_at_zone": pa.nulls(rows),
        "camera": pa.array(np.array(["X100", "EOS R5", "Pixel 8"])[rng.integers(0, 3, rows)], mask=unknown),
        "lens": pa.nulls(rows),
        "latitude": pa.array(rng.uniform(-90, 90, rows), mask=unknown),
        "longitude": pa.array(rng.uniform(-180, 180, rows), mask=unknown),
        "caption": pa.array(captions.tolist()),
        **{field.name: pa.nulls(rows) for field in shard_files.LUMA_COLUMNS},
    }
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), rows, [None, pa.py_buffer(rng.bytes(32 * rows))])
    arrays = [
        hashes if field.name == "content_hash" else pa.array(columns[field.name]).cast(field.type)
        for field in shard_files.INTRINSIC_SCHEMA
    ]
    return pa.table(arrays, schema=shard_files.INTRINSIC_SCHEMA)


def time_call(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def milliseconds_since(start: float) -> float:
    """Milliseconds since ``start``."""
    return (time.perf_counter() - start) * 1e3


def resident() -> float:
    """Peak resident memory of the process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(recorder.run(main))

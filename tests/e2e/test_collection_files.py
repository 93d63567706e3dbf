"""Every file that a fixed sequence of commands writes into a collection: names, schemas and contents.

What is on disk is older than any version of imseek that reads it. A difference here needs a migration (docs/format.md);
after one: ``pytest tests/e2e/test_collection_files.py --snapshot-update``.
"""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from masks import JsonFile, mask
from probing import album, draw

from imseek.data.catalog.sqlite import word_index

LINES = (
    "index album --encoder fake --captions",
    "index more",
    "tag add red album/red/00.png album/red/01.png",
    "tag add lime album/lime/00.png",
    "judge 1 2 --different",
    "label --classes red,lime,blue --save kind",
    "map --method pca",
    "probe fit colours --tags red,lime",
    "clusters -k 3 --save kinds",
    "duplicates --plan plan.json --action quarantine",
    "apply plan.json --yes",
    "maintain --index IVF2,Flat --merge",
)


@pytest.mark.always
def test_files(
    cli: Callable[..., Any], tmp_path: Path, home: Path, snapshot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMSEEK_CACHE", str(tmp_path / "cache"))
    album(Path("album"), 4)
    (draw(Path("more"), "red", 9).parent / "copy.png").write_bytes(Path("more/red/09.png").read_bytes())
    for line in LINES:
        outcome = cli(*shlex.split(line))
        assert outcome.code == 0, (line, outcome.err)
    root = home / "collections/default"
    contents = {
        str(path.relative_to(root)): list(_contents(path)) for path in sorted(root.rglob("*")) if path.is_file()
    }
    assert mask(
        contents, {str(tmp_path): "TMP"} | {path.stem: "UNDO" for path in root.glob("undo/*")}
    ) == snapshot.use_extension(JsonFile)


def _contents(path: Path) -> Iterator[Any]:
    """What a file says, without what differs in each run."""
    if path.suffix == ".npy":
        array = np.load(path)
        yield f"{array.dtype} {array.shape}"
        if array.dtype.kind in "iu":
            yield array.ravel()[:40].tolist()
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        for field in table.schema:
            masked = re.search("time|stat|_ns|size", field.name)
            yield f"{field.name}: {field.type}" + ("" if masked else f" {table[field.name].to_pylist()[:3]}")
    elif path.suffix == ".json":
        yield json.loads(path.read_text())
    elif path.suffix == ".jsonl":
        yield from (" ".join(json.loads(line)) for line in path.read_text().splitlines())
    elif path.suffix == ".sqlite":
        yield from _rows(path)
    elif path.suffix:
        yield "bytes"


def _rows(path: Path) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE ? ORDER BY name",
            (f"{word_index.TABLE}_%",),  # How FTS5 keeps its data is its own affair.
        ).fetchall()
        for _, sql in tables:
            yield re.sub(r"\s+", " ", sql)
        for name, _ in tables:
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info('{name}')")]
            fixed = [
                one
                for one in columns
                if not re.search("_ns$|_at$|inode|uuid|hash|root|value|size|pid|host|boot_id|progress", one)
            ]
            if fixed:
                names = ", ".join(f'"{one}"' for one in fixed)
                for row in connection.execute(f'SELECT {names} FROM "{name}" ORDER BY {names}'):
                    yield f"{name} " + ", ".join(f"{key}={value!r}" for key, value in zip(fixed, row, strict=True))

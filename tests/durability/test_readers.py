"""Readers at work while a writer indexes, moves, removes, merges and purges. The long form is bench/readers.py."""

from __future__ import annotations

import gc
import pickle
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from session_seed import number

import imseek
from durability.readers import run, waits
from durability.reference import Answer, Looked, Summary, Truth, compare
from durability.stage import draw
from imseek.data.catalog.sqlite.catalog_backups import generation_of
from imseek.data.shards import shard_files
from imseek.data.writing.writer import Writer

#: Three pictures in the plane of the first two axes, and a query along the first.
ROWS = np.zeros((3, 64), np.float16)
ROWS[:, :2] = [(1, 0), (0.5, 0.5), (0, 1)]
IDS = np.array([3, 5, 8])
TRUTH = Truth(
    generation=7,
    ids=IDS,
    places=np.array([30, 50, 80]),
    contents=np.array([31, 51, 81]),
    sources={1: 3},
    new_ids=IDS,
    new_rows=ROWS,
)
QUERIES: dict[str | int, Any] = {0: 2 * ROWS[0].astype(np.float64)}
ANSWER = Answer(
    at_least=7,
    generation=7,
    key=0,
    limit=2,
    searched=3,
    ids=np.array([3, 5]),
    scores=np.array([1.0, 0.5**0.5], np.float32),
    places=np.array([30, 50]),
    contents=np.array([31, 51]),
)


@pytest.mark.usefixtures("strace")
def test_every_answer_belongs_to_one_generation(tmp_path: Path) -> None:
    figures = run(tmp_path / "home", seconds=100, readers=4, pictures=300, answers=80, seed=number("readers"))
    assert figures.faults() == []
    assert figures.done["purge"] >= 2
    assert figures.done["remove"] >= 1
    assert figures.comparison.compared > 200
    assert len(figures.comparison.generations) > 5, "readers saw the writer at work"
    assert min(figures.answers[kind] for kind in ("search", "info", "get", "opened anew")) > 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (replace(ANSWER, scores=np.array([1.0, 0.7072], np.float32)), "a wrong score"),
        (replace(ANSWER, ids=np.array([3, 8])), "a wrong score"),
        (replace(ANSWER, ids=np.array([3]), scores=ANSWER.scores[:1]), "too few"),
        (replace(ANSWER, ids=np.array([3, 8]), scores=np.array([1.0, 0.0], np.float32)), "not the best"),
        (replace(ANSWER, ids=np.array([3, 4])), "not there"),
        (replace(ANSWER, ids=np.array([3, 3]), scores=np.array([1.0, 1.0], np.float32)), "twice"),
        (replace(ANSWER, places=np.array([30, 80])), "a wrong place"),
        (replace(ANSWER, contents=np.array([31, 81])), "wrong metadata"),
        (replace(ANSWER, searched=2), "3 images are live"),
        (replace(ANSWER, at_least=8), "older"),
        (replace(ANSWER, generation=6), "nobody made"),
        (Summary(7, 7, images=2, sources={1: 3}), "3 images are live"),
        (Summary(7, 7, images=3, sources={}), "sources"),
        (Looked(7, 9, image_id=3, place=50, content=31), "never true"),
        (Looked(7, 9, image_id=3), "never true"),
        (Looked(8, 9, image_id=3, place=30, content=31), "never true"),
    ],
)
def test_a_wrong_answer_is_noticed(tmp_path: Path, wrong: Any, said: str) -> None:
    reference = tmp_path / "reference"
    reference.write_bytes(pickle.dumps(TRUTH))
    right = [ANSWER, Summary(7, 7, 3, {1: 3}), Looked(7, 9, 3, 30, 31), Looked(7, 9, 4)]
    found = compare(reference, [*right, wrong], QUERIES)
    assert len(found.wrong) == 1
    assert said in found.wrong[0]


def test_a_closed_collection_holds_no_file(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    draw(tmp_path / "photos/one.png", 1)
    with imseek.create(tmp_path / "collection", encoder="fake") as collection:
        collection.index([tmp_path / "photos"])
    gc.disable()  # Holding on to files until the next collection of garbage would be too long.
    try:
        with imseek.open(tmp_path / "collection") as collection:
            assert len(collection.search("red")) == 1
            assert str(collection.path) in Path("/proc/self/maps").read_text()
        assert str(collection.path) not in Path("/proc/self/maps").read_text()
    finally:
        gc.enable()


def test_reading_metadata_starts_no_thread(tmp_path: Path) -> None:
    """One that outlived its reading would abort the process when the interpreter ends."""
    script = """
import os, sys
from pathlib import Path
from imseek.data.shards import shard_files
before = len(os.listdir("/proc/self/task"))
with Path(sys.argv[1]).open("rb") as file:
    print(shard_files.read_rows(file, [1])[0]["width"], len(shard_files.read_table(file)))
assert len(os.listdir("/proc/self/task")) == before
"""
    rows = [{"image_id": n, "content_hash": bytes(32), "width": n, "height": 1} for n in range(3)]
    facts = {"format": "PNG", "mode": "RGB", "frames": 1, "bytes": 1, "phash": 0, "orientation": 1}
    shard_files.write_table(tmp_path / "metadata.parquet", shard_files.table_of([{**row, **facts} for row in rows]))
    command = [sys.executable, "-c", script, str(tmp_path / "metadata.parquet")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1 3\n", "")


def test_closing_the_catalog_has_nothing_left_to_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are locked out while SQLite closes the catalog, so what it writes then keeps them waiting."""
    folded = tmp_path / "folded.sqlite"

    def copied() -> None:
        # Bytes without their log. Not read through a descriptor of this process: SQLite's locks would go with it.
        subprocess.run(["cp", str(tmp_path / "collection/catalog.sqlite"), str(folded)], check=True)
        close()

    imseek.create(tmp_path / "collection", encoder="fake").close()
    with Writer(tmp_path / "collection", "test") as writer:
        writer.apply(lambda _connection, _generation: None)
        assert generation_of(writer.root / "catalog.sqlite") == 1
        connection = writer.catalog._connection  # type: ignore[attr-defined]
        close = connection.close
        monkeypatch.setattr(connection, "close", copied)
    assert generation_of(folded) == 1
    with closing(sqlite3.connect(folded)) as connection:
        assert connection.execute("SELECT state FROM runs ORDER BY run_id DESC").fetchone() == ("done",)


def test_waits_are_read_from_a_trace(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(
        "7 10.000000 flock(5, LOCK_SH|LOCK_NB) = 0 <0.000010>\n"
        "7 10.100000 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=25000000}, NULL) = 0 <0.150000>\n"
        "7 10.250100 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=50000000}, NULL) = 0 <0.050100>\n"
        "7 11.000000 clock_nanosleep(CLOCK_REALTIME, 0, {tv_sec=0, tv_nsec=1000000}, NULL) = 0 <0.001100>\n"
        "7 12.000000 +++ exited with 0 +++\n"
    )
    assert waits(trace) == pytest.approx([0.075, 0.001])
    trace.write_text("7 10.000000 flock(5, LOCK_SH) = 0 <0.200000>\n")
    with pytest.raises(AssertionError):
        waits(trace)

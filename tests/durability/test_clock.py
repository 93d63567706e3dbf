"""A clock that jumps, between runs and within them: nothing is swept early, kept for ever, or missed."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import imseek
from durability.stage import Stage, draw, live_ids
from imseek.data import layout
from imseek.data.catalog.sqlite.catalog_backups import generation_of
from imseek.data.reader import Reader
from imseek.data.shards.compaction import merge
from imseek.data.writing.writer import GRACE_SECONDS, Writer

YEARS = 10 * 365.25 * 86_400
HOUR = 3600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of this process that many seconds ahead of the true one (back where negative)."""
    ahead = 0.0

    def set_ahead(seconds: float) -> None:
        nonlocal ahead
        ahead = seconds

    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(ahead * 1e9))
    return set_ahead


@pytest.fixture
def stage(prepared: Callable[[str], Path], fast_folder: Path) -> Stage:
    """Three shards, ready to be merged."""
    return Stage(shutil.copytree(prepared("merge"), fast_folder / "home"))


def merged(stage: Stage) -> list[Path]:
    """Merge all shards; returns the files that are retired now."""
    before = {path for path in stage.root.rglob("*.npy") if "staging" not in path.parts}
    with Writer(stage.root, "test") as writer:
        merge(writer, writer.current().shards)
    with closing(sqlite3.connect(stage.root / layout.CATALOG)) as connection:
        retired = {stage.root / path for (path,) in connection.execute("SELECT path FROM files WHERE retired_at > 0")}
    assert before & retired
    return sorted(before & retired)


def run_a_writer(stage: Stage) -> None:
    with Writer(stage.root, "test"):
        pass


@pytest.mark.parametrize("retired_at", [YEARS, 2 * HOUR, 0.0])
def test_retired_files_wait_an_hour_whatever_the_clock_said(
    stage: Stage, clock: Callable[[float], None], retired_at: float
) -> None:
    """Retired by a clock that was ahead, they are neither kept until that time nor swept at once."""
    clock(retired_at)
    old = merged(stage)
    clock(0)
    for minutes, there in ((0, True), (50, True), (70, False)):
        clock(minutes * 60)
        run_a_writer(stage)
        assert [path.exists() for path in old] == [there] * len(old)
    assert imseek.maintenance.verify(stage.root).ok


def test_readers_go_on_where_the_clock_jumps_ahead(stage: Stage, clock: Callable[[float], None]) -> None:
    """Then an hour is over at once: what a reader has open it keeps, and what it has not it takes anew."""
    with imseek.open(stage.root) as warm, imseek.open(stage.root) as cold:
        before = [hit.image_id for hit in warm.search(np.ones(64), limit=100)]
        assert len(before) == 11
        clock(-YEARS)
        old = merged(stage)
        clock(YEARS)
        run_a_writer(stage)
        assert not any(path.exists() for path in old)
        for collection in (warm, cold):
            assert [hit.image_id for hit in collection.search(np.ones(64), limit=100)] == before
    assert GRACE_SECONDS == HOUR


@pytest.mark.parametrize("wrong", [-YEARS, -HOUR, YEARS])
def test_files_are_read_again_rather_than_taken_for_unchanged(
    stage: Stage, clock: Callable[[float], None], wrong: float
) -> None:
    """A file that is younger than the moment at which it was hashed may have changed under the same time stamp."""
    with imseek.open(stage.root) as collection:
        clock(wrong)
        collection.index(rehash=True)
        again = collection.index()
        assert again.files_opened == (0 if wrong > 0 else 11)
        clock(5)
        assert collection.index().files_opened == (0 if wrong > 0 else 11)
        assert collection.index().files_opened == 0, "with a true clock it settles"
        changed = stage.photos / "00.png"
        before = changed.stat()
        draw(changed, 100)
        os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
        clock(wrong)
        report = collection.index()
        assert (report.changed, report.live) == (1, 11)


def test_a_clock_that_jumps_all_the_time(
    stage: Stage, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    """Whenever anybody asks, it is another year."""
    true, true_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: true() + chance.uniform(-YEARS, YEARS))
    monkeypatch.setattr(time, "time_ns", lambda: true_ns() + int(chance.uniform(-YEARS, YEARS) * 1e9))
    with imseek.open(stage.root) as collection:
        for n in range(6):
            draw(stage.photos / f"new{n}.png", 200 + n)
            if n % 2:
                (stage.photos / f"0{n}.png").unlink(missing_ok=True)
            collection.index()
            if n == 3:
                with Writer(stage.root, "test") as writer:
                    merge(writer, writer.current().shards)
            names = {path.name for path in stage.photos.glob("*.png")}
            reader = Reader(stage.root)
            places = reader.places(live_ids(reader))
            assert sorted(Path(os.fsdecode(place.path)).name for place in places.values()) == sorted(names)
            generations = sorted(generation_of(stage.root / name) for name in layout.BACKUPS)
            assert generations[1] == reader.generation > generations[0]
    assert imseek.maintenance.verify(stage.root).ok


def test_two_damaged_catalogs_of_one_second_are_both_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda _: "20260101T000000")
    for damage in (b"first", b"second"):
        (stage.root / layout.CATALOG).write_bytes(damage)
        assert imseek.maintenance.repair(stage.root).after.ok
    kept = sorted(stage.root.glob(f"{layout.CATALOG}.damaged.*"))
    assert [path.read_bytes() for path in kept] == [b"first", b"second"]
    assert all(layout.is_ours(path.name) for path in kept)

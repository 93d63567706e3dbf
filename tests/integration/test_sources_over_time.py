"""Sources over time: runs that are cut short, twins, lists beside folders, servers that fail, vectors re-encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sourcing.archives import put, tar_of, zip_of
from sourcing.web import WebServer

import imseek
from imseek.errors import UsageError
from imseek.testing.sources import draw


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


def ids(collection: imseek.Collection) -> dict[str, int]:
    hits = collection.search(np.ones(64), limit=1000)
    found = {hit.path or "": hit.image_id for hit in hits}
    assert len(found) == len(hits)
    return found


def pack(path: Path, *seeds: int) -> Path:
    put(path, zip_of({f"{seed}.png": draw(seed) for seed in seeds}))
    return path


def test_an_archive_that_was_deleted_before_a_limited_run_leaves(collection: imseek.Collection, tmp_path: Path) -> None:
    for n in range(3):
        pack(tmp_path / f"z/{n}.zip", 3 * n, 3 * n + 1, 3 * n + 2)
    collection.index([tmp_path / "z"])
    (tmp_path / "z/0.zip").unlink()
    pack(tmp_path / "z/4.zip", 20, 21, 22)
    collection.index(limit=1)
    report = collection.index()
    assert (report.removed, report.live) == (3, 9)


def test_a_member_that_left_before_a_limited_run_leaves(collection: imseek.Collection, tmp_path: Path) -> None:
    pack(tmp_path / "z/1.zip", 1, 2, 3)
    pack(tmp_path / "z/2.zip", 4, 5, 6)
    collection.index([tmp_path / "z"])
    pack(tmp_path / "z/1.zip", 1, 2)
    pack(tmp_path / "z/2.zip", 4, 5, 6, 7, 8, 9)
    collection.index(limit=2)
    report = collection.index()
    assert (report.removed, report.live) == (1, 8)
    assert collection.index().files_opened == 0


def test_a_twin_elsewhere_does_not_hide_a_move(collection: imseek.Collection, tmp_path: Path) -> None:
    for seed in (1, 2):
        put(tmp_path / f"pictures/{seed}.png", draw(seed))
    collection.index([tmp_path / "pictures"])
    pack(tmp_path / "z/a.zip", 1, 2)
    pack(tmp_path / "z/b.zip", 3)
    collection.index([tmp_path / "z"])
    before = ids(collection)
    pack(tmp_path / "z/a.zip", 2)
    pack(tmp_path / "z/b.zip", 1, 3)
    report = collection.index()
    assert (report.moved, report.added, report.copied, report.removed) == (1, 0, 0, 0)
    assert sorted(ids(collection).values()) == sorted(before.values())


def test_files_on_a_list_are_not_doubled_by_their_folder(collection: imseek.Collection, tmp_path: Path) -> None:
    for seed in range(4):
        put(tmp_path / f"pictures/{seed}.png", draw(seed))
    collection.index([tmp_path / "pictures/0.png", tmp_path / "pictures/1.png"])
    assert collection.index([tmp_path / "pictures"]).live == 4
    assert len(ids(collection)) == 4


def test_a_server_that_fails_for_a_while_loses_nothing(collection: imseek.Collection, tmp_path: Path) -> None:
    with WebServer() as web:
        web.pages = {f"{n}.tar": tar_of({"a.png": draw(n)}) for n in (2, 3)}
        collection.index([web.url("{2,3}.tar")])
        before = ids(collection)
        web.broken = {"3.tar": 503}
        report = collection.index()
        assert (report.removed, report.live) == (0, 2)
        web.broken = {}
        collection.index()
        assert ids(collection) == before
        del web.pages["3.tar"]
        assert collection.index().live == 1


def test_globs_that_leave_out_everything_are_meant(collection: imseek.Collection, tmp_path: Path) -> None:
    for seed in range(2):
        put(tmp_path / f"pictures/{seed}.png", draw(seed))
    options = imseek.SourceOptions(exclude=("*.jpg",))
    collection.index([tmp_path / "pictures"], source=options)
    (tmp_path / "pictures").rename(tmp_path / "away")
    (tmp_path / "pictures").mkdir()
    assert collection.index().live == 2  # Perhaps it is not mounted.
    (tmp_path / "pictures").rmdir()
    (tmp_path / "away").rename(tmp_path / "pictures")
    options = imseek.SourceOptions(exclude=("*",))
    assert collection.index([tmp_path / "pictures"], source=options).live == 0


def test_an_archive_is_not_relocated_to_another(collection: imseek.Collection, tmp_path: Path) -> None:
    collection.index([pack(tmp_path / "a.zip", 1, 2)])
    pack(tmp_path / "other.zip", 3)
    put(tmp_path / "t.parquet", b"PAR1")
    for name in ("other.zip", "t.parquet"):
        with pytest.raises(UsageError, match="another kind or size"):
            collection.relocate_source(1, tmp_path / name)


def test_vectors_stay_with_the_encoder_that_made_them(collection: imseek.Collection, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(tmp_path / "v.npy", rows)
    names = [tmp_path / f"{n}.png" for n in range(4)]
    (tmp_path / "v.csv").write_text("image_path\n" + "\n".join(map(str, names)) + "\n")
    collection.index([tmp_path / "v.npy"], source=imseek.SourceOptions(encoder="fake"))
    for seed in range(3):
        put(names[seed], draw(seed))
    put(tmp_path / "pictures/9.png", draw(9))
    report = imseek.maintenance.reencode(collection.path, "fake:32", allow_missing=True)
    assert (report.outcome, len(report.missing)) == ("switched", 1)
    with imseek.open(collection.path) as again:
        indexed = again.index([tmp_path / "pictures"])
        assert (indexed.added, indexed.live) == (1, 4)
        everything = again.index()
        assert (everything.live, everything.removed) == (4, 0)
        assert any("kept as it is" in note for note in everything.notes)
        assert len(again.search(np.ones(32), limit=10)) == 4
    assert imseek.maintenance.verify(collection.path).ok

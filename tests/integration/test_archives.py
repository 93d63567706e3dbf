"""Archives that lie elsewhere, that are broken, hostile, or worked on when the process dies."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sourcing.archives import tar_of, zip_of
from sourcing.cases import draw
from sourcing.web import WebServer

import imseek
from imseek.errors import ContentChangedError, MediaError, UsageError


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


def paths(collection: imseek.Collection) -> set[str]:
    return {hit.path or "" for hit in collection.search(np.ones(64), limit=1000)}


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- elsewhere -----------------------------------------------------------------------------------------------------


def test_a_tar_on_a_web_server_is_streamed_once(collection: imseek.Collection) -> None:
    with WebServer() as web:
        web.pages = {
            f"{n:05}.tar": tar_of({"a.jpg": draw(2 * n), "a.txt": b"the first", "b.jpg": draw(2 * n + 1)})
            for n in range(3)
        }
        url = web.url("{00000..00001}.tar")
        report = collection.index([url])
        assert (report.added, report.skipped) == (4, 0)
        uris = {hit.uri for hit in collection.search(np.ones(64))}
        assert uris == {f"tar://{name}.jpg::{web.url(f'0000{n}.tar')}" for n in range(2) for name in "ab"}
        (hit,) = collection.search(draw(0), limit=1)
        assert hit.metadata["caption"] == "the first"
        assert collection.read(hit.image_id) == draw(0)
        web.asked.clear()
        assert collection.index().unchanged == 4
        assert web.asked == []
        web.pages["00001.tar"] = tar_of({"a.jpg": draw(2), "c.jpg": draw(9)})
        report = collection.index()
        assert (report.added, report.removed, report.unchanged) == (1, 1, 3)
        assert {name for name in web.asked if name.endswith("0.tar")} == set()
    report = collection.index()  # The server is gone: nothing is lost.
    assert (report.removed, report.live) == (0, 4)
    assert report.notes


def test_a_zip_on_a_web_server(collection: imseek.Collection) -> None:
    with WebServer() as web:
        web.pages = {"all.zip": zip_of({f"{n}.png": draw(n) for n in range(3)})}
        assert collection.index([web.url("all.zip")]).added == 3
        (hit,) = collection.search(draw(1), limit=1)
        assert (hit.path, hit.uri) == (f"{web.url('all.zip')}!/1.png", f"zip://1.png::{web.url('all.zip')}")
        assert collection.read(hit.image_id) == draw(1)


def test_what_cannot_be_reached_is_said(collection: imseek.Collection) -> None:
    with pytest.raises(UsageError, match="ftpx"):
        collection.index(["ftpx://host/a.tar"])
    report = collection.index(["http://127.0.0.1:9/a.tar"])
    assert report.live == 0
    assert report.notes


# -- names and places ----------------------------------------------------------------------------------------------


def test_names_of_every_kind(collection: imseek.Collection, tmp_path: Path) -> None:
    names = ["/absolute.png", "../../up.png", "a!/b.png", "sp ace.png", "новый.png", "./dot.png", "x/y/z.PNG"]
    put(tmp_path / "a.zip", zip_of({name: draw(n) for n, name in enumerate(names)}))
    assert collection.index([tmp_path / "a.zip"]).added == len(names)
    assert paths(collection) == {f"{tmp_path}/a.zip!/{name}" for name in names}
    for n in range(len(names)):
        (hit,) = collection.search(draw(n), limit=1)
        assert collection.read(hit.image_id) == draw(n)


def test_names_that_are_no_text(collection: imseek.Collection, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    put(tmp_path / "a.tar", tar_of({name: draw(1)}))
    assert collection.index([tmp_path / "a.tar"]).added == 1
    (hit,) = collection.search(draw(1))
    assert hit.uri == f"tar://caf%E9.png::file://{tmp_path}/a.tar"
    assert collection.read(hit.image_id) == draw(1)


def test_what_is_no_picture_or_hidden_is_left_out(collection: imseek.Collection, tmp_path: Path) -> None:
    held = {
        "a.png": draw(1),
        "__MACOSX/a.png": draw(2),
        ".b.png": draw(3),
        "inner.zip": zip_of({}),
        "c.txt": b"c",
    }
    put(tmp_path / "a.zip", zip_of(held))
    assert collection.index([tmp_path / "a.zip"]).added == 1
    options = imseek.SourceOptions(hidden=True, exclude=("a.png",))
    assert collection.index([tmp_path / "a.zip"], source=options, rehash=True).live == 1
    assert paths(collection) == {f"{tmp_path}/a.zip!/.b.png"}


def test_of_two_members_with_one_name_one_counts(collection: imseek.Collection, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for seed in (1, 2):
            info = tarfile.TarInfo("a.png")
            info.size = len(draw(seed))
            out.addfile(info, io.BytesIO(draw(seed)))
    put(tmp_path / "a.tar", buffer.getvalue())
    assert collection.index([tmp_path / "a.tar"]).added == 1
    (hit,) = collection.search(np.ones(64))
    assert collection.read(hit.image_id) == draw(2)


def test_links_and_devices_are_no_pictures(collection: imseek.Collection, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as out:
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("dev.png", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            out.addfile(info)
    report = collection.index([tmp_path / "a.tar"])
    assert (report.seen, report.live) == (0, 0)


# -- broken and hostile --------------------------------------------------------------------------------------------


def test_a_bomb_is_refused_at_its_stated_and_its_real_size(collection: imseek.Collection, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("bomb.png", bytes(600 << 20))
        out.writestr("a.png", draw(1))
    honest = buffer.getvalue()
    lying = honest.replace(struct.pack("<I", 600 << 20), struct.pack("<I", 1000))
    for name, data in (("honest.zip", honest), ("lying.zip", lying)):
        report = collection.index([put(tmp_path / name, data)])
        assert (report.added + report.copied, report.skipped) == (1, 1)
        assert report.failures[0].reason in ("too_many_bytes", "corrupt")


def test_an_encrypted_member_says_so(collection: imseek.Collection, tmp_path: Path) -> None:
    data = bytearray(zip_of({"a.png": draw(1), "b.png": draw(2)}))
    data[6] |= 1  # in the local header of the first member
    data[data.index(b"PK\x01\x02") + 8] |= 1  # and in the directory
    report = collection.index([put(tmp_path / "a.zip", bytes(data))])
    assert (report.added, report.failures[0].message) == (1, "it is encrypted")


def test_a_zip_that_is_none_is_recorded_once(collection: imseek.Collection, tmp_path: Path) -> None:
    path = put(tmp_path / "a.zip", b"PK\x03\x04 and then nothing")
    report = collection.index([path])
    assert [failure.reason for failure in report.failures] == ["corrupt"]
    again = collection.index()
    assert (again.failures, again.skipped) == ((), 1)
    put(path, zip_of({"a.png": draw(1)}))
    assert (collection.index().added, collection.info().failures) == (1, ())


def test_an_archive_that_breaks_keeps_what_it_held(collection: imseek.Collection, tmp_path: Path) -> None:
    whole = tar_of({f"{n}.png": draw(n, (200, 200)) for n in range(4)})
    path = put(tmp_path / "a.tar", whole)
    collection.index([path])
    before = {hit.image_id for hit in collection.search(np.ones(64))}
    put(path, whole[: len(whole) // 2])
    report = collection.index()
    assert (report.removed, report.live, [f.reason for f in report.failures]) == (0, 4, ["truncated"])
    put(path, whole)
    report = collection.index()
    assert (report.unchanged, report.removed, report.skipped) == (4, 0, 0)
    assert {hit.image_id for hit in collection.search(np.ones(64))} == before


def test_what_comes_before_the_break_of_a_stream_is_taken(collection: imseek.Collection, tmp_path: Path) -> None:
    whole = tar_of({f"{n}.png": draw(n, (200, 200)) for n in range(8)}, "w:gz")
    path = put(tmp_path / "a.tar.gz", whole[: len(whole) * 3 // 4])
    report = collection.index([path])
    assert 0 < report.added < 8
    put(path, whole)
    assert (collection.index().live, collection.info().failures) == (8, ())


def test_a_member_that_is_gone_is_said_to_be(collection: imseek.Collection, tmp_path: Path) -> None:
    path = put(tmp_path / "a.tar", tar_of({"a.png": draw(1)}))
    collection.index([path])
    put(path, tar_of({"b.png": draw(1)}))
    with pytest.raises(ContentChangedError, match="changed since it was indexed") as refused:
        collection.read(0)
    assert refused.value.reason == "vanished"
    path.unlink()
    with pytest.raises(MediaError, match="not there any more"):
        collection.read(0)


# -- moves ---------------------------------------------------------------------------------------------------------


def test_pictures_move_between_folders_and_archives(collection: imseek.Collection, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for n in range(3):
        put(folder / f"{n}.png", draw(n))
    collection.index([folder])
    ids = {hit.image_id for hit in collection.search(np.ones(64))}
    put(tmp_path / "shards/0.tar", tar_of({f"{n}.png": draw(n) for n in range(2)}))
    for n in range(2):
        (folder / f"{n}.png").unlink()
    report = collection.index([folder, tmp_path / "shards"])
    assert (report.moved, report.added, report.live) == (2, 0, 3)
    assert {hit.image_id for hit in collection.search(np.ones(64))} == ids
    put(tmp_path / "shards/0.tar", tar_of({"0.png": draw(0)}))
    put(tmp_path / "shards/1.tar", tar_of({"1.png": draw(1)}))
    report = collection.index()
    assert (report.moved, report.added, report.removed) == (1, 0, 0)
    (tmp_path / "shards/0.tar").unlink()
    report = collection.index()
    assert (report.removed, report.live) == (1, 2)


def test_a_source_of_archives_is_relocated(collection: imseek.Collection, tmp_path: Path) -> None:
    put(tmp_path / "shards/0.tar", tar_of({"0.png": draw(0)}))
    put(tmp_path / "one.zip", zip_of({"1.png": draw(1)}))
    collection.index([tmp_path / "shards", tmp_path / "one.zip"])
    (tmp_path / "shards").rename(tmp_path / "moved")
    (tmp_path / "one.zip").rename(tmp_path / "other.zip")
    for source in collection.info().sources:
        new = "moved" if b"shards" in source.path else "other.zip"
        assert collection.relocate_source(source.source_id, tmp_path / new) == 1
    report = collection.index()
    assert (report.unchanged, report.removed, report.live) == (2, 0, 2)
    assert paths(collection) == {f"{tmp_path}/moved/0.tar!/0.png", f"{tmp_path}/other.zip!/1.png"}


def test_part_of_a_source_of_archives_is_indexed_alone(collection: imseek.Collection, tmp_path: Path) -> None:
    for n in range(3):
        put(tmp_path / f"shards/{n}.tar", tar_of({"a.png": draw(n)}))
    collection.index([tmp_path / "shards"])
    for n in range(3):
        put(tmp_path / f"shards/{n}.tar", tar_of({"a.png": draw(10 + n)}))
    report = collection.index([tmp_path / "shards/1.tar"])
    assert (report.changed, report.live, len(collection.info().sources)) == (1, 3, 1)

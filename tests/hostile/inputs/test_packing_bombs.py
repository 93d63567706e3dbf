"""Archives that unpack to far more than they are: refused at once, with what is sound before the break."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sourcing.archives import tar_of
from sourcing.cases import draw
from sourcing.web import WebServer

import imseek
from hostile.inputs import bombs
from hostile.inputs.bombs import END, PIECE, ZipEntry, member, packed
from imseek.data.catalog.place_paths import split
from imseek.errors import MediaError
from imseek.indexer.sources import archive_limits, open_source
from imseek.indexer.sources.archive_limits import FREE_BYTES
from imseek.indexer.sources.base import Container, FoundImage

FORMS = pytest.mark.parametrize("form", list(bombs.PACKERS))


def read(path: Path) -> tuple[list[str], str]:
    """The names of the pictures of an archive, each of which is read; and why no more could be."""
    source, names = open_source("archive", os.fsencode(path), imseek.SourceOptions()), []
    (container,) = source.scan()
    assert isinstance(container, Container)
    try:
        for found in source.expand(container):
            assert isinstance(found, FoundImage)
            source.load(found)
            names.append(split(found.path)[1].decode())
    except MediaError as error:
        return names, f"{error.reason}: {error}"
    finally:
        source.close()
    return names, ""


@pytest.fixture
def seconds() -> Callable[[], float]:
    """CPU seconds of this process since the test began. That of others on the machine does not count."""
    begin = time.process_time()
    return lambda: time.process_time() - begin


@FORMS
def test_what_is_no_picture_is_passed_over_in_linear_time(
    tmp_path: Path, seconds: Callable[[], float], form: str
) -> None:
    size = FREE_BYTES - PIECE
    path = tmp_path / f"a.{form}"
    whole = bombs.header("a.bin", size) + bytes(size) + member("b.png", draw(1)) + END
    path.write_bytes(bombs.PACKERS[form](whole))
    made = seconds()
    assert read(path) == (["b.png"], "")
    assert seconds() - made < 2


@FORMS
@pytest.mark.parametrize("name", ["b.bin", "b.png"])
def test_a_tar_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, seconds: Callable[[], float], form: str, name: str
) -> None:
    pieces = 8 * 2**30 // PIECE
    bomb = [part for n in range(pieces) for part in (bombs.header(f"{n}{name}", PIECE), 1)]
    path = tmp_path / f"a.{form}"
    path.write_bytes(packed(form, member("a.png", draw(1)), *bomb[:400]))
    names, why = read(path)
    assert names[0] == "a.png"
    assert "too_many_bytes: refused as a packing bomb: " in why
    assert "more than 200 times as many (and 128 MiB)" in why
    assert seconds() < 5


@FORMS
def test_of_what_is_no_picture_less_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(archive_limits, "FREE_SKIPPED_BYTES", 2**20)
    path = tmp_path / f"a.{form}"
    parts = (member("a.png", draw(1)), bombs.header("b.bin", PIECE), 1, member("c.png", draw(2)), END)
    path.write_bytes(packed(form, *parts))
    names, why = read(path)
    assert names == ["a.png"]
    assert "that are not pictures, more than 16 times as many (and 1 MiB)" in why


def test_headers_that_take_no_room_are_counted(tmp_path: Path, seconds: Callable[[], float]) -> None:
    path = tmp_path / "a.tar.gz"
    headers = bombs.header("x.bin", 0) * 10_000
    path.write_bytes(bombs.PACKERS["tar.gz"](headers) * 100)
    names, why = read(path)
    assert names == []
    assert "less than 16 bytes for each (beyond the first 100,000)" in why
    assert seconds() < 10


def test_a_size_that_the_stream_does_not_have_ends_with_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(packed("tar.gz", member("a.png", draw(1)), bombs.header("b.bin", 2**60)))
    assert read(path) == (["a.png"], "truncated: broken or cut tar: it ends in a member")


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
@pytest.mark.parametrize("records", [b"0" * 2**20, b"9" * 2**19 + b" hdrcharset=BINARY\n", b"20 path=" + b"a" * 2**19])
def test_a_description_is_read_in_linear_time(
    tmp_path: Path, seconds: Callable[[], float], form: str, records: bytes
) -> None:
    described = bombs.header("pax", len(records), tarfile.XHDTYPE) + records + bytes(-len(records) % 512)
    data = member("a.png", draw(1)) + described + member("b.png", draw(2)) + END
    path = tmp_path / f"a.{form}"
    path.write_bytes(data if form == "tar" else packed(form, data))
    names, why = read(path)
    assert names == ["a.png"]
    assert why.startswith("corrupt: broken tar")
    assert seconds() < 3


def test_xz_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    import lzma

    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    path.write_bytes(lzma.compress(tar_of({"a.png": draw(1)}), filters=filters))
    names, why = read(path)
    assert names == []
    assert "Memory usage limit" in why


@FORMS
def test_streams_that_follow_each_other_are_one(tmp_path: Path, form: str) -> None:
    """As `pigz`, `pbzip2` and `cat` make them."""
    whole = tar_of({f"{n}.png": draw(n) for n in range(3)})
    path = tmp_path / f"a.{form}"
    path.write_bytes(packed(form, whole[:700], whole[700:5000], whole[5000:]))
    assert read(path) == (["0.png", "1.png", "2.png"], "")


# -- zips ----------------------------------------------------------------------------------------------------------


def test_members_of_a_zip_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    names = [b"%d.png" % n for n in range(4)]
    path = tmp_path / "a.zip"
    path.write_bytes(bombs.overlapping(names, draw(1)))
    with zipfile.ZipFile(path) as file:
        assert file.infolist()[0].file_size > len(draw(1)), "each holds what those behind it do"
    source = open_source("archive", os.fsencode(path), imseek.SourceOptions())
    (container,) = source.scan()
    *others, last = source.expand(container)
    assert source.load(last).data == draw(1)
    for one in others:
        with pytest.raises(MediaError, match="overlaps another one"):
            source.load(one)


def test_one_member_under_many_names_is_refused(tmp_path: Path) -> None:
    data = zlib.compress(bytes(2**20), 9, wbits=-15)
    entry = ZipEntry(b"a.png", zipfile.ZIP_DEFLATED, zlib.crc32(bytes(2**20)), len(data), 2**20)
    body = entry.header + data
    other = ZipEntry(b"b.png", entry.method, entry.crc, entry.packed, entry.size)
    (tmp_path / "a.zip").write_bytes(body + bombs.zip_end(entry.listed + other.listed, len(body), 2))
    names, why = read(tmp_path / "a.zip")
    assert names == []
    assert "overlaps another one" in why


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_larger_than_it_says_is_not_unpacked_further(tmp_path: Path, method: int) -> None:
    """`zipfile` unpacks all of it, whatever it says."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("a.png", bytes(8 * PIECE))
    sizes = [struct.pack("<I", size) for size in (8 * PIECE, 1000)]
    path.write_bytes(path.read_bytes().replace(*sizes))
    tracemalloc.start()
    try:
        names, why = read(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * PIECE
    finally:
        tracemalloc.stop()
    assert names == []
    assert why.startswith("corrupt: broken member of a zip: ")


def test_a_member_that_asks_for_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    data = struct.pack("<HHBI", 9, 5, 93, 2**31) + b"\0" * 50
    entry = ZipEntry(b"a.png", zipfile.ZIP_LZMA, 0, len(data), 1000)
    path = tmp_path / "a.zip"
    path.write_bytes(bombs.zip_of([(entry, data)]))
    assert read(path) == ([], "too_many_bytes: unpacking it takes 2,147,483,648 bytes of memory")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_way_of_packing_gives_the_same_bytes(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as file:
        file.writestr("a.png", draw(1, (300, 200)))
    source = open_source("archive", os.fsencode(tmp_path / "a.zip"), imseek.SourceOptions())
    (container,) = source.scan()
    (found,) = source.expand(container)
    assert source.load(found).data == draw(1, (300, 200))


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_limits, "FREE_BYTES", 2**20)
    monkeypatch.setattr(archive_limits, "MAX_RATIO", 500)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.png", draw(1))
        for n in range(1, 20):
            file.writestr(f"{n}.png", bytes(2**20))
    names, why = read(tmp_path / "a.zip")
    assert 0 < len(names) < 20
    assert "more than 500 times as many (and 1 MiB)" in why


def test_a_member_that_unpacks_to_too_much_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_limits, "FREE_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(8 * 2**20))
        file.writestr("b.png", draw(1))
    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        report = collection.index([tmp_path / "a.zip"])
        assert report.added == 1
        assert [(failure.reason, failure.path[-5:]) for failure in report.failures] == [("too_many_bytes", b"a.png")]


def test_a_list_that_does_not_fit_into_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_limits, "MAX_MEMBERS", 20_000)
    entry = ZipEntry(b"a-long-name.png", 0, 0, 0, 0).listed
    for count, said in (
        (20_000, ""),
        (20_001, "too_many_bytes: refused as a packing bomb: it has more than 20,000"),
    ):
        (tmp_path / "a.zip").write_bytes(bombs.zip_end(entry * count, 0, count % 2**16))
        assert read(tmp_path / "a.zip")[1].startswith(said)
    monkeypatch.setattr(archive_limits, "MAX_LIST_BYTES", 2**20)
    assert "the list of its members is larger than 1 MiB" in read(tmp_path / "a.zip")[1]


def test_a_list_that_says_it_fills_the_disk_is_not_read(tmp_path: Path) -> None:
    """A file with holes is as large as it likes."""
    path = tmp_path / "a.zip"
    with path.open("wb") as file:
        file.truncate(2**40)
        file.seek(2**40)
        file.write(struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, 2**39, 2**39))
        file.write(struct.pack("<4sLQL", b"PK\x06\x07", 0, 2**40, 1))
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0))
    assert "the list of its members is larger than 512 MiB" in read(path)[1]


# -- stopping ------------------------------------------------------------------------------------------------------


def long_archive(path: Path) -> Path:
    """An archive that it takes long to look through, though nothing of it is refused."""
    if path.suffix == ".zip":
        listed = b"".join(ZipEntry(b"%08d.png" % n, 0, 0, 0, 0).listed for n in range(1000)) * 600
        zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(listed), 0)
        ends = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(listed), 1)
        path.write_bytes(listed + zip64 + ends + bombs.zip_end(b"", 2**32 - 1, 2**16 - 1)[:12] + b"\xff" * 8 + bytes(2))
        return path
    names = (hashlib.sha256(b"%d" % n).hexdigest() + ".bin" for n in range(2000))
    headers = b"".join(bombs.header(name, 0) for name in names)
    piece = headers if path.suffix == ".tar" else bombs.PACKERS["tar.gz"](headers)
    with path.open("wb") as file:
        for _ in range(200):
            file.write(piece)
    return path


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_in_a_long_archive_stops_when_it_is_told_to(tmp_path: Path, form: str, dry_run: bool) -> None:
    path = long_archive(tmp_path / f"a.{form}")
    stop, told = threading.Event(), []

    def tell() -> None:
        told.append(time.monotonic())
        stop.set()

    with imseek.create(tmp_path / "made", encoder="fake") as collection:
        timer = threading.Timer(0.5, tell)
        timer.start()
        report = collection.index([path], stop=stop, dry_run=dry_run)
        timer.join()
        assert report.interrupted
        assert report.failures == ()
        assert time.monotonic() - told[0] < 5, "a second where the machine has nothing else to do"


def test_a_run_in_an_archive_elsewhere_stops_while_the_server_says_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    with WebServer() as web, imseek.create(tmp_path / "made", encoder="fake") as collection:
        web.pages = {"a.tar": tar_of({"a.png": draw(1)}) + bytes(2**20)}
        web.delays = {"a.tar": threading.Event()}
        timer = threading.Timer(1.0, stop.set)
        timer.start()
        begin = time.monotonic()
        report = collection.index([web.url("a.tar")], stop=stop)
        assert time.monotonic() - begin < 10
        timer.join()
        web.delays["a.tar"].set()
    assert (report.interrupted, report.live, report.failures) == (True, 0, ())


def test_a_signal_ends_a_process_that_looks_through_an_archive(tmp_path: Path) -> None:
    path = long_archive(tmp_path / "a.tar.gz")
    command = [sys.executable, "-m", "imseek", "index", path, "-c", tmp_path / "made", "--encoder", "fake"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not opened(process.pid, path):
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(0.2)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGTERM, (out, err)
        assert time.monotonic() - begin < 5, "a second where the machine has nothing else to do"
    assert b"Traceback" not in err


def opened(process: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        return any(path.samefile(fd) for fd in Path(f"/proc/{process}/fd").iterdir() if fd.exists())
    except OSError:
        return False

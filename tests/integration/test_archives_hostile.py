"""Archives that nobody vouches for, or that come piece by piece: nothing is lost, nothing hangs."""

from __future__ import annotations

import http.server
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sourcing.archives import tar_of, zip_of
from sourcing.cases import draw

import imseek


@pytest.fixture
def collection(tmp_path: Path, later: Callable[[float], None]) -> Iterator[imseek.Collection]:
    later(10)
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


def captions(collection: imseek.Collection) -> dict[str, str | None]:
    hits = collection.search(np.ones(64), limit=1000)
    return {(hit.path or "").rpartition("!/")[2]: hit.metadata.get("caption") for hit in hits}


def archive(path: Path, held: dict[str, bytes]) -> Path:
    """A zip, tar or compressed tar, as the ending of the path says."""
    mode = "w:gz" if path.suffix == ".gz" else "w"
    path.write_bytes(zip_of(held) if path.suffix == ".zip" else tar_of(held, mode))
    return path


FORMS = pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])


@FORMS
def test_texts_belong_to_pictures_by_every_convention(collection: imseek.Collection, tmp_path: Path, form: str) -> None:
    held = {
        "s/000.left.png": draw(1),
        "s/000.right.png": draw(2),
        "s/000.txt": b"a WebDataset sample",
        "s/000.right.txt": b"its right side",
        "t/IMG 1.2.png": draw(3),
        "t/IMG 1.2.png.json": json.dumps({"caption": "from Takeout"}).encode(),
        "u/none.png": draw(4),
    }
    collection.index([archive(tmp_path / f"a.{form}", held)])
    assert captions(collection) == {
        "s/000.left.png": "a WebDataset sample",
        "s/000.right.png": "its right side",
        "t/IMG 1.2.png": "from Takeout",
        "u/none.png": None,
    }


@FORMS
def test_names_that_lead_out_of_the_archive_are_only_names(
    collection: imseek.Collection, tmp_path: Path, form: str
) -> None:
    names = ["/etc/a.png", "../../b.png", "./c.png", "x!/d.png", "e\nf.png"]
    path = archive(tmp_path / f"a.{form}", {name: draw(n) for n, name in enumerate(names)})
    before = sorted(tmp_path.iterdir())
    assert collection.index([path]).added == len(names)
    hits = collection.search(np.ones(64), limit=100)
    assert {collection.read(hit.image_id) for hit in hits} == {draw(n) for n in range(len(names))}
    assert sorted(tmp_path.iterdir()) == before


@FORMS
def test_globs_see_names_without_the_dot_that_tar_puts_before_them(
    collection: imseek.Collection, tmp_path: Path, form: str
) -> None:
    path = archive(tmp_path / f"a.{form}", {"./in/a.png": draw(1), "./out/b.png": draw(2)})
    report = collection.index([path], source=imseek.SourceOptions(include=("in/*",)))
    assert (report.added, report.live) == (1, 1)


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_name_with_nul_is_passed_over(collection: imseek.Collection, tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if "gz" in form else "w", format=tarfile.PAX_FORMAT) as out:
        for n, name in enumerate(["a.png", "b.png"]):
            info = tarfile.TarInfo(name)
            info.size = len(draw(n))
            if n == 0:
                info.pax_headers = {"path": "a\0/etc/passwd\0.png"}
            out.addfile(info, io.BytesIO(draw(n)))
    path = tmp_path / f"a.{form}"
    path.write_bytes(buffer.getvalue())
    assert collection.index([path]).added == 1
    assert captions(collection).keys() == {"b.png"}


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_broken_header_is_not_the_end_of_the_archive(
    collection: imseek.Collection, tmp_path: Path, form: str
) -> None:
    held = {f"{n}.png": draw(n) for n in range(4)}
    path = archive(tmp_path / f"a.{form}", held)
    assert collection.index([path]).live == 4
    plain = bytearray(tar_of(held))
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        at = tar.getmember("2.png").offset
    plain[at : at + 100] = b"\xff" * 100
    if form == "tar":
        path.write_bytes(plain)
    else:
        import gzip

        path.write_bytes(gzip.compress(plain))
    report = collection.index()
    assert (report.removed, report.live) == (0, 4)
    assert [failure.reason for failure in report.failures] == ["truncated"]


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_a_long_name_that_would_fill_the_memory_is_refused(
    collection: imseek.Collection, tmp_path: Path, form: str
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if "gz" in form else "w") as out:
        for name, data in (("a.png", draw(1)), ("long", bytes(3 * 2**20)), ("b.png", draw(2))):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.type = tarfile.GNUTYPE_LONGNAME if name == "long" else tarfile.REGTYPE
            out.addfile(info, io.BytesIO(data))
    path = tmp_path / f"a.{form}"
    path.write_bytes(buffer.getvalue())
    report = collection.index([path])
    assert (report.added, [failure.reason for failure in report.failures]) == (1, ["truncated"])


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
def test_many_headers_that_describe_the_next_one_end_the_archive(
    collection: imseek.Collection, tmp_path: Path, form: str
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if "gz" in form else "w") as out:
        for _ in range(3000):
            info = tarfile.TarInfo("long")
            info.size, info.type = 4, tarfile.GNUTYPE_LONGNAME
            out.addfile(info, io.BytesIO(b"name"))
    path = tmp_path / f"a.{form}"
    path.write_bytes(buffer.getvalue())
    report = collection.index([path])
    assert [failure.reason for failure in report.failures] == ["corrupt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_costs_no_other(collection: imseek.Collection, tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as out:
        for n in range(3):
            out.writestr(f"{n}.png", draw(n, (300, 300)))
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as made:
        at = made.getinfo("1.png").header_offset + 30 + len("1.png")
        size = made.getinfo("1.png").compress_size
    data[at + 9 : at + size] = b"\xff" * (size - 9)
    path.write_bytes(data)
    report = collection.index([path])
    assert (report.added, [failure.reason for failure in report.failures]) == (2, ["corrupt"])


def test_a_pipe_named_like_an_archive_is_not_waited_for(collection: imseek.Collection, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    archive(shards / "a.tar", {"a.png": draw(1)})
    os.mkfifo(shards / "b.tar")
    report = collection.index([shards], source=imseek.SourceOptions(kind="archive"))
    assert (report.added, len(report.failures)) == (1, 1)


def test_a_run_goes_on_between_two_shards(collection: imseek.Collection, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    for shard in range(3):
        held = {f"{n}.png": draw(10 * shard + n) for n in range(3)}
        archive(shards / f"{shard:05}.tar", held)
    assert collection.index([shards], limit=4).added == 4
    ids = {collection.read(hit.image_id): hit.image_id for hit in collection.search(np.ones(64), limit=99)}
    report = collection.index()
    assert (report.added, report.unchanged, report.files_opened, report.live) == (5, 4, 5, 9)
    now = {collection.read(hit.image_id): hit.image_id for hit in collection.search(np.ones(64), limit=99)}
    assert now.items() >= ids.items()


@pytest.fixture
def plain_server(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A server that sends whole files only: no ranges, no ETags."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@FORMS
def test_a_server_that_sends_no_parts(collection: imseek.Collection, plain_server: tuple[Path, str], form: str) -> None:
    folder, url = plain_server
    archive(folder / f"a.{form}", {f"{n}.png": draw(n) for n in range(5)})
    report = collection.index([f"{url}/a.{form}"])
    if form == "zip":  # Its list is at its end.
        (failure,) = report.failures
        assert failure.reason == "unreadable"
        assert "parts of files" in failure.message
    else:
        assert (report.added, report.failures) == (5, ())


def test_shards_that_a_pattern_names_and_that_are_not_there(
    collection: imseek.Collection, plain_server: tuple[Path, str]
) -> None:
    folder, url = plain_server
    for n in (0, 2):
        archive(folder / f"{n}.tar", {"a.png": draw(n)})
    report = collection.index([f"{url}/{{0..3}}.tar"])
    assert report.added == 2
    assert any("2 of the files it names are missing" in note for note in report.notes)

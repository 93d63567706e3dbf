"""What leaves a collection is what was indexed, by every door, whatever lies at the place of a picture now."""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from databases import BOTH_CATALOGS
from PIL import Image
from sourcing.web import WebServer
from starlette.applications import Starlette
from starlette.testclient import TestClient
from templates import Templates

import imseek
from imseek import export, maintenance
from imseek.analysis.originals import Originals
from imseek.data.reader import Reader
from imseek.encoders import registry
from imseek.errors import ContentChangedError, ImageNotFoundError, ImseekError, MediaError
from imseek.evaluate.encode_images import encode_stored_images
from imseek.exports.results import ExportOptions
from imseek.indexer.sources import local_files, picture_reader
from imseek.indexer.sources.picture_reader import PlaceReader
from imseek.overview import thumbnails
from imseek.progress import SILENT
from imseek.types.indexing_runs import SourceOptions
from imseek.ui.http.app import make_app
from imseek.ui.server.picture_routes import picture_routes
from imseek.ui.server.pictures import ThumbnailCache
from imseek.ui.server.service import Service
from imseek.ui.server.settings import Settings
from imseek.ui.viewer_file import viewable_file
from imseek.ui.web import downloads

SECRET: Final = b"the key of the house"
CHANGED: Final = "changed since it was indexed"


@dataclass(frozen=True, slots=True)
class Stand:
    """A collection of one photograph, ``picture`` in ``folder``; ``secret`` and ``other``, another photograph, lie
    outside."""

    root: Path
    folder: Path
    picture: Path
    secret: Path
    other: Path

    @property
    def original(self) -> bytes:
        return (self.folder.parent / "kept.jpg").read_bytes()


@pytest.fixture
def stand(tmp_path: Path, photo_files: list[Path], later: Callable[[float], None], templates: Templates) -> Stand:
    """Two JPEGs of one size in bytes: bytes behind the end of a JPEG are no part of the picture."""
    flower, china = (next(p for p in photo_files if p.name == name) for name in ("flower.jpg", "china.jpg"))
    size = max(flower.stat().st_size, china.stat().st_size)
    outside, folder = tmp_path / "outside", tmp_path / "photos" / "below"
    outside.mkdir()
    folder.mkdir(parents=True)
    picture, other, secret = folder / "flower.jpg", outside / "flower.jpg", outside / "secret.txt"
    for source, target in ((flower, picture), (china, other)):
        target.write_bytes(source.read_bytes().ljust(size, b"\0"))
    shutil.copyfile(picture, tmp_path / "kept.jpg")
    secret.write_bytes(SECRET.ljust(size))
    later(10)  # What was written a moment ago is trusted by its stat.
    checked_ns = time.time_ns() + 10_000_000_000
    templates.indexed(tmp_path / "collection", tmp_path / "photos", checked_ns=checked_ns)
    return Stand(tmp_path / "collection", tmp_path / "photos", picture, secret, other)


# -- what may lie there instead -------------------------------------------------------------------------------


def _link_to_secret(stand: Stand) -> None:
    stand.picture.unlink()
    stand.picture.symlink_to(stand.secret)


def _link_to_picture(stand: Stand) -> None:
    stand.picture.unlink()
    stand.picture.symlink_to(stand.other)


def _link_to_picture_of_that_size_and_time(stand: Stand) -> None:
    known = stand.picture.stat()
    _link_to_picture(stand)
    os.utime(stand.other, ns=(known.st_atime_ns, known.st_mtime_ns))


def _link_to_zeros(stand: Stand) -> None:
    stand.picture.unlink()
    stand.picture.symlink_to("/dev/zero")


def _fifo(stand: Stand) -> None:
    stand.picture.unlink()
    os.mkfifo(stand.picture)


def _folder(stand: Stand) -> None:
    stand.picture.unlink()
    stand.picture.mkdir()


def _device(stand: Stand) -> None:
    stand.picture.unlink()
    try:
        os.mknod(stand.picture, 0o600 | 0o020000, os.makedev(1, 5))  # as /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def _text(stand: Stand) -> None:
    shutil.copyfile(stand.secret, stand.picture)


def _picture_of_that_size_and_time(stand: Stand) -> None:
    known = stand.picture.stat()
    stand.picture.write_bytes(stand.other.read_bytes())
    os.utime(stand.picture, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert (known.st_size, known.st_mtime_ns) == (
        stand.picture.stat().st_size,
        stand.picture.stat().st_mtime_ns,
    )


def _folder_is_a_link(stand: Stand) -> None:
    stand.picture.parent.rename(stand.folder.parent / "moved")
    stand.picture.parent.symlink_to(stand.other.parent)


LIES: Final = [
    _link_to_secret,
    _link_to_picture,
    _link_to_picture_of_that_size_and_time,
    _link_to_zeros,
    _fifo,
    _folder,
    _device,
    _text,
    _picture_of_that_size_and_time,
    _folder_is_a_link,
]


# -- the doors ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Left:
    """What left by a door: files of pictures, and what was said instead."""

    pictures: tuple[bytes, ...] = ()
    words: str = ""


def _by_read(stand: Stand, out: Path) -> Left:
    with imseek.open(stand.root) as collection:
        try:
            return Left((collection.read(0),))
        except MediaError as error:
            return Left(words=str(error))


def _answer(response: Any) -> Left:
    if response.status_code == 200:
        assert response.headers["content-type"] in ("image/jpeg", "image/webp")
        assert response.headers["x-content-type-options"] == "nosniff"
        return Left((response.content,))
    assert response.status_code == 409
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["title"]) == (409, "ContentChangedError")
    return Left(words=body["detail"])


def _by_server(what: str) -> Callable[[Stand, Path], Left]:
    def ask(stand: Stand, out: Path) -> Left:
        settings = Settings((("c", stand.root),), rate=0)
        with TestClient(make_app(settings), base_url="http://localhost") as client:
            assert client.head(f"/collections/c/images/0/{what}").status_code in (200, 409)
            return _answer(client.get(f"/collections/c/images/0/{what}"))

    return ask


def _by_pages(what: str) -> Callable[[Stand, Path], Left]:
    def ask(stand: Stand, out: Path) -> Left:
        service = Service(Settings((("c", stand.root),)))
        routes = picture_routes(service, ThumbnailCache(service.settings.pixels), "/pictures")
        with TestClient(Starlette(routes=routes)) as client:
            return _answer(client.get(f"/pictures/c/images/0{what}"))

    return ask


def _by_zip(stand: Stand, out: Path) -> Left:
    with imseek.open(stand.root) as collection:
        made = b"".join(downloads.stream_zip(collection, [0]))
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    words = found.pop(downloads.LEFT_OUT, b"").decode()
    return Left(tuple(found.values()), words)


def _by_export(name: str, **options: Any) -> Callable[[Stand, Path], Left]:
    def write(stand: Stand, out: Path) -> Left:
        report = export.write(stand.root, out, format=name, options=ExportOptions(**options))
        written = [path for path in out.rglob("*") if path.suffix in (".jpg", ".tar")]
        assert not [path for path in written if path.is_symlink() and report.skipped]
        data = [path.read_bytes() for path in written if path.is_file()]
        whole = [one if one[:2] == b"\xff\xd8" else _in_tar(one) for one in data]
        return Left(tuple(one for one in whole if one), " ".join(one.message for one in report.skipped))

    return write


def _in_tar(data: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (found,) = [tar.extractfile(one) for one in tar if one.name.endswith(".jpg")]
        assert found is not None
        return found.read()


def _by_extract(stand: Stand, out: Path) -> Left:
    command = [sys.executable, "-P", "-m", "imseek", "extract", "0", "-o", str(out), "-c", str(stand.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        return Left((out.read_bytes(),))
    assert not out.exists()
    return Left(words=done.stderr)


def _by_duplicates(stand: Stand, out: Path) -> Left:
    """Comparing, and pages with pictures in them, take no notice of what cannot be had."""
    with closing(Reader(stand.root)) as reader, Originals(reader) as originals:
        data = originals.read(0)
    return Left(words=CHANGED) if data is None else Left((data,))


def _by_page_of_thumbnails(stand: Stand, out: Path) -> Left:
    with thumbnails(stand.root) as thumbnail:
        data = thumbnail(0)
    return Left(words=CHANGED) if data is None else Left((data,))


def _by_notebook(stand: Stand, out: Path) -> Left:
    with imseek.open(stand.root) as collection:
        html = collection.search("red")._repr_html_()
    assert html is not None
    found = re.findall(r"data:image/webp;base64,([^\"]+)", html)
    return Left(tuple(map(base64.b64decode, found)), "" if found else html)


def _by_reencoding(stand: Stand, out: Path) -> Left:
    report = maintenance.reencode(stand.root, "fake:32")
    words = " ".join(one.message for one in report.missing)
    return Left((stand.original,) if report.encoded else (), words)


def _by_evaluating(stand: Stand, out: Path) -> Left:
    with closing(Reader(stand.root)) as reader:
        (made,) = encode_stored_images(reader, np.array([0]), [registry.load("fake", modalities=("image",))], SILENT)
    return Left((stand.original,) * len(made.ids), " ".join(why for _, why in made.troubles))


def _by_viewer(stand: Stand, out: Path) -> Left:
    with imseek.open(stand.root) as collection:
        try:
            return Left((viewable_file(collection, collection.get(0)).read_bytes(),))
        except ImseekError as error:
            return Left(words=str(error))


DOORS: Final[Mapping[str, Callable[[Stand, Path], Left]]] = {
    "read": _by_read,
    "server-file": _by_server("file"),
    "server-thumbnail": _by_server("thumbnail?side=64"),
    "page-file": _by_pages(""),
    "page-thumbnail": _by_pages("/thumbnail?side=64"),
    "zip": _by_zip,
    "webdataset": _by_export("webdataset"),
    "imagefolder": _by_export("imagefolder"),
    "imagefolder-hard": _by_export("imagefolder", link="hard"),
    "imagefolder-symbolic": _by_export("imagefolder", link="symbolic"),
    "fiftyone": _by_export("fiftyone"),
    "extract": _by_extract,
    "duplicates": _by_duplicates,
    "page-of-thumbnails": _by_page_of_thumbnails,
    "notebook": _by_notebook,
    "reencode": _by_reencoding,
    "evaluate": _by_evaluating,
    "viewer": _by_viewer,
}
#: Doors that make small pictures of their own.
SMALL: Final = {"server-thumbnail", "page-thumbnail", "page-of-thumbnails", "notebook"}


@pytest.mark.parametrize("door", DOORS)
def test_what_was_indexed_leaves_by_every_door(door: str, stand: Stand, tmp_path: Path) -> None:
    left = DOORS[door](stand, tmp_path / "out")
    assert left.words == ""
    (data,) = left.pictures
    if door in SMALL:
        with Image.open(io.BytesIO(data)) as thumbnail:
            assert thumbnail.format == "WEBP"
    else:
        assert data == stand.original


@pytest.mark.sample(lie=2)
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__.strip("_"))
@pytest.mark.parametrize("door", DOORS)
def test_nothing_else_leaves_by_any_door(door: str, lie: Callable[[Stand], None], stand: Stand, tmp_path: Path) -> None:
    lie(stand)
    left = DOORS[door](stand, tmp_path / "out")
    assert left.pictures == ()
    assert CHANGED in left.words
    assert SECRET.decode() not in left.words


# -- what is allowed ------------------------------------------------------------------------------------------


def test_a_link_that_was_indexed_leads_to_its_picture(stand: Stand, tmp_path: Path) -> None:
    """Links to files are always indexed, links to folders where they are asked for."""
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a.jpg").symlink_to(stand.other)
    (linked / "folder").symlink_to(stand.picture.parent)
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        assert collection.index([linked], follow_symlinks=True).added == 2
        both = {collection.read(image_id) for image_id in (0, 1)}
        assert both == {stand.other.read_bytes(), stand.original}
        # The same picture elsewhere: only a file of that size and time is looked at.
        shutil.copyfile(stand.other, tmp_path / "copy.jpg")
        (linked / "a.jpg").unlink()
        (linked / "a.jpg").symlink_to(tmp_path / "copy.jpg")
        image_id = next(i for i in (0, 1) if collection.get(i).place.path.endswith(b"a.jpg"))
        with pytest.raises(ContentChangedError):
            collection.read(image_id)
        shutil.copystat(stand.other, tmp_path / "copy.jpg")
        assert collection.read(image_id) == stand.other.read_bytes()


def test_a_file_that_was_touched_or_copied_back_is_still_what_was_indexed(stand: Stand) -> None:
    os.utime(stand.picture)
    with imseek.open(stand.root) as collection:
        assert collection.read(0) == stand.original
        stand.picture.unlink()
        stand.picture.write_bytes(stand.original)
        assert collection.read(0) == stand.original


def test_links_may_lead_to_the_folder_of_a_source(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "by-link").symlink_to(stand.folder)
    for n, path in enumerate((tmp_path / "by-link", tmp_path / "by-link" / "below" / "flower.jpg")):
        with imseek.create(tmp_path / f"c{n}", encoder="fake") as collection:
            assert collection.index([path]).added == 1
            assert collection.read(0) == stand.original


def test_an_unchanged_file_is_not_hashed(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = hashlib.sha256

    def counted(data: bytes = b"") -> Any:
        sizes.append(len(data))
        return real(data)

    monkeypatch.setattr("imseek.indexer.sources.picture_reader.hashlib.sha256", counted)
    with imseek.open(stand.root) as collection:
        assert collection.read(0) == stand.original
        assert len(stand.original) not in sizes
        os.utime(stand.picture)
        assert collection.read(0) == stand.original
        assert len(stand.original) in sizes


# -- between the look and the answer --------------------------------------------------------------------------


def test_what_was_checked_is_what_is_sent(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    real = picture_reader.sniff

    def swapped(data: bytes) -> str | None:
        _link_to_secret(stand)  # just after all has been checked
        return real(data)

    monkeypatch.setattr(picture_reader, "sniff", swapped)
    with imseek.open(stand.root) as collection:
        assert collection.read(0) == stand.original


def test_bytes_that_change_while_they_are_read_are_not_trusted_by_a_stat_from_before(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and time of modification are made what they were; that is a change of its own, which the system dates."""
    known, real = stand.picture.stat(), local_files.os.fdopen

    def changed_first(fd: int, mode: str) -> Any:
        file = real(fd, mode)

        class Slow:
            def __enter__(self) -> Slow:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def read(self, size: int) -> bytes:
                with stand.picture.open("r+b") as writing:
                    writing.write(stand.other.read_bytes())
                os.utime(stand.picture, ns=(known.st_atime_ns, known.st_mtime_ns))
                return bytes(file.read(size))

        return Slow()

    monkeypatch.setattr(local_files.os, "fdopen", changed_first)
    with imseek.open(stand.root) as collection, pytest.raises(ContentChangedError):
        collection.read(0)


def test_a_file_that_grows_while_it_is_read(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = local_files.os.fstat, iter([0, 1])

    def growing(fd: int) -> os.stat_result:
        with stand.picture.open("ab") as writing:
            writing.write(b"more" * next(sizes, 0))
        return real(fd)

    monkeypatch.setattr(local_files.os, "fstat", growing)
    with imseek.open(stand.root) as collection, pytest.raises(ContentChangedError, match=CHANGED):
        collection.read(0)


def test_an_export_links_to_the_file_that_it_has_read(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another file lies there by then, the picture is copied."""
    for link in ("hard", "symbolic"):
        real = PlaceReader.load

        def swapped(self: PlaceReader, place: Any, real: Any = real) -> Any:
            picture = real(self, place)
            stand.picture.unlink()
            shutil.copyfile(stand.secret, stand.picture)
            return picture

        with monkeypatch.context() as patch:
            patch.setattr(PlaceReader, "load", swapped)
            options = ExportOptions(link=link)
            report = export.write(stand.root, tmp_path / link, format="imagefolder", options=options)
        (made,) = (tmp_path / link).rglob("*.jpg")
        assert (report.images, report.linked, made.is_symlink()) == (1, 0, False)
        assert made.read_bytes() == stand.original
        stand.picture.write_bytes(stand.original)


# -- a catalog that somebody else made ------------------------------------------------------------------------


def forge(root: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute(statement, values)
        connection.commit()


def stat_columns(path: Path) -> tuple[int, ...]:
    """As somebody may know them who has seen the file: with them, it would be trusted without being hashed."""
    info = path.stat()
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino & (2**63 - 1), 2**62


def claim(stand: Stand, place: bytes, file: Path) -> None:
    """Make the catalog say that ``place`` was indexed with this file's content."""
    forge(
        stand.root,
        "UPDATE places SET path = ?, size = ?, mtime_ns = ?, ctime_ns = ?, inode = ?, checked_ns = ?",
        place,
        *stat_columns(file),
    )
    forge(stand.root, "UPDATE images SET content_hash = ?", hashlib.sha256(file.read_bytes()).digest())


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("form", ["absolute", "above", "above-within", "nul", "empty-part"])
def test_a_place_that_leads_out_of_its_source(door: str, form: str, stand: Stand, tmp_path: Path) -> None:
    place = {
        "absolute": os.fsencode(stand.other),
        "above": b"../outside/flower.jpg",
        "above-within": b"below/../../outside/flower.jpg",
        "nul": b"below/flower.jpg\0\0",
        "empty-part": b"below//flower.jpg",
    }[form]
    claim(stand, place, stand.other)
    try:
        left = DOORS[door](stand, tmp_path / "out")
    except (ImseekError, AssertionError, ImageNotFoundError) as error:
        left = Left(words=str(error))
    assert left.pictures == ()
    assert stand.other.read_bytes()[:64] not in left.words.encode("utf-8", "surrogateescape")


def test_a_system_file_as_a_picture(stand: Stand) -> None:
    passwd = Path("/etc/passwd")
    for root, place in (
        (os.fsencode(stand.folder), b"/etc/passwd"),
        (b"/etc", b"passwd"),
        (b"/etc/passwd", b""),
    ):
        claim(stand, place, passwd)
        forge(stand.root, "UPDATE sources SET root = ?, relative = 0", root)
        for kind in ("folder", "list", "file", "imagefolder", "vectors"):
            forge(stand.root, "UPDATE sources SET kind = ?", kind)
            with imseek.open(stand.root) as collection, pytest.raises(ImseekError) as refused:
                collection.read(0)
            assert "root:" not in str(refused.value)
            settings = Settings((("c", stand.root),), rate=0)
            with TestClient(make_app(settings), base_url="http://localhost") as client:
                answer = client.get("/collections/c/images/0/file")
            assert answer.status_code in (409, 422)
            assert b"root:" not in answer.content


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("places", "path", "text"),
        ("places", "path", 7),
        ("places", "size", "large"),
        ("places", "ctime_ns", b"now"),
        ("images", "content_hash", 2**40),
        ("images", "content_hash", "text"),
        ("sources", "options", "[1, 2]"),
        ("sources", "options", "{"),
        ("sources", "options", '{"allow_private": "yes"}'),
        ("sources", "options", '{"include": [1]}'),
        ("sources", "kind", "evil"),
        ("sources", "root", b"/a\0b"),
    ],
)
def test_values_of_other_types_are_refused(table: str, column: str, value: object, stand: Stand) -> None:
    forge(stand.root, f"UPDATE {table} SET {column} = ?", value)
    with closing(Reader(stand.root)) as reader, Originals(reader) as originals, pytest.raises(ImseekError):
        originals.load(0)


# -- containers and the web -----------------------------------------------------------------------------------


@pytest.fixture
def clean(later: Callable[[float], None]) -> None:
    later(10)


def _zip(at: Path, data: bytes) -> Path:
    with zipfile.ZipFile(at, "w") as archive:
        archive.writestr("a.jpg", data)
    return at


def _parquet(at: Path, data: bytes) -> Path:
    pq.write_table(pa.table({"image": [data]}), at)
    return at


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(("make_it", "name"), [(_zip, "a.zip"), (_parquet, "a.parquet")])
def test_a_container_is_the_file_that_is_opened(
    make_it: Callable[[Path, bytes], Path], name: str, tmp_path: Path, photo_files: list[Path]
) -> None:
    """Links and pipes are refused as for pictures; what is in another one of that name is compared by its content."""
    data, other = photo_files[-1].read_bytes(), photo_files[-2].read_bytes()
    container, outside = make_it(tmp_path / name, data), make_it(tmp_path / f"other-{name}", other)
    kept = container.read_bytes()
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        assert collection.index([container]).added == 1
        assert collection.read(0) == data
        container.unlink()
        container.symlink_to(outside)
        with pytest.raises(ContentChangedError):
            collection.read(0)
        container.unlink()
        os.mkfifo(container)
        with pytest.raises(ContentChangedError):
            collection.read(0)
        container.unlink()
        for instead in (outside.read_bytes(), SECRET, b"", kept[: len(kept) // 2]):
            container.write_bytes(instead)
            with pytest.raises(ContentChangedError) as refused:
                collection.read(0)
            assert str(tmp_path) not in str(refused.value)
        container.unlink()
        container.write_bytes(kept)
        assert collection.read(0) == data


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(("make_it", "name"), [(_zip, "a.zip"), (_parquet, "a.parquet")])
def test_a_container_of_a_folder_is_never_a_url(
    make_it: Callable[[Path, bytes], Path], name: str, tmp_path: Path, photo_files: list[Path]
) -> None:
    """Only a catalog that somebody else made can say so: nobody is asked for it."""
    data = photo_files[-1].read_bytes()
    (tmp_path / "photos").mkdir()
    container = make_it(tmp_path / "photos" / name, data)
    with WebServer() as web, imseek.create(tmp_path / "c", encoder="fake") as collection:
        web.pages = {name: container.read_bytes()}
        assert collection.index([tmp_path / "photos"]).added == 1
        (hit,) = collection.search("red").hits
        member = os.fsencode(hit.path).partition(b"!/")[2]
        forge(tmp_path / "c", "UPDATE places SET path = ?", web.url(name).encode() + b"\0" + member)
        with pytest.raises(MediaError, match="leads out of its source"):
            collection.read(0)
        assert web.requests == 0


def test_a_row_that_has_no_number_is_shown_as_it_stands(tmp_path: Path, photo_files: list[Path]) -> None:
    _parquet(tmp_path / "a.parquet", photo_files[-1].read_bytes())
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        assert collection.index([tmp_path / "a.parquet"]).added == 1
        for row, shown in ((b"", ""), (b"a b", "a%20b"), (b"-1", "-1")):
            forge(tmp_path / "c", "UPDATE places SET path = ?", b"\0" + row)
            (hit,) = collection.search("red").hits
            assert hit.uri == (tmp_path / "a.parquet").as_uri() + f"#row={shown}"
            with pytest.raises(MediaError):
                collection.read(0)


@pytest.mark.usefixtures("clean")
def test_a_picture_that_a_table_names(stand: Stand, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text(f"image_path\n{stand.picture}\n")
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        assert collection.index([table]).added == 1
        assert collection.read(0) == stand.original
        _link_to_secret(stand)
        with pytest.raises(ContentChangedError):
            collection.read(0)


def test_a_picture_on_the_web_that_is_another_one_now(tmp_path: Path, photo_files: list[Path]) -> None:
    with WebServer() as web, imseek.create(tmp_path / "c", encoder="fake") as collection:
        web.pages = {"a.jpg": photo_files[-1].read_bytes()}
        options = SourceOptions(allow_private=True)
        assert collection.index(names=[web.url("a.jpg")], source=options).added == 1
        assert collection.read(0) == photo_files[-1].read_bytes()
        web.pages = {"a.jpg": photo_files[-2].read_bytes()}
        with pytest.raises(ContentChangedError, match="this picture changed since it was indexed"):
            collection.read(0)


@pytest.mark.usefixtures("clean")
def test_the_picture_of_a_vector_is_a_picture_and_no_link(stand: Stand, tmp_path: Path) -> None:
    """Nobody has seen it: more cannot be known."""
    with imseek.open(stand.root) as collection:
        hit = collection.search(imseek.Query((imseek.Term("red"),)), vectors=True)[0]
    vectors = tmp_path / "clip"
    (vectors / "img_emb").mkdir(parents=True)
    (vectors / "metadata").mkdir()
    assert hit.vector is not None
    np.save(vectors / "img_emb" / "img_emb_0.npy", hit.vector[None])
    told = pa.table({"image_path": [str(stand.picture)]})
    pq.write_table(told, vectors / "metadata" / "metadata_0.parquet")
    with imseek.create(tmp_path / "c", encoder="fake") as collection:
        assert collection.index([vectors], source=SourceOptions(encoder="fake")).added == 1
        assert collection.read(0) == stand.original
        _text(stand)
        with pytest.raises(MediaError, match="matches no known image format"):
            collection.read(0)
        _link_to_picture(stand)
        with pytest.raises(ContentChangedError):
            collection.read(0)


@BOTH_CATALOGS
def test_a_catalog_on_a_server_knows_what_was_indexed(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    later(10)
    assert collection.index([photos]).added == 8
    (image_id,) = (i for i, one in collection.get_many(range(8)).items() if one.place.path.endswith(b"coffee.png"))
    assert collection.read(image_id) == (photos / "coffee.png").read_bytes()
    shutil.copyfile(photos / "chelsea.png", photos / "coffee.png")
    with pytest.raises(ContentChangedError):
        collection.read(image_id)


# -- one door -------------------------------------------------------------------------------------------------


def importers(*names: str) -> set[str]:
    """Modules of the package that import one of these names."""
    package, wanted = Path(imseek.__file__).parent, set(names)
    found = (
        path
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imseek.indexer")
        if wanted & {alias.name for alias in node.names}
    )
    return {path.relative_to(package).with_suffix("").as_posix() for path in found}


def test_who_opens_sources() -> None:
    """Scanning and indexing read what is there now; everybody else goes through ``PlaceReader``, which compares."""
    at = "indexer/sources/"
    kinds = {at + name for name in ("archive", "folder", "imagefolder", "named_files", "table", "vectors")}
    assert importers("read_file", "FileOpener") == kinds | {
        at + "__init__",
        at + "picture_reader",
        "indexer/imported_vectors_check",  # evidence for vectors, before they are indexed
    }
    assert importers("open_source") == {
        at + "picture_reader",
        "indexer/scan",
        "indexer/executors/worker",
        "indexer/containing_source",  # names only
    }

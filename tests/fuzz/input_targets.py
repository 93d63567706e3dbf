"""Readers of what is indexed: pictures, texts beside them, archives and tables."""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import tarfile
import zipfile
from contextlib import suppress
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from xmp import DARKTABLE, DIGIKAM, LIGHTROOM

from fuzz.mutations import ByteSource, json_bytes, mutate
from fuzz.target import Target, arbitrary_bytes, scratch_folder
from imseek.errors import MediaError
from imseek.indexer.sources.tables import open_sheet
from imseek.indexer.sources.tables.base import Kind
from imseek.indexer.sources.tar_archive import Tar, TarStream
from imseek.indexer.sources.zip_archive import Zip
from imseek.media import isobmff, raw
from imseek.media.annotation_values import MAX_ENTRIES
from imseek.media.decode import Limits, decode
from imseek.media.formats import needs_sandbox, sniff
from imseek.media.sidecar import read_sidecar
from imseek.media.xmp import read_xmp
from imseek.media.xmp_keywords import add_keywords

#: Bytes of a member that a target unpacks, members that it reads, and rows of a table.
_LIMIT: Final = 1 << 16
_MEMBERS: Final = 20
_ROWS: Final = 200


def _decode(data: bytes) -> None:
    """What stands around the codecs, and Pillow's own; others are decoded elsewhere (`imseek.media.sandbox`)."""
    name = sniff(data)
    for _ in isobmff.boxes(data):
        pass
    isobmff.ends_early(data)
    if raw.is_raw(data):
        with suppress(MediaError):
            raw.largest_jpeg(data)
    if name is None or needs_sandbox(name):
        return
    try:
        decoded = decode(data, min_side=16, limits=Limits(max_pixels=1 << 18, max_bytes=1 << 20))
    except MediaError:
        return
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape[2:] == (3,)


def _picture_seeds() -> list[bytes]:
    found = []
    pixels = Image.linear_gradient("L").resize((24, 16)).convert("RGB")
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x010E] = "Maker", 6, "a description"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 24.0)
    for form in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        out = io.BytesIO()
        extra = {"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}
        pixels.save(out, form, **extra)
        found.append(out.getvalue())
    boxes = struct.pack(">I4s", 16, b"ftyp") + b"heic" + bytes(4) + struct.pack(">I4sQ", 1, b"meta", 24) + bytes(8)
    return [*found, boxes, b"II*\0\x08\0\0\0" + bytes(32)]


def _read_sidecar(data: bytes) -> None:
    source = ByteSource(data)
    document = {
        "title": "a",
        "photoTakenTime": {"timestamp": "1"},
        "geoData": {"latitude": 1.0, "longitude": 2.0},
        "x": [1],
    }
    text = json_bytes(mutate(document, source)) if source.number(2) else source.rest()
    read_sidecar(source.rest() or None, text)


def _read_xmp(data: bytes) -> None:
    """XMP from a picture or beside it, and keywords added to it: all that was said stays."""
    before = read_xmp(data)
    with suppress(MediaError):
        after = read_xmp(add_keywords(data, ["a b", "<c>"]))
        if len(before.keywords) < MAX_ENTRIES - 2:
            assert {*before.keywords, "a b", "<c>"} == {*after.keywords}
        assert (before.caption, before.rating, before.people) == (after.caption, after.rating, after.people)


def _is_picture(name: bytes) -> bool:
    return name.endswith(b".png")


def _read_tar(data: bytes) -> None:
    """A tar on disk, and the same bytes as a stream, compressed or not."""
    path = scratch_folder() / "tar"
    path.write_bytes(data)
    with suppress(MediaError):
        archive = Tar(path.open("rb"))
        for member in itertools.islice(archive.members(_is_picture), _MEMBERS):
            with suppress(MediaError):
                assert len(archive.read(member.where, _LIMIT)) <= _LIMIT
    with suppress(MediaError):
        stream = TarStream(io.BytesIO(data))
        for member in itertools.islice(stream.members(_is_picture), _MEMBERS):
            with suppress(MediaError):
                assert len(stream.read(member.where, _LIMIT)) <= _LIMIT


@cache
def _tar_seeds() -> list[bytes]:
    found = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as tar:
            for name in ("a.png", "a.txt", "b" * 90 + "/" + "c" * 60 + ".png"):
                info = tarfile.TarInfo(name)
                info.size = 5
                if form == tarfile.PAX_FORMAT:
                    info.pax_headers = {"comment": "x", "mtime": "1.5"}
                tar.addfile(info, io.BytesIO(b"bytes"))
        found.append(out.getvalue()[:-8192])
    return [*found, gzip.compress(found[0], mtime=0)]


def _read_zip(data: bytes) -> None:
    """A zip, whose members are unpacked by all methods that Python knows."""
    with suppress(MediaError):
        archive = Zip(io.BytesIO(data))
        for member in itertools.islice(archive.members(_is_picture), _MEMBERS):
            with suppress(MediaError):
                assert len(archive.read(member.where, _LIMIT)) <= _LIMIT


@cache
def _zip_seeds() -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name in ("a.png", "a.txt", "é/b.png"):
                archive.writestr(zipfile.ZipInfo(name), b"some bytes " * 9, method)
        found.append(out.getvalue())
    return found


def _read_table(data: bytes) -> None:
    """A table of any kind: the first bytes decide."""
    with suppress(MediaError), open_sheet(b"table.csv", io.BytesIO(data)) as sheet:
        names = [column.name for column in sheet.columns][:8]
        for column in sheet.columns:
            if column.kind is Kind.PICTURE:
                sheet.has_bytes(column.name)
        for _, row in itertools.islice(sheet.rows(names), _ROWS):
            for cell in row.values() if isinstance(row, dict) else ():
                sheet.scalar(cell)


@cache
def _table_seeds() -> list[bytes]:
    table = pa.table({"path": ["a.png", "b.png"], "n": [1, None], "tags": [["x"], []], "v": [[0.5, 1.0]] * 2})
    parquet, arrow = io.BytesIO(), io.BytesIO()
    pq.write_table(table, parquet)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    text = b'path,n,"a b"\na.png,1,"x""y"\n\xc3\xa9.png,1e999,2020-01-01\n'
    lines = b'{"path": "a.png", "n": 1, "tags": ["x"]}\n{"path": null}\n[1]\n'
    return [text, lines, parquet.getvalue(), arrow.getvalue()]


TARGETS: Final = {
    "pictures": Target(_decode, _picture_seeds),
    "sidecar": Target(_read_sidecar, lambda: [b"\1", b"\0{}", *arbitrary_bytes()]),
    "xmp": Target(_read_xmp, lambda: [LIGHTROOM, DIGIKAM, DARKTABLE]),
    "tar": Target(_read_tar, _tar_seeds),
    "zip": Target(_read_zip, _zip_seeds),
    "table": Target(_read_table, _table_seeds),
}

"""Lies in archives: of images (tar, zip), and of collections (backups)."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from hostile.inputs import bombs
from hostile.inputs.bombs import END, PIECE, ZipEntry, header, member, packed
from hostile.inputs.place import Input, Kind, Make, Place
from imseek.data.archive import manifest
from imseek.data.files import durable_files

_INDEX = ("index FILE -c COLLECTION", "export OUT/all.jsonl -c COLLECTION")


def _picture(place: Place) -> bytes:
    return (place.folder / "0.png").read_bytes()


def _tar_lies(form: str) -> tuple[Input, ...]:
    def of(*parts: bytes | int) -> Make:
        def make(place: Place) -> bytes:
            whole = (member("a.png", _picture(place)), *parts, member("z.png", _picture(place)), END)
            if form == "tar":
                return b"".join(bytes(PIECE) * one if isinstance(one, int) else one for one in whole)
            return packed(form, *whole)

        return make

    def link(kind: bytes, target: str) -> bytes:
        info = tarfile.TarInfo("link.png")
        info.type, info.linkname = kind, target
        return info.tobuf(tarfile.GNU_FORMAT)

    def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
        return header("pax", len(records), kind) + records + bytes(-len(records) % 512)

    def record(key: str, value: str) -> bytes:
        body = f" {key}={value}\n".encode()
        length = len(body) + 2
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        return str(length).encode() + body

    def raw(field: slice, data: bytes) -> bytes:
        block = bytearray(header("b.png", 512))
        block[field] = data
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block) + bytes(512)

    return (
        Input(
            "links",
            "to secrets",
            of(*(link(kind, "/etc/shadow") for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE))),
        ),
        Input(
            "devices",
            "of every kind",
            of(*(link(kind, "") for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE))),
        ),
        Input(
            "names",
            "that lead out",
            of(*(member(name, b"x") for name in ("../../../x.png", "/etc/x.png", "a/../../x.png"))),
        ),
        Input(
            "names",
            "of a hundred thousand letters",
            of(pax(record("path", "x" * 100_000 + ".png")), member("b.png", b"x")),
        ),
        Input("names", "with NUL", of(pax(record("path", "a\0b.png")), member("b.png", b"x"))),
        Input("names", "one for all", of(*([member("b.png", b"x")] * 200))),
        Input("sizes", "exabytes", of(header("b.png", 2**60))),
        Input("sizes", "negative", of(raw(slice(124, 136), b"\xff" * 12))),
        Input("sizes", "in another base", of(raw(slice(124, 136), b"\x80" + b"\xff" * 11))),
        Input("sizes", "by pax", of(pax(record("size", "9" * 30)), member("b.png", b"x"))),
        Input("sizes", "negative by pax", of(pax(record("size", "-5")), member("b.png", b"x"))),
        Input("descriptions", "digits of a megabyte", of(pax(b"0" * 2**20))),
        Input("descriptions", "a length of nothing", of(pax(b"0 path=x\n"))),
        Input("descriptions", "thousands", of(*([pax(record("path", "x.png"))] * 3000))),
        Input("descriptions", "for all", of(pax(record("size", "0") + record("path", "x.png"), tarfile.XGLTYPE))),
        Input(
            "holes",
            "of an exabyte",
            of(
                pax(record("GNU.sparse.major", "1") + record("GNU.sparse.realsize", str(2**60))),
                member("b.png", b"1\n0\n1\n" + bytes(506)),
            ),
        ),
        Input("holes", "a map that goes on", of(_sparse())),
        Input(
            "a bomb",
            "of what is no picture",
            of(*(part for n in range(60) for part in (header(f"{n}.bin", PIECE), 1))),
            large=form == "tar",
        ),
        Input(
            "a bomb",
            "of pictures",
            of(*(part for n in range(60) for part in (header(f"{n}.png", PIECE), 1))),
            large=True,
        ),
        Input("a bomb", "of headers", of(*([header("x.bin", 0) * 10_000] * 30)), large=True),
        Input("something else", "a zip", lambda place: _zip({"a.png": _picture(place)})),
    )


def _sparse() -> bytes:
    block = bytearray(header("b.png", 0, tarfile.GNUTYPE_SPARSE))
    block[482] = 1
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    more = bytearray(512)
    more[504] = 1
    return bytes(block) + bytes(more) * 2000


def _zip(held: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in held.items():
            file.writestr(name, data)
    return out.getvalue()


def _zip_lies() -> tuple[Input, ...]:
    def entry(**lie: int) -> Make:
        fields: dict[str, Any] = {"method": 0, "crc": 0, "packed": 5, "size": 5, **lie}
        return lambda _: bombs.zip_of([(ZipEntry(b"a.png", **fields), b"hello")])

    def patched(at: int, data: bytes) -> Make:
        def make(place: Place) -> bytes:
            sound = _zip({"a.png": _picture(place)})
            return sound[:at] + data + sound[len(sound) + at + len(data) if at < 0 else at + len(data) :]

        return make

    def link(place: Place) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            info = zipfile.ZipInfo("link.png")
            info.external_attr = 0o120777 << 16
            file.writestr(info, str(place.secret))
        return out.getvalue()

    big = b"\xff\xff\xff\xff"
    return (
        Input(
            "names",
            "that lead out",
            lambda p: _zip(
                {name: _picture(p) for name in ("../../../x.png", "/etc/x.png", "C:\\x.png", "a\\..\\x.png")}
            ),
        ),
        Input("links", "to a secret", link),
        Input("sizes", "4 GiB", entry(packed=2**32 - 1, size=2**32 - 1)),
        Input("sizes", "more than is packed", entry(size=2**31)),
        Input("ways of packing", "unknown", entry(method=99)),
        *(Input("ways of packing", f"garbage as {method}", entry(method=method)) for method in (8, 9, 12, 14, 93, 95)),
        Input("the end", "a list of 4 GiB", patched(-10, big)),
        Input("the end", "a list that begins behind it", patched(-6, big)),
        Input("the end", "65,535 entries", patched(-14, b"\xff\xff\xff\xff")),
        Input("the end", "missing", lambda p: _zip({"a.png": _picture(p)})[:-22]),
        Input(
            "members",
            "that overlap",
            lambda p: bombs.overlapping([b"%d.png" % n for n in range(60)], _picture(p)),
        ),
        Input(
            "members",
            "200,000 without bytes",
            lambda _: bombs.zip_end(ZipEntry(b"a.png", 0, 0, 0, 0).listed * 200_000, 0, 65535),
            large=True,
        ),
        *(
            Input(
                "a bomb",
                f"of 256 MiB, {method}",
                lambda _, method=method: _zip({"a.png": bytes(1 << 28)}, method),
                large=True,
            )  # type: ignore[misc]
            for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
        ),
    )


def _backup_lies() -> tuple[Input, ...]:
    def members(place: Place) -> dict[str, bytes]:
        with tarfile.open(place.sound / "backup.tar") as tar:
            return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]

    def repacked(change: Callable[[dict[str, bytes], Place], object], *, relist: bool = True) -> Make:
        def make(place: Place) -> bytes:
            contents = members(place)
            change(contents, place)
            return _packed(_relisted(contents) if relist else contents)

        return make

    def stated(**values: Any) -> Make:
        def make(place: Place) -> bytes:
            contents = members(place)
            document = {**json.loads(contents[manifest.NAME]), **values}
            document.pop("sha256", None)
            return _packed({**contents, manifest.NAME: durable_files.add_checksum(document)})

        return make

    def with_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> Make:
        def make(place: Place) -> bytes:
            sound = (place.sound / "backup.tar").read_bytes()
            end = sound.rstrip(b"\0")
            end += bytes(-len(end) % 512)
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, size
            return end + info.tobuf(tarfile.GNU_FORMAT) + END

        return make

    def catalog(statement: str) -> Make:
        def change(contents: dict[str, bytes], place: Place) -> None:
            import sqlite3

            path = place.folder / "catalog"
            path.write_bytes(contents["collection/catalog.sqlite"])
            with sqlite3.connect(path) as connection:
                connection.execute(statement.replace("HOME", str(place.arena.home)))
            connection.close()
            contents["collection/catalog.sqlite"] = path.read_bytes()
            path.unlink()

        return repacked(change)

    return (
        *(
            Input("members", f"{name} {kind!r}", with_member(name, kind, "/etc/shadow"))
            for name in ("collection/x", "../../x", "/etc/x")
            for kind in (
                tarfile.SYMTYPE,
                tarfile.LNKTYPE,
                tarfile.CHRTYPE,
                tarfile.FIFOTYPE,
                tarfile.DIRTYPE,
                tarfile.REGTYPE,
            )
        ),
        Input(
            "members",
            "a name of a megabyte",
            lambda p: _first(p) + header("long", 2**20, tarfile.GNUTYPE_LONGNAME) + b"x" * 2**20,
        ),
        Input("members", "sparse", with_member("collection/x", tarfile.GNUTYPE_SPARSE)),
        Input("members", "described by pax", with_member("collection/x", tarfile.XHDTYPE)),
        Input("members", "an exabyte", lambda p: _first(p) + header("collection/collection.json", 2**60)),
        Input(
            "members",
            "names without end",
            lambda p: _first(p) + (header("x", 4, tarfile.GNUTYPE_LONGNAME) + b"name" + bytes(508)) * 20_000,
        ),
        Input("members", "none behind the manifest", _first),
        Input("the manifest", "no files", stated(files=[])),
        Input("the manifest", "a size of an exabyte", stated(files=[["collection.json", 2**60, "0" * 64]])),
        Input("the manifest", "sizes that are truth values", stated(files=[["collection.json", True, "0" * 64]])),
        *(
            Input("the manifest", f"names {path}", stated(files=[[path, 1, "0" * 64]]))
            for path in (
                "../x",
                "/etc/passwd",
                "metadata/../../x",
                "undo/x",
                "a/" * 2000 + "a",
                "\0",
                "catalog.sqlite-wal",
            )
        ),
        Input("the manifest", "half a gigabyte", lambda _: header(manifest.NAME, 2**29)),
        Input("the manifest", "deep", lambda _: member(manifest.NAME, b"[" * 100_000)),
        Input("the manifest", "digits", lambda _: member(manifest.NAME, b'{"format": ' + b"9" * 100_000 + b"}")),
        Input("the manifest", "another format", stated(format=10**30)),
        Input("the manifest", "of other types", stated(uuid=[], generation="9", images=-1)),
        Input("the manifest", "a uuid that is a path", stated(uuid="../../x")),
        Input(
            "files",
            "another one",
            repacked(lambda contents, _: contents.update({"collection/undo/x": b"evil"})),
        ),
        Input(
            "files",
            "an executable",
            repacked(lambda contents, _: contents.update({"collection/metadata/x.sh": b"#!/bin/sh"})),
        ),
        Input(
            "files",
            "a catalog that is none",
            repacked(
                lambda contents, _: contents.update({"collection/catalog.sqlite": b"SQLite format 3\0" + bytes(5000)})
            ),
        ),
        Input(
            "files",
            "a current.json that is deep",
            repacked(lambda contents, _: contents.update({"collection/current.json": b"[" * 100_000})),
        ),
        Input(
            "the catalog",
            "a trigger",
            catalog("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM meta; END"),
        ),
        Input("the catalog", "a view", catalog("CREATE VIEW v AS SELECT * FROM files")),
        Input(
            "the catalog",
            "a file of the user",
            catalog("UPDATE files SET path = 'HOME/thesis.txt' WHERE rowid = (SELECT min(rowid) FROM files)"),
        ),
        Input(
            "the catalog",
            "a path that is a link away",
            catalog("UPDATE files SET path = '../../../home/thesis.txt' WHERE rowid = (SELECT min(rowid) FROM files)"),
        ),
        Input("the catalog", "a later version", catalog("PRAGMA user_version = 1000000")),
        Input(
            "something else",
            "compressed",
            lambda p: bombs.PACKERS["tar.gz"]((p.sound / "backup.tar").read_bytes()),
        ),
        Input("something else", "a zip", lambda _: _zip({"a": b"b"})),
        Input(
            "something behind",
            "a gigabyte of zeros",
            lambda p: (p.sound / "backup.tar").read_bytes() + bytes(1 << 26),
        ),
        Input("something behind", "another backup", lambda p: (p.sound / "backup.tar").read_bytes() * 2),
    )


def _first(place: Place) -> bytes:
    """The manifest alone."""
    sound = (place.sound / "backup.tar").read_bytes()
    (size,) = struct.unpack("12s", sound[124:136])
    count = int(size.rstrip(b"\0 "), 8)
    return sound[: 512 + count + -count % 512]


def _packed(contents: Mapping[str, bytes]) -> bytes:
    return b"".join(member(name, data) for name, data in contents.items()) + END


def _relisted(contents: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that lists the files as they are."""
    document = json.loads(contents[manifest.NAME])
    document.pop("sha256")
    document["files"] = [
        [name.removeprefix("collection/"), len(data), hashlib.sha256(data).hexdigest()]
        for name, data in contents.items()
        if name != manifest.NAME
    ]
    return {**contents, manifest.NAME: durable_files.add_checksum(document)}


def archive_kinds() -> list[Kind]:
    """Tars and zips of images, and backups of collections."""
    found = []
    for form in ("tar", "tar.gz", "tar.bz2", "tar.xz"):

        def sound(place: Place, form: str = form) -> bytes:
            whole = member("a.png", _picture(place)) + END
            return whole if form == "tar" else packed(form, whole)

        found.append(Kind(f"archive: {form}", f"images.{form}", sound, _INDEX, _tar_lies(form)))
    found.append(Kind("archive: zip", "images.zip", lambda p: _zip({"a.png": _picture(p)}), _INDEX, _zip_lies()))

    def backup(place: Place) -> bytes:
        return (place.sound / "backup.tar").read_bytes()

    calls = ("backup --verify FILE", "restore FILE NEW", "collection verify NEW")
    return [*found, Kind("backup", "backup.tar", backup, calls, _backup_lies())]

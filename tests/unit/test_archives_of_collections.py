"""Archives of collections that are damaged, cut short, or made by somebody who means harm."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imseek
from imseek.data.archive import manifest, restore, tar_stream
from imseek.data.catalog.migrations import MIGRATIONS
from imseek.data.files import durable_files
from imseek.errors import BackupError, CollectionExistsError, FormatVersionError, StorageError, UsageError


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of a collection of two pictures."""
    from PIL import Image

    home = tmp_path_factory.mktemp("archive")
    (home / "photos").mkdir()
    for name in ("red", "lime"):
        Image.new("RGB", (20, 10), name).save(home / f"photos/{name}.png")
    with imseek.create(home / "collection", encoder="fake") as collection:
        collection.index([home / "photos"])
        imseek.tags.add(collection, "bright", [0])
        out = io.BytesIO()
        imseek.backup.write(collection, out)
    return out.getvalue()


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]


def packed(contents: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] | None = None) -> bytes:
    """A tar as somebody else would make it; ``change`` is given the header of each member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change is not None:
                change(info)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def restated(contents: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """With a manifest that says something else, and is sealed as ours are."""
    document = {**json.loads(contents[manifest.NAME]), **changes}
    document.pop("sha256")
    return {**contents, manifest.NAME: durable_files.add_checksum(document)}


def relisted(contents: dict[str, bytes]) -> dict[str, bytes]:
    """With a manifest that lists the files as they are."""
    listed = [
        [name.removeprefix("collection/"), len(data), hashlib.sha256(data).hexdigest()]
        for name, data in contents.items()
        if name != manifest.NAME
    ]
    return restated(contents, files=listed)


def refused(archive: bytes, folder: Path, said: str, kind: type[Exception] = BackupError) -> None:
    """Neither read nor restored, and nothing is left of the attempt."""
    with pytest.raises(kind, match=said):
        imseek.backup.restore(io.BytesIO(archive), folder / "new")
    assert list(folder.iterdir()) == []


def test_a_backup_is_a_tar_that_anybody_can_unpack(archive: bytes, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = tar.getnames()
        tar.extractall(tmp_path, filter="data")
    assert names[:5] == [
        "imseek-backup.json",
        "collection/collection.json",
        "collection/current.json",
        "collection/checksums.json",
        "collection/catalog.sqlite",
    ]
    assert "collection/spaces/0/img_emb/000000.npy" in names
    assert imseek.maintenance.verify(tmp_path / "collection").ok
    with imseek.open(tmp_path / "collection") as collection:
        (hit,) = collection.search("red", limit=1)
        assert hit.path.endswith("red.png")


def test_it_is_told_what_is_in_it(archive: bytes) -> None:
    report = imseek.backup.verify(io.BytesIO(archive))
    assert (report.backup.images, report.backup.generation, report.backup.index) == (2, 3, True)
    assert report.size == len(archive)
    assert report.backup.files == len(members(archive)) - 1
    assert report.backup.bytes == sum(len(data) for data in members(archive).values()) - len(
        members(archive)[manifest.NAME]
    )


def test_any_changed_byte_is_noticed(archive: bytes, chance: random.Random) -> None:
    """But for those that say nothing: padding, and what headers hold beside name, size and kind is under their sum."""
    for _ in range(300):
        at = chance.randrange(len(archive))
        damaged = bytearray(archive)
        damaged[at] ^= 1 << chance.randrange(8)
        try:
            imseek.backup.verify(io.BytesIO(bytes(damaged)))
        except StorageError:
            continue
        assert members(bytes(damaged)) == members(archive), f"byte {at} was changed"


def test_one_that_is_cut_short_is_noticed_wherever(archive: bytes, tmp_path: Path) -> None:
    end = archive.rindex(members(archive)["collection/spaces/0/img_emb/000000.npy"][-100:]) + 100
    for length in (0, 1, 511, 512, 700, *range(1024, end, 4099), end - 1, end):
        refused(archive[:length], tmp_path, "cut short|is empty")
    refused(archive[: end + 300], tmp_path, "cut short")


@pytest.mark.parametrize(
    "path",
    [
        "../outside", "/etc/passwd", "metadata/../../outside", "metadata//x", "metadata/./x", "metadata/.hidden",
        "writer.lock", "strange/x", "metadata", "catalog.sqlite-wal", "staging/x", "metadata/x\0y", "metadata/x\ny",
        "metadata/", "metadata\\x", "undo/../x", "catalog.sqlite/x",
    ],
)  # fmt: skip
def test_a_path_that_is_not_ours_is_refused(archive: bytes, tmp_path: Path, path: str) -> None:
    contents = members(archive)
    listed = [*json.loads(contents[manifest.NAME])["files"], [path, 1, "0" * 64]]
    refused(packed(restated(contents, files=listed)), tmp_path, "not a file of a collection")
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE, b"S", b"x"]
)
def test_what_is_no_plain_file_is_refused(archive: bytes, tmp_path: Path, kind: bytes) -> None:
    def change(info: tarfile.TarInfo) -> None:
        if info.name.endswith("current.json"):
            info.type, info.linkname = kind, "/etc/passwd"

    refused(packed(members(archive), change), tmp_path, "not a plain file|is not a tar")


def test_members_must_be_those_of_the_manifest(archive: bytes, tmp_path: Path) -> None:
    contents = members(archive)
    more = {**contents, "collection/metadata/000009.parquet": b"more"}
    refused(packed(more), tmp_path, "not in its manifest")
    refused(packed({**contents, "outside": b""}), tmp_path, "not in its manifest")
    fewer = {name: data for name, data in contents.items() if not name.endswith(".parquet")}
    refused(packed(fewer), tmp_path, "metadata/000000.parquet is not in it")
    twice = archive[: archive.index(b"collection/current.json")]
    again = packed({"collection/collection.json": contents["collection/collection.json"]})
    refused(twice + again, tmp_path, "or occurs twice")
    other = {**contents, "collection/metadata/000000.parquet": b"PAR1 but other bytes"}
    refused(packed(other), tmp_path, "000000.parquet says 20 bytes instead of")
    refused(archive + b"more", tmp_path, "something follows its end")
    refused(packed(dict(reversed(contents.items()))), tmp_path, "is not an imseek backup")


def test_a_manifest_must_agree_with_itself(archive: bytes, tmp_path: Path) -> None:
    contents = members(archive)
    files = json.loads(contents[manifest.NAME])["files"]
    for wrong, said in (
        ([*files, files[-1]], "lists a file twice"),
        (files[1:], "lists no collection.json"),
        (
            [*files, ["metadata/000001", 0, "0" * 64], ["metadata/000001/x", 0, "0" * 64]],
            "is not a file of a collection",
        ),
        ([*files, ["metadata/x", -1, "0" * 64]], "not a file"),
        ([*files, ["metadata/x", True, "0" * 64]], "not a file"),
        ([*files, ["metadata/x", 1, "Z" * 64]], "not a file"),
        ([*files, ["metadata/x", 1]], "not a file"),
        ({"metadata/x": 1}, "lacks files"),
    ):
        refused(packed(restated(contents, files=wrong)), tmp_path, said)
    refused(packed(restated(contents, generation="3")), tmp_path, "lacks generation")
    refused(packed({**contents, manifest.NAME: b"{}"}), tmp_path, "manifest is damaged")


@pytest.mark.parametrize("name", ["format", "collection_format"])
def test_one_of_a_later_imseek_says_so(archive: bytes, tmp_path: Path, name: str) -> None:
    refused(packed(restated(members(archive), **{name: 2})), tmp_path, "reads up to 1", FormatVersionError)


def test_a_later_catalog_says_so(archive: bytes, tmp_path: Path) -> None:
    changed = with_catalog(archive, tmp_path, "INSERT INTO migrations VALUES (9999, 'tomorrow', 'never')")
    refused(changed, tmp_path, f"version {len(MIGRATIONS) + 1}", FormatVersionError)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM images; END",
            "the trigger 't': imseek did not make it so",
        ),
        ("CREATE VIEW v AS SELECT * FROM images", "the view 'v': imseek did not make it so"),
        (
            "INSERT INTO files SELECT '../../outside', kind, shard_id, space_id, name, row_count, size, sha256, born, "
            "1, 1 FROM files LIMIT 1",
            "is not a file of a collection",
        ),
        ("UPDATE files SET path = path || 'x' WHERE kind = 'vectors'", "is not a file of a collection"),
        ("DELETE FROM files WHERE kind = 'vectors'", "does not list the files"),
        ("UPDATE files SET size = size + 1", "does not list the files"),
        ("UPDATE meta SET value = 'another' WHERE name = 'uuid'", "a row that imseek does not write"),
        (
            "UPDATE meta SET value = '00000000-0000-4000-8000-000000000000' WHERE name = 'uuid'",
            "another collection",
        ),
    ],
)
def test_a_catalog_that_would_do_harm_is_refused(archive: bytes, tmp_path: Path, script: str, said: str) -> None:
    refused(with_catalog(archive, tmp_path, script), tmp_path, said)


def with_catalog(archive: bytes, tmp_path: Path, script: str) -> bytes:
    contents, file = members(archive), tmp_path / "catalog"
    file.write_bytes(contents["collection/catalog.sqlite"])
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(f"{script}; PRAGMA journal_mode=DELETE;")
    changed = {**contents, "collection/catalog.sqlite": file.read_bytes()}
    file.unlink()
    return packed(relisted(changed))


def test_what_does_not_fit_is_refused_before_anything_is_written(
    archive: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = members(archive)
    files = [[p, 10**18 if p.endswith("npy") else n, s] for p, n, s in json.loads(contents[manifest.NAME])["files"]]
    made: list[str] = []
    monkeypatch.setattr("imseek.data.archive.restore.staging_folder", lambda *_: made.append("made"))
    refused(packed(restated(contents, files=files)), tmp_path, "are free at", StorageError)
    assert made == []


def test_headers_that_promise_much_are_not_believed(archive: bytes, tmp_path: Path) -> None:
    first = archive[: archive.index(b"collection/collection.json")]
    for before, name in ((b"", manifest.NAME), (first, "collection/collection.json")):
        refused(before + tar_stream.header(name, 2**40, 0), tmp_path, "1,099,511,627,776 bytes")
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 2**40
    refused(long.tobuf(tarfile.GNU_FORMAT), tmp_path, "not an imseek backup")


def test_a_long_name_goes_through(tmp_path: Path) -> None:
    name = f"columns/{'a' * 64}/000000.{10**18}.parquet"
    entry = manifest.Entry(name, 3, hashlib.sha256(b"abc").hexdigest())
    needed = [manifest.Entry(one, 0, hashlib.sha256(b"").hexdigest()) for one in manifest.REQUIRED]
    listed = manifest.Manifest("u", 0, "", "", "", 0, True, (*needed, entry))
    sealed = listed.sealed()
    data = tar_stream.header(manifest.NAME, len(sealed), 0) + sealed + tar_stream.padding(len(sealed))
    data += b"".join(tar_stream.header(f"collection/{one.path}", 0, 0) for one in needed)
    data += tar_stream.header(f"collection/{name}", 3, 0) + b"abc" + tar_stream.padding(3) + tar_stream.end()
    assert set(members(data)) == {manifest.NAME, *(f"collection/{one.path}" for one in listed.entries)}
    assert imseek.backup.verify(io.BytesIO(data)).backup.files == 5


def tar_of_a_folder() -> bytes:
    folder = tarfile.TarInfo("photos")
    folder.type = tarfile.DIRTYPE
    return folder.tobuf() + tar_stream.end()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"x", "not an imseek backup"),
        (b"imseek-backup.json", "cut short: it ends in imseek-backup.json"),
        (bytes(10240), "not an imseek backup"),
        (b"not a tar at all, " * 100, "not a tar archive"),
        (packed({"holiday.jpg": b"picture"}), "not an imseek backup"),
        (tar_of_a_folder(), "not an imseek backup"),
    ],
)
def test_what_is_no_backup_says_so(tmp_path: Path, data: bytes, said: str) -> None:
    refused(data, tmp_path, said)


def test_a_compressed_one_says_how_to_go_on(archive: bytes, tmp_path: Path) -> None:
    import gzip

    with pytest.raises(BackupError) as caught:
        imseek.backup.verify(io.BytesIO(gzip.compress(archive)))
    assert caught.value.hint == "it is compressed; decompress it: gzip -dc ARCHIVE | imseek backup restore - NAME"


def test_where_it_may_be_restored(archive: bytes, tmp_path: Path) -> None:
    def restore(folder: Path) -> Any:
        return imseek.backup.restore(io.BytesIO(archive), folder)

    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    assert restore(tmp_path / "link").path == tmp_path / "empty"
    assert (tmp_path / "link").is_symlink()
    with pytest.raises(CollectionExistsError, match="there is a collection"):
        restore(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(CollectionExistsError, match="is a file"):
        restore(tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("")
    with pytest.raises(CollectionExistsError, match="not empty"):
        restore(tmp_path / "full")
    with pytest.raises(UsageError, match="No such file"):
        imseek.backup.restore(tmp_path / "none.tar", tmp_path / "new")
    assert restore(tmp_path / "deep/er/down").path.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "empty", "file", "full", "link"]


def test_reading_takes_little_memory(archive: bytes) -> None:
    """Whatever a stream holds, no more than a chunk of it is asked for at once."""
    asked: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(min(7, size or 0))  # A pipe gives what it has.

    report = imseek.backup.verify(Watched(archive))
    assert report.backup.images == 2
    assert np.min(asked) > 0
    assert np.max(asked) <= tar_stream.CHUNK


@pytest.mark.parametrize("catalog", ["catalog.sqlite", "catalog.json"], ids=["in a file", "on a server"])
def test_nothing_is_restored_into_a_collection_wherever_its_catalog_is(tmp_path: Path, catalog: str) -> None:
    for name in ("collection.json", catalog):
        (tmp_path / name).write_text("{}")
    with pytest.raises(CollectionExistsError, match="there is a collection"):
        restore.check_free(tmp_path)
    with pytest.raises(UsageError, match="is inside the collection"):
        restore.check_free(tmp_path / "below")

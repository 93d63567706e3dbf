"""Tables that strangers made name no file that they should not, and take no more memory than they have bytes for."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sourcing.cases import draw

import imseek
from imseek.errors import MediaError
from imseek.indexer.sources import archive_limits
from imseek.indexer.sources.matrices import open_matrix
from imseek.indexer.sources.tables import open_sheet
from imseek.types.pictures import SkipReason


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stranger's folder with a picture, beside one of the user's with a picture and a key."""
    for name in ("stranger", "user"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.png").write_bytes(draw(len(name)))
    (tmp_path / "user/key").write_bytes(b"a private key")
    return tmp_path / "stranger"


def captions(collection: imseek.Collection) -> dict[str, Any]:
    return {Path(hit.path or "").name: hit.metadata.get("caption") for hit in collection.search("x", limit=99)}


def test_outside_of_its_folder_a_table_names_pictures_only(collection: imseek.Collection, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "user/key")
    (folder / "odd").write_bytes(draw(1))
    user = folder.parent / "user"
    names = [
        "stranger.png",
        "odd",
        str(user / "user.png"),
        str(user / "key"),
        "../user/key",
        "link.png",
        "/etc/hostname",
    ]
    (folder / "a.csv").write_text("\n".join(["image", *names]))
    report = collection.index([folder / "a.csv"])
    assert report.added == 3
    assert captions(collection).keys() == {"stranger.png", "odd", "user.png"}
    assert {failure.reason for failure in report.failures} == {SkipReason.NOT_AN_IMAGE}
    assert {failure.message for failure in report.failures} == {
        "outside of the table's folder, only files that are named like pictures are read"
    }
    assert len(report.failures) == 4


def test_vectors_do_not_name_a_key_either(tmp_path: Path, folder: Path) -> None:
    key = folder.parent / "user/key"
    table = pa.table({"vector": pa.array([[1.0] * 16], pa.list_(pa.float32())), "path": [str(key)]})
    told = {"imseek.vector": "vector", "imseek.encoder": "fake:16"}
    pq.write_table(table.replace_schema_metadata(told), folder / "a.parquet")
    with imseek.create(tmp_path / "made", encoder="fake:16") as collection:
        collection.index([folder / "a.parquet"])
        paths = [hit.path or "" for hit in collection.search("x", limit=9)]
    assert str(key) not in paths


def test_a_text_beside_a_picture_is_no_link_to_a_letter(collection: imseek.Collection, folder: Path) -> None:
    (folder / "stranger.txt").symlink_to(folder.parent / "user/key")
    (folder / "stranger.json").symlink_to("../user/key")
    collection.index([folder])
    assert captions(collection) == {"stranger.png": None}


def test_texts_of_a_cache_of_links_are_read(collection: imseek.Collection, folder: Path) -> None:
    """As the model hub's cache keeps a data set: every file is a link to a blob."""
    blobs, snapshot = folder / "blobs", folder / "snapshots/main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for name, data in (("a.png", draw(7)), ("a.txt", b"its caption")):
        (blobs / f"blob of {name[2:]}").write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/blob of {name[2:]}")
    collection.index([snapshot])
    assert captions(collection) == {"a.png": "its caption"}


def test_a_table_has_no_more_rows_than_it_has_bytes(
    collection: imseek.Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_limits, "FREE_ROWS", 100)
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["stranger.png"]))
    pq.write_table(pa.table({"image": column}), folder / "a.parquet")
    report = collection.index([folder / "a.parquet"])
    size = (folder / "a.parquet").stat().st_size
    assert [failure.reason for failure in report.failures] == [SkipReason.TOO_MANY_BYTES]
    assert f"its {size:,} bytes hold more than {size + 100:,} rows" in report.failures[0].message
    assert report.added == 1


# -- packed --------------------------------------------------------------------------------------------------------


def read(data: bytes, name: bytes, tmp_path: Path) -> int:
    """All rows and columns of a table."""
    (tmp_path / "table").write_bytes(data)
    with open_sheet(name, (tmp_path / "table").open("rb")) as sheet:
        return sum(1 for _ in sheet.rows([column.name for column in sheet.columns]))


def as_parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **{"compression": "zstd", **options})
    return out.getvalue()


def as_arrow(table: pa.Table, compression: str | None = "zstd") -> bytes:
    out = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return out.getvalue()


WRITERS = pytest.mark.parametrize(
    ("write", "name"), [(as_parquet, b"a.parquet"), (as_arrow, b"a.arrow")], ids=["parquet", "arrow"]
)
SIZE = 150 * 2**20


@WRITERS
def test_a_page_that_unpacks_to_too_much_is_not_unpacked(write: Any, name: bytes, tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([bytes(SIZE)], pa.large_binary())})
    data = write(table, use_dictionary=False) if write is as_parquet else write(table)
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(MediaError, match=r"157,28\d,\d\d\d, more than 200 times as many \(and 128 MiB\)"):
        read(data, name, tmp_path)
    assert pa.default_memory_pool().max_memory() == before, "nothing is set aside for it"


@WRITERS
def test_one_value_for_many_rows_is_not_unpacked_for_each(write: Any, name: bytes, tmp_path: Path) -> None:
    value = pa.array([bytes(20_000_000)], pa.binary())
    data = write(pa.table({"image": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), value)}))
    assert len(data) < 10_000
    with pytest.raises(MediaError, match="more than 200 times as many"):
        read(data, name, tmp_path)


@WRITERS
def test_of_many_texts_in_a_cell_few_are_read(write: Any, name: bytes, tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 5000]))
    data = write(pa.table({"image": ["a.png"], "captions": pa.ListArray.from_arrays([0, 100_000], texts)}))
    (tmp_path / "table").write_bytes(data)
    with open_sheet(name, (tmp_path / "table").open("rb")) as sheet:
        ((_, row),) = sheet.rows(["captions"])
        assert sum(map(len, row["captions"])) < 100_000  # type: ignore[index, call-overload]


@WRITERS
def test_sound_tables_are_read_whole(write: Any, name: bytes, tmp_path: Path) -> None:
    rows = 3000
    table = pa.table(
        {
            "image": [f"{n}.png" for n in range(rows)],
            "class": pa.array(["cat", "dog"] * (rows // 2)).dictionary_encode(),
            "captions": [["one", "two"]] * rows,
            "said": pa.array([{"bytes": b"x" * 100, "path": None}] * rows),
            "views": pa.array(["a longer text than fits into a view"] * rows).cast(pa.string_view())
            if name == b"a.arrow"
            else ["a text"] * rows,
        }
    )
    assert read(write(table), name, tmp_path) == rows


def test_a_wide_vector_of_one_number_is_not_unpacked(tmp_path: Path) -> None:
    flat = pa.array([1.0], pa.float32()).take(pa.array([0] * 40_000_000))
    vectors = pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat)
    pq.write_table(pa.table({"vector": vectors}), tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    with pytest.raises(MediaError, match="unpack to 160,000,0"):
        open_matrix(os.fsencode(tmp_path / "a.parquet"), "vector")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "lz4"])
def test_pages_of_every_make_are_looked_at(tmp_path: Path, version: str, compression: str) -> None:
    table = pa.table({"image": [f"{n}.png" for n in range(5000)], "n": range(5000)})
    data = as_parquet(table, compression=compression, data_page_version=version, data_page_size=1000)
    assert read(data, b"a.parquet", tmp_path) == 5000


def test_a_damaged_header_of_a_page_is_damage(tmp_path: Path) -> None:
    data = as_parquet(pa.table({"image": [f"{n}.png" for n in range(500)]}), compression="none")
    reasons = set()
    for at in range(4, 40, 3):
        for lie in (b"\xff" * 8, b"\0" * 8, struct.pack("<q", -1)):
            with suppress(MediaError):
                read(data[:at] + lie + data[at + 8 :], b"a.parquet", tmp_path)
            with pytest.raises(MediaError) as caught:
                read(data[:at] + b"\xff" * 40 + data[at + 40 :], b"a.parquet", tmp_path)
            reasons.add(caught.value.reason)
    assert reasons <= {SkipReason.CORRUPT, SkipReason.TOO_MANY_BYTES}


# -- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (b"a.csv", b"image," + b"x" * (17 << 20), "a row is longer than 16 MiB"),
        (b"a.csv", b"image,b\n" + b'"\n",' * (5 << 20), "a row is longer than 16 MiB"),
        (b"a.csv", b"image," * 30_000 + b"\n", "30,001 columns, more than 20,000"),
        (b"a.jsonl", b'{"image": "' + b"x" * (17 << 20), "longer than 16 MiB"),
    ],
    ids=["line", "quotes", "columns", "object"],
)
def test_a_row_has_an_end(name: bytes, data: bytes, said: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=said):
        read(data, name, tmp_path)


def test_a_hole_of_a_terabyte_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"image\na.png\n")
    os.truncate(path, 1 << 40)
    with (
        open_sheet(b"a.csv", path.open("rb")) as sheet,
        pytest.raises(MediaError, match="longer than 16 MiB"),
    ):
        list(sheet.rows(["image"]))

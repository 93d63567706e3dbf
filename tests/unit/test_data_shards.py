"""Shard files: every type of metadata comes back as it was, and columns of one name always fit together."""

from __future__ import annotations

import errno
import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data import layout
from imseek.data.files.collection_files import DamagedFileError
from imseek.data.shards import shard_files
from imseek.types.pictures import ImageFacts


def store(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = shard_files.table_of([{**row, "image_id": n} for n, row in enumerate(rows)])
    shard_files.write_table(path, table)
    return path


def read_rows(path: Path, rows: list[int], columns: list[str] | None = None) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return shard_files.read_rows(file, rows, columns)


def read_table(path: Path) -> pa.Table:
    with path.open("rb") as file:
        return shard_files.read_table(file)


def row(**facts: Any) -> dict[str, Any]:
    return shard_files.row_of(ImageFacts(width=4, height=3, format="PNG", mode="RGB", **facts), b"\x01" * 32, 99)


def test_every_intrinsic_column_comes_back(tmp_path: Path) -> None:
    facts = row(
        frames=7, phash=2**64 - 1, orientation=8, taken_at="2021-03-04T05:06:07.891", camera="C", lens="L",
        latitude=-33.5, longitude=179.99999999, caption="naïve 🐈\nsecond line",
    )  # fmt: skip
    (found,) = read_rows(store(tmp_path / "a.parquet", [facts]), [0])
    assert shard_files.to_json_row(found) == {
        "content_hash": "01" * 32, "width": 4, "height": 3, "format": "PNG", "mode": "RGB", "frames": 7,
        "bytes": 99, "phash": 2**64 - 1, "orientation": 8, "taken_at": "2021-03-04T05:06:07.891000",
        "camera": "C", "lens": "L", "latitude": -33.5, "longitude": 179.99999999,
        "caption": "naïve 🐈\nsecond line",
    }  # fmt: skip


def test_what_is_null_is_left_out(tmp_path: Path) -> None:
    (found,) = read_rows(store(tmp_path / "a.parquet", [row()]), [0])
    assert set(found) == {
        *("content_hash", "width", "height", "format", "mode", "frames", "bytes", "phash", "orientation")
    }


@pytest.mark.parametrize(
    ("stated", "shown"),
    [
        ("2021-03-04T05:06:07", "2021-03-04T05:06:07"),
        ("2021-03-04T05:06:07Z", "2021-03-04T05:06:07+00:00"),
        ("2021-03-04T05:06:07-09:30", "2021-03-04T05:06:07-09:30"),
        ("2021-03-04T05:06:07+14:00", "2021-03-04T05:06:07+14:00"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00"),
        ("9999-12-31T23:59:59+05:45", "9999-12-31T23:59:59+05:45"),
    ],
)
def test_times_keep_the_clock_and_the_zone(tmp_path: Path, stated: str, shown: str) -> None:
    (found,) = read_rows(store(tmp_path / "a.parquet", [row(taken_at=stated)]), [0])
    assert shard_files.to_json_row(found)["taken_at"] == shown


def test_rows_are_found_across_row_groups(tmp_path: Path) -> None:
    count = shard_files.ROW_GROUP * 2 + 5
    rows = [{**row(), "width": n + 1, "n": n if n % 2 else None} for n in range(count)]
    path = store(tmp_path / "a.parquet", rows)
    wanted = [count - 1, 0, shard_files.ROW_GROUP, shard_files.ROW_GROUP - 1, 0, 2 * shard_files.ROW_GROUP]
    wanted += random.Random(1).sample(range(count), 20)
    found = read_rows(path, wanted)
    assert [f["width"] - 1 for f in found] == wanted
    assert [f.get("n") for f in found] == [n if n % 2 else None for n in wanted]


def test_extra_columns_have_names_of_their_own(tmp_path: Path) -> None:
    facts = row(extra={"width": "wide", "image_id": 5, "stars": 4, "ok": True, "weight": 0.5, "none": None})
    path = store(tmp_path / "a.parquet", [facts])
    (found,) = read_rows(path, [0])
    assert (found["width"], found["extra_width"], found["extra_image_id"]) == (4, "wide", 5)
    assert (found["stars"], found["ok"], found["weight"]) == (4, True, 0.5)
    types = {field.name: field.type for field in read_table(path).schema}
    assert (types["stars"], types["ok"], types["weight"]) == (pa.int64(), pa.bool_(), pa.float64())
    assert "none" not in types


@pytest.mark.parametrize(
    ("values", "kind", "stored"),
    [
        ([1, None, 2], pa.int64(), [1, None, 2]),
        ([1, 2.5], pa.float64(), [1.0, 2.5]),
        ([2**60, 0.5], pa.float64(), [float(2**60), 0.5]),
        ([True, None], pa.bool_(), [True, None]),
        ([True, 1], pa.string(), ["true", "1"]),
        (["a", 1, 2.5, False], pa.string(), ["a", "1", "2.5", "false"]),
        ([2**70, 1], pa.string(), [str(2**70), "1"]),
        ([-(2**63), 2**63 - 1], pa.int64(), [-(2**63), 2**63 - 1]),
        (["\udcff\x00"], pa.string(), ["\\udcff\x00"]),
        ([np.int32(3), np.float32(0.5)], pa.float64(), [3.0, 0.5]),
        ([math.inf, 1], pa.float64(), [math.inf, 1.0]),
        ([None, None], pa.null(), [None, None]),
    ],
)
def test_the_type_of_an_extra_column(values: list[Any], kind: pa.DataType, stored: list[Any]) -> None:
    column = shard_files.column_of(values)
    assert (column.type, column.to_pylist()) == (kind, stored)


@pytest.mark.parametrize("value", [b"bytes", [1], {"a": 1}, object()])
def test_what_a_column_cannot_hold(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        shard_files.column_of([1, value])


def test_text_that_is_no_unicode_does_not_stop_a_commit(tmp_path: Path) -> None:
    """Names of files and broken EXIF bring lone surrogates."""
    (found,) = read_rows(store(tmp_path / "a.parquet", [row(camera="\ud800", caption="a\udcff")]), [0])
    assert (found["camera"], found["caption"]) == ("\\ud800", "a\\udcff")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
COLUMNS = st.lists(
    st.lists(st.dictionaries(st.sampled_from("abc"), SCALARS), min_size=1, max_size=4), min_size=1, max_size=4
)


@given(COLUMNS)
def test_shards_can_always_be_merged(parts: list[list[dict[str, Any]]]) -> None:
    """Whatever types their extra columns have: alike as they were, else as numbers or text that say the same."""
    tables = [
        shard_files.table_of([{**row(), **extra, "image_id": n} for n, extra in enumerate(part)]) for part in parts
    ]
    merged = shard_files.concat_tables(tables)
    assert merged.num_rows == sum(map(len, parts))
    assert merged.schema.field("image_id") == shard_files.INTRINSIC_SCHEMA.field("image_id")
    flat = [extra for part in parts for extra in part]
    for name in "abc":
        values = [extra.get(name) for extra in flat]
        if name not in merged.column_names:
            assert values == [None] * len(values)
            continue
        found = merged.column(name).to_pylist()
        assert [v is None for v in found] == [v is None for v in values]
        if len({type(v) for v in values if v is not None}) == 1 and not any(
            isinstance(v, int) and abs(v) >= 2**63 for v in values
        ):
            assert found == values
        elif merged.schema.field(name).type == pa.string():
            assert all(isinstance(v, str) for v in found if v is not None)
    # Merging the merged changes nothing more.
    again = shard_files.concat_tables([merged, merged])
    assert again.schema == merged.schema


def test_an_array_is_npy_1_0(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float16).reshape(3, 4)
    shard_files.write_array(tmp_path / "a.npy", array[:, ::-1])
    data = (tmp_path / "a.npy").read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00"
    assert (np.load(tmp_path / "a.npy") == array[:, ::-1]).all()


def test_blocks_are_written_as_the_whole_would_be(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float16)
    one = shard_files.write_array(tmp_path / "one.npy", whole)
    two = shard_files.write_array(
        tmp_path / "two.npy",
        shard_files.MatrixBlocks(1000, 8, (whole[n : n + 300] for n in range(0, 1000, 300))),
    )
    assert one == two
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()


def test_a_path_need_not_be_text(tmp_path: Path) -> None:
    folder = tmp_path / "\udcff"
    folder.mkdir()
    path = store(folder / "a.parquet", [row()])
    assert read_table(path).num_rows == 1


def test_a_damaged_page_is_noticed_when_it_is_read(tmp_path: Path, chance: random.Random) -> None:
    """Parquet's own page checksums: a search does not hash whole files. (The footer has none; `verify` sees it.)"""
    rows = [{**row(), "note": random.Random(n).randbytes(40).hex()} for n in range(500)]
    path = store(tmp_path / "a.parquet", rows)
    data, expected = path.read_bytes(), read_rows(path, [0, 250, 499])
    noticed = 0
    for place in chance.sample(range(4, len(data) - footer_size(data)), 60):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            assert read_rows(path, [0, 250, 499]) == expected
        except (OSError, ValueError):
            noticed += 1
    assert noticed > 50


def footer_size(data: bytes) -> int:
    """Of a Parquet file: the length stands before the last four bytes."""
    return int.from_bytes(data[-8:-4], "little") + 8


def test_only_damage_of_a_table_is_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "metadata/000000.parquet"
    (tmp_path / "metadata").mkdir()
    store(tmp_path / name, [row(), row()])
    assert shard_files.load_table(tmp_path, name, ["image_id"], rows=2).to_pylist() == [
        {"image_id": n} for n in range(2)
    ]
    with pytest.raises(DamagedFileError, match="it has 2 rows, not 3"):
        shard_files.load_table(tmp_path, name, rows=3)

    def fail(error: Exception) -> None:
        def read(*_: object) -> None:
            raise error

        monkeypatch.setattr(shard_files, "read_table", read)

    fail(OSError(errno.EIO, os.strerror(errno.EIO)))
    with pytest.raises(OSError, match="Input/output"):
        shard_files.load_table(tmp_path, name)
    for error in (OSError("a damaged page"), KeyError("no such column"), pa.ArrowInvalid("no table")):
        fail(error)
        with pytest.raises(DamagedFileError, match=r"000000\.parquet is damaged"):
            shard_files.load_table(tmp_path, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table, None),
        (lambda table: table.drop_columns("image_id"), "it has no ids"),
        (lambda table: table.drop_columns("width"), "it has no column width"),
        (lambda table: table.set_column(table.schema.get_field_index("width"), "width", pa.array(["8"])), "not int"),
        (lambda table: pa.concat_tables([table, table]), "it has 2 rows, not 1"),
    ],
    ids=["sound", "ids", "column", "type", "rows"],
)
def test_a_table_fits_its_name(tmp_path: Path, change: Any, message: str | None) -> None:
    table = pa.table({field.name: pa.array([None], field.type) for field in shard_files.INTRINSIC_SCHEMA})
    pq.write_table(change(table), tmp_path / "table")
    with (tmp_path / "table").open("rb") as file:
        if message is None:
            shard_files.check_table(file, layout.metadata(1), 1)
            assert file.tell() == 0
            return
        with pytest.raises(ValueError, match=message):
            shard_files.check_table(file, layout.metadata(1), 1)

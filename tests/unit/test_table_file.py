"""Parquet files of a collection: read as they are, and no more of them than their size allows."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imseek.data.files.parquet_reader import open_table
from imseek.data.shards import shard_files

pytestmark = pytest.mark.slow

TEXTS = st.lists(st.none() | st.text(max_size=20) | st.sampled_from(["cat", "", "ß" * 300]), max_size=60)


def parquet(columns: dict[str, Any], **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, store_schema=False, **options)
    return out


def read(file: Path, data: io.BytesIO) -> pa.Table:
    file.write_bytes(data.getvalue())
    with file.open("rb") as opened, open_table(opened) as table_file:
        return table_file.read()


@given(texts=TEXTS, size=st.sampled_from([1, 7, 4096]), limit=st.sampled_from([1, 100, 1 << 20]))
def test_texts_are_read_as_arrow_reads_them(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], size: int, limit: int
) -> None:
    columns = {"text": pa.array(texts, pa.string()), "n": pa.array(range(len(texts)), pa.int64())}
    data = parquet(columns, row_group_size=size, dictionary_pagesize_limit=limit, data_page_size=64)
    assert read(tmp_path_factory.mktemp("table") / "a.parquet", data).equals(pa.table(columns))


@pytest.mark.parametrize("rows", [200, 3_000_000])
def test_a_long_text_that_a_file_has_once_is_not_copied_for_each_row(tmp_path: Path, rows: int) -> None:
    text = "x" * (10_000_000 if rows == 200 else 1000)
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    data = parquet({"text": texts}, dictionary_pagesize_limit=1 << 30)
    before = pa.total_allocated_bytes()
    with pytest.raises(OSError, match=r"bytes unpack to 2,000,000,000|bytes unpack to 3,000,000,000"):
        read(tmp_path / "a.parquet", data)
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_numbers_that_a_file_has_once_are_not_copied_for_each_row(tmp_path: Path) -> None:
    data = parquet({"n": pa.array([0] * 20_000_000, pa.int64())}, row_group_size=1 << 26)
    assert data.tell() < 100_000
    with pytest.raises(OSError, match="bytes unpack to 160,000,000"):
        read(tmp_path / "a.parquet", data)


def test_a_column_of_another_type_is_refused_by_its_name(tmp_path: Path) -> None:
    for column in (
        pa.array([[1]]),
        pa.array([b"x"]),
        pa.array([{"a": 1}]),
        pa.array(["x"], pa.large_string()),
    ):
        out = io.BytesIO()
        pq.write_table(pa.table({"odd": column}), out)
        with pytest.raises(OSError, match=r"column 'odd' is of type (list|binary|struct|large_string)"):
            read(tmp_path / "a.parquet", out)


def test_a_text_beyond_its_dictionary_is_damage(tmp_path: Path) -> None:
    sound = parquet({"text": ["a", "b", "c", "a"] * 4}, compression="none").getvalue()
    indices = bytes([0b00100100] * 4)  # Two bits each.
    assert sound.count(indices) == 1
    with pytest.raises(OSError, match="a text that its dictionary does not have"):
        read(tmp_path / "a.parquet", io.BytesIO(sound.replace(indices, b"\xff" * 4)))


def test_a_table_of_long_equal_texts_is_stored_so_that_it_can_be_read(tmp_path: Path) -> None:
    text = "A licence of ten thousand characters. " * 270
    table = pa.table({"image_id": range(20_000), "licence": pa.array([text] * 20_000)})
    path = tmp_path / "a.parquet"
    written = shard_files.write_table(path, table)
    assert written.size == path.stat().st_size
    with path.open("rb") as file:
        assert shard_files.read_table(file).equals(table)
    short = shard_files.write_table(path, table.slice(0, 100))
    assert short.size < math.prod((100, len(text))) / 100

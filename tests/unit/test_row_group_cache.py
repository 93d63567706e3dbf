"""Decoded row groups that stay in memory: the same rows as from the file, of that file only, and not too many."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from imseek.data.files.collection_files import stat_regular
from imseek.data.files.parquet_reader import TableFile
from imseek.data.shards import shard_files
from imseek.data.shards.row_group_cache import RowGroupCache
from imseek.data.shards.shard_files import ROW_GROUP

NAME = "metadata/000000.parquet"
ROWS = 2 * ROW_GROUP + 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "metadata").mkdir()
    write(tmp_path, ROWS)
    return tmp_path


def write(root: Path, count: int, offset: int = 0) -> None:
    table = pa.table(
        {
            "image_id": range(count),
            "n": range(offset, offset + count),
            "name": [None if n % 3 else f"picture {n}" for n in range(count)],
            "nothing": pa.nulls(count, pa.float64()),
        }
    )
    written = root / "staged"
    shard_files.write_table(written, table)
    written.rename(root / NAME)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The row groups that were decoded, in order."""
    found: list[int] = []
    real = TableFile.read_encoded

    def read(self: TableFile, columns: Any = None, groups: Any = None) -> pa.Table:
        found.extend(groups or [])
        return real(self, columns, groups)

    monkeypatch.setattr(TableFile, "read_encoded", read)
    return found


def ask(cache: RowGroupCache, root: Path, rows: list[int]) -> list[dict[str, Any]]:
    info = stat_regular(root, NAME)
    assert info is not None
    if (found := cache.rows(info, rows)) is None:
        with (root / NAME).open("rb") as file:
            found = cache.read(file, rows)
    return found


def test_rows_are_those_of_the_file_and_each_group_is_decoded_once(root: Path, decoded: list[int]) -> None:
    cache = RowGroupCache()
    for rows in ([0, 5000, 3], [4096, 1, 1], [ROWS - 1], [8200, 2, 4095]):
        found = ask(cache, root, rows)
        expected = [{"n": n} if n % 3 else {"n": n, "name": f"picture {n}"} for n in rows]
        assert found == expected
        found[0].clear()  # Each answer is the caller's own.
        assert ask(cache, root, rows) == expected
    assert decoded == [0, 1, 2]


def test_another_file_of_the_name_is_read(root: Path, decoded: list[int]) -> None:
    cache = RowGroupCache()
    assert ask(cache, root, [1]) == [{"n": 1}]
    write(root, ROWS, offset=7)
    assert ask(cache, root, [1]) == [{"n": 8}]
    assert decoded == [0, 0]


def test_a_row_that_its_group_lacks(root: Path) -> None:
    cache = RowGroupCache()
    ask(cache, root, [ROWS - 1])
    with pytest.raises(IndexError, match="row 10 of a row group of 10"):
        ask(cache, root, [ROWS])


def test_memory_is_bounded(root: Path, decoded: list[int]) -> None:
    with (root / NAME).open("rb") as file:
        size = shard_files.read_table(file).nbytes
    cache = RowGroupCache(most_bytes=size * 3 // 4)  # One large group and the small one.
    for row in (0, ROW_GROUP, ROWS - 1, 0, ROWS - 1):
        ask(cache, root, [row])
    assert decoded == [0, 1, 2, 0]
    nothing = RowGroupCache(most_bytes=10)
    assert [ask(nothing, root, [0, 5000])[1]["n"] for _ in range(2)] == [5000] * 2


def test_many_threads(root: Path) -> None:
    cache = RowGroupCache(most_bytes=300_000)

    def work(seed: int) -> bool:
        rows = [(seed * 997 + step * 4099) % ROWS for step in range(20)]
        return [row["n"] for row in ask(cache, root, rows)] == rows

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(100)))


def test_only_a_regular_file_behind_no_link_has_a_stat(root: Path) -> None:
    (root / "metadata/link.parquet").symlink_to(root / NAME)
    (root / "folder").symlink_to(root / "metadata")
    assert stat_regular(root, "metadata/link.parquet") is None
    assert stat_regular(root, "folder/000000.parquet") is None
    assert stat_regular(root, "metadata") is None
    assert stat_regular(root, "metadata/none.parquet") is None
    assert stat_regular(root, f"{NAME}/inner") is None
    assert stat_regular(root, NAME) == (root / NAME).stat()

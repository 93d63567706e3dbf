"""Cache decoded row groups of Parquet files, since pages of results read some rows of the same ones again and again."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import pyarrow as pa

from imseek.data.files.parquet_reader import open_table
from imseek.data.shards.shard_files import ROW_GROUP, collect_rows
from imseek.data.user_files.safe_path import stat_key

#: Maximum bytes of the row groups together. One of pictures without captions takes about a megabyte.
_MOST_BYTES: Final = 32 << 20
#: Bytes that Arrow and Python need for a table besides its values.
_OVERHEAD: Final = 1 << 13


class RowGroupCache:
    """Cache of the row groups that were used last, keyed by their file's stat. Thread-safe.

    So a file that was replaced or changed is read again.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._tables: OrderedDict[tuple[tuple[int, ...], int], pa.Table] = OrderedDict()
        self._lock = threading.Lock()

    def rows(self, info: os.stat_result, rows: Sequence[int]) -> list[dict[str, Any]] | None:
        """Return rows as :meth:`read` does, of the file with this stat; None where a row group is not in the cache."""
        tables, key = {}, stat_key(info)
        with self._lock:
            for group in {row // ROW_GROUP for row in rows}:
                if (table := self._tables.get((key, group))) is None:
                    return None
                self._tables.move_to_end((key, group))
                tables[group] = table
        return collect_rows(rows, tables.__getitem__)

    def read(self, file: BinaryIO, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Read rows with all columns, as :func:`imseek.data.shards.shard_files.read_rows`."""
        key = stat_key(os.fstat(file.fileno()))
        with open_table(file) as table_file:

            def read_group(group: int) -> pa.Table:
                with self._lock:
                    table = self._tables.get((key, group))
                if table is None:
                    table = table_file.read_encoded(None, [group])
                    self._add((key, group), table)
                return table

            return collect_rows(rows, read_group)

    def _add(self, place: tuple[tuple[int, ...], int], table: pa.Table) -> None:
        size = _size_of(table)
        with self._lock:
            if size <= self._most_bytes and place not in self._tables:
                self._tables[place] = table
                self._bytes += size
                while self._bytes > self._most_bytes:
                    _, oldest = self._tables.popitem(last=False)
                    self._bytes -= _size_of(oldest)


def _size_of(table: pa.Table) -> int:
    return int(table.nbytes) + _OVERHEAD

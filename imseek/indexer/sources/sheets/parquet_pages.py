"""Look at the pages of a Parquet file before Arrow unpacks them.

Arrow sets aside what the header of a page asks for, up to 2 GiB, and unpacks that much: a file of 200 kB can hold it.
What the footer says of sizes need not be so. Headers are structs of Thrift in its compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md, parquet.thrift: PageHeader).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import IO, Any, Final

from imseek.indexer.sources.archive_limits import check_unpacked

_DICTIONARY: Final = 2
#: Fields of a header: its kind, the bytes of its page, unpacked and packed, and how many values a page of data has.
_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)
_VALUES: Final = ((5, 1), (8, 1))
#: Bytes that a value takes in memory, at least.
_VALUE: Final = 4
#: Bytes of a header, which may hold the smallest and the largest value of its page.
_MAX_HEADER: Final = 1 << 24
_BLOCK: Final = 1 << 12
_MAX_DEPTH: Final = 16


def check_pages(file: IO[bytes], group: Any, names: Collection[str], *, only_first: bool = False) -> int:
    """Look at the pages of some columns in a row ``group`` (pyarrow's RowGroupMetaData): all, or the first of each.

    Returns the bytes of the largest dictionary: each row may refer to all of it. Raises MediaError where pages unpack
    to too much, ValueError where a header is none.
    """
    columns = (group.column(n) for n in range(group.num_columns))
    wanted = (column for column in columns if is_in(column.path_in_schema, names))
    return max((_check_column(file, column, only_first) for column in wanted), default=0)


def is_in(path: str, names: Collection[str]) -> bool:
    """Whether a column without columns in it, by its path, is one of some columns, or in one."""
    return path in names or path.partition(".")[0] in names


def _check_column(file: IO[bytes], column: Any, only_first: bool) -> int:
    at = column.data_page_offset
    if column.has_dictionary_page and 0 < (first := column.dictionary_page_offset or 0) < at:
        at = first
    if at < 0:
        raise ValueError("pages before the beginning of the file")
    end, dictionary, total, read = at + column.total_compressed_size, 0, 0, 0
    while at < end:
        header = _Header(file, at)
        told = header.fields.get
        unpacked, packed, values = told(_UNPACKED, 0), told(_PACKED, 0), max(told(one, 0) for one in _VALUES)
        if unpacked < 0 or packed < 0:
            raise ValueError("a page of negative size")
        total += max(unpacked, _VALUE * values)
        read += packed
        check_unpacked(total, read)
        if told(_KIND) == _DICTIONARY:
            dictionary = max(dictionary, unpacked)
        if only_first:
            break
        at += header.size + packed
    return dictionary


class _Header:
    """The integers among the fields of a header at a position of a file, by their numbers and those of the fields that
    they are in, and its ``size`` in bytes."""

    def __init__(self, file: IO[bytes], at: int) -> None:
        self._file = file
        self._file.seek(at)
        self._data = b""
        self.size = 0
        self.fields: dict[tuple[int, ...], int] = {}
        self._struct(())

    def _byte(self) -> int:
        while self.size >= len(self._data):
            more = self._file.read(_BLOCK)
            if not more or len(self._data) > _MAX_HEADER:
                raise ValueError("a page without an end of its header")
            self._data += more
        self.size += 1
        return self._data[self.size - 1]

    def _number(self) -> int:
        """An unsigned integer, seven bits a byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _skip(self, count: int) -> None:
        if count > _MAX_HEADER:
            raise ValueError(f"{count:,} bytes in a header")
        for _ in range(count):
            self._byte()

    def _struct(self, within: tuple[int, ...]) -> None:
        field = 0
        while byte := self._byte():
            kind, step = byte & 0x0F, byte >> 4
            field = field + step if step else _signed(self._number())
            value = self._value(kind, (*within, field))
            if value is not None:
                self.fields[(*within, field)] = value

    def _value(self, kind: int, within: tuple[int, ...]) -> int | None:
        if len(within) > _MAX_DEPTH:
            raise ValueError("a header that is too deep")
        if kind in (1, 2):  # True and false are told by the kind.
            return None
        if kind in (4, 5, 6):
            return _signed(self._number())
        if kind in (3, 7):
            self._skip(1 if kind == 3 else 8)
        elif kind == 8:
            self._skip(self._number())
        elif kind in (9, 10):
            byte = self._byte()
            count = byte >> 4 if byte >> 4 < 15 else self._number()
            self._items([byte & 0x0F], count, within)
        elif kind == 11:
            if count := self._number():
                byte = self._byte()
                self._items([byte >> 4, byte & 0x0F], count, within)
        elif kind == 12:
            self._struct(within)
        else:
            raise ValueError(f"a field of the kind {kind}")
        return None

    def _items(self, kinds: list[int], count: int, within: tuple[int, ...]) -> None:
        if count > _MAX_HEADER:
            raise ValueError(f"{count:,} items in a header")
        for _ in range(count):
            for kind in kinds:
                if kind in (1, 2):
                    self._byte()
                else:
                    self._value(kind, (*within, 0))


def _signed(number: int) -> int:
    """Zigzag: 0, -1, 1, -2 and so on."""
    return (number >> 1) ^ -(number & 1)

"""Check the pages of a Parquet file before Arrow unpacks them.

Arrow allocates what a page header states, up to 2 GiB, and unpacks that much; a file of 200 kB can hold it. Sizes in
the footer need not be true. pyarrow's own view of the footer does not help: for a damaged column description,
``RowGroupMetaData.column`` ends the process (pyarrow 26: an uncaught C++ exception). Source of the fields:
parquet.thrift of https://github.com/apache/parquet-format.
"""

from __future__ import annotations

import os
import struct
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final

from imseek.indexer.sources.archive_limits import check_unpacked
from imseek.indexer.sources.tables.thrift import INT32, INT64, TEXT, Path, Struct

_MAGIC: Final = b"PAR1"
#: Bytes at the end of a file: the length of the footer, and the magic.
_TAIL_BYTES: Final = 8

#: Fields of the footer (FileMetaData), by row group and column chunk.
_CHUNK: Final = (4, 1, 3)
_NAME, _PACKED_SIZE, _FIRST_PAGE, _DICTIONARY_PAGE, _NULLS = (
    (*_CHUNK, 3), (*_CHUNK, 7), (*_CHUNK, 9), (*_CHUNK, 11), (*_CHUNK, 12, 3),
)  # fmt: skip
_FOOTER_FIELDS: Final[Mapping[Path, int]] = {
    _NAME: TEXT, _PACKED_SIZE: INT64, _FIRST_PAGE: INT64, _DICTIONARY_PAGE: INT64, _NULLS: INT64,
}  # fmt: skip

#: Fields of a page header: its kind, the page's unpacked and packed sizes in bytes, and the number of values of a data
#: page.
_KIND, _UNPACKED, _PACKED = (1,), (2,), (3,)
_VALUES: Final = ((5, 1), (8, 1))
_PAGE_FIELDS: Final[Mapping[Path, int]] = dict.fromkeys((_KIND, _UNPACKED, _PACKED, *_VALUES), INT32)
_DICTIONARY: Final = 2
#: Least bytes of a value in memory.
_MIN_VALUE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Chunk:
    """The footer's description of a column's values in a row group.

    ``path`` names the column and its parents, ``offset`` is that of its first page, ``size`` the bytes of all pages.
    ``nulls`` is the number of null values, None where not stated.
    """

    path: tuple[str, ...]
    offset: int
    size: int
    nulls: int | None

    def is_in(self, names: Collection[str]) -> bool:
        """Tell whether the chunk belongs to one of the columns ``names``, or to a column nested in one."""
        return ".".join(self.path) in names or self.path[0] in names


def read_chunks(file: IO[bytes]) -> dict[int, list[Chunk]]:
    """Read the column chunks of each row group of a Parquet file. Raises ValueError where the footer is damaged."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    end = file.read(_TAIL_BYTES)
    if len(end) < _TAIL_BYTES or end[4:] != _MAGIC:
        raise ValueError("it does not end as a Parquet file does")
    (length,) = struct.unpack("<I", end[:4])
    if length > size - _TAIL_BYTES:
        raise ValueError(f"a footer of {length:,} bytes in a file of {size:,}")
    footer = Struct(file, size - _TAIL_BYTES - length, _FOOTER_FIELDS)
    names: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for (_, group, _, column, *_), text in footer.texts.items():
        names[group, column].append(text.decode(errors="replace"))
    chunks: dict[int, list[Chunk]] = {}
    for (group, column), path in sorted(names.items()):
        chunks.setdefault(group, []).append(_chunk(footer, group, column, path))
    return chunks


def _chunk(footer: Struct, group: int, column: int, path: Sequence[str]) -> Chunk:
    def number(fields: Path) -> int | None:
        return footer.numbers.get((4, group, 1, column, *fields[2:]))

    size, offset, dictionary = number(_PACKED_SIZE), number(_FIRST_PAGE), number(_DICTIONARY_PAGE)
    if size is None or offset is None or offset < 0:
        raise ValueError("a column without pages")
    if dictionary is not None and 0 < dictionary < offset:
        offset = dictionary
    return Chunk(tuple(path), offset, size, number(_NULLS))


def check_pages(file: IO[bytes], chunks: Collection[Chunk], names: Collection[str], *, only_first: bool = False) -> int:
    """Check the pages of some columns among ``chunks``: all, or the first of each.

    Returns the bytes of the largest dictionary, to all of which each row may refer. Raises MediaError where pages
    expand too far, and ValueError for an invalid header.
    """
    return max((_check_chunk(file, chunk, only_first) for chunk in chunks if chunk.is_in(names)), default=0)


def _check_chunk(file: IO[bytes], chunk: Chunk, only_first: bool) -> int:
    at, end = chunk.offset, chunk.offset + chunk.size
    dictionary = total = packed_total = 0
    while at < end:
        header = Struct(file, at, _PAGE_FIELDS)
        unpacked, packed = header.numbers.get(_UNPACKED, 0), header.numbers.get(_PACKED, 0)
        values = max(header.numbers.get(one, 0) for one in _VALUES)
        if unpacked < 0 or packed < 0:
            raise ValueError("a page of negative size")
        total += max(unpacked, _MIN_VALUE_BYTES * values)
        packed_total += packed
        check_unpacked(total, packed_total)
        if header.numbers.get(_KIND) == _DICTIONARY:
            dictionary = max(dictionary, unpacked)
        if only_first:
            break
        at += header.size + packed
    return dictionary

"""Read single fields of structs in Thrift's compact protocol, such as the headers in Parquet files.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Final, TypeAlias

#: Field numbers from the outermost struct inwards; keys of results also contain positions in lists.
Path: TypeAlias = tuple[int, ...]

#: Field types.
BYTE: Final = 3
INT16: Final = 4
INT32: Final = 5
INT64: Final = 6
DOUBLE: Final = 7
TEXT: Final = 8
LIST: Final = 9
SET: Final = 10
MAP: Final = 11
STRUCT: Final = 12
_TRUTH_VALUES: Final = (1, 2)

#: Most bytes of a struct or text, and most items of a list.
_MAX_SIZE: Final = 1 << 27
_BLOCK: Final = 1 << 12
_MAX_DEPTH: Final = 16


class Struct:
    """Reads those fields of a struct at a file position that ``types`` lists, with their types.

    ``numbers`` and ``texts`` hold the values by path; ``size`` is the struct's size in bytes. Raises ValueError
    for an invalid struct.
    """

    def __init__(self, file: IO[bytes], at: int, types: Mapping[Path, int]) -> None:
        self._file = file
        self._file.seek(at)
        self._types = types
        self._data = b""
        self.size = 0
        self.numbers: dict[Path, int] = {}
        self.texts: dict[Path, bytes] = {}
        self._struct((), ())

    def _struct(self, path: Path, fields: Path) -> None:
        """Read a struct; ``fields`` is ``path`` without positions in lists."""
        if len(path) > _MAX_DEPTH:
            raise ValueError("a struct that is too deep")
        field, field_set = 0, set()
        while byte := self._byte():
            kind, step = byte & 0x0F, byte >> 4
            field = field + step if step else _signed(self._number())
            if field in field_set:
                raise ValueError(f"a struct with the field {field} twice")
            field_set.add(field)
            if kind not in _TRUTH_VALUES:  # their kind is their value
                self._value(kind, (*path, field), (*fields, field))

    def _value(self, kind: int, path: Path, fields: Path) -> None:
        is_wanted = self._types.get(fields) == kind
        if kind in (INT16, INT32, INT64):
            number = _signed(self._number())
            if is_wanted:
                self.numbers[path] = number
        elif kind == BYTE:
            self._take(1)
        elif kind == DOUBLE:
            self._take(8)
        elif kind == TEXT:
            text = self._take(self._number())
            if is_wanted:
                self.texts[path] = text
        elif kind in (LIST, SET):
            byte = self._byte()
            self._items([byte & 0x0F], byte >> 4 if byte >> 4 < 15 else self._number(), path, fields)
        elif kind == MAP:
            if count := self._number():
                byte = self._byte()
                self._items([byte >> 4, byte & 0x0F], count, path, fields)
        elif kind == STRUCT:
            self._struct(path, fields)
        else:
            raise ValueError(f"a field of the type {kind}")

    def _items(self, kinds: list[int], count: int, path: Path, fields: Path) -> None:
        if count > _MAX_SIZE:
            raise ValueError(f"a list of {count:,} items")
        for place in range(count):
            for kind in kinds:
                if kind in _TRUTH_VALUES:
                    self._take(1)
                else:
                    self._value(kind, (*path, place), fields)

    def _number(self) -> int:
        """Read an unsigned integer, seven bits per byte, the lowest first."""
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, count: int) -> bytes:
        if count > _MAX_SIZE:
            raise ValueError(f"a text of {count:,} bytes")
        end = self.size + count
        while end > len(self._data):
            more = self._file.read(max(_BLOCK, len(self._data)))
            if not more or len(self._data) > _MAX_SIZE:
                raise ValueError("a struct without an end")
            self._data += more
        text = self._data[self.size : end]
        self.size = end
        return text


def _signed(number: int) -> int:
    """Decode zigzag: 0, -1, 1, -2 and so on."""
    return (number >> 1) ^ -(number & 1)

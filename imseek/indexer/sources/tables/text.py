"""Read CSV, TSV and JSON Lines, a line at a time."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Collection, Iterator
from typing import IO, Any, Final

from imseek.errors import MediaError
from imseek.indexer.sources.base import Scalar
from imseek.indexer.sources.tables.base import Column, Kind, MalformedRow, Row, SheetBase, check_column_count
from imseek.types.pictures import SkipReason

#: Lines of JSON that define the columns.
_SAMPLE_ROWS: Final = 100
#: Longest line, or row of several lines. As Python objects it takes twenty times as much memory.
_MAX_LINE: Final = 16 << 20
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")

_INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,17})")
_DECIMAL: Final = re.compile(r"-?\d{1,15}\.\d{1,17}([eE][+-]?\d{1,2})?")


class CsvSheet(SheetBase):
    """A CSV file with a header, in UTF-8; undecodable bytes survive in file names.

    Without a ``delimiter`` it is a comma, or a semicolon where the header has no comma.
    """

    def __init__(self, raw: IO[bytes], delimiter: str | None) -> None:
        self._text = _open_text(raw)
        header = self._text.readline(_MAX_LINE)
        semicolons = ";" in header and "," not in header
        self._delimiter = delimiter or (";" if semicolons else ",")
        self._names = self._header()
        self.columns = tuple(Column(name, Kind.TEXT) for name in self._names)

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | MalformedRow]]:
        records, name_set = self._records(), frozenset(names)
        next(records, None)
        for number, record in enumerate(records):
            if number < start:
                continue
            if isinstance(record, MalformedRow):
                yield number, record
            elif len(record) != len(self._names):
                yield number, MalformedRow(f"{len(record)} fields, where the header has {len(self._names)}")
            else:
                cells = zip(self._names, record, strict=True)
                yield number, {name: cell for name, cell in cells if name in name_set}

    def has_bytes(self, name: str) -> bool:
        return False

    def scalar(self, cell: Any) -> Scalar:
        return parse_cell(cell) if isinstance(cell, str) else None

    def close(self) -> None:
        self._text.close()

    def _header(self) -> list[str]:
        first = next(self._records(), [])
        if isinstance(first, MalformedRow):
            raise MediaError(SkipReason.CORRUPT, f"the header cannot be read: {first.message}")
        check_column_count(len(first))
        return [name.strip() for name in first]

    def _records(self) -> Iterator[list[str] | MalformedRow]:
        """Yield records without blank lines. Starts over each time, since rows after a broken quote may be sound."""
        self._text.seek(0)
        reader = csv.reader(self._lines(), delimiter=self._delimiter)
        while True:
            self._row_length = 0
            try:
                record = next(reader, None)
            except csv.Error as error:
                yield MalformedRow(f"line {reader.line_num}: {error}")
                continue
            if record is None:
                return
            if record:
                yield record

    def _lines(self) -> Iterator[str]:
        """Yield lines of text. Raises MediaError where those of one row are too long together."""
        while line := self._text.readline(_MAX_LINE):
            self._row_length += len(line)
            if self._row_length >= _MAX_LINE:
                raise MediaError(SkipReason.CORRUPT, f"a row is longer than {_MAX_LINE >> 20} MiB")
            yield line


class JsonSheet(SheetBase):
    """A JSON Lines file, one object per line. The first hundred define the columns."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._text = _open_text(raw)
        kinds_by_name: dict[str, set[Kind]] = {}
        for _, row in itertools.islice(self._objects(), _SAMPLE_ROWS):
            if not isinstance(row, MalformedRow):
                for name, value in row.items():
                    kinds_by_name.setdefault(name, set()).update(() if value is None else (_kind_of(value),))
                check_column_count(len(kinds_by_name))
        self.columns = tuple(Column(name, _common_kind(kinds)) for name, kinds in kinds_by_name.items())

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | MalformedRow]]:
        for number, row in self._objects():
            if number < start:
                continue
            if isinstance(row, MalformedRow):
                yield number, row
            else:
                yield number, {name: row.get(name) for name in names}

    def has_bytes(self, name: str) -> bool:
        return False

    def close(self) -> None:
        self._text.close()

    def _objects(self) -> Iterator[tuple[int, dict[str, Any] | MalformedRow]]:
        self._text.seek(0)
        number = 0
        while line := self._text.readline(_MAX_LINE):
            if len(line) >= _MAX_LINE:
                raise MediaError(SkipReason.CORRUPT, f"row {number} is longer than {_MAX_LINE >> 20} MiB")
            if not line.strip():
                continue
            yield number, _parse_object(line)
            number += 1


def parse_cell(text: str) -> Scalar:
    """Parse a CSV cell as the value that it spells, if the value spells the same text; empty is None."""
    if not text:
        return None
    if text in ("true", "false", "True", "False"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _open_text(raw: IO[bytes]) -> io.TextIOWrapper:
    head = raw.read(2)
    raw.seek(0)
    if head in _UTF16:
        raise MediaError(SkipReason.CORRUPT, "the text is UTF-16: save it as UTF-8")
    return io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")


def _parse_object(line: str) -> dict[str, Any] | MalformedRow:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return MalformedRow(f"no JSON: {error}")
    return value if isinstance(value, dict) else MalformedRow("the line is not a JSON object")


def _kind_of(value: Any) -> Kind:
    if isinstance(value, str):
        return Kind.TEXT
    if isinstance(value, bool | int | float):
        return Kind.PLAIN
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return Kind.TEXTS
    # The library `datasets` writes pictures this way; it omits bytes, which JSON lacks.
    is_picture = isinstance(value, dict) and value.keys() == {"bytes", "path"}
    return Kind.PICTURE if is_picture else Kind.NESTED


def _common_kind(kinds: set[Kind]) -> Kind:
    if len(kinds) <= 1:
        return next(iter(kinds), Kind.PLAIN)
    return Kind.TEXT if kinds <= {Kind.TEXT, Kind.PLAIN} else Kind.NESTED

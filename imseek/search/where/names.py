"""Resolve column names: stored columns, those of ``vocabulary``, and near matches for unknown names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from imseek.errors import QueryError, did_you_mean
from imseek.search.where.columns_and_functions import ALIASES, STORED_ALIASES, VIRTUAL, Kind, Source, VirtualColumn
from imseek.search.where.grammar import shorten

#: SQL that reads a stored column of each kind, wide enough that products of two small numbers do not overflow.
_READ_SQL: Final[Mapping[Kind, str]] = {
    Kind.BOOL: "{0}",
    Kind.INT: "CAST({0} AS BIGINT)",
    Kind.FLOAT: "CAST({0} AS DOUBLE)",
    Kind.TEXT: "{0}",
    Kind.TIME: "CAST({0} AS TIMESTAMP)",
    Kind.DATE: "CAST({0} AS DATE)",
    Kind.LIST: "string_split({0}, chr(10))",
}

#: An unsigned 64-bit column; a BIGINT holds only half its range.
_UNSIGNED: Final = "phash"


#: Columns that are there once the text in pictures was read (imseek.ocr).
_OCR_COLUMNS: Final = frozenset({"text", "has_text", "text_lines"})


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The column names of a collection. ``stored`` are the columns of its files, with their kinds."""

    stored: Mapping[str, Kind]

    def column(self, name: str, *, quoted: bool = False) -> VirtualColumn:
        """Find a column by its exact name, otherwise ignoring case. Raises QueryError."""
        columns = self.all()
        if name in columns:
            return columns[name]
        matches = [one for one in columns if one.lower() == name.lower()]
        if len(matches) == 1:
            return columns[matches[0]]
        if matches:
            raise QueryError(f"column {name!r} may be {' or '.join(matches)}", hint='write it as it is, in "…"')
        if name.lower() in _OCR_COLUMNS:
            raise QueryError(f"no text in pictures was read, so {name} is unknown", hint="imseek maintain --ocr")
        error = unknown_name("column", name, columns)
        if quoted:
            error.hint = f"{error.hint}; texts are written in single quotes: '{shorten(name)}'"
        raise error

    def all(self) -> dict[str, VirtualColumn]:
        """Return every column by name.

        Our own columns shadow a stored column of the same name, which becomes ``extra_<name>``.
        """
        columns = dict(VIRTUAL)
        for name, kind in self.stored.items():
            if name not in ("image_id", "content_hash"):
                sql = "CAST({0} AS HUGEINT)" if name == _UNSIGNED else _READ_SQL[kind]
                column_name = f"extra_{name}" if name in VIRTUAL else name
                columns.setdefault(column_name, VirtualColumn(kind, (Source("stored", name),), sql))
        for alias, name in ALIASES.items():
            columns.setdefault(alias, VIRTUAL[name])
        for alias, name in STORED_ALIASES.items():
            if name in columns:
                columns.setdefault(alias, columns[name])
        return columns


def unknown_name(kind: str, name: str, available: Iterable[str]) -> QueryError:
    """Return the error for an unknown name, with near matches or, if there are few, all names."""
    return QueryError(f"no {kind} {shorten(name)!r}", hint=did_you_mean(name, sorted(available)))

"""The protocol of tables: their columns, and their rows in order, from any row on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol, Self, TypeAlias

from imseek.errors import MediaError
from imseek.indexer.sources.base import Scalar
from imseek.types.pictures import SkipReason

Row: TypeAlias = Mapping[str, Any]


#: Most columns of a table: five times the longest vectors, should each number have its own.
_MAX_COLUMNS: Final = 20_000


def check_column_count(columns: int) -> None:
    """Raise MediaError for too many columns. A million would cost seconds before any row is read."""
    if columns > _MAX_COLUMNS:
        raise MediaError(SkipReason.CORRUPT, f"the table has {columns:,} columns, more than {_MAX_COLUMNS:,}")


class Kind(Enum):
    """The kinds of cells that matter here; the values are shown to users."""

    TEXT = "text"
    TEXTS = "lists of text"
    PLAIN = "plain"
    BYTES = "bytes"
    PICTURE = "bytes and path"
    NESTED = "nested"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``is_image`` is declared by the table itself; ``labels`` are the names that its numbers stand for."""

    name: str
    kind: Kind
    is_image: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MalformedRow:
    """A row that cannot be read, and why."""

    message: str


class Sheet(Protocol):
    """An open table. Every method may raise MediaError (the file is damaged) and OSError."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | MalformedRow]]:
        """Yield row numbers, from ``start``, with the cells of some columns, keeping little in memory.

        A cell is bool, int, float, str, bytes or None; a dict with ``bytes`` and ``path`` in a ``PICTURE`` column, a
        list in a ``TEXTS`` column.
        """
        ...

    def has_bytes(self, name: str) -> bool:
        """Tell whether pictures of a ``PICTURE`` column are embedded rather than named by path."""
        ...

    def scalar(self, cell: Any) -> Scalar:
        """Convert a cell to a value to keep beside a picture; None for anything but a single value."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class SheetBase:
    """Base class of sheets: closes the file at the end of a ``with`` block."""

    def close(self) -> None:
        raise NotImplementedError

    def scalar(self, cell: Any) -> Scalar:
        if isinstance(cell, float):
            return cell if math.isfinite(cell) else None
        return cell if isinstance(cell, bool | int | str) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

"""What every table offers: its columns, and its rows in order, from any of them on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias

from imseek.errors import MediaError
from imseek.indexer.sources.base import Scalar
from imseek.types import SkipReason

Row: TypeAlias = Mapping[str, Any]


#: Columns of a table: five times as many as the longest vectors have numbers, should each have one.
_MAX_COLUMNS: Final = 20_000


def check_width(columns: int) -> None:
    """Raise MediaError for more columns than a table may have. A million cost seconds before any row is read."""
    if columns > _MAX_COLUMNS:
        raise MediaError(SkipReason.CORRUPT, f"the table has {columns:,} columns, more than {_MAX_COLUMNS:,}")


class Kind(Enum):
    """What the cells of a column are, as far as it matters here; the value is what people are told."""

    TEXT = "text"
    TEXTS = "lists of text"
    PLAIN = "plain"
    BYTES = "bytes"
    PICTURE = "bytes and path"
    NESTED = "nested"


@dataclass(frozen=True, slots=True)
class Column:
    """``is_image`` is what the table itself says; ``labels`` are the names that its numbers stand for."""

    name: str
    kind: Kind
    is_image: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that cannot be read, and why."""

    message: str


class Sheet(Protocol):
    """One table. Everything may raise MediaError (the file is damaged) and OSError."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def rows(self, names: Collection[str], start: int = 0) -> Iterator[tuple[int, Row | Malformed]]:
        """Row numbers, from ``start``, with the cells of some columns: bool, int, float, str, bytes, None; a dict with
        ``bytes`` and ``path`` in a ``PICTURE`` column, a list in a ``TEXTS`` column. Little is in memory at once."""
        ...

    def has_bytes(self, name: str) -> bool:
        """Whether pictures of a ``PICTURE`` column lie in the table, rather than where it says."""
        ...

    def scalar(self, cell: Any) -> Scalar:
        """A cell as a value to keep beside a picture: None for what is no single value."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Closing:
    """What sheets share: the file is closed at the end of a ``with`` block."""

    def close(self) -> None:
        raise NotImplementedError

    def scalar(self, cell: Any) -> Scalar:
        if isinstance(cell, float):
            return cell if math.isfinite(cell) else None
        return cell if isinstance(cell, bool | int | str) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

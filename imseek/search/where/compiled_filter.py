"""Values that compiling makes: an expression of a kind, and a whole filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

from imseek.search.where.vocabulary import Kind, Source

Value: TypeAlias = str | datetime | date


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL of a BOOLEAN over columns ``c0``, ``c1``… (``inputs``, in that order) with parameters ``$1``, ``$2``…"""

    sql: str
    inputs: tuple[Source, ...]
    parameters: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Typed:
    """An expression of a kind. Of a constant text or number ``value`` is what it is; ``parameter`` is which one (from
    0) holds a text."""

    sql: str
    kind: Kind
    node: Any = None
    value: Any = None
    parameter: int | None = None
    constant: bool = False

"""Results of compilation: a typed expression, and a whole filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeAlias

from imseek.search.where.columns_and_functions import Kind, Source

Value: TypeAlias = str | datetime | date


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter as SQL of type BOOLEAN, over columns ``c0``, ``c1``… (``inputs``) with parameters ``$1``, ``$2``…"""

    sql: str
    inputs: tuple[Source, ...]
    parameters: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class TypedExpression:
    """SQL of an expression with its kind.

    For a constant text or number, ``value`` is that constant, and ``parameter`` the index (from 0) of a text's
    parameter.
    """

    sql: str
    kind: Kind
    node: Any = None
    value: Any = None
    parameter: int | None = None
    constant: bool = False

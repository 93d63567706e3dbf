"""Translate a filter to a Milvus expression: the part of docs/where.md that Milvus supports.

The filter is checked first, as every filter is (``compiler``). Then it is written anew from columns, constants and
our own templates; parts that Milvus cannot express are refused by name.

SQL has three truth values, and Milvus and Milvus Lite disagree about the third. So each part is written twice, as the
condition that makes it true and the one that makes it false, both without nulls; NOT swaps the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

from sqlglot import exp

from imseek.errors import QueryError
from imseek.search.where.columns_and_functions import ALIASES, VIRTUAL, Kind
from imseek.search.where.compiler import compile_filter
from imseek.search.where.constants import parse_number, parse_time
from imseek.search.where.filter_errors import quote_node
from imseek.search.where.grammar import operands, parse

#: Returns the ids of images within a distance in kilometres of a latitude and a longitude.
NearbySearch: TypeAlias = Callable[[float, float, float], Sequence[int]]

_HINT: Final = "docs/milvus.md lists what filters of a published collection can say"


@dataclass(frozen=True, slots=True)
class MilvusColumn:
    """A column in Milvus: its field there and its kind here. Times are microseconds since 1970."""

    field: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Truth:
    """The Milvus conditions under which a part of the filter is true and false."""

    yes: str
    no: str

    def negated(self) -> _Truth:
        return _Truth(self.no, self.yes)


_Constant: TypeAlias = str | int | float | bool

EVERY: Final = "image_id >= 0"
NONE: Final = "image_id < 0"


def milvus_expression(
    text: str,
    columns: Mapping[str, MilvusColumn],
    tag: Callable[[str], str],
    nearby: NearbySearch,
    missing: Sequence[str] = (),
) -> str:
    """Translate a filter to the Milvus expression for the images that satisfy it.

    ``tag`` returns the expression for a tag; ``missing`` are columns that filters of the collection in its folder can
    name, but Milvus does not have. Raises QueryError for an invalid filter and for what Milvus cannot express.
    """
    kinds = {name: column.kind for name, column in columns.items() if name not in VIRTUAL}
    compile_filter(text, {**kinds, **dict.fromkeys(missing, Kind.INT)})
    return _Writer(columns, tag, nearby).truth(parse(text)).yes


class _Writer:
    """Writes the Milvus conditions of a filter, node by node."""

    def __init__(self, columns: Mapping[str, MilvusColumn], tag: Callable[[str], str], nearby: NearbySearch) -> None:
        self._columns = columns
        self._lowered = {name.lower(): column for name, column in columns.items()}
        self._tag = tag
        self._nearby = nearby

    def truth(self, node: exp.Expr) -> _Truth:
        writer = _WRITERS.get(type(node))
        if writer is None:
            raise _unsupported(node)
        return writer(self, node)

    # -- truths of truths ----------------------------------------------------------------------------------

    def _paren(self, node: exp.Expr) -> _Truth:
        return self.truth(node.this)

    def _and(self, node: exp.Expr) -> _Truth:
        parts = [self.truth(part) for part in operands(node)]
        return _Truth(_all(part.yes for part in parts), _any(part.no for part in parts))

    def _or(self, node: exp.Expr) -> _Truth:
        parts = [self.truth(part) for part in operands(node)]
        return _Truth(_any(part.yes for part in parts), _all(part.no for part in parts))

    def _not(self, node: exp.Expr) -> _Truth:
        return self.truth(node.this).negated()

    def _boolean(self, node: exp.Expr) -> _Truth:
        return _Truth(EVERY, NONE) if node.this else _Truth(NONE, EVERY)

    def _flag(self, node: exp.Expr) -> _Truth:
        column = self._column(node)
        return _Truth(_if_not_null(column, f"{column.field} == true"), _if_not_null(column, f"{column.field} == false"))

    # -- comparisons ---------------------------------------------------------------------------------------

    def _comparison(self, node: exp.Expr) -> _Truth:
        operator = _OPERATORS[type(node)]
        left, right = _strip_parens(node.this), _strip_parens(node.args["expression"])
        if self._is_column(left) and self._is_column(right):
            return self._compare_columns(self._column(left), self._column(right), operator)
        if not self._is_column(left) and self._is_column(right):
            left, right, operator = right, left, _MIRRORED[operator]
        return self._against(self._column(left), operator, self._constant(right))

    def _compare_columns(self, left: MilvusColumn, right: MilvusColumn, operator: str) -> _Truth:
        both_present = f"{left.field} is not null and {right.field} is not null"
        return _Truth(
            f"({both_present} and {left.field} {operator} {right.field})",
            f"({both_present} and {left.field} {_OPPOSITE[operator]} {right.field})",
        )

    def _against(self, column: MilvusColumn, operator: str, value: _Constant) -> _Truth:
        return _Truth(self._compare(column, operator, value), self._compare(column, _OPPOSITE[operator], value))

    def _compare(self, column: MilvusColumn, operator: str, value: _Constant) -> str:
        if column.kind is Kind.INT and isinstance(value, float) and not isinstance(value, bool):
            if not value.is_integer():  # No integer is equal to it: compare with the next one on the proper side.
                if operator in ("==", "!="):
                    return NONE if operator == "==" else _if_not_null(column, EVERY)
                value = math.floor(value) if operator in ("<=", ">") else math.ceil(value)
            value = int(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            below = (value < 0) == (operator in ("<", "<="))
            if operator in ("==", "!="):
                return NONE if operator == "==" else _if_not_null(column, EVERY)
            return NONE if below else _if_not_null(column, EVERY)
        return _if_not_null(column, f"{column.field} {operator} {_format_constant(value, column.kind)}")

    def _same(self, node: exp.Expr) -> _Truth:
        """Translate IS [NOT] DISTINCT FROM between a column and a constant."""
        column, value = self._column(node.this), _strip_parens(node.args["expression"])
        if isinstance(value, exp.Null):
            test = _Truth(f"{column.field} is null", f"{column.field} is not null")
        else:
            constant = self._constant(value)
            unlike = self._compare(column, "!=", constant)
            test = _Truth(self._compare(column, "==", constant), _any([f"{column.field} is null", unlike]))
        return test if isinstance(node, exp.NullSafeEQ) else test.negated()

    def _is(self, node: exp.Expr) -> _Truth:
        column, value = self._column(_strip_parens(node.this)), node.args["expression"]
        if isinstance(value, exp.Null):
            if column.field == "image_id":
                return _Truth(NONE, EVERY)
            return _Truth(f"{column.field} is null", f"{column.field} is not null")
        word, opposite = ("true", "false") if value.this else ("false", "true")
        return _Truth(
            _if_not_null(column, f"{column.field} == {word}"),
            _any([f"{column.field} is null", f"{column.field} == {opposite}"]),
        )

    def _between(self, node: exp.Expr) -> _Truth:
        column = self._column(_strip_parens(node.this))
        low = self._against(column, ">=", self._constant(node.args["low"]))
        high = self._against(column, "<=", self._constant(node.args["high"]))
        return _Truth(_all([low.yes, high.yes]), _any([low.no, high.no]))

    def _in(self, node: exp.Expr) -> _Truth:
        column = self._column(_strip_parens(node.this))
        tests = [self._against(column, "==", self._constant(one)) for one in node.args["expressions"]]
        return _Truth(_any(one.yes for one in tests), _all(one.no for one in tests))

    def _like(self, node: exp.Expr) -> _Truth:
        pattern = str(node.args["expression"].this)
        if "\\" in pattern:
            raise _unsupported(node, "a pattern with \\")
        test = self._match_pattern(self._column(_strip_parens(node.this)), pattern)
        return test.negated() if node.args.get("negate") else test

    def _match_pattern(self, column: MilvusColumn, pattern: str) -> _Truth:
        test = f"{column.field} like {_text(pattern)}"
        return _Truth(_if_not_null(column, test), _if_not_null(column, f"not ({test})"))

    # -- functions -----------------------------------------------------------------------------------------

    def _function(self, node: exp.Expr) -> _Truth:
        name, arguments = str(node.this).lower(), node.args.get("expressions") or []
        if name == "tag":
            has = self._tag(arguments[0].this)
            return _Truth(has, f"not ({has})")
        if name == "near":
            return self._near([float(number_of(one)) for one in arguments])
        if name in _PATTERNS:
            constant = self._constant(arguments[1])
            if not isinstance(constant, str) or any(mark in constant for mark in "%_\\"):
                raise _unsupported(node, f"{quote_node(node)} with %, _ or \\")
            return self._match_pattern(self._column(_strip_parens(arguments[0])), _PATTERNS[name].format(constant))
        raise _unsupported(node)

    def _near(self, numbers: Sequence[float]) -> _Truth:
        latitude, longitude = self._find_column("latitude"), self._find_column("longitude")
        has_position = f"{latitude.field} is not null and {longitude.field} is not null"
        ids = list(self._nearby(numbers[0], numbers[1], numbers[2]))
        if not ids:
            return _Truth(NONE, f"({has_position})")
        id_list = ", ".join(str(int(one)) for one in ids)
        return _Truth(f"image_id in [{id_list}]", f"({has_position} and image_id not in [{id_list}])")

    # -- leaves --------------------------------------------------------------------------------------------

    def _is_column(self, node: exp.Expr) -> bool:
        return isinstance(node, exp.Column) or self._part(node) is not None

    def _part(self, node: exp.Expr) -> str | None:
        """Return the column that holds a part of ``taken_at``, if the node extracts one.

        Examples: ``year(taken_at)``, ``extract(month FROM taken_at)``.
        """
        if isinstance(node, exp.Extract):
            part, source = str(node.this.name).lower(), node.args["expression"]
        elif isinstance(node, exp.Anonymous) and len(node.args.get("expressions") or []) == 1:
            part, source = str(node.this).lower(), node.args["expressions"][0]
        else:
            return None
        is_taken = isinstance(source, exp.Column) and str(source.this.this).lower() == "taken_at"
        return part if is_taken and part in ("year", "month") else None

    def _column(self, node: exp.Expr) -> MilvusColumn:
        if (part := self._part(node)) is not None:
            return self._find_column(part)
        if not isinstance(node, exp.Column):
            raise _unsupported(node)
        name = str(node.this.this)
        return self._find_column(ALIASES.get(name.lower(), name) if name not in self._columns else name)

    def _find_column(self, name: str) -> MilvusColumn:
        column = self._columns.get(name) or self._lowered.get(name.lower())
        if column is None:
            raise QueryError(f"Milvus has no column {name!r} that filters could name", hint=_HINT)
        return column

    def _constant(self, node: exp.Expr) -> _Constant:
        node = _strip_parens(node)
        if isinstance(node, exp.Boolean):
            return bool(node.this)
        if isinstance(node, exp.Literal) and node.is_string:
            return str(node.this)
        if isinstance(node, exp.Cast | exp.TryCast) and isinstance(node.this, exp.Literal):
            to = getattr(node.args["to"].this, "name", "")
            if to in ("DATE", "TIMESTAMP") and node.this.is_string:  # DATE '2023-05-01'
                return str(node.this.this)
        return number_of(node)


def number_of(node: exp.Expr) -> int | float:
    """Return the value of a number, with its sign. Raises QueryError for anything else."""
    node = _strip_parens(node)
    if isinstance(node, exp.Neg):
        return -number_of(node.this)
    if isinstance(node, exp.Literal) and not node.is_string:
        return parse_number(str(node.this))
    raise _unsupported(node)


def _format_constant(value: _Constant, kind: Kind) -> str:
    """Format a constant for comparison with a field of this kind."""
    if kind in (Kind.TIME, Kind.DATE):
        return str(micros(parse_time(str(value))))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    return repr(float(value)) if kind is Kind.FLOAT else str(int(value))


def micros(when: datetime | date) -> int:
    """Return the microseconds since 1970 of a time without a zone."""
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day)
    elapsed = when.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _text(value: str) -> str:
    """Quote a text. Quotes and line ends become escapes that both kinds of Milvus support."""
    escaped = "".join(_ESCAPES.get(character, character) for character in value)
    return f'"{escaped}"'


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _if_not_null(column: MilvusColumn, test: str) -> str:
    return f"({test})" if column.field == "image_id" else f"({column.field} is not null and {test})"


def _all(parts: Any) -> str:
    return f"({' and '.join(parts)})"


def _any(parts: Any) -> str:
    return f"({' or '.join(parts)})"


def _strip_parens(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _unsupported(node: exp.Expr, part: str | None = None) -> QueryError:
    return QueryError(f"{part or quote_node(node)} cannot be evaluated by Milvus", hint=_HINT)


_OPERATORS: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "==", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
_PATTERNS: Final = {"starts_with": "{}%", "ends_with": "%{}", "contains": "%{}%"}

_WRITERS: Final[Mapping[type[exp.Expr], Callable[[_Writer, exp.Expr], _Truth]]] = {
    exp.Paren: _Writer._paren,
    exp.And: _Writer._and,
    exp.Or: _Writer._or,
    exp.Not: _Writer._not,
    exp.Boolean: _Writer._boolean,
    exp.Column: _Writer._flag,
    **dict.fromkeys(_OPERATORS, _Writer._comparison),
    exp.NullSafeEQ: _Writer._same,
    exp.NullSafeNEQ: _Writer._same,
    exp.Is: _Writer._is,
    exp.Between: _Writer._between,
    exp.In: _Writer._in,
    exp.Like: _Writer._like,
    exp.Anonymous: _Writer._function,
}

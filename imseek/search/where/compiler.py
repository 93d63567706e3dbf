"""Compile a syntax tree to SQL for DuckDB: each node is checked, then written anew.

The SQL is built only from our own templates: columns are named ``c0``, ``c1``…, texts and times are parameters,
numbers are formatted from their parsed values. No character of the filter reaches the SQL. Everything not listed here
is refused, and so are comparisons of kinds that SQL would convert, or fail on, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final, TypeAlias

from sqlglot import exp

from imseek.errors import QueryError
from imseek.search.where import columns_and_functions as v
from imseek.search.where import names as column_names
from imseek.search.where.columns_and_functions import NUMBERS, TEXTS, TIMES, Kind, Source
from imseek.search.where.constants import IGNORE_CASE, check_pattern, number_sql, parse_number, parse_time
from imseek.search.where.filter_errors import list_refusal, not_orderable, quote_node, too_large, unsupported_node
from imseek.search.where.grammar import MAX_NESTING, operands, parse, too_deep

#: Maximum length of a filter's SQL in characters. Expressions that DuckDB would repeat are repeated here, and counted.
MAX_SQL: Final = 65_536
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


def compile_filter(text: str, columns: Mapping[str, Kind]) -> CompiledFilter:
    """Compile a filter. ``columns`` are the stored columns.

    Raises QueryError for anything that docs/where.md does not list.
    """
    tree = parse(text)
    compiler = _Compiler(columns)
    try:
        result = compiler.expression(tree, 0)
    except RecursionError as error:  # pragma: no cover - the depth is bounded above
        raise too_deep() from error
    if result.kind is not Kind.BOOL:
        raise QueryError(
            f"a filter is true or false; {quote_node(result.node)} is {result.kind.value}",
            hint="compare it with something: =, <, >, LIKE, IS NOT NULL, …",
        )
    return CompiledFilter(result.sql, tuple(compiler.inputs), tuple(compiler.parameters))


class _Compiler:
    """Compiles one filter, node by node, and collects its inputs and parameters."""

    def __init__(self, columns: Mapping[str, Kind]) -> None:
        self.names = column_names.ColumnNames(columns)
        self.inputs: dict[Source, str] = {}
        self.parameters: list[Value] = []

    def expression(self, node: exp.Expr, depth: int) -> TypedExpression:
        """Compile a node of any kind. Raises QueryError for a node or argument that is not on the allow-list."""
        if depth > 2 * MAX_NESTING:
            raise too_deep()
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise unsupported_node(node)
        method, allowed = handler
        for name, value in node.args.items():
            if name not in allowed and value not in (None, False, []):
                raise unsupported_node(node)
        compiled = method(self, node, depth + 1)
        if len(compiled.sql) > MAX_SQL:
            raise too_large()
        return replace(compiled, node=node)

    # -- leaves ----------------------------------------------------------------------------------------

    def _literal(self, node: exp.Expr, depth: int) -> TypedExpression:
        text = str(node.this)
        if node.is_string:
            return self._text(text)
        value = parse_number(text)
        kind = Kind.INT if isinstance(value, int) else Kind.FLOAT
        return TypedExpression(number_sql(value), kind, None, value, constant=True)

    def _text(self, value: str) -> TypedExpression:
        self.parameters.append(value)
        n = len(self.parameters)
        return TypedExpression(f"${n}", Kind.TEXT, None, value, n - 1, constant=True)

    def _boolean(self, node: exp.Expr, depth: int) -> TypedExpression:
        return TypedExpression("TRUE" if node.this else "FALSE", Kind.BOOL, constant=True)

    def _null(self, node: exp.Expr, depth: int) -> TypedExpression:
        return TypedExpression("NULL", Kind.NULL)

    def _column(self, node: exp.Expr, depth: int) -> TypedExpression:
        if not isinstance(node.this, exp.Identifier):
            raise unsupported_node(node)
        column = self.names.column(node.this.this, quoted=bool(node.this.args.get("quoted")))
        sql = column.sql.format(*(self._input(source) for source in column.inputs))
        return TypedExpression(sql, column.kind)

    def _input(self, source: Source) -> str:
        return self.inputs.setdefault(source, f"c{len(self.inputs)}")

    # -- true and false --------------------------------------------------------------------------------

    def _paren(self, node: exp.Expr, depth: int) -> TypedExpression:
        return self.expression(node.this, depth)

    def _logic(self, node: exp.Expr, depth: int) -> TypedExpression:
        """Compile AND or OR: a chain of any length, as a balanced tree."""
        sqls = [self._truth(part, depth) for part in operands(node)]
        word = "AND" if isinstance(node, exp.And) else "OR"
        while len(sqls) > 1:
            pairs = [f"({a} {word} {b})" for a, b in zip(sqls[::2], sqls[1::2], strict=False)]
            sqls = pairs + (sqls[-1:] if len(sqls) % 2 else [])
        return TypedExpression(sqls[0], Kind.BOOL)

    def _not(self, node: exp.Expr, depth: int) -> TypedExpression:
        return TypedExpression(f"(NOT {self._truth(node.this, depth)})", Kind.BOOL)

    def _truth(self, node: exp.Expr, depth: int) -> str:
        return self._of(node, depth, frozenset({Kind.BOOL})).sql

    def _comparison(self, node: exp.Expr, depth: int) -> TypedExpression:
        operator = _COMPARISONS[type(node)]
        if (of_list := self._of_list(node.this, node.args["expression"], depth)) is not None:
            value, other = of_list
            if operator not in ("=", "<>"):
                raise list_refusal(value.node)
            negation = "NOT " if operator == "<>" else ""
            return TypedExpression(f"({negation}list_contains({value.sql}, {other.sql}))", Kind.BOOL)
        (left, right), kind = self._of_one_kind([node.this, node.args["expression"]], depth)
        if kind is Kind.BOOL and operator in ("<", "<=", ">", ">="):
            raise not_orderable(left.node)
        return TypedExpression(f"({left.sql} {operator} {right.sql})", Kind.BOOL)

    def _is(self, node: exp.Expr, depth: int) -> TypedExpression:
        right = node.args["expression"]
        if isinstance(right, exp.Null):
            return TypedExpression(f"({self.expression(node.this, depth).sql} IS NULL)", Kind.BOOL)
        if not isinstance(right, exp.Boolean):
            raise unsupported_node(node)
        word = "TRUE" if right.this else "FALSE"
        return TypedExpression(f"({self._truth(node.this, depth)} IS {word})", Kind.BOOL)

    def _between(self, node: exp.Expr, depth: int) -> TypedExpression:
        (value, low, high), kind = self._of_one_kind([node.this, node.args["low"], node.args["high"]], depth)
        if kind is Kind.BOOL:
            raise not_orderable(value.node)
        return TypedExpression(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", Kind.BOOL)

    def _in(self, node: exp.Expr, depth: int) -> TypedExpression:
        members = node.args.get("expressions") or []
        if not members:
            raise QueryError(f"{quote_node(node)}: IN takes a list in brackets of at least one value")
        if self._is_list(node.this):
            value, texts = self.expression(node.this, depth), [self._of(one, depth, TEXTS) for one in members]
            return TypedExpression(f"list_has_any({value.sql}, [{', '.join(one.sql for one in texts)}])", Kind.BOOL)
        (value, *rest), _ = self._of_one_kind([node.this, *members], depth)
        # DuckDB repeats the value for each member of a short list, unless it is a column or a constant.
        is_repeatable = value.constant or isinstance(node.this, exp.Column)
        constants = [one.sql for one in rest if one.constant and is_repeatable]
        parts = [f"{value.sql} IN ({', '.join(constants)})"] if constants else []
        parts += _equalities(value.sql, [one.sql for one in rest if not (one.constant and is_repeatable)])
        return TypedExpression(f"({' OR '.join(parts)})", Kind.BOOL)

    def _is_list(self, node: exp.Expr) -> bool:
        """Return whether a node is a column of lists, perhaps in brackets."""
        while isinstance(node, exp.Paren):
            node = node.this
        if not (isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier)):
            return False
        return self.names.column(node.this.this, quoted=bool(node.this.args.get("quoted"))).kind is Kind.LIST

    def _of_list(self, left: exp.Expr, right: exp.Expr, depth: int) -> tuple[TypedExpression, TypedExpression] | None:
        """Compile a column of lists and the text that it is compared with; None if neither side is such a column."""
        if self._is_list(left):
            return self.expression(left, depth), self._of(right, depth, TEXTS)
        if self._is_list(right):
            return self.expression(right, depth), self._of(left, depth, TEXTS)
        return None

    def _like(self, node: exp.Expr, depth: int) -> TypedExpression:
        escape = ""
        if isinstance(node, exp.Escape):
            mark = node.args["expression"]
            node = node.this
            if type(node) not in (exp.Like, exp.ILike):
                raise unsupported_node(node)
            if not (isinstance(mark, exp.Literal) and mark.is_string and len(mark.this) == 1):
                raise QueryError("ESCAPE takes one character in quotes")
            escape = f" ESCAPE {self.expression(mark, depth).sql}"
        pattern_node = node.args["expression"]
        value = self._of(node.this, depth, _TEXTS_OR_LISTS)
        if not (isinstance(pattern_node, exp.Literal) and pattern_node.is_string):
            raise QueryError(f"LIKE takes a pattern in quotes, not {quote_node(pattern_node)}")
        pattern = self.expression(pattern_node, depth)
        word = "ILIKE" if isinstance(node, exp.ILike) else "LIKE"
        negation = "NOT " if node.args.get("negate") else ""
        if value.kind is Kind.LIST:
            each = f"lambda entry: entry {word} {pattern.sql}{escape}"
            test = f"({negation}len(list_filter({value.sql}, {each})) > 0)"
            return TypedExpression(test, Kind.BOOL)
        return TypedExpression(f"({value.sql} {negation}{word} {pattern.sql}{escape})", Kind.BOOL)

    def _matches(self, node: exp.Expr, depth: int) -> TypedExpression:
        pattern = node.args["expression"]
        if not (isinstance(pattern, exp.Literal) and pattern.is_string):
            raise QueryError(f"~ takes a pattern in quotes, not {quote_node(pattern)}")
        arguments = (node.this, exp.Literal.string(f"{IGNORE_CASE}{pattern.this}"))
        return self._call("regexp_matches", v.FUNCTIONS["regexp_matches"], arguments, depth)

    # -- values ----------------------------------------------------------------------------------------

    def _arithmetic(self, node: exp.Expr, depth: int) -> TypedExpression:
        left, right = (self._of(one, depth, NUMBERS) for one in (node.this, node.args["expression"]))
        kinds = {left.kind, right.kind}
        kind = Kind.FLOAT if Kind.FLOAT in kinds else Kind.INT
        operator = _OPERATORS[type(node)]
        if operator == "/":
            quotient, kind = f"CAST({left.sql} AS DOUBLE) / CAST({right.sql} AS DOUBLE)", Kind.FLOAT
            return TypedExpression(f"(CASE WHEN {right.sql} <> 0 THEN {quotient} END)", kind)
        if operator in ("//", "%") and kind is not Kind.INT:
            raise QueryError(f"{quote_node(node)}: {operator} takes whole numbers")
        if operator in ("//", "%"):
            return TypedExpression(f"(CASE WHEN {right.sql} <> 0 THEN {left.sql} {operator} {right.sql} END)", kind, "")
        return TypedExpression(f"({left.sql} {operator} {right.sql})", kind)

    def _negative(self, node: exp.Expr, depth: int) -> TypedExpression:
        value = self._of(node.this, depth, NUMBERS)
        known_value = None if value.value is None else -value.value
        return TypedExpression(f"(- {value.sql})", value.kind, None, known_value, constant=value.constant)

    def _concatenation(self, node: exp.Expr, depth: int) -> TypedExpression:
        left, right = (self._of(one, depth, TEXTS).sql for one in (node.this, node.args["expression"]))
        return TypedExpression(f"({left} || {right})", Kind.TEXT)

    def _cast(self, node: exp.Expr, depth: int) -> TypedExpression:
        to = node.args["to"]
        name = getattr(to.this, "name", "") if type(to) is exp.DataType else ""
        if name not in v.CASTS or to.args.get("expressions") or to.args.get("nested"):
            raise QueryError(f"{quote_node(node)}: CAST takes {', '.join(v.CASTS)}")
        kind, sql_type = v.CASTS[name]
        value = self.expression(node.this, depth)
        if kind in TIMES and value.kind is Kind.TEXT and value.parameter is not None:
            literal = self._as_time(value)  # DATE '2023-05-01'
            return TypedExpression(f"CAST({literal.sql} AS {sql_type})", kind)
        if (
            (value.kind in TIMES and kind not in TIMES | TEXTS)
            or (kind in TIMES and value.kind not in _CASTABLE_TO_TIME)
            or value.kind is Kind.LIST
        ):
            raise QueryError(f"{quote_node(value.node)} is {value.kind.value}; it cannot be made {kind.value}")
        word = "TRY_CAST" if isinstance(node, exp.TryCast) else "CAST"
        return TypedExpression(f"{word}({value.sql} AS {sql_type})", kind)

    def _case(self, node: exp.Expr, depth: int) -> TypedExpression:
        branches = node.args.get("ifs") or []
        subject = node.args.get("this")
        default = node.args.get("default")
        results = [one.args["true"] for one in branches] + ([default] if default is not None else [])
        values, kind = self._of_one_kind(results, depth)
        if subject is None:
            conditions = [self._truth(one.this, depth) for one in branches]
        else:
            (compared, *others), _ = self._of_one_kind([subject, *(one.this for one in branches)], depth)
            conditions = _equalities(compared.sql, [one.sql for one in others])
        whens = [f"WHEN {c} THEN {r.sql}" for c, r in zip(conditions, values, strict=False)]
        end = f" ELSE {values[-1].sql}" if default is not None else ""
        return TypedExpression(f"(CASE {' '.join(whens)}{end} END)", kind)

    # -- functions -------------------------------------------------------------------------------------

    def _extract(self, node: exp.Expr, depth: int) -> TypedExpression:
        part = str(node.this.name).lower()
        if not isinstance(node.this, exp.Var) or part not in v.PARTS:
            raise QueryError(f"EXTRACT takes {', '.join(v.PARTS)}, not {quote_node(node.this)}")
        return self._call(part, v.PARTS[part], [node.args["expression"]], depth)

    def _function(self, node: exp.Expr, depth: int) -> TypedExpression:
        name = node.this if isinstance(node.this, str) else ""
        arguments = node.args.get("expressions") or []
        lowered = name.lower()
        if lowered == "tag":
            return self._tag(arguments)
        if lowered == "near":
            return self._near(arguments, depth)
        if lowered not in v.FUNCTIONS:
            raise column_names.unknown_name("function", name, [*v.FUNCTIONS, *v.IMSEEK_FUNCTIONS])
        return self._call(lowered, v.FUNCTIONS[lowered], arguments, depth)

    def _call(self, name: str, function: v.Function, nodes: Sequence[exp.Expr], depth: int) -> TypedExpression:
        most = len(function.arguments)
        if function.variadic:
            if not nodes:
                raise QueryError(f"{name}() takes at least one argument")
            arguments, kind = self._of_one_kind(nodes, depth)
            return TypedExpression(function.sql.format(", ".join(one.sql for one in arguments)), kind)
        if not most - function.optional <= len(nodes) <= most:
            raise QueryError(f"{name}() takes {most} argument{'s' * (most > 1)}, not {len(nodes)}")
        arguments = [self._of(one, depth, kinds) for one, kinds in zip(nodes, function.arguments, strict=False)]
        kind = arguments[0].kind
        for position in function.constants & set(range(len(nodes))):
            if arguments[position].value is None:
                raise QueryError(f"{name}(): {quote_node(arguments[position].node)} must be a constant")
        if name == "date_trunc" and arguments[0].value not in v.UNITS:
            raise QueryError(f"date_trunc() takes {', '.join(repr(unit) for unit in v.UNITS)}")
        if name == "regexp_matches":
            check_pattern(arguments[1].value)
        sqls = [one.sql for one in arguments] + ["0"] * (most - len(arguments))
        return TypedExpression(function.sql.format(*sqls), function.result or kind)

    def _tag(self, nodes: Sequence[exp.Expr]) -> TypedExpression:
        if len(nodes) != 1 or not (isinstance(nodes[0], exp.Literal) and nodes[0].is_string):
            raise QueryError("tag() takes one name in quotes: tag('holiday')")
        return TypedExpression(self._input(Source("tag", nodes[0].this)), Kind.BOOL)

    def _near(self, nodes: Sequence[exp.Expr], depth: int) -> TypedExpression:
        values = [self.expression(node, depth).value for node in nodes]
        numbers = [float(one) for one in values if isinstance(one, int | float)]
        if len(numbers) != 3 or len(nodes) != 3:
            raise QueryError("near() takes three numbers: near(latitude, longitude, kilometres)")
        latitude, longitude, kilometres = numbers
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and kilometres >= 0):
            raise QueryError(
                "near() takes a latitude of -90 to 90, a longitude of -180 to 180, and kilometres from 0 on"
            )
        coordinates = [self.names.column(name, quoted=True) for name in ("latitude", "longitude")]
        sqls = [one.sql.format(*(self._input(s) for s in one.inputs)) for one in coordinates]
        # The haversine grows with the distance up to half around the earth; beyond that everything is near.
        angle = kilometres / v.EARTH_KM
        most = math.sin(angle / 2) ** 2 if angle < math.pi else 2.0
        band = math.degrees(angle) + 1e-6  # latitudes outside this band need no trigonometry
        edges = [number_sql(latitude - band), number_sql(latitude + band)]
        constants = [number_sql(one) for one in (latitude, longitude, most)]
        return TypedExpression(v.NEAR_SQL.format(*sqls, *constants, *edges), Kind.BOOL)

    # -- kinds -----------------------------------------------------------------------------------------

    def _of(self, node: exp.Expr, depth: int, kinds: frozenset[Kind]) -> TypedExpression:
        """Compile an expression of one of ``kinds``. A constant text is parsed as a time if one is required."""
        value = self.expression(node, depth)
        if value.kind is Kind.TEXT and not kinds & TEXTS and kinds & TIMES and value.parameter is not None:
            return self._as_time(value)
        if value.kind not in kinds and value.kind is not Kind.NULL:
            expected = " or ".join(sorted(kind.value for kind in kinds)) if len(kinds) < 3 else "something else"
            raise QueryError(f"{quote_node(value.node)} is {value.kind.value}, where {expected} is wanted")
        return value

    def _of_one_kind(self, nodes: Sequence[exp.Expr], depth: int) -> tuple[list[TypedExpression], Kind]:
        """Compile expressions that must have one kind; also return that kind.

        Integers mix with other numbers, and times with dates and with texts that are times.
        """
        values = [self.expression(node, depth) for node in nodes]
        if {one.kind for one in values} & TIMES:
            values = [
                self._as_time(one) if one.kind is Kind.TEXT and one.parameter is not None else one for one in values
            ]
        kinds = {one.kind for one in values} - {Kind.NULL}
        if kinds <= NUMBERS and len(kinds) == 2:
            return values, Kind.FLOAT
        if kinds <= TIMES and len(kinds) == 2:
            return values, Kind.TIME
        if len(kinds) > 1:
            first = next(one for one in values if one.kind is not Kind.NULL)
            other = next(one for one in values if one.kind not in (Kind.NULL, first.kind))
            raise QueryError(
                f"{quote_node(first.node)} is {first.kind.value}, and {quote_node(other.node)} is {other.kind.value}",
                hint="both sides must be of one kind; TRY_CAST(… AS DOUBLE) makes numbers of texts",
            )
        return values, next(iter(kinds), Kind.NULL)

    def _as_time(self, value: TypedExpression) -> TypedExpression:
        """Turn a constant text into a time or a date."""
        assert value.parameter is not None
        when = parse_time(str(value.value))
        self.parameters[value.parameter] = when
        kind, cast = (Kind.TIME, "TIMESTAMP") if isinstance(when, datetime) else (Kind.DATE, "DATE")
        # It has no ``value`` any more: the text has become a time.
        return TypedExpression(f"CAST(${value.parameter + 1} AS {cast})", kind, value.node, constant=True)


def _equalities(value: str, others: Sequence[str]) -> list[str]:
    if len(value) * len(others) > MAX_SQL:
        raise too_large()
    return [f"{value} = {other}" for other in others]


_CASTABLE_TO_TIME: Final = TIMES | TEXTS | {Kind.NULL}

_TEXTS_OR_LISTS: Final = TEXTS | {Kind.LIST}

_COMPARISONS: Final[Mapping[type[exp.Expr], str]] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM", exp.NullSafeNEQ: "IS DISTINCT FROM",
}  # fmt: skip

_OPERATORS: Final[Mapping[type[exp.Expr], str]] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%",
}  # fmt: skip

_Method: TypeAlias = Callable[[_Compiler, exp.Expr, int], TypedExpression]
_TWO: Final = frozenset({"this", "expression"})
_ONE: Final = frozenset({"this"})

#: The allow-list: the method that compiles each node type, and the arguments it may have.
_HANDLERS: Final[Mapping[type[exp.Expr], tuple[_Method, frozenset[str]]]] = {
    exp.Literal: (_Compiler._literal, frozenset({"this", "is_string"})),
    exp.Boolean: (_Compiler._boolean, _ONE),
    exp.Null: (_Compiler._null, frozenset()),
    exp.Column: (_Compiler._column, _ONE),
    exp.Paren: (_Compiler._paren, _ONE),
    exp.And: (_Compiler._logic, _TWO),
    exp.Or: (_Compiler._logic, _TWO),
    exp.Not: (_Compiler._not, _ONE),
    **dict.fromkeys(_COMPARISONS, (_Compiler._comparison, _TWO)),
    exp.Is: (_Compiler._is, _TWO),
    exp.Between: (_Compiler._between, frozenset({"this", "low", "high"})),
    exp.In: (_Compiler._in, frozenset({"this", "expressions"})),
    exp.Like: (_Compiler._like, _TWO | {"negate"}),
    exp.ILike: (_Compiler._like, _TWO | {"negate"}),
    exp.Escape: (_Compiler._like, _TWO),
    exp.RegexpILike: (_Compiler._matches, _TWO),
    **dict.fromkeys(_OPERATORS, (_Compiler._arithmetic, _TWO | {"typed", "safe"})),
    exp.Neg: (_Compiler._negative, _ONE),
    exp.DPipe: (_Compiler._concatenation, _TWO | {"safe"}),
    exp.Cast: (_Compiler._cast, frozenset({"this", "to"})),
    exp.TryCast: (_Compiler._cast, frozenset({"this", "to", "safe"})),
    exp.Case: (_Compiler._case, frozenset({"this", "ifs", "default"})),
    exp.Extract: (_Compiler._extract, _TWO),
    exp.Anonymous: (_Compiler._function, frozenset({"this", "expressions"})),
}

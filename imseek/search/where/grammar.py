"""Parse the text of a filter into a syntax tree, with sqlglot and a dialect that has expressions only.

The dialect has no functions of its own: every call becomes an ``Anonymous`` node, so that sqlglot's many rewrites do
not apply and ``compiler`` decides about each call. Imported on the first filter: sqlglot takes 0.1 s to load.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.parser import Parser, binary_range_parser
from sqlglot.tokens import Token, Tokenizer, TokenType

from imseek.errors import ImseekError, QueryError

#: Maximum length of a filter in characters.
MAX_LENGTH: Final = 4000
#: Maximum parser steps; a sensible filter of 4,000 characters takes about 4,000.
MAX_STEPS: Final = 20_000
#: Maximum nesting of brackets, CASE and prefix operators: sqlglot uses about 25 of Python's 1,000 frames per level.
MAX_NESTING: Final = 24

_HINT = "the grammar is in docs/where.md"

_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_PREFIXES = {TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE}
_QUOTED = {TokenType.STRING, TokenType.IDENTIFIER}
_TYPOGRAPHIC = frozenset("‘’‚‛“”„«»´`")
_STATEMENTS = (
    "select",
    "insert",
    "update",
    "delete",
    "drop",
    "create",
    "copy",
    "attach",
    "pragma",
    "with",
    "set",
)


# mypy cannot follow sqlglot's exports: hence the three ignores.
class ImseekWhere(Dialect):  # type: ignore[misc]
    """Expressions with Postgres's ``::``, ``||`` and ``~`` (which ignores case here), DuckDB's ``//`` and ``==``.

    sqlglot registers it under its own name.
    """

    class Tokenizer(Tokenizer):  # type: ignore[misc]
        # COMMENT would start a statement, but is a plausible column name.
        KEYWORDS: ClassVar[dict[str, Any]] = {
            **{word: kind for word, kind in Tokenizer.KEYWORDS.items() if word != "COMMENT"},
            "//": TokenType.DIV,
            "==": TokenType.EQ,
        }

    class Parser(Parser):  # type: ignore[misc]
        FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {
            name: Parser.FUNCTION_PARSERS[name] for name in ("CAST", "TRY_CAST", "EXTRACT")
        }
        RANGE_PARSERS: ClassVar[dict[Any, Any]] = {
            **Parser.RANGE_PARSERS,
            TokenType.TILDE: binary_range_parser(exp.RegexpILike),
        }
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {"CASE": Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]}

        def _advance(self, times: int = 1) -> None:
            """Count steps: sqlglot tries several readings in turn, and nesting can multiply them."""
            self._step_count = getattr(self, "_step_count", 0) + 1
            if self._step_count > MAX_STEPS:
                raise QueryError("there are too many ways to read the filter", hint=_HINT)
            super()._advance(times)


def parse(text: str) -> exp.Expr:
    """Parse one expression into a tree. Raises QueryError, with the position of the error."""
    if not isinstance(text, str):
        raise QueryError(f"a filter is text, not a {type(text).__name__}", hint=_HINT)
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a filter may have at most {MAX_LENGTH} characters; this one has {len(text)}")
    dialect = ImseekWhere()
    try:
        tokens = dialect.tokenize(text)
    except SqlglotError as error:
        raise QueryError(_describe_unterminated(text), hint=_HINT) from error
    except RecursionError as error:
        raise too_deep() from error
    _check(tokens)
    try:
        # Parsed as a condition, not a statement: sqlglot then accepts neither SELECT at the top, nor UNION, nor AS.
        trees = _parser(dialect).parse_into(exp.Condition, tokens, text)
    except RecursionError as error:
        raise too_deep() from error
    except ParseError as error:
        raise QueryError(_describe_error(error, text), hint=_hint(text)) from error
    except SqlglotError as error:
        raise QueryError("the filter cannot be read", hint=_hint(text)) from error
    if len(trees) != 1 or trees[0] is None:
        raise QueryError("a filter is one expression", hint=_hint(text))
    return trees[0]


def _parser(dialect: ImseekWhere) -> Any:
    try:
        return dialect.parser(error_level=ErrorLevel.IMMEDIATE)
    except TypeError as error:
        # The compiled sqlglot accepts only its own dialect, which allows too much.
        raise ImseekError(
            "filters cannot be read with the compiled sqlglot (sqlglotc)", hint="pip uninstall sqlglotc"
        ) from error


def _check(tokens: list[Token]) -> None:
    """Refuse comments, semicolons, and whatever would make the parser recurse deeply.

    Raises QueryError. Runs before parsing.
    """
    if not tokens:
        raise QueryError("the filter is empty", hint=_HINT)
    depth = prefixes = 0
    for token in tokens:
        # Quoted text may contain joiners and direction marks, which many scripts need; the rest must be visible
        # characters.
        is_invalid = "\0" in token.text or any("\ud800" <= c <= "\udfff" for c in token.text)
        if is_invalid or not (token.token_type in _QUOTED or token.text.isprintable()):
            raise QueryError("a filter holds no control or invisible characters outside quotes")
        if token.token_type not in _QUOTED and any(c in _TYPOGRAPHIC for c in token.text):
            raise QueryError(
                f"`{shorten(token.text)}` is not a quoted text",
                hint="texts are written in straight single quotes, column names in straight double ones",
            )
        if token.comments:
            raise QueryError("a filter holds no comments", hint=_HINT)
        if token.token_type == TokenType.SEMICOLON:
            raise QueryError(f"a filter is one expression: `;` in column {token.col}", hint=_HINT)
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        prefixes = prefixes + 1 if token.token_type in _PREFIXES else 0
        if max(depth, prefixes) > MAX_NESTING:
            raise too_deep()


def operands(node: exp.Expr) -> list[exp.Expr]:
    """Return the operands of a chain of ANDs or ORs, however long, in order."""
    parts, pending = [], [node]
    while pending:
        current = pending.pop()
        if type(current) is type(node):
            pending += [current.args["expression"], current.this]
        else:
            parts.append(current)
    return parts


def too_deep() -> QueryError:
    return QueryError(f"the filter is nested more than {MAX_NESTING} deep", hint="write long lists with IN (…)")


def _describe_unterminated(text: str) -> str:
    """Describe the unterminated quote of a text that cannot be tokenized."""
    for quote, subject in (("'", "a text"), ('"', "a quoted column name")):
        if text.count(quote) % 2:
            return f"{subject} that begins with {quote} does not end"
    return "the filter cannot be read"


def _describe_error(error: ParseError, text: str) -> str:
    """Describe where sqlglot stopped, with the text around it."""
    context = next((one for one in error.errors if one.get("highlight")), None)
    if context is None and isinstance(error.__cause__, ParseError):
        context = next((one for one in error.__cause__.errors if one.get("highlight")), None)
    if context is None:
        return f"the filter makes no sense as an expression: {shorten(text)}"
    before, at, after = context["start_context"][-20:], context["highlight"], context["end_context"][:20]
    end = "" if after.strip() else ", or what follows is missing"
    return shorten(f"the filter goes wrong at `{at}`{end}: {before}▸{at}◂{after}", 190)


def _hint(text: str) -> str:
    first = text.split(maxsplit=1)[0].lower() if text.strip() else ""
    return f"a filter is an expression, not a statement; {_HINT}" if first in _STATEMENTS else _HINT


def shorten(text: str, limit: int = 60) -> str:
    """Return text as one short line for messages."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"

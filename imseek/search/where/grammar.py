"""The text of a filter becomes a syntax tree, by sqlglot with a dialect that knows expressions only.

The dialect has no functions of its own: every call is an ``Anonymous`` node with its name, so that sqlglot's many
rewrites stay out, and ``compiling`` decides about each. Imported when the first filter comes: sqlglot takes 0.1 s.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.parser import Parser
from sqlglot.tokens import Token, Tokenizer, TokenType

from imseek.errors import ImseekError, QueryError

#: Longest text of a filter, in characters.
MAX_LENGTH: Final = 4000
#: How many steps the parser may take; 4,000 characters that make sense take some 4,000.
MAX_STEPS: Final = 20_000
#: How deep brackets, CASE and signs before a value may be nested: sqlglot takes some 25 of Python's 1,000 frames each.
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


# mypy does not follow sqlglot, whose exports it does not accept: hence these three.
class ImseekWhere(Dialect):  # type: ignore[misc]
    """Expressions with Postgres's ``::`` and ``||``, DuckDB's ``//`` and ``==``; registered under its own name."""

    class Tokenizer(Tokenizer):  # type: ignore[misc]
        # COMMENT would begin a statement, and is a fair name for a column.
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
        NO_PAREN_FUNCTIONS: ClassVar[dict[Any, Any]] = {}
        NO_PAREN_FUNCTION_PARSERS: ClassVar[dict[Any, Any]] = {
            "CASE": Parser.NO_PAREN_FUNCTION_PARSERS["CASE"]
        }

        def _advance(self, times: int = 1) -> None:
            """Counts the steps: where sqlglot tries one reading after the other, nesting can multiply them."""
            self._taken = getattr(self, "_taken", 0) + 1
            if self._taken > MAX_STEPS:
                raise QueryError("there are too many ways to read the filter", hint=_HINT)
            super()._advance(times)


def parse(text: str) -> exp.Expr:
    """The tree of one expression. Raises QueryError, with the place where the text goes wrong."""
    if not isinstance(text, str):
        raise QueryError(f"a filter is text, not a {type(text).__name__}", hint=_HINT)
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a filter has at most {MAX_LENGTH} characters; this one has {len(text)}")
    dialect = ImseekWhere()
    try:
        tokens = dialect.tokenize(text)
    except SqlglotError as error:
        raise QueryError(_unended(text), hint=_HINT) from error
    except RecursionError as error:
        raise too_deep() from error
    _check(tokens)
    try:
        # As a condition, not as a statement: sqlglot then knows neither SELECT at the top, nor UNION, nor AS.
        trees = _parser(dialect).parse_into(exp.Condition, tokens, text)
    except RecursionError as error:
        raise too_deep() from error
    except ParseError as error:
        raise QueryError(_told(error, text), hint=_hint(text)) from error
    except SqlglotError as error:
        raise QueryError("the filter cannot be read", hint=_hint(text)) from error
    if len(trees) != 1 or trees[0] is None:
        raise QueryError("a filter is one expression", hint=_hint(text))
    return trees[0]


def _parser(dialect: ImseekWhere) -> Any:
    try:
        return dialect.parser(error_level=ErrorLevel.IMMEDIATE)
    except TypeError as error:
        # The compiled sqlglot takes no dialect but its own, which knows too much.
        raise ImseekError(
            "filters cannot be read with the compiled sqlglot (sqlglotc)", hint="pip uninstall sqlglotc"
        ) from error


def _check(tokens: list[Token]) -> None:
    """What can be refused before parsing: comments, semicolons, and what would make the parser recurse deeply."""
    if not tokens:
        raise QueryError("the filter is empty", hint=_HINT)
    depth = prefixes = 0
    for token in tokens:
        # Texts may hold what joins and directs letters in many scripts; the rest of a filter is what one sees.
        odd = "\0" in token.text or any("\ud800" <= c <= "\udfff" for c in token.text)
        if odd or not (token.token_type in _QUOTED or token.text.isprintable()):
            raise QueryError("a filter holds no control or invisible characters outside quotes")
        if token.token_type not in _QUOTED and any(c in _TYPOGRAPHIC for c in token.text):
            raise QueryError(
                f"`{shown(token.text)}` is not a quoted text",
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


def too_deep() -> QueryError:
    return QueryError(
        f"the filter is nested more than {MAX_NESTING} deep", hint="write long lists with IN (…)"
    )


def _unended(text: str) -> str:
    for quote, what in (("'", "a text"), ('"', "a quoted column name")):
        if text.count(quote) % 2:
            return f"{what} that begins with {quote} does not end"
    return "the filter cannot be read"


def _told(error: ParseError, text: str) -> str:
    """Where sqlglot stopped, with what stands there."""
    where = next((one for one in error.errors if one.get("highlight")), None)
    if where is None and isinstance(error.__cause__, ParseError):
        where = next((one for one in error.__cause__.errors if one.get("highlight")), None)
    if where is None:
        return f"the filter makes no sense as an expression: {shown(text)}"
    before, at, after = where["start_context"][-20:], where["highlight"], where["end_context"][:20]
    end = "" if after.strip() else ", or what follows is missing"
    return shown(f"the filter goes wrong at `{at}`{end}: {before}▸{at}◂{after}", 190)


def _hint(text: str) -> str:
    first = text.split(maxsplit=1)[0].lower() if text.strip() else ""
    return f"a filter is an expression, not a statement; {_HINT}" if first in _STATEMENTS else _HINT


def shown(text: str, limit: int = 60) -> str:
    """For messages: one short line."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"

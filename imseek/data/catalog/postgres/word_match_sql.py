"""Search the documents of a catalog on PostgreSQL: their column ``words`` is a ``tsvector`` with a GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imseek.data.words.values import Prefix, Unit

#: Weights by column, as the migration gives them.
_WEIGHTS: Final = {"names": "A", "captions": "B", "keywords": "C", "text": "D"}


class PostgresWordIndex:
    """The index as readers query it, through SQL parameters."""

    position: Final = "strpos"

    def matches(self, condition: str) -> str:
        """Implement :meth:`imseek.data.catalog.backend.WordIndex.matches`."""
        return (
            f"SELECT document_id AS id FROM documents WHERE words @@ ?::tsquery AND document_id <= ? {condition} "  # noqa: S608
            "ORDER BY document_id LIMIT ?"
        )

    def match_expression(self, groups: Sequence[Sequence[Unit]], fields: Sequence[str] | None) -> str:
        """Return the ``tsquery`` for documents that hold a unit of each group; the tokens are quoted."""
        weights = "" if fields is None else "".join(_WEIGHTS[field] for field in fields)
        return " & ".join(f"({' | '.join(_match_unit(unit, weights) for unit in group)})" for group in groups)


def _match_unit(unit: Unit, weights: str) -> str:
    if isinstance(unit, Prefix):
        return " | ".join((_quoted(unit.start, f"*{weights}"), *(_quoted(stem, weights) for stem in unit.stems)))
    return f"({' <-> '.join(_quoted(token, weights) for token in unit)})"


def _quoted(token: str, flags: str) -> str:
    """Return a lexeme in which nothing is syntax, with its flags."""
    plain = token.replace("\\", "\\\\").replace("'", "''").replace("\0", " ")
    return f"'{plain}'" + (f":{flags}" if flags else "")

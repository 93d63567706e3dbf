"""Search the documents of a catalog on PostgreSQL: their column ``words`` is a ``tsvector`` with a GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

#: Weights by column, as the migration gives them.
_WEIGHTS: Final = {"names": "A", "captions": "B", "keywords": "C", "text": "D"}


def match_expression(groups: Sequence[Sequence[Sequence[str]]], fields: Sequence[str] | None) -> str:
    """Return the ``tsquery`` for documents that hold a unit of each group, in these fields (None: in any).

    A unit is a word or a phrase: its tokens, in order. They are quoted, so that nothing in them is syntax.
    """
    weights = "" if fields is None else ":" + "".join(_WEIGHTS[field] for field in fields)
    alternatives = (
        " | ".join("(" + " <-> ".join(f"'{_plain(token)}'{weights}" for token in unit) + ")" for unit in group)
        for group in groups
    )
    return " & ".join(f"({one})" for one in alternatives)


def _plain(token: str) -> str:
    return token.replace("\\", "\\\\").replace("'", "''").replace("\0", " ")


def find_documents(connection: Any, expression: str, limit: int, last: int) -> list[int]:
    """Return ids of at most ``limit`` documents up to ``last``, ascending; not necessarily the first ones."""
    query = "SELECT document_id FROM documents WHERE words @@ ?::tsquery AND document_id <= ? LIMIT ?"
    return sorted(row[0] for row in connection.execute(query, (expression, last, limit)).fetchall())


def count_documents(connection: Any, expression: str, limit: int, last: int) -> tuple[int, int]:
    """Count documents up to ``last`` and up to a limit; return the count and the largest id counted (0: none)."""
    inner = "SELECT document_id AS i FROM documents WHERE words @@ ?::tsquery AND document_id <= ? LIMIT ?"
    query = f"SELECT COUNT(*), MAX(i) FROM ({inner}) AS found"  # noqa: S608 - a constant
    count, largest = connection.execute(query, (expression, last, limit)).fetchone()
    return count, largest or 0

"""Import psycopg where it is installed: only commands that use a catalog on a server need it."""

from __future__ import annotations

from typing import Any

from imseek.errors import MissingExtraError


def driver() -> Any:
    """Import psycopg. Raises MissingExtraError."""
    try:
        import psycopg
    except ImportError as error:  # Also raised where libpq is missing.
        raise MissingExtraError("psycopg", "postgres") from error
    return psycopg

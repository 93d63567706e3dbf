"""Filters over metadata: SQL expressions without statements (docs/where.md).

``grammar`` parses the text, ``compiler`` checks it against ``vocabulary`` and writes SQL for DuckDB, ``columns``
loads the columns that it reads, ``duckdb_sandbox`` runs it, and ``filters`` combines these.
"""

from imseek.search.where.filter_evaluation import Filters

__all__ = ["Filters"]

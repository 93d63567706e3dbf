"""Filters over metadata: SQL expressions without statements (docs/where.md).

``grammar`` parses the text, ``compiler`` checks it against ``columns_and_functions`` and writes SQL for DuckDB,
``column_cache`` loads the columns that it reads, ``duckdb_sandbox`` runs it, and ``filter_evaluation`` combines these.
"""

from imseek.search.where.filter_evaluation import Filters

__all__ = ["Filters"]

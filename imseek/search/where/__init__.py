"""Filters over metadata: SQL's expressions without its statements (docs/where.md).

``grammar`` parses the text, ``compiling`` checks it against what ``vocabulary`` lists and makes it anew for DuckDB,
``columns`` loads what it reads, ``locked`` runs it, ``filters`` puts these together.
"""

from imseek.search.where.filters import Filters

__all__ = ["Filters"]

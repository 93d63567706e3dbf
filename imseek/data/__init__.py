"""Storage: a collection on disk. Format 1 is described in docs/format.md.

Read path (no SQLAlchemy, no Parquet unless metadata is asked for): ``current``, ``reader``, ``vectors``.
Write path: ``durable`` (every byte that must survive), ``lock``, ``catalog``, ``writer``, ``merge``, ``backup``.
Care: ``verify``, ``repair``.
"""

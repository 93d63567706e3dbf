"""Storage: a collection on disk, in the format that docs/format.md describes.

Read path (no SQLAlchemy, and Parquet only for metadata): ``current_file``, ``reader``, ``vectors``. Write path:
``durable_files`` (all durable writes), ``lock``, ``catalog``, ``writer``, ``compaction``, ``catalog_backups``.
Maintenance: ``verify``, ``repair``.
"""

"""The catalog: what a collection knows beside its shards, as tables in SQLite or on a PostgreSQL server.

Writers use it through SQLAlchemy (``catalog``); readers read single tables without it (``runs``, ``tag_reader``).
``migrations`` creates the tables, ``catalog_backups`` keeps two copies of them.
"""

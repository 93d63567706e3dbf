"""The catalog: what a collection knows beside its shards, as tables in SQLite or on a PostgreSQL server.

Writers use it as a whole (``catalog``), in SQL that both take (``sql``); readers read single tables (``runs``,
``tag_reader``). ``migrations`` creates the tables, ``catalog_backups`` keeps two copies of them.
"""

"""The catalog on a PostgreSQL server, for a collection that several hosts share. Only importer of psycopg.

The folder then has ``catalog.json`` in place of ``catalog.sqlite`` and ``current.json``: it says where the catalog is.
docs/decisions/0028-postgres.md says why it is as it is.
"""

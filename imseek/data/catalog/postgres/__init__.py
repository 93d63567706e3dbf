"""The catalog on a PostgreSQL server, for a collection that several hosts share. The only importer of psycopg.

The folder then has ``catalog.json``, the address of the catalog, in place of ``catalog.sqlite`` and ``current.json``.
docs/decisions/0027-postgres.md explains the design.
"""

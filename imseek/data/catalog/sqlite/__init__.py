"""The catalog in a SQLite file of its collection: how it is opened, locked, backed up and checked for bit rot."""

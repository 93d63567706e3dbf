"""Lies in the schema of a catalog, and in the bytes of its file: what SQLite runs, or trips over, by itself."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from hostile.forge import Forge
from hostile.lies import Lie, Tell, gather
from imseek.data import layout
from imseek.data.catalog.sqlite import word_index

_EVENTS: Final = ("INSERT", "UPDATE", "DELETE")
#: Tables with row ids. The others are those of the index of words, of which SQLite lets one change less.
TABLES: Final = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' "
    "AND sql NOT LIKE '%WITHOUT ROWID'"
)
#: Numbers without an end.
_ENDLESS: Final = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n"
#: An expression that takes a gigabyte of memory each time.
_HEAVY: Final = "length(hex(zeroblob(400000000)))"


def schema_lies(catalog: Path) -> list[Lie]:
    """Lies about each table of a sound catalog, and about the catalog as a whole."""
    with closing(sqlite3.connect(catalog)) as connection:
        names = connection.execute(TABLES).fetchall()
    lies = []
    for (table,) in names:
        triples = ((name, "", tell) for name, tell in _of_table(table))
        for one in gather(f"table {table}", triples, family="tables of the catalog"):
            # Nothing may have been tagged, or judged; and nobody reads names of migrations.
            free = {"empty", "text that is not UTF-8"} if table in ("migrations", "containers") else {"empty"}
            lies.append(replace(one, verify=one.name not in free))
    return [*lies, *_whole(), *_bytes()]


def _statements(*statements: str) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            for statement in statements:
                connection.execute(statement.replace("HOME", str(forge.arena.home)))

    return tell


def _of_table(table: str) -> Iterator[tuple[str, Tell]]:
    row = "NULL, NULL, NULL, 0, 0, '', 0, 0, 1.0"
    listing = " ".join(
        f"INSERT OR REPLACE INTO files VALUES ('{path}', 'dead', {row});"
        for path in ("../../../home/thesis.txt", "HOME/.ssh/id_rsa")
    )
    bodies = {
        "trigger that lists canaries": listing,
        "trigger that deletes the list of files": "DELETE FROM files;",
        "trigger that ends the run": "UPDATE runs SET state = 'interrupted';",
        "trigger that never ends": f"{_ENDLESS};",
        "trigger that fails": "SELECT RAISE(ABORT, 'no');",
        "trigger that takes memory": f"SELECT {_HEAVY};",
    }
    for name, body in bodies.items():
        yield (
            name,
            _statements(*(f"CREATE TRIGGER t{e} AFTER {e} ON {table} BEGIN {body} END" for e in _EVENTS)),
        )
    yield "view in its place", _rename(table, "CREATE VIEW {t} AS SELECT * FROM {t}_")
    for name, condition in (
        ("endless view in its place", ""),
        ("endless view without rows", " WHERE n.x < 0"),
    ):
        yield (
            name,
            _rename(
                table,
                "CREATE VIEW {t} AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
                "SELECT {t}_.* FROM {t}_, n" + condition,
            ),
        )
    yield (
        "view in its place that takes writing",
        _rename(
            table,
            "CREATE VIEW {t} AS SELECT * FROM {t}_",
            *(f"CREATE TRIGGER t{e} INSTEAD OF {e} ON {{t}} BEGIN SELECT 1; END" for e in _EVENTS),
        ),
    )
    yield "virtual table in its place", _make_virtual(table)
    yield "without row ids", _rebuild(table, lambda sql: f"{sql} WITHOUT ROWID")
    yield "without types and keys", _rebuild(table, lambda _: None)
    yield "rows twice", _double(table)
    yield "generated column", _statements(f"ALTER TABLE {table} ADD COLUMN more TEXT AS ({_HEAVY}) VIRTUAL")
    yield "unknown column", _statements(f"ALTER TABLE {table} ADD COLUMN more TEXT DEFAULT 'x'")
    yield (
        "index on an expression",
        _statements(f"CREATE INDEX more ON {table}({_HEAVY}) WHERE rowid > 1000000000 OR rowid < 0"),
    )
    yield "unknown index", _statements(f"CREATE INDEX more ON {table}(1)")
    yield "a check that takes memory", _rebuild(table, lambda sql: f"{sql[:-1]}, CHECK ({_HEAVY} > 0))")
    yield "missing", _statements(f"DROP TABLE {table}")
    yield "empty", _statements(f"DELETE FROM {table}")
    yield "missing column", _drop_column(table)
    yield "other name", _statements(f"ALTER TABLE {table} RENAME TO {table}_more")
    yield "text that is not UTF-8", _break_text(table)


def _rename(table: str, *statements: str) -> Tell:
    # As old SQLite did: indexes, triggers and views keep naming the table that has gone.
    return _statements(
        "PRAGMA legacy_alter_table = ON",
        f"ALTER TABLE {table} RENAME TO {table}_",
        *(statement.format(t=table) for statement in statements),
    )


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _make_virtual(table: str) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            columns = ", ".join(_columns(connection, table))
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_")
            try:
                connection.execute(f"CREATE VIRTUAL TABLE {table} USING fts5({columns})")
            except sqlite3.Error:  # A column has a name that is taken there.
                connection.execute(f"CREATE VIRTUAL TABLE {table} USING fts4({columns})")
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_")

    return tell


def _rebuild(table: str, change: Callable[[str], str | None]) -> Tell:
    """The table made anew by its changed SQL, None: columns alone; with its rows."""

    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            columns = ", ".join(_columns(connection, table))
            rows = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
            connection.execute(f"DROP TABLE {table}")
            statement = change(sql) or f"CREATE TABLE {table} ({columns})"
            try:
                connection.execute(statement)
            except sqlite3.Error:  # It has no primary key.
                connection.execute(f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({columns})) WITHOUT ROWID")
            _fill(connection, table, columns, rows)

    return tell


def _fill(connection: sqlite3.Connection, table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
    """Insert rows, those that a check can be made to pass by; it stands in the schema all the same."""
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("BEGIN")
    marks = ",".join("?" * len(columns.split(", ")))
    connection.executemany(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})", rows)
    connection.execute("COMMIT")


def _double(table: str) -> Tell:
    def tell(forge: Forge) -> None:
        _rebuild(table, lambda _: None)(forge)
        with forge.catalog() as connection:
            connection.execute(f"INSERT INTO {table} SELECT * FROM {table}")

    return tell


def _drop_column(table: str) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            columns = ", ".join(_columns(connection, table)[:-1])
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_")
            connection.execute(f"CREATE TABLE {table} AS SELECT {columns} FROM {table}_")
            connection.execute(f"DROP TABLE {table}_")

    return tell


def _break_text(table: str) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            for column in _columns(connection, table):
                try:
                    connection.execute(f"UPDATE {table} SET {column} = CAST(x'ff41' AS TEXT)")
                except sqlite3.Error:  # A number, or a key.
                    continue

    return tell


# -- the catalog as a whole ------------------------------------------------------------------------------------


def _whole() -> list[Lie]:
    kind = layout.CATALOG
    return [
        Lie(
            kind,
            "unknown table",
            {
                "plain": _statements("CREATE TABLE more (a)"),
                "large": _statements("CREATE TABLE more AS SELECT zeroblob(100000000) AS a"),
                "odd name": _statements('CREATE TABLE "../../x" (a)'),
                "virtual": _statements("CREATE VIRTUAL TABLE more USING fts5(a)"),
                "pages": _statements("CREATE VIRTUAL TABLE more USING sqlite_dbpage"),
                "statistics": _statements("ANALYZE", "UPDATE sqlite_stat1 SET stat = '99999999999 1 1 1'"),
            },
        ),
        Lie(
            kind,
            "unknown view",
            {
                "plain": _statements("CREATE VIEW more AS SELECT 1"),
                "endless": _statements(f"CREATE VIEW more AS {_ENDLESS}"),
                "code": _statements("CREATE VIEW more AS SELECT fts3_tokenizer('x', x'4141414141414141')"),
            },
        ),
        Lie(
            kind,
            "malformed schema",
            {
                "no SQL": _statements("UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'tags'"),
                "not UTF-8": _statements("UPDATE sqlite_master SET sql = CAST(x'ff' AS TEXT) WHERE name = 'tags'"),
                "shared page": _statements("UPDATE sqlite_master SET rootpage = 2"),
                "page beyond": _statements("UPDATE sqlite_master SET rootpage = 999999 WHERE name = 'runs'"),
                "page of nothing": _statements("UPDATE sqlite_master SET rootpage = 0 WHERE name = 'runs'"),
                "index as table": _statements("UPDATE sqlite_master SET type = 'index' WHERE name = 'tags'"),
                "names twice": _statements(
                    "INSERT INTO sqlite_master SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master"
                ),
                "thousands": _statements(
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) "
                    "INSERT INTO sqlite_master SELECT 'view', 'v' || x, 'v' || x, 0, "
                    "'CREATE VIEW v' || x || ' AS SELECT 1' FROM n"
                ),
            },
        ),
        Lie(
            kind,
            "other settings",
            {
                "UTF-16": _recreate("PRAGMA encoding = 'UTF-16le'"),
                "page size 512": _recreate("PRAGMA page_size = 512"),
                "page size 65536": _recreate("PRAGMA page_size = 65536"),
                "auto_vacuum": _recreate("PRAGMA auto_vacuum = 1"),
                "user_version": _statements("PRAGMA user_version = 2147483647"),
                "cache size": _statements("PRAGMA default_cache_size = 2147483647"),
                "rollback journal": _statements("PRAGMA journal_mode = DELETE"),
            },
            verify=False,
        ),
    ]


def _recreate(pragma: str) -> Tell:
    """The catalog made anew with another setting: in a fresh file, since some cannot be changed."""

    def tell(forge: Forge) -> None:
        fresh = forge.path("fresh")
        with closing(sqlite3.connect(forge.path(layout.CATALOG))) as old:
            old.execute(f"DROP TABLE IF EXISTS {word_index.TABLE}")  # Virtual tables do not come back from a dump.
            script = list(old.iterdump())
        with closing(sqlite3.connect(fresh, isolation_level=None)) as new:
            new.execute(pragma)
            new.executescript("\n".join(script))
        fresh.replace(forge.path(layout.CATALOG))
        forge.seal()

    return tell


# -- bytes -----------------------------------------------------------------------------------------------------


def _bytes() -> list[Lie]:
    """Bytes of the file's header (sqlite.org/fileformat2.html, 1.3) and of pages, and logs beside it."""
    header = {
        "magic": (0, b"SQLite format 9\0"),
        "page size 0": (16, b"\0\0"),
        "page size 3": (16, b"\0\3"),
        "page size 65536": (16, b"\0\1"),
        "later version": (18, b"\x09\x09"),
        "reserved 255": (20, b"\xff"),
        "payload fractions": (21, b"\xff\xff\xff"),
        "page count": (28, b"\x7f\xff\xff\xff"),
        "free pages": (32, b"\0\0\0\1\x7f\xff\xff\xff"),
        "schema format": (44, b"\0\0\0\x63"),
        "vacuum root": (52, b"\0\0\0\5"),
        "encoding": (56, b"\0\0\0\3"),
        "first page": (100, b"\xff" * 12),
    }
    pages = {
        "a page that is its own child": lambda n: struct.pack(">BHHHBI", 5, 0, 0, 4096 & 0xFFFF, 0, n),
        "noise": lambda n: bytes((n * i) % 251 for i in range(1, 400)),
        "cells beyond": lambda _: struct.pack(">BHHHB", 13, 0, 65535, 0, 0) + b"\xff" * 64,
    }

    def at(offset: int, data: bytes) -> Tell:
        return lambda forge: _overwrite(forge, [(offset, data)])

    def everywhere(make: Callable[[int], bytes]) -> Tell:
        return lambda forge: _overwrite(forge, [((n - 1) * 4096, make(n)) for n in range(2, 30)])

    return [
        Lie(layout.CATALOG, "corrupt header", {name: at(*where) for name, where in header.items()}),
        Lie(layout.CATALOG, "corrupt pages", {name: everywhere(make) for name, make in pages.items()}),
        Lie(layout.CATALOG, "something behind its end", {"": _append}),
        Lie("catalog.sqlite-wal", "a change in the log", {"listing": _write_log}),
        Lie(
            "catalog.sqlite-wal",
            "noise",
            {"": lambda f: f.path("catalog.sqlite-wal").write_bytes(b"\7" * 9000)},
            verify=False,  # SQLite takes it for a log of nothing, and begins another.
        ),
        Lie(
            "catalog.sqlite-journal",
            "names a canary as its super-journal",
            {
                "home": lambda f: _hot_journal(f, bytes(f.thesis)),
                "key": lambda f: _hot_journal(f, bytes(f.arena.home / ".ssh/id_rsa")),
            },
        ),
        Lie(
            "catalog.sqlite-journal",
            "noise",
            {"": lambda f: f.path("catalog.sqlite-journal").write_bytes(b"\7" * 9000)},
        ),
    ]


def _overwrite(forge: Forge, writes: list[tuple[int, bytes]]) -> None:
    data = bytearray(forge.path(layout.CATALOG).read_bytes())
    for offset, part in writes:
        data[offset : offset + len(part)] = part[: max(0, len(data) - offset)]
    forge.replace(layout.CATALOG, bytes(data))


def _append(forge: Forge) -> None:
    forge.replace(layout.CATALOG, forge.path(layout.CATALOG).read_bytes() + bytes(4096))


def _write_log(forge: Forge) -> None:
    """A write-ahead log with a hostile change that is not in the catalog yet, and a checksum of both together."""
    from imseek.data.catalog.sqlite import catalog_checksums

    catalog, aside = forge.path(layout.CATALOG), forge.path("aside")
    aside.mkdir()
    with closing(sqlite3.connect(catalog, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        row = "'dead', NULL, NULL, NULL, 0, 0, '', 0, 0, 1.0"
        connection.execute(f"INSERT INTO files VALUES ('{forge.thesis}', {row})")
        for name in (layout.CATALOG, "catalog.sqlite-wal"):
            shutil.copy(forge.path(name), aside / name)
        written = catalog_checksums.digest_catalog(forge.root)
    for name in (layout.CATALOG, "catalog.sqlite-wal"):
        (aside / name).replace(forge.path(name))
    aside.rmdir()
    forge.edit(
        layout.CHECKSUMS,
        lambda d: d["files"].update({layout.CATALOG: {"size": written.size, "sha256": written.sha256}}),
    )


def _hot_journal(forge: Forge, super_journal: bytes) -> None:
    """A rollback journal that is played back by whoever opens the catalog, and names another file that SQLite deletes
    when it has done so (sqlite.org/atomiccommit.html, 5)."""
    pages = forge.path(layout.CATALOG).stat().st_size // 4096
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + struct.pack(">IIIII", 0, 0, pages, 512, 4096)
    locking_page = 0x40000000 // 4096 + 1
    signs = sum(byte - 256 if byte > 127 else byte for byte in super_journal) & 0xFFFFFFFF
    trailer = struct.pack(">I", locking_page) + super_journal + struct.pack(">II", len(super_journal), signs) + magic
    forge.path("catalog.sqlite-journal").write_bytes(header.ljust(512, b"\0") + trailer)

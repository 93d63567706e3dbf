"""Full-text index of a SQLite catalog: an FTS5 table with the documents as its external content.

Documents are tokens already (:mod:`imseek.data.words.analysis`), so its tokenizer only splits at spaces: to ``ascii``,
every character beyond ASCII is part of a token. Words of ``documents`` never change: the index holds all rows up to
the one that ``meta`` names (:data:`imseek.data.words.documents.INDEXED`), and a writer adds the rest in the transaction
that inserts them. Where SQLite lacks FTS5, there is no index, and a writer says so in ``meta``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from imseek.data.words.values import Prefix, Unit

if TYPE_CHECKING:
    from imseek.data.catalog.sql import Connection

TABLE: Final = "document_words"
_MODULE: Final = "fts5"
_loaded_modules: set[str] = set()
_HAS_MODULE: Final = "SELECT 1 FROM pragma_module_list WHERE name = ?"
_HAS_TABLE: Final = "SELECT 1 FROM sqlite_master WHERE name = ?"

_COLUMNS: Final = "names, captions, keywords, text"
_CREATE: Final = (
    f"CREATE VIRTUAL TABLE {TABLE} USING fts5({_COLUMNS}, content='documents', content_rowid='document_id', "
    "tokenize='ascii')"
)
#: SQLite's records of the table, and of those in which FTS5 keeps its data (sqlite.org/fts5.html, section 9).
SCHEMA: Final = frozenset(
    (
        ("table", TABLE, TABLE, _CREATE),
        *(
            ("table", f"{TABLE}_{name}", f"{TABLE}_{name}", f"CREATE TABLE '{TABLE}_{name}'({columns}){ending}")
            for name, columns, ending in (
                ("data", "id INTEGER PRIMARY KEY, block BLOB", ""),
                ("docsize", "id INTEGER PRIMARY KEY, sz BLOB", ""),
                ("idx", "segid, term, pgno, PRIMARY KEY(segid, term)", " WITHOUT ROWID"),
                ("config", "k PRIMARY KEY, v", " WITHOUT ROWID"),
            )
        ),
    )
)


def without_index(schema: frozenset[tuple[str, str, str, str | None]]) -> frozenset[tuple[str, str, str, str | None]]:
    """Return a schema without the rows of the index, where it has all of them as SQLite writes them."""
    return schema - SCHEMA if schema >= SCHEMA else schema


# -- queries ---------------------------------------------------------------------------------------------------------


def can_search(connection: Any) -> bool:
    """Whether this SQLite can read an index. The answer is cached once it is yes."""
    if _MODULE not in _loaded_modules and connection.execute(_HAS_MODULE, (_MODULE,)).fetchone() is not None:
        _loaded_modules.add(_MODULE)
    return _MODULE in _loaded_modules


class SqliteWordIndex:
    """The index as readers query it, through SQL parameters."""

    position: Final = "instr"

    def matches(self, condition: str) -> str:
        """Implement :meth:`imseek.data.catalog.backend.WordIndex.matches`."""
        return (
            f"SELECT rowid AS id FROM {TABLE} WHERE {TABLE} MATCH ? AND rowid <= ? {condition} ORDER BY rowid LIMIT ?"  # noqa: S608
        )

    def match_expression(self, groups: Sequence[Sequence[Unit]], fields: Sequence[str] | None) -> str:
        """Return the FTS5 expression for documents that hold a unit of each group; the tokens are quoted."""
        expression = " AND ".join(f"({' OR '.join(map(_match_unit, group))})" for group in groups)
        return expression if fields is None else f"{{{' '.join(fields)}}} : ({expression})"


def _match_unit(unit: Unit) -> str:
    if isinstance(unit, Prefix):
        return " OR ".join((f"{_quoted(unit.start)} *", *map(_quoted, unit.stems)))
    return _quoted(" ".join(unit))


def _quoted(text: str) -> str:
    """Return a phrase in which nothing is syntax."""
    plain = text.replace('"', '""').replace("\0", " ")
    return f'"{plain}"'


# -- writing ---------------------------------------------------------------------------------------------------------


def add_documents(connection: Connection, indexed: int) -> bool:
    """Add documents after the one numbered ``indexed``; where that is 0, build the index anew.

    Returns False where SQLite lacks FTS5: then nothing is added, and an index that must be made anew is emptied.
    """
    run = connection.execute
    has_table = run(_HAS_TABLE, (TABLE,)).fetchone() is not None
    if run(_HAS_MODULE, (_MODULE,)).fetchone() is None:
        if has_table and indexed == 0:  # A purge relies on it.
            for name in ("data", "idx", "docsize"):
                run(f"DELETE FROM {TABLE}_{name}")  # noqa: S608
            run(f"INSERT INTO {TABLE}_data VALUES (1, x''), (10, x'00000000000000')")  # noqa: S608 - as FTS5 begins
        return False
    if indexed == 0 or not has_table:
        run(f"DROP TABLE IF EXISTS {TABLE}")  # Its data may be damaged, which a rebuild in place would read.
        run(_CREATE)
        run(f"INSERT INTO {TABLE} ({TABLE}) VALUES ('rebuild')")  # noqa: S608
        return True
    run(
        f"INSERT INTO {TABLE} (rowid, {_COLUMNS}) "  # noqa: S608
        f"SELECT document_id, {_COLUMNS} FROM documents WHERE document_id > ? ORDER BY document_id",
        (indexed,),
    )
    return True


def find_index_fault(connection: Connection) -> str | None:
    """Compare the index with the documents, in a connection that may write; return what is wrong, or None."""
    try:
        # With rank 1, FTS5 compares the content, too.
        connection.execute(f"INSERT INTO {TABLE} ({TABLE}, rank) VALUES ('integrity-check', 1)")  # noqa: S608
    except sqlite3.DatabaseError as error:
        return str(error)
    return None

"""Lies in the rows of a catalog whose schema is sound: values, paths and JSON that no writer would put there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from hostile.catalog_places import expand
from hostile.catalog_schema import TABLES
from hostile.documents import value_lies
from hostile.forge import FOREVER, Document, Forge
from hostile.lies import Lie, Tell, gather

#: Values for a column of numbers, and for one of texts or bytes, by the name of the lie.
_NUMBERS: Final[dict[str, list[Any]]] = {
    "negative": [-1, -(2**63)],
    "zero": [0],
    "huge": [2**31, 2**62, 2**63 - 1],
    "fraction": [1.5, 1e300],
    "infinite": [float("inf")],
    "text for a number": ["nine", "../../x", b"\xff"],
}
_TEXTS: Final[dict[str, list[Any]]] = {
    "outside path": ["../../../home/thesis.txt", "dead/../../../../home/thesis.txt"],
    "absolute path": ["HOME/thesis.txt", "/dev/zero"],
    "URL": ["http://127.0.0.1:PORT/x", "zip://x::http://127.0.0.1:PORT/x", "file:///dev/zero"],
    "empty": ["", b""],
    "odd text": [".", "a\0b", "\x1b]0;x\x07\x1b[2J", "x\ny", "\u202e", "nan", "{}"],
    "bytes for text": [b"\xff\xfe", b"\0"],
    "long text": ["x" * 300, "x" * 3_000_000],
}
#: Tables of where pictures lie: files there may be looked at.
_PLACES: Final = frozenset({"sources", "places", "containers", "failures"})


def row_lies(catalog: Path) -> list[Lie]:
    """Lies about the rows of each table of a sound catalog.

    Of most wrong values ``verify`` cannot know that they are wrong; it must see those by which files are found.
    """
    lies: list[Lie] = []
    with closing(sqlite3.connect(catalog)) as connection:
        tables = [name for (name,) in connection.execute(TABLES)]
        for table in tables:
            columns = list(connection.execute(f"PRAGMA table_info({table})"))
            lies += gather(
                f"rows of {table}",
                _values(table, columns),
                verify=False,
                scans=table in _PLACES,
                family="rows of the catalog",
            )
        documents = list(_documents(connection))
    for kind, triples in documents:
        lies += gather(kind, triples, verify=False, family="JSON in the catalog")
    return [*lies, *_meta(), *_many()]


def _values(table: str, columns: list[tuple[Any, ...]]) -> Iterator[tuple[str, str, Tell]]:
    """Each value of a column in all rows, and in the last row only."""
    for _, column, kind, *_ in columns:
        for name, values in (_NUMBERS if kind in ("INTEGER", "FLOAT") else _TEXTS).items():
            for n, value in enumerate(values):
                for which in ("all", "last"):
                    yield name, f"{column}={n} in {which}", _set(table, column, value, which)


def _set(table: str, column: str, value: Any, which: str) -> Tell:
    def tell(forge: Forge) -> None:
        stored = expand(forge, value)
        condition = "" if which == "all" else f"WHERE rowid = (SELECT MAX(rowid) FROM {table})"
        # A key that must be unique, or a number, takes some values in one row at most, or not at all.
        with forge.catalog() as connection, suppress(sqlite3.Error):
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {condition}", (stored,))
        forge.follow()

    return tell


# -- JSON in columns -------------------------------------------------------------------------------------------

_JSON: Final = (
    ("sources", "options"),
    ("spaces", "facts"),
    ("spaces", "preprocessing"),
    ("snapshots", "facts"),
    ("runs", "detail"),
    ("runs", "progress"),
)
_POLICY: Final = {"kind": "IVF2,PQ4x4fs", "memory": None, "recall": 0.99, "renew": True}


def _documents(connection: sqlite3.Connection) -> Iterator[tuple[str, list[tuple[str, str, Tell]]]]:
    for table, column in _JSON:
        row = connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT 1").fetchone()
        document = {} if row is None else json.loads(row[0])
        name = f"{table}.{column}"
        yield f"{name} (JSON)", [*value_lies(name, {"x": 1, **document}, edit=_edit_column), *_texts(name)]
    for key in ("index_policy", "duplicates:fake"):
        name = f"meta.{key}"
        document = _POLICY if key == "index_policy" else dict.fromkeys(_COSINES, 0.5)
        yield f"{name} (JSON)", [*value_lies(name, document, edit=_edit_meta), *_texts(name)]


_COSINES: Final = ("near_cosine", "fine_cosine", "scene_cosine", "unread_cosine")


def _edit_column(forge: Forge, name: str, change: Callable[[Document], object]) -> None:
    table, column = name.split(".")
    with forge.catalog() as connection:
        row = connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT 1").fetchone()
        document = {"x": 1, **json.loads(row[0])}
        change(document)
        connection.execute(f"UPDATE {table} SET {column} = ?", (json.dumps(document),))


def _edit_meta(forge: Forge, name: str, change: Callable[[Document], object]) -> None:
    key = name.removeprefix("meta.")
    document: Document = dict(_POLICY) if key == "index_policy" else dict.fromkeys(_COSINES, 0.5)
    change(document)
    _put_text(forge, name, json.dumps(document))


def _put_text(forge: Forge, name: str, text: str) -> None:
    table, column = name.split(".", 1)
    with forge.catalog() as connection:
        if table == "meta":
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (column, text))
        else:
            connection.execute(f"UPDATE {table} SET {column} = ?", (text,))


def _texts(name: str) -> Iterator[tuple[str, str, Tell]]:
    """Texts that are no JSON objects."""

    def put(text: str) -> Tell:
        return lambda forge: _put_text(forge, name, text)

    yield "no JSON", "empty", put("")
    yield "no JSON", "cut short", put('{"a": ')
    yield "no object", "null", put("null")
    yield "no object", "list", put("[]")
    yield "no object", "number", put("1")
    yield "nested", "lists", put("[" * 100_000)
    yield "nested", "closed", put("[" * 900 + "]" * 900)
    yield "digits", "5000", put("1" * 5000)
    yield "long", "50 MB", put('{"a": "' + "x" * (50 << 20) + '"}')


# -- rows that mean something ----------------------------------------------------------------------------------


def _meta() -> list[Lie]:
    """What the catalog says of itself."""
    values: dict[str, list[Any]] = {
        "generation": [
            "-1",
            "0",
            "9x",
            "1.5",
            "nan",
            "",
            str(2**63),
            str(10**30),
            "1" * 5000,
            " 9 ",
            "９",
            b"9",
        ],
        "next_image_id": ["-1", "0", "x", str(2**63 - 1), str(2**62 - 1), str(10**30)],
        "next_shard_id": ["-1", "0", "x", str(2**63 - 1), str(2**62 - 1), "1e3"],
        "purged": ["x", "-1", str(10**30)],
        "places": ["relative", "odd", ""],
        "uuid": ["", "not one", "00000000-0000-0000-0000-000000000000", "../../x"],
        "committed": ["", "yesterday", "x" * 100_000],
        "created": ["", "\x1b[2J"],
    }
    lies = []
    for key, texts in values.items():
        tells = [_put_meta(key, text) for text in texts]
        # Where it is relative or absolute, when it was made, and an id far above the rest may all be true.
        free = key in ("committed", "created", "purged", "next_image_id", "next_shard_id", "places")
        lies.append(Lie(f"meta.{key}", "odd value", {str(n): t for n, t in enumerate(tells)}, verify=not free))
        lies.append(Lie(f"meta.{key}", "missing", {"": _drop_meta(key)}, verify=key != "purged"))
    return lies


def _put_meta(key: str, value: Any) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
        forge.follow()

    return tell


def _drop_meta(key: str) -> Tell:
    def tell(forge: Forge) -> None:
        with forge.catalog() as connection:
            connection.execute("DELETE FROM meta WHERE name = ?", (key,))

    return tell


def _many() -> list[Lie]:
    """More rows than there can be of a thing."""
    statements = {
        "migrations": "INSERT INTO migrations SELECT x + 10, 'later', '' FROM n",
        "spaces": "INSERT INTO spaces SELECT x + 100, encoder, revision, fingerprint, dim, modality, adapter, quality,"
        " note, logit_scale, preprocessing, facts, is_current, born, died, position FROM spaces, n WHERE space_id = 0",
        "shards": f"INSERT INTO shards SELECT x + 100, 5, 0, {FOREVER} FROM n",
        "files": f"INSERT INTO files SELECT 'dead/' || x || '.1.npy', 'dead', x, NULL, NULL, 0, 0, '', 0, {FOREVER},"
        " NULL FROM n",
        "snapshots": f"INSERT INTO snapshots SELECT x + 100, 0, 'spaces/0/index/15', 'Flat', '{{}}', 0, {FOREVER}"
        " FROM n",
    }

    def insert(statement: str) -> Tell:
        def tell(forge: Forge) -> None:
            numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 5000) "
            with forge.catalog() as connection:
                connection.execute(numbers + statement)
            forge.follow()

        return tell

    return [
        Lie(f"rows of {table}", "thousands", {"": insert(s)}, verify=table != "snapshots")
        for table, s in statements.items()
    ]

"""The table of judgements, and the checksummed file beside the catalog that holds them all.

The catalog lists the file, ``judgements/all.<generation>.json``, so ``verify`` notices any change. It is replaced in
the transaction that changes the table. No reader uses it, so its predecessor is unlinked after the commit, or swept by
the next writer if that did not happen. It serves a repair without the catalog or a backup of its last generation
(:func:`recover_judgements`), and is regenerated from the catalog where it is damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Final, TypeAlias

from imseek.data import layout
from imseek.data.catalog import shard_catalog
from imseek.data.catalog.catalog_writer import get_meta
from imseek.data.catalog.shard_catalog import Folders, StagedFile
from imseek.data.catalog.sql import Connection, column, insert
from imseek.data.collection_records import FOREVER
from imseek.data.files import durable_files
from imseek.data.files.checked_json import JsonObject
from imseek.data.files.collection_files import MAX_LARGE_JSON, digest, find_files, read_file, remove_files
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError
from imseek.types.duplicate_judgements import Judgement

KIND: Final = "judgements"

#: hash_a, hash_b, verdict, provenance, decided_at.
Row: TypeAlias = tuple[bytes, bytes, str, str, str]
_COLUMNS: Final = ("hash_a", "hash_b", "verdict", "provenance", "decided_at")


def update_judgements(writer: Writer, judgements: Mapping[tuple[str, str], Judgement | None]) -> int:
    """Store or delete (None) judgements by pair of content hashes (hexadecimal, the lower first).

    Returns how many pairs change; without any, nothing is committed.
    """
    with writer.catalog.transaction() as connection:
        stored = {(row[0].hex(), row[1].hex()): row[2] for row in _rows(connection)}
    new = {
        pair: judgement
        for pair, judgement in judgements.items()
        if (None if judgement is None else judgement.verdict) != stored.get(pair)
    }
    if new:
        _apply(writer, new)
    return len(new)


def rewrite(writer: Writer) -> None:
    """Regenerate the file from the table."""
    _apply(writer, {})


def _apply(writer: Writer, new: Mapping[tuple[str, str], Judgement | None]) -> None:
    replaced: list[str] = []

    def apply(connection: Connection, generation: int) -> None:
        _remove(connection, [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in new])
        given = (judgement for judgement in new.values() if judgement is not None)
        _insert(
            connection,
            [(bytes.fromhex(j.a), bytes.fromhex(j.b), j.verdict, j.provenance, j.decided_at) for j in given],
        )
        replaced.extend(_list_files(connection))
        shard_catalog.forget_files(connection, replaced)
        _publish(writer, connection, generation)

    writer.apply(apply)
    remove_files(writer.root, replaced)


def _publish(folders: Folders, connection: Connection, generation: int) -> None:
    rows = _rows(connection)
    document = {
        "format": layout.FORMAT,
        "uuid": get_meta(connection, "uuid"),
        "generation": generation,
        "judgements": [[a.hex(), b.hex(), *rest] for a, b, *rest in rows],
    }
    path = layout.judgements(generation)
    staged = folders.staging / path.replace("/", "_")
    written = durable_files.stage(staged, methodcaller("write", durable_files.add_checksum(document)))
    file = StagedFile(staged, path, KIND, len(rows), written)
    shard_catalog.publish(folders, connection, generation, None, [file])


def differs(root: Path, connection: Connection, path: str) -> bool:
    """Whether the content of a judgements file differs from the catalog."""
    rows = _read(root, path, get_meta(connection, "uuid"))
    return rows is None or sorted(rows) != sorted(_rows(connection))


# -- repair --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecoveredJudgements:
    """Result of :func:`recover_judgements`: ``count`` judgements read from ``path``, which is None if they were all
    known.

    ``damaged`` are files that may have held later ones.
    """

    path: str | None = None
    count: int = 0
    damaged: tuple[str, ...] = ()


def recover_judgements(connection: Connection, folders: Folders, generation: int) -> RecoveredJudgements:
    """Load the judgements of a catalog being restored from the newest sound file, unless that is older.

    A file that was never committed, because its writer was killed, counts too: a user did make those judgements.
    """
    root, uuid = folders.root, get_meta(connection, "uuid")
    listed = _list_files(connection)
    last = max(map(_generation_of, listed), default=-1)
    damaged = []
    for path in sorted(find_files(root, layout.JUDGEMENTS).files, key=_generation_of, reverse=True):
        found = _generation_of(path)
        if found < max(last, 0):
            break
        rows = _read(root, path, uuid)
        if rows is None:
            if found > last:  # Else the table is as recent.
                damaged.append(path)
            continue
        before = _rows(connection)
        connection.execute("DELETE FROM judgements")
        _insert(connection, rows)
        shard_catalog.forget_files(connection, [*listed, path])
        file = StagedFile(root / path, path, KIND, len(rows), digest(root, path))
        shard_catalog.publish(folders, connection, generation, None, [file])
        news = sorted(rows) != sorted(before)
        return RecoveredJudgements(path if news else None, len(rows), tuple(damaged))
    return RecoveredJudgements(damaged=tuple(damaged))


def _generation_of(path: str) -> int:
    """Generation of a judgements file; -1 for any other file."""
    listed = layout.parse(path)
    return -1 if listed is None or listed.kind != KIND or listed.generation is None else listed.generation


def _read(root: Path, path: str, uuid: str) -> list[Row] | None:
    """Read the rows of a file; None where it is damaged or another collection's."""
    try:
        found = JsonObject(durable_files.strip_checksum(read_file(root, path, MAX_LARGE_JSON)))
        stated = (found.whole("format"), found.text("uuid"), found.whole("generation"))
        rows = [_parse_row(*one) for one in found.items("judgements")]
    except (ValueError, KeyError, TypeError, CorruptCollectionError):
        return None
    return rows if stated == (layout.FORMAT, uuid, _generation_of(path)) else None


def _parse_row(a: str, b: str, verdict: str, provenance: str, at: str) -> Row:
    """Parse one row. Raises TypeError or ValueError where it is invalid."""
    if not all(isinstance(one, str) for one in (verdict, provenance, at)):
        raise TypeError("no text")
    return bytes.fromhex(a), bytes.fromhex(b), verdict, provenance, at


# -- the table -----------------------------------------------------------------------------------------------


def _rows(connection: Connection) -> list[Row]:
    query = "SELECT hash_a, hash_b, verdict, provenance, decided_at FROM judgements ORDER BY hash_a, hash_b"
    return [(bytes(row[0]), bytes(row[1]), row[2], row[3], row[4]) for row in connection.execute(query)]


def _remove(connection: Connection, pairs: Iterable[tuple[bytes, bytes]]) -> None:
    connection.executemany("DELETE FROM judgements WHERE hash_a = ? AND hash_b = ?", list(pairs))


def _insert(connection: Connection, rows: Iterable[Row]) -> None:
    insert(connection, "judgements", [dict(zip(_COLUMNS, row, strict=True)) for row in rows])


def _list_files(connection: Connection) -> list[str]:
    return column(connection, "SELECT path FROM files WHERE died = ? AND kind = ?", (FOREVER, KIND))

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
        verdicts = {(row[0].hex(), row[1].hex()): row[2] for row in _rows(connection)}
    changes = {
        pair: judgement
        for pair, judgement in judgements.items()
        if (None if judgement is None else judgement.verdict) != verdicts.get(pair)
    }
    if changes:
        _apply(writer, changes)
    return len(changes)


def rewrite(writer: Writer) -> None:
    """Regenerate the file from the table."""
    _apply(writer, {})


def _apply(writer: Writer, changes: Mapping[tuple[str, str], Judgement | None]) -> None:
    old_files: list[str] = []

    def apply(connection: Connection, generation: int) -> None:
        _remove(connection, [(bytes.fromhex(a), bytes.fromhex(b)) for a, b in changes])
        judgements = (judgement for judgement in changes.values() if judgement is not None)
        _insert(
            connection,
            [(bytes.fromhex(j.a), bytes.fromhex(j.b), j.verdict, j.provenance, j.decided_at) for j in judgements],
        )
        old_files.extend(_list_files(connection))
        shard_catalog.forget_files(connection, old_files)
        _publish(writer, connection, generation)

    writer.apply(apply)
    remove_files(writer.root, old_files)


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
    file_digest = durable_files.stage(staged, methodcaller("write", durable_files.add_checksum(document)))
    file = StagedFile(staged, path, KIND, len(rows), file_digest)
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
    files = _list_files(connection)
    last = max(map(_generation_of, files), default=-1)
    damaged = []
    for path in sorted(find_files(root, layout.JUDGEMENTS).files, key=_generation_of, reverse=True):
        file_generation = _generation_of(path)
        if file_generation < max(last, 0):
            break
        rows = _read(root, path, uuid)
        if rows is None:
            if file_generation > last:  # Else the table is as recent.
                damaged.append(path)
            continue
        old_rows = _rows(connection)
        connection.execute("DELETE FROM judgements")
        _insert(connection, rows)
        shard_catalog.forget_files(connection, [*files, path])
        file = StagedFile(root / path, path, KIND, len(rows), digest(root, path))
        shard_catalog.publish(folders, connection, generation, None, [file])
        is_new = sorted(rows) != sorted(old_rows)
        return RecoveredJudgements(path if is_new else None, len(rows), tuple(damaged))
    return RecoveredJudgements(damaged=tuple(damaged))


def _generation_of(path: str) -> int:
    """Generation of a judgements file; -1 for any other file."""
    file = layout.parse(path)
    return -1 if file is None or file.kind != KIND or file.generation is None else file.generation


def _read(root: Path, path: str, uuid: str) -> list[Row] | None:
    """Read the rows of a file; None where it is damaged or another collection's."""
    try:
        document = JsonObject(durable_files.strip_checksum(read_file(root, path, MAX_LARGE_JSON)))
        header = (document.whole("format"), document.text("uuid"), document.whole("generation"))
        rows = [_parse_row(*row) for row in document.items("judgements")]
    except (ValueError, KeyError, TypeError, CorruptCollectionError):
        return None
    return rows if header == (layout.FORMAT, uuid, _generation_of(path)) else None


def _parse_row(a: str, b: str, verdict: str, provenance: str, decided_at: str) -> Row:
    """Parse one row. Raises TypeError or ValueError where it is invalid."""
    if not all(isinstance(text, str) for text in (verdict, provenance, decided_at)):
        raise TypeError("no text")
    return bytes.fromhex(a), bytes.fromhex(b), verdict, provenance, decided_at


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

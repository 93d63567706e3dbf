"""The catalog's schema as an append-only list of migrations. A released migration is never edited: add another.

Each migration runs in one transaction together with the row that records it, so a catalog is always at the version that
its table ``migrations`` states. Readers use this module to compare a catalog's schema with the expected one.
``sqlalchemy_tables.py`` describes the tables to SQLAlchemy, as the migrations make them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from imseek.data.catalog.sqlite.word_index import without_index
from imseek.errors import CorruptCollectionError, FormatVersionError, repair_command

if TYPE_CHECKING:
    from imseek.data.catalog.sql import Connection

#: Rows of ``sqlite_master``: type, name, table and statement. An index that SQLite creates itself has no statement.
Schema: TypeAlias = frozenset[tuple[str, str, str, str | None]]

# {int} is a 64-bit integer and {blob} a byte string in the database's dialect. `died` is the generation from
# which a row is no longer live. Live rows have 9223372036854775807, so that one comparison is enough.
_0001_FOUNDATION = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sources (
    source_id {int} PRIMARY KEY, kind TEXT NOT NULL, root {blob} NOT NULL, relative {int} NOT NULL,
    options TEXT NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE TABLE spaces (
    space_id {int} PRIMARY KEY, encoder TEXT NOT NULL, revision TEXT, fingerprint TEXT NOT NULL,
    dim {int} NOT NULL, modality TEXT NOT NULL, adapter TEXT, quality TEXT NOT NULL, note TEXT,
    logit_scale FLOAT, preprocessing TEXT NOT NULL, facts TEXT NOT NULL,
    is_current {int} NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE TABLE shards (
    shard_id {int} PRIMARY KEY, row_count {int} NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE TABLE files (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, shard_id {int}, space_id {int}, name TEXT,
    row_count {int} NOT NULL, size {int} NOT NULL, sha256 TEXT NOT NULL,
    born {int} NOT NULL, died {int} NOT NULL, retired_at FLOAT);
CREATE INDEX files_by_shard ON files (shard_id);
CREATE INDEX files_by_death ON files (died);
CREATE TABLE snapshots (
    snapshot_id {int} PRIMARY KEY, space_id {int} NOT NULL, folder TEXT NOT NULL, factory TEXT NOT NULL,
    facts TEXT NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE TABLE images (
    image_id {int} PRIMARY KEY, content_hash {blob} NOT NULL, shard_id {int}, state TEXT NOT NULL,
    born {int} NOT NULL, died {int} NOT NULL);
CREATE INDEX images_by_hash ON images (content_hash);
CREATE INDEX images_by_shard ON images (shard_id, died);
CREATE TABLE places (
    place_id {int} PRIMARY KEY, image_id {int} NOT NULL, source_id {int} NOT NULL, path {blob} NOT NULL,
    size {int} NOT NULL, mtime_ns {int} NOT NULL, ctime_ns {int} NOT NULL, inode {int} NOT NULL,
    checked_ns {int} NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE INDEX places_by_image ON places (image_id);
CREATE INDEX places_by_path ON places (source_id, path);
CREATE TABLE failures (
    source_id {int} NOT NULL, path {blob} NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
    size {int} NOT NULL, mtime_ns {int} NOT NULL, ctime_ns {int} NOT NULL, inode {int} NOT NULL,
    checked_ns {int} NOT NULL, run_id {int} NOT NULL, PRIMARY KEY (source_id, path));
CREATE TABLE runs (
    run_id {int} PRIMARY KEY, kind TEXT NOT NULL, pid {int} NOT NULL, host TEXT NOT NULL, boot_id TEXT NOT NULL,
    started_at TEXT NOT NULL, ended_at TEXT, state TEXT NOT NULL, detail TEXT NOT NULL,
    ids_from {int} NOT NULL, ids_to {int} NOT NULL, shards_from {int} NOT NULL, shards_to {int} NOT NULL);
CREATE TABLE tags (
    image_id {int} NOT NULL, tag TEXT NOT NULL, provenance TEXT NOT NULL,
    born {int} NOT NULL, died {int} NOT NULL, PRIMARY KEY (image_id, tag, born));
CREATE TABLE judgements (
    hash_a {blob} NOT NULL, hash_b {blob} NOT NULL, verdict TEXT NOT NULL, provenance TEXT NOT NULL,
    decided_at TEXT NOT NULL, PRIMARY KEY (hash_a, hash_b))
"""

# Containers are archives and tables that were read to the end, with their stat at that time. `position` orders the
# spaces of one modality. A run records its progress and exit code; `pid_started` (clock ticks since boot)
# distinguishes its process from a later one with the same number.
_0002_CONTAINERS_AND_JOBS = """
CREATE TABLE containers (
    source_id {int} NOT NULL, path {blob} NOT NULL, size {int} NOT NULL, mtime_ns {int} NOT NULL,
    ctime_ns {int} NOT NULL, inode {int} NOT NULL, checked_ns {int} NOT NULL, PRIMARY KEY (source_id, path));
ALTER TABLE spaces ADD COLUMN position {int} NOT NULL DEFAULT 0;
UPDATE spaces SET position = space_id;
ALTER TABLE runs ADD COLUMN pid_started {int};
ALTER TABLE runs ADD COLUMN progress TEXT NOT NULL DEFAULT '{{}}';
ALTER TABLE runs ADD COLUMN exit_code {int}
"""

# A document holds the words of an image: tokens joined by spaces. In PostgreSQL the table is its own index; in SQLite
# a writer makes one beside it (sqlite/word_index.py), where SQLite has FTS5. The positions of the columns in a
# ``tsvector`` have gaps between them, so that no phrase spans two; columns have at most 4,000 tokens.
_0003_DOCUMENTS = r"""
CREATE TABLE documents (
    document_id {int} PRIMARY KEY, image_id {int} NOT NULL, names TEXT NOT NULL, captions TEXT NOT NULL,
    keywords TEXT NOT NULL, text TEXT NOT NULL, born {int} NOT NULL, died {int} NOT NULL);
CREATE INDEX documents_by_image ON documents (image_id);
CREATE INDEX documents_by_death ON documents (died) WHERE died < 9223372036854775807;
postgresql: CREATE FUNCTION words_of_document(text, text, text, text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(string_agg(
        '''' || replace(replace(token, '\', '\\'), '''', '''''') || ''':' || position + shift || weight, ' '
    ), '')::tsvector
    FROM (VALUES ($1, 'A', 0), ($2, 'B', 4001), ($3, 'C', 8002), ($4, 'D', 12003)) AS fields (tokens, weight, shift),
        unnest(string_to_array(tokens, ' ')) WITH ORDINALITY AS found (token, position)
    WHERE token <> '' $$;
postgresql: ALTER TABLE documents ADD COLUMN words tsvector
    GENERATED ALWAYS AS (words_of_document(names, captions, keywords, text)) STORED;
postgresql: CREATE INDEX documents_by_words ON documents USING gin (words)
"""

# Identifies the state of the files beside a picture when they were last read; empty where there were none.
_0004_SIDECARS = "ALTER TABLE places ADD COLUMN sidecar_stat TEXT NOT NULL DEFAULT ''"

# A tag is an album while it has a live row here. `cover` is an image, NULL for the first one; `positions` is a JSON
# list of the images that were put in order, which the others follow in the order in which they got the tag. The index
# serves albums, each of which is read by its tag.
_0005_ALBUMS = """
CREATE TABLE albums (
    tag TEXT NOT NULL, cover {int}, positions TEXT NOT NULL, born {int} NOT NULL, died {int} NOT NULL,
    PRIMARY KEY (tag, born));
CREATE INDEX tags_by_tag ON tags (tag)
"""

# The text in a picture as it is written there, for excerpts. The tokens in `text` come from it.
_0006_WRITTEN_TEXTS = "ALTER TABLE documents ADD COLUMN written TEXT NOT NULL DEFAULT ''"

_MIGRATIONS_TABLE = "CREATE TABLE migrations (version {int} PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL)"

MIGRATIONS: tuple[tuple[str, str], ...] = (
    ("foundation", _0001_FOUNDATION),
    ("containers and jobs", _0002_CONTAINERS_AND_JOBS),
    ("documents", _0003_DOCUMENTS),
    ("sidecars", _0004_SIDECARS),
    ("albums", _0005_ALBUMS),
    ("written texts", _0006_WRITTEN_TEXTS),
)

_HAS_MIGRATIONS: Final = {
    "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migrations'",
    "postgresql": "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'migrations'",
}


def migrate(connection: Connection) -> int:
    """Bring a catalog to the newest version; return how many migrations ran.

    Raises FormatVersionError where the catalog records migrations that this imseek does not know.
    """
    applied = count_applied(connection)
    refuse_newer_version(applied)
    for version, (name, script) in enumerate(MIGRATIONS[applied:], start=applied + 1):
        with connection.transaction():
            if version == 1:
                connection.execute(_in_dialect(_MIGRATIONS_TABLE, connection.dialect))
            for statement in _script_in_dialect(script, connection.dialect):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, ?)",
                (version, name, datetime.now(UTC).isoformat(timespec="seconds")),
            )
    return len(MIGRATIONS) - applied


def refuse_newer_version(version: int) -> None:
    """Raise FormatVersionError for a catalog with more migrations than this imseek knows."""
    if version > len(MIGRATIONS):
        raise FormatVersionError(
            f"the catalog is at version {version}; this imseek knows up to {len(MIGRATIONS)}",
            hint="update imseek",
        )


def count_applied(connection: Connection) -> int:
    """Return how many migrations a catalog has had; 0 for an empty database."""
    if connection.execute(_HAS_MIGRATIONS[connection.dialect]).fetchone() is None:
        return 0
    return int(connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])


def check_schema(connection: sqlite3.Connection, path: Path, *, writing: bool) -> None:
    """Raise CorruptCollectionError where a catalog's schema differs, statement by statement, from that of the
    migrations.

    A catalog of a later imseek may be read while queries fit it: then only plain tables and indexes are checked for.
    With ``writing`` it raises FormatVersionError.
    """
    schema: Schema = frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
    schema = without_index(schema)
    expected = Schema()
    if _migrations_row() in schema:
        count = int(connection.execute("SELECT COUNT(*) FROM migrations").fetchone()[0])
        if count <= len(MIGRATIONS):
            expected = _expected_schema(tuple(MIGRATIONS[:count]))
        elif writing:
            refuse_newer_version(count)
        else:
            expected = frozenset(row for row in schema if _is_plain(row))
    if schema == expected:
        return
    latest = _expected_schema(tuple(MIGRATIONS))
    extra, missing = (sorted(rows, key=str) for rows in (schema - latest, latest - schema))
    difference = (
        f"has {_describe_row(extra[0])}"
        if extra
        else f"lacks {_describe_row(missing[0])}"
        if missing
        else "is mixed up"
    )
    raise CorruptCollectionError(f"{path} {difference}: imseek did not make it so", hint=repair_command(path.parent))


def _describe_row(row: tuple[str, str, str, str | None]) -> str:
    # A file that somebody has edited may have bytes or numbers where SQLite writes text.
    kind = "virtual table" if str(row[3]).upper().startswith("CREATE VIRTUAL") else str(row[0])
    return f"the {kind} {row[1]!r}"


def _is_plain(row: tuple[str, str, str, str | None]) -> bool:
    """Whether a row of ``sqlite_master`` is an ordinary table or index, whatever its type column claims."""
    starts = ("CREATE TABLE ", "CREATE INDEX ", "CREATE UNIQUE INDEX ")
    return str(row[3]).startswith(starts) if row[3] is not None else str(row[1]).startswith("sqlite_autoindex_")


@cache
def _expected_schema(migrations: tuple[tuple[str, str], ...]) -> Schema:
    with closing(make_empty(migrations)) as connection:
        return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def make_empty(migrations: tuple[tuple[str, str], ...]) -> sqlite3.Connection:
    """Return a catalog in memory without rows, as these migrations create it."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for statement in _statements(migrations):
        connection.execute(statement)
    return connection


@cache
def _migrations_row() -> tuple[str, str, str, str | None]:
    return "table", "migrations", "migrations", _in_dialect(_MIGRATIONS_TABLE, "sqlite")


def _statements(migrations: tuple[tuple[str, str], ...]) -> Iterator[str]:
    if migrations:
        yield _in_dialect(_MIGRATIONS_TABLE, "sqlite")
    for _, script in migrations:
        yield from _script_in_dialect(script, "sqlite")


def _script_in_dialect(script: str, dialect: str) -> Iterator[str]:
    """Yield the statements of a migration for a database dialect; those that name another dialect are left out."""
    for statement in script.split(";"):
        target, _, body = statement.partition(": ")
        if target.strip() != "postgresql":
            yield _in_dialect(statement, dialect)
        elif dialect == "postgresql":
            yield _in_dialect(body, dialect)


def _in_dialect(statement: str, dialect: str) -> str:
    """Fill in the column types of a statement for a database dialect."""
    # INTEGER, not BIGINT: in SQLite only an INTEGER PRIMARY KEY is an alias of the row id.
    names = {"sqlite": ("INTEGER", "BLOB"), "postgresql": ("BIGINT", "BYTEA")}
    integer, blob = names[dialect]
    if dialect == "postgresql":  # Order text by its bytes, as SQLite does.
        statement = statement.replace(" TEXT", ' TEXT COLLATE "C"')
    return statement.format(int=integer, blob=blob)

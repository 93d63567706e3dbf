"""Validate a catalog's rows about files, spaces and runs before a writer relies on them.

A catalog made by someone else may list any file for deletion, or hold text where a number belongs. The writer,
``verify`` and a restore run the same checks: every row of the small tables has values of the right types and ranges,
and every path is exactly the one that the layout gives to the shard, space or name of its row. Tables with a row per
image are checked by :func:`find_wrong_type`, which reads all of them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

from imseek.data import layout
from imseek.data.catalog.index_policy_text import POLICY, parse_policy
from imseek.data.catalog.migrations import MIGRATIONS, refuse_newer_version
from imseek.data.collection_records import FINGERPRINT, MAX_DIM
from imseek.data.files.checked_json import JsonObject
from imseek.data.words.values import INDEXED, RULES
from imseek.errors import CorruptCollectionError, repair_command

if TYPE_CHECKING:
    from imseek.data.catalog.sql import ReadConnection

#: Returns the rows of a table, each as values by column.
Rows: TypeAlias = Callable[[str], Iterable[Mapping[str, Any]]]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: Maximum spaces that a collection can ever have had; each needs an encoder of some hundred megabytes.
_MAX_SPACES: Final = 1000
_KIND: Final = re.compile(r"[a-z_-]{1,40}")

_LARGEST_ID: Final = "SELECT MAX(image_id) FROM images"

#: By table, an SQL condition that is true of rows with values of the wrong type.
_WRONG_TYPES: Final[Mapping[str, str]] = {
    "images": "typeof(image_id) <> 'integer' OR typeof(content_hash) <> 'blob' OR length(content_hash) <> 32 "
    "OR typeof(shard_id) NOT IN ('integer', 'null') OR state NOT IN ('live', 'suspended', 'quarantined') "
    "OR typeof(born) <> 'integer' OR typeof(died) <> 'integer' OR image_id < 0",
    "places": "typeof(place_id) <> 'integer' OR typeof(image_id) <> 'integer' OR typeof(source_id) <> 'integer' "
    "OR typeof(path) <> 'blob' OR typeof(size) <> 'integer' OR typeof(mtime_ns) <> 'integer' "
    "OR typeof(ctime_ns) <> 'integer' OR typeof(inode) <> 'integer' OR typeof(checked_ns) <> 'integer' "
    "OR typeof(born) <> 'integer' OR typeof(died) <> 'integer'",
    "failures": "typeof(source_id) <> 'integer' OR typeof(path) <> 'blob' OR typeof(reason) <> 'text' "
    "OR typeof(message) <> 'text' OR typeof(size) <> 'integer' OR typeof(mtime_ns) <> 'integer' "
    "OR typeof(ctime_ns) <> 'integer' OR typeof(inode) <> 'integer' OR typeof(checked_ns) <> 'integer' "
    "OR typeof(run_id) <> 'integer'",
    "containers": "typeof(source_id) <> 'integer' OR typeof(path) <> 'blob' OR typeof(size) <> 'integer' "
    "OR typeof(mtime_ns) <> 'integer' OR typeof(ctime_ns) <> 'integer' OR typeof(inode) <> 'integer' "
    "OR typeof(checked_ns) <> 'integer'",
    "tags": "typeof(image_id) <> 'integer' OR typeof(tag) <> 'text' OR typeof(provenance) <> 'text' "
    "OR typeof(born) <> 'integer' OR typeof(died) <> 'integer'",
    "documents": "typeof(document_id) <> 'integer' OR typeof(image_id) <> 'integer' OR typeof(names) <> 'text' "
    "OR typeof(captions) <> 'text' OR typeof(keywords) <> 'text' OR typeof(text) <> 'text' "
    "OR typeof(born) <> 'integer' OR typeof(died) <> 'integer' OR typeof(written) <> 'text'",
    "judgements": "typeof(hash_a) <> 'blob' OR typeof(hash_b) <> 'blob' OR typeof(verdict) <> 'text' "
    "OR typeof(provenance) <> 'text' OR typeof(decided_at) <> 'text'",
}


def check_catalog(connection: ReadConnection, root: Path) -> None:
    """Raise CorruptCollectionError where :func:`find_fault` finds a fault in a writer's catalog."""
    (largest,) = connection.execute(_LARGEST_ID).fetchone()
    if (fault := find_fault(partial(_rows, connection), largest)) is not None:
        raise CorruptCollectionError(f"the catalog of {root}: {fault}", hint=repair_command(root))


def find_any_fault(catalog: sqlite3.Connection) -> str | None:
    """Describe the first fault that :func:`find_fault` or :func:`find_wrong_type` finds in a SQLite catalog.

    An older catalog is checked as migrated. None where there is no fault. Raises FormatVersionError for a later
    version.
    """
    table = "SELECT 1 FROM sqlite_master WHERE name = 'migrations'"
    if catalog.execute(table).fetchone() is None:
        return "it is empty"
    try:
        with _open_migrated(catalog) as connection:
            (largest,) = connection.execute(_LARGEST_ID).fetchone()
            return find_fault(partial(_rows, connection), largest) or find_wrong_type(connection)
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
        return f"it has a value that is not text: {error}"  # From Python, not SQLite: text that is not UTF-8.


@contextmanager
def _open_migrated(catalog: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Yield the catalog itself, or a migrated in-memory copy where its version is older."""
    from imseek.data.catalog.sqlite.catalog_file import open_copy

    version = catalog.execute("SELECT COUNT(*) FROM migrations").fetchone()[0]
    refuse_newer_version(version)
    if version == len(MIGRATIONS):
        yield catalog
        return
    with closing(open_copy(catalog)) as copy:
        yield copy


def _rows(connection: ReadConnection, table: str) -> Iterable[Mapping[str, Any]]:
    cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - names of ours
    names = [column[0] for column in cursor.description]
    return (dict(zip(names, row, strict=True)) for row in cursor)


def find_fault(rows: Rows, largest_id: object) -> str | None:
    """Describe the first fault in a catalog's small tables; None where there is none.

    ``largest_id`` is the largest image id.
    """
    meta: dict[str, str] = {}
    for table, check in _CHECKS.items():
        for count, row in enumerate(rows(table), start=1):
            try:
                check(JsonObject(row))
                if table == "meta":
                    meta[row["name"]] = row["value"]
                elif row.get("born", 0) > int(meta["generation"]):
                    raise ValueError(f"it is of the future generation {row['born']}")
            except (ValueError, TypeError, RecursionError) as error:
                return f"its table {table!r} has a row that imseek does not write: {error}"
            if table == "spaces" and count > _MAX_SPACES:
                return f"its table 'spaces' has more than {_MAX_SPACES:,} rows"
        if table == "meta" and (missing := sorted(_META.keys() - meta.keys())):
            return f"its table 'meta' has no {missing[0]!r}"
    if isinstance(largest_id, int) and largest_id >= int(meta["next_image_id"]):
        return f"its next image would be {meta['next_image_id']}, but there is an image {largest_id}"
    return None


def find_wrong_type(connection: sqlite3.Connection) -> str | None:
    """Describe a wrongly typed value in the tables that have a row per image, place or tag; None where there is none.

    SQLite only. Reads all rows.
    """
    for table, condition in _WRONG_TYPES.items():
        query = f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1"  # noqa: S608 - of ours
        if connection.execute(query).fetchone() is not None:
            return f"its table {table!r} has a row that imseek does not write: a value of another type"
    return None


def _check_meta(row: JsonObject) -> None:
    name, value = row.text("name"), row.text("value")
    if (check := _META.get(name) or _OPTIONAL_META.get(name)) is not None:
        check(value)


def _check_decimal(value: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) < 20 and int(value) < layout.MAX_ID):
        raise ValueError(f"{value[:40]!r} is not a generation number or an id")


def _check_time(value: str) -> None:
    JsonObject({"time": value}).time("time")


def _check_places(value: str) -> None:
    JsonObject({"places": value}).text("places", choices=("absolute", "relative"))


_META: Final[Mapping[str, Callable[[str], object]]] = {
    "uuid": UUID,
    "created": _check_time,
    "committed": _check_time,
    "places": _check_places,
    "generation": _check_decimal,
    "next_image_id": _check_decimal,
    "next_shard_id": _check_decimal,
}
_OPTIONAL_META: Final[Mapping[str, Callable[[str], object]]] = {
    "purged": _check_decimal,
    POLICY: parse_policy,
    INDEXED: _check_decimal,
    RULES: _check_decimal,
    "stale_captions": _check_decimal,
}


def _check_lifetime(row: JsonObject) -> None:
    row.whole("born")
    row.whole("died", most=layout.MAX_NUMBER - 1)


def _check_file(row: JsonObject) -> None:
    path = row.text("path")
    file = layout.parse(path)
    if file is None:
        raise ValueError(f"{path[:200]!r} is not a file of a collection")
    # Parts and snapshots belong to no shard; only column sets and models have names.
    shard = file.shard_id if file.kind in ("metadata", "ids", "vectors", "dead", "column") else None
    name = file.name if file.kind in ("column", "model") else None
    members = (row.text("kind"), row.optional_whole("shard_id"), row.optional_whole("space_id"))
    if members != (file.kind, shard, file.space_id) or (name is not None and row.text("name") != name):
        raise ValueError(f"{path[:200]!r} is not the file that its row says")
    row.whole("row_count")
    row.whole("size")
    row.text("sha256", pattern=_SHA256)
    _check_lifetime(row)
    if "retired_at" in row:
        row.number("retired_at")


def _check_snapshot(row: JsonObject) -> None:
    folder = row.text("folder")
    file = layout.parse_snapshot_folder(folder)
    if file is None or file.space_id != row.whole("space_id"):
        raise ValueError(f"{folder[:200]!r} is not a folder of an index of its space")
    row.whole("snapshot_id")
    _check_lifetime(row)


def _check_shard(row: JsonObject) -> None:
    row.whole("shard_id")
    row.whole("row_count")
    _check_lifetime(row)


def _check_space(row: JsonObject) -> None:
    row.whole("space_id")
    row.text("encoder")
    row.text("fingerprint", pattern=FINGERPRINT)
    row.whole("dim", least=1, most=MAX_DIM)
    row.text("modality", choices=("image", "text"))
    row.text("quality")
    row.whole("is_current", most=1)
    if "position" in row:  # Missing in catalogs of the first version.
        row.whole("position")
    for name in ("revision", "adapter", "note"):
        if name in row:
            row.text(name)
    if "logit_scale" in row:
        row.number("logit_scale")
    _parse_object(row.text("preprocessing"))
    facts = _parse_object(row.text("facts"))
    if "modalities" in facts:
        facts.texts("modalities")
    _check_lifetime(row)


def _check_source(row: JsonObject) -> None:
    row.whole("source_id")
    row.text("kind", pattern=_KIND)
    if not isinstance(row.get("root"), bytes | memoryview) or b"\0" in bytes(row.get("root")):
        raise ValueError("root is not a path")
    row.whole("relative", most=1)
    _parse_object(row.text("options"))
    _check_lifetime(row)


def _check_album(row: JsonObject) -> None:
    row.text("tag")
    if "cover" in row:
        row.whole("cover")
    if not isinstance(positions := row.get("positions"), str):  # Of any length: an album may hold all images.
        raise ValueError("positions is not text")
    JsonObject({"positions": json.loads(positions)}).wholes("positions")
    _check_lifetime(row)


def _check_run(row: JsonObject) -> None:
    for name in ("run_id", "pid"):
        row.whole(name)
    for name in ("kind", "host", "boot_id", "started_at", "state"):
        row.text(name)
    for name in ("ids", "shards"):
        row.whole(f"{name}_to", least=row.whole(f"{name}_from"))
    if "progress" in row:
        _parse_object(row.text("progress"))
    detail = _parse_object(row.text("detail"))
    for space in detail.items("spaces") if "spaces" in detail else ():
        JsonObject(space).whole("space_id")
        JsonObject(space).text("precision")


def _parse_object(text: str) -> JsonObject:
    try:
        return JsonObject(json.loads(text))
    except RecursionError as error:
        raise ValueError("brackets in brackets") from error


#: By table. ``meta`` comes first: the other tables are checked against its generation.
_CHECKS: Final[Mapping[str, Callable[[JsonObject], None]]] = {
    "meta": _check_meta,
    "files": _check_file,
    "snapshots": _check_snapshot,
    "shards": _check_shard,
    "spaces": _check_space,
    "sources": _check_source,
    "albums": _check_album,
    "runs": _check_run,
}

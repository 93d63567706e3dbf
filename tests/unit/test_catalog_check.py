"""Rows of a catalog that somebody else may have written: what no writer of ours would write is found, by table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import imseek
from imseek.data import layout
from imseek.data.catalog import catalog_check
from imseek.data.catalog.catalog_check import find_any_fault, find_fault, find_wrong_type

Row: TypeAlias = dict[str, Any]
HASH = "0123456789abcdef" * 4
META = {
    "uuid": "01900000-0000-4000-8000-000000000000", "created": "2026-01-01T00:00:00Z",
    "committed": "2026-01-02T00:00:00Z", "places": "absolute", "generation": "5", "next_image_id": "10",
    "next_shard_id": "3",
}  # fmt: skip
LIFE = {"born": 1, "died": layout.MAX_NUMBER - 1}
FILE = {
    "shard_id": None,
    "space_id": None,
    "name": None,
    "row_count": 3,
    "size": 9,
    "sha256": HASH,
    "retired_at": None,
}
FILES = {
    "metadata": {"path": layout.metadata(1), "shard_id": 1},
    "ids": {"path": layout.ids(1), "shard_id": 1},
    "vectors": {"path": layout.vectors(2, 1), "shard_id": 1, "space_id": 2},
    "dead": {"path": layout.dead(1, 4), "shard_id": 1},
    "column": {"path": layout.column("album", 1, 4), "shard_id": 1, "name": "album"},
    "part": {"path": layout.part(2, 7), "space_id": 2},
    "judgements": {"path": layout.judgements(3)},
    "model": {"path": layout.model("cats", 3), "name": "cats"},
}
SPACE = {
    "space_id": 1, "encoder": "fake", "fingerprint": HASH, "dim": 64, "modality": "image", "quality": "good",
    "is_current": 1, "position": 0, "revision": None, "adapter": None, "note": "mine", "logit_scale": 100.0,
    "preprocessing": "{}", "facts": '{"modalities": ["image", "text"]}', **LIFE,
}  # fmt: skip
SOURCE = {"source_id": 1, "kind": "folder", "root": b"/photos", "relative": 0, "options": "{}", **LIFE}
RUN = {
    "run_id": 1, "pid": 100, "kind": "index", "host": "here", "boot_id": "x", "started_at": "2026", "state": "ended",
    "ids_from": 1, "ids_to": 1, "shards_from": 0, "shards_to": 2, "progress": "{}",
    "detail": '{"spaces": [{"space_id": 1, "precision": "fp16"}]}',
}  # fmt: skip


def sound() -> dict[str, list[Row]]:
    return {
        "meta": [{"name": name, "value": value} for name, value in META.items()],
        "files": [{**FILE, "kind": kind, **members, **LIFE} for kind, members in FILES.items()],
        "snapshots": [{"snapshot_id": 1, "space_id": 2, "folder": layout.snapshot(2, 4), **LIFE}],
        "shards": [{"shard_id": 1, "row_count": 3, **LIFE}],
        "spaces": [dict(SPACE)],
        "sources": [dict(SOURCE)],
        "runs": [dict(RUN)],
        "albums": [{"tag": "Lisbon", "cover": 1, "positions": "[2,1]", **LIFE}],
    }


def fault(tables: dict[str, list[Row]], largest: object = 9) -> str | None:
    return find_fault(lambda table: tables[table], largest)


def test_what_a_writer_writes_is_sound() -> None:
    assert fault(sound()) is None
    assert fault(sound(), None) is None
    tables = sound()
    tables["meta"] += [
        {"name": "purged", "value": "4"},
        {"name": "what a later imseek may add", "value": "x"},
    ]
    tables["files"].append({**tables["files"][0], "born": 5, "died": 5, "retired_at": 1.5})
    tables["snapshots"].append({**tables["snapshots"][0], "folder": layout.snapshot_part(2, 4, 1)})
    tables["sources"].append({**SOURCE, "root": memoryview(b"/photos")})
    tables["spaces"].append({k: v for k, v in SPACE.items() if k not in ("position", "note", "logit_scale")})
    tables["spaces"].append({**SPACE, "dim": 1, "is_current": 0, "modality": "text", "facts": "{}"})
    tables["runs"].append({**RUN, "progress": None, "detail": "{}"})
    tables["albums"].append({**tables["albums"][0], "cover": None, "positions": "[]"})
    tables["albums"].append({**tables["albums"][0], "positions": str([*range(20_000)])})
    assert fault(tables) is None


LIES: list[tuple[str, Row]] = [
    *(("files", {"path": path}) for path in ("../x", "/etc/passwd", "metadata/1.parquet", layout.metadata(2), "", 1)),
    *(("files", {"kind": kind}) for kind in ("ids", "", None)),
    *(("files", {"shard_id": shard}) for shard in (2, None, "1", -1)),
    ("files", {"space_id": 0}),
    *(("files", {"row_count": count}) for count in (-1, "3", None)),
    *(("files", {"size": size}) for size in (-1, 1.5, None)),
    *(("files", {"sha256": digest}) for digest in (HASH[:-1], HASH.upper(), HASH + "0", None)),
    ("files", {"retired_at": "now"}),
    ("files", {"retired_at": float("nan")}),
    ("snapshots", {"folder": layout.snapshot(3, 4)}),
    ("snapshots", {"folder": "spaces/2/index/../x"}),
    ("snapshots", {"folder": layout.metadata(1)}),
    ("snapshots", {"space_id": None}),
    ("snapshots", {"snapshot_id": -1}),
    ("shards", {"shard_id": "1"}),
    ("shards", {"row_count": None}),
    *(("spaces", {"space_id": value}) for value in (-1, None, True)),
    ("spaces", {"encoder": 1}),
    *(("spaces", {"fingerprint": value}) for value in ("", 1, "../x")),
    *(("spaces", {"dim": value}) for value in (0, 10**9, "64")),
    *(("spaces", {"modality": value}) for value in ("sound", None)),
    ("spaces", {"quality": None}),
    *(("spaces", {"is_current": value}) for value in (2, -1, None)),
    ("spaces", {"position": -1}),
    *(("spaces", {name: 1}) for name in ("revision", "adapter", "note")),
    *(("spaces", {"logit_scale": value}) for value in ("1", float("inf"))),
    *(("spaces", {"preprocessing": value}) for value in ("[]", "{", None, "[" * 100_000)),
    *(("spaces", {"facts": value}) for value in ("1", '{"modalities": "image"}', '{"modalities": [1]}')),
    *(("sources", {"source_id": value}) for value in (-1, None)),
    *(("sources", {"kind": value}) for value in ("", "Folder", "x" * 41, 1)),
    *(("sources", {"root": value}) for value in ("/photos", b"/a\0b", None)),
    *(("sources", {"relative": value}) for value in (2, None)),
    *(("sources", {"options": value}) for value in ("[]", None)),
    *(("runs", {name: -1}) for name in ("run_id", "pid")),
    *(("runs", {name: None}) for name in ("kind", "host", "boot_id", "started_at", "state")),
    ("runs", {"ids_to": 0}),
    ("runs", {"shards_from": 3}),
    ("runs", {"shards_from": -1}),
    ("runs", {"progress": "[]"}),
    *(("runs", {"detail": value}) for value in ("[]", '{"spaces": 1}', '{"spaces": [{"space_id": 1}]}')),
    ("runs", {"detail": '{"spaces": [{"space_id": -1, "precision": "fp16"}]}'}),
    ("runs", {"detail": '{"spaces": [{"space_id": 1, "precision": 16}]}'}),
    *(("albums", {"positions": value}) for value in ("{}", "[-1]", '["1"]', "", None, "[" * 100_000)),
    ("albums", {"tag": None}),
    ("albums", {"cover": -1}),
    *(
        (table, {name: value})
        for table in ("files", "snapshots", "shards", "spaces", "sources", "albums")
        for name, value in (("born", -1), ("born", 6), ("born", None), ("died", -1), ("died", layout.MAX_NUMBER))
    ),
]  # fmt: skip


@pytest.mark.parametrize("n", range(len(LIES)), ids=lambda n: f"{LIES[n][0]}-{n}")
def test_a_row_that_no_writer_writes_is_a_fault_of_its_table(n: int) -> None:
    """Wherever in the table it is."""
    table, lie = LIES[n]
    tables = sound()
    tables[table].append({**tables[table][0], **lie})
    found = fault(tables)
    assert found is not None
    assert f"table '{table}'" in found
    assert not found.endswith(": ")


@pytest.mark.parametrize("member", [*SPACE, *SOURCE, *RUN])
def test_a_column_that_is_missing_is_a_fault(member: str) -> None:
    optional = {"position", "revision", "adapter", "note", "logit_scale", "progress"}
    for table, row in (("spaces", SPACE), ("sources", SOURCE), ("runs", RUN)):
        if member in row and member not in optional:
            found = fault({**sound(), table: [{k: v for k, v in row.items() if k != member}]})
            assert found is not None
            assert f"table '{table}'" in found


@pytest.mark.parametrize("kind", ["vectors", "part", "column", "model", "judgements"])
def test_a_file_is_the_one_that_its_row_says(kind: str) -> None:
    """Its space, its name, and no shard where it has none."""
    (row,) = (row for row in sound()["files"] if row["kind"] == kind)
    lies: list[Row] = [{"space_id": 9}]
    if kind in ("column", "model"):
        lies.append({"name": "other"})
        assert fault({**sound(), "files": [{**row, "name": None}]}) is not None
    if kind in ("part", "model", "judgements"):
        lies.append({"shard_id": 7})
    for lie in lies:
        found = fault({**sound(), "files": [{**row, **lie}]})
        assert found is not None
        assert row["path"] in found


@pytest.mark.parametrize("name", META)
def test_each_fact_of_the_collection_is_there(name: str) -> None:
    tables = sound()
    tables["meta"] = [row for row in tables["meta"] if row["name"] != name]
    found = fault(tables)
    assert found is not None
    assert f"'{name}'" in found


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("uuid", "x"), ("created", "yesterday"), ("committed", "2026"), ("places", "elsewhere"),
        *((name, value) for name in ("generation", "next_image_id", "next_shard_id", "purged")
          for value in ("", "-1", "1.0", "x", "²", "9" * 19, str(layout.MAX_ID), 1, None)),
    ],
)  # fmt: skip
def test_each_fact_of_the_collection_has_its_form(name: str, value: object) -> None:
    tables = sound()
    tables["meta"] = [row for row in tables["meta"] if row["name"] != name] + [{"name": name, "value": value}]
    found = fault(tables)
    assert found is not None
    assert "'meta'" in found


def test_the_next_image_is_a_new_one() -> None:
    assert fault(sound(), 9) is None
    found = fault(sound(), 10)
    assert found is not None
    assert "10" in found


def test_spaces_without_end_are_not_read() -> None:
    tables = sound()
    tables["spaces"] = [SPACE] * 1000
    assert fault(tables) is None
    tables["spaces"] = [SPACE] * 1001
    found = fault(tables)
    assert found is not None
    assert "1,000" in found
    tables = sound()
    tables["runs"] = [RUN] * 1001
    assert fault(tables) is None


# -- tables with a row per image ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with a sound row in each of these tables."""
    root = tmp_path_factory.mktemp("filled") / "collection"
    imseek.create(root, encoder="fake").close()
    with closing(sqlite3.connect(root / layout.CATALOG)) as catalog, catalog:
        for table in catalog_check._WRONG_TYPES:
            columns = list(catalog.execute(f"PRAGMA table_info({table})"))
            values = [_value(name, kind) for _, name, kind, *_ in columns]
            catalog.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
    return root / layout.CATALOG


def _value(name: str, kind: str) -> object:
    if name == "state":
        return "live"
    if name == "content_hash":
        return b"0" * 32
    if name in ("path", "hash_a", "hash_b"):
        return b"a.png"
    return "x" if kind.upper() in ("TEXT", "VARCHAR") else 1


@pytest.fixture
def catalog(filled: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as copy:
        with closing(sqlite3.connect(filled)) as original:
            original.backup(copy)
        copy.execute("PRAGMA ignore_check_constraints = 1")
        yield copy


def test_sound_rows_have_no_wrong_type(catalog: sqlite3.Connection) -> None:
    assert find_wrong_type(catalog) is None


@pytest.mark.parametrize("table", catalog_check._WRONG_TYPES)
def test_a_value_of_another_type_is_found_in_each_column(catalog: sqlite3.Connection, table: str) -> None:
    checked = catalog_check._WRONG_TYPES[table]
    names = [name for _, name, *_ in catalog.execute(f"PRAGMA table_info({table})")]
    seen = 0
    for name in names:
        if f"({name})" not in checked and f"{name} NOT IN" not in checked:
            continue
        other = b"x" if f"typeof({name}) <> 'text'" in checked else 1.5
        catalog.execute("SAVEPOINT before")
        try:
            catalog.execute(f"UPDATE {table} SET {name} = ?", (other,))
        except sqlite3.DatabaseError:
            catalog.execute("ROLLBACK TO before")
            continue  # The key of a table takes whole numbers only.
        found = find_wrong_type(catalog)
        assert found is not None, name
        assert f"'{table}'" in found
        catalog.execute("ROLLBACK TO before")
        seen += 1
    assert seen > 2
    assert find_wrong_type(catalog) is None


def test_a_catalog_of_nothing_is_told(filled: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as empty:
        assert find_any_fault(empty) == "it is empty"


def test_any_fault_of_a_catalog_is_found(catalog: sqlite3.Connection) -> None:
    catalog.execute("UPDATE meta SET value = '2' WHERE name = 'next_image_id'")
    assert find_any_fault(catalog) is None
    catalog.execute("UPDATE images SET image_id = 2")
    assert "an image 2" in str(find_any_fault(catalog))
    catalog.execute("UPDATE images SET image_id = 1, state = 'odd'")
    assert "'images'" in str(find_any_fault(catalog))
    catalog.execute("UPDATE images SET state = 'live'")
    catalog.execute("UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE name = 'places'")
    assert "not text" in str(find_any_fault(catalog))

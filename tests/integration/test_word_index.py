"""The index of words in a catalog file: without FTS5, damaged, foreign, and as other versions write it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import imseek
from imseek.data import layout
from imseek.data.catalog.migrations import MIGRATIONS
from imseek.data.catalog.read_connection import connect_read_only
from imseek.data.catalog.sqlite import catalog_backups, word_index
from imseek.data.catalog.sqlite.catalog_file import CatalogConnection
from imseek.data.reader import Reader
from imseek.data.repair.repair import repair
from imseek.data.repair.verify import verify
from imseek.data.words import matching
from imseek.data.words.analysis import parse_words
from imseek.data.words.values import INDEXED
from imseek.data.writing.purge import purge
from imseek.data.writing.writer import Writer
from imseek.errors import CorruptCollectionError


@pytest.fixture
def root(collection: imseek.Collection, photos: Path) -> Path:
    collection.index([photos])
    return collection.path


@pytest.fixture
def without_fts5(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(word_index, "_MODULE", "missing")
    return monkeypatch


def names(root: Path, query: str) -> list[str]:
    reader = Reader(root)
    matches = reader.match_words(parse_words(query), 10)
    return [reader.places([image_id])[image_id].path.decode().rpartition("/")[2] for image_id in matches.ids.tolist()]


def note(root: Path) -> str | None:
    return Reader(root).match_words(parse_words("coffee"), 10).note


def indexed(root: Path) -> int:
    with connect_read_only(root) as connection:
        return int(connection.execute("SELECT value FROM meta WHERE name = ?", (INDEXED,)).fetchone()[0])


def spoil(root: Path, *statements: str) -> None:
    """Change the catalog behind our backs, with a checksum that fits."""
    with closing(sqlite3.connect(root / layout.CATALOG, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    (root / layout.CHECKSUMS).unlink(missing_ok=True)


def test_the_schema_is_what_this_sqlite_writes(root: Path) -> None:
    with closing(sqlite3.connect(root / layout.CATALOG)) as connection:
        found = set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
        assert connection.execute("SELECT COUNT(*) FROM migrations").fetchone() == (len(MIGRATIONS),)
    assert {row for row in found if row[1].startswith(word_index.TABLE)} == word_index.SCHEMA


def test_photographs_are_found_by_their_names(root: Path) -> None:
    assert names(root, "coffee") == ["coffee.png"]
    assert names(root, "motorcycles") == ["motorcycle_left.png"]
    assert Reader(root).has_words
    assert verify(root).ok


def test_without_fts5_all_else_works(root: Path, photos: Path, without_fts5: pytest.MonkeyPatch) -> None:
    assert "FTS5" in str(note(root))
    assert not Reader(root).has_words
    shutil.copy(photos / "coffee.png", photos / "tea.png")
    with imseek.open(root) as collection:
        assert collection.index([photos]).moved == 0
        assert len(collection.search("coffee", limit=3)) == 3
    assert indexed(root) == 0
    assert verify(root).ok
    tea = next(i for i, place in Reader(root).places(range(20)).items() if place.path.endswith(b"tea.png"))
    assert "tea" in Reader(root).documents([tea])[tea].names
    without_fts5.undo()
    assert "incomplete" in str(note(root))
    with Writer(root, "test"):
        pass
    assert names(root, "tea") == ["tea.png"]
    assert names(root, "coffee") == ["coffee.png"]
    assert verify(root).ok


def test_a_purge_without_fts5_leaves_nothing(root: Path, photos: Path, without_fts5: pytest.MonkeyPatch) -> None:
    (photos / "coffee.png").unlink()
    with imseek.open(root) as collection:
        collection.index([photos])
    with Writer(root, "test") as writer:
        purge(writer)
    for path in root.rglob("*"):
        assert not path.is_file() or b"coffe" not in path.read_bytes(), path
    assert verify(root).ok
    without_fts5.undo()
    with Writer(root, "test"):
        pass
    assert names(root, "coffee") == []
    assert names(root, "rocket") == ["rocket.jpg"]
    assert verify(root).ok


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM document_words_data",
        "DELETE FROM document_words_data WHERE id > 10",
        "DELETE FROM document_words_docsize",
        "DELETE FROM document_words_idx",
        "DELETE FROM document_words_config",
        "UPDATE document_words_config SET v = 99",
        "UPDATE document_words_data SET block = randomblob(length(block))",
        "UPDATE document_words_data SET block = zeroblob(length(block))",
        "UPDATE document_words_data SET block = substr(block, 1, length(block) / 2)",
        "UPDATE document_words_data SET block = NULL",
        "UPDATE document_words_data SET block = zeroblob(1000000) WHERE id > 10",
        "UPDATE document_words_docsize SET sz = randomblob(20)",
        "INSERT INTO document_words (document_words, rowid, names, captions, keywords, text) "
        "SELECT 'delete', document_id, names, captions, keywords, text FROM documents WHERE names LIKE '%rocket%'",
        "UPDATE documents SET names = 'coffe' WHERE names LIKE '%rocket%'",
        "UPDATE documents SET names = CAST(x'ff41' AS TEXT)",
    ],
)
def test_a_damaged_index_finds_nothing_wrong_and_is_repaired(root: Path, damage: str) -> None:
    spoil(root, damage)
    with suppress(CorruptCollectionError):
        assert set(names(root, "coffee")) <= {"coffee.png", *(["rocket.jpg"] if "'coffe'" in damage else [])}
    if "docsize" not in damage:  # Lengths, which we do not ask for.
        assert not verify(root).ok
    assert repair(root).after.ok
    if "UPDATE documents" not in damage:
        assert names(root, "coffee") == ["coffee.png"]
        assert names(root, "rocket") == ["rocket.jpg"]


def test_a_damaged_length_for_which_there_is_no_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As FTS5 may ask for after a change of its data at random."""

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(matching, "_match", fail)
    assert "damaged (it asks for too much memory)" in (note(root) or "")


def test_a_check_for_which_there_is_no_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above: damage, of the catalog or of its backup."""
    execute = CatalogConnection.execute

    def fail(connection: CatalogConnection, query: str, values: Any = (), /) -> sqlite3.Cursor:
        if query == "PRAGMA integrity_check":
            raise MemoryError
        return execute(connection, query, values)

    monkeypatch.setattr(CatalogConnection, "execute", fail)
    assert "a check of it asks for too much memory" in str(verify(root).problems)
    assert not catalog_backups.is_usable(root / layout.CATALOG, None)


def test_random_damage_to_the_index(root: Path) -> None:
    """Bytes of FTS5's data changed at random: never a crash, never a picture that does not match."""
    rng = random.Random(3)
    whole = (root / layout.CATALOG).read_bytes()
    noted = 0
    for _ in range(60):
        (root / layout.CATALOG).write_bytes(whole)
        with closing(sqlite3.connect(root / layout.CATALOG, isolation_level=None)) as connection:
            for key, block in connection.execute("SELECT id, block FROM document_words_data").fetchall():
                spoilt = bytearray(block)
                for _ in range(rng.randint(0, 3)):
                    spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
                connection.execute("UPDATE document_words_data SET block = ? WHERE id = ?", (bytes(spoilt), key))
        for query in ("coffee", "rocket camera", '"motorcycle left"', "c"):
            matches = Reader(root).match_words(parse_words(query), 10)
            noted += matches.note is not None
            documents = Reader(root).documents(matches.ids.tolist())
            for found in documents.values():
                assert set(found.names.split()) & {"coffe", "rocket", "camera", "motorcycl", "left"}
    assert noted


def test_a_strange_index_is_refused(root: Path) -> None:
    for statements in (
        ("DROP TABLE document_words_config",),
        ("DROP TABLE document_words", "CREATE VIRTUAL TABLE document_words USING fts5(names, content='files')"),
        ("CREATE TRIGGER t AFTER INSERT ON document_words_data BEGIN DELETE FROM files; END",),
        ("CREATE VIRTUAL TABLE more USING fts5(names)",),
    ):
        copy = root.parent / "copy"
        shutil.copytree(root, copy)
        spoil(copy, *statements)
        with pytest.raises(CorruptCollectionError, match="imseek did not make it so"), connect_read_only(copy):
            pass
        shutil.rmtree(copy)


def test_a_foreign_collection_is_not_searched_by_words(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for FAISS, what FTS5 stored is believed only where the user trusts the collection."""
    monkeypatch.setattr("imseek.data.reader.is_trusted", lambda _: False)
    assert "trusted" in str(note(root))
    assert names(root, "coffee") == []
    assert Reader(root).documents([0])


def test_a_backup_has_the_words(root: Path) -> None:
    assert any(catalog_backups.is_usable(root / name, None) for name in layout.BACKUPS)
    (root / layout.CATALOG).unlink()
    for ending in ("-wal", "-shm"):
        (root / f"{layout.CATALOG}{ending}").unlink(missing_ok=True)
    assert repair(root).after.ok
    assert names(root, "coffee") == ["coffee.png"]


def test_a_catalog_made_anew_from_shards_has_the_words_that_are_left(root: Path, photos: Path) -> None:
    for name in (layout.CATALOG, *layout.BACKUPS):
        (root / name).unlink(missing_ok=True)
    assert repair(root).after.ok
    assert names(root, "coffee") == []  # Places are lost.
    with imseek.open(root) as collection:
        collection.index([photos])
    assert names(root, "coffee") == ["coffee.png"]
    assert verify(root).ok

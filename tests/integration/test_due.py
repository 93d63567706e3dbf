"""What maintenance is due, and what the files of a collection take: asked without changing anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from templates import Templates

import imseek
from imseek import maintenance
from imseek.errors import CollectionNotFoundError, CorruptCollectionError
from imseek.types.collection_info import IndexPolicy


@pytest.fixture
def collection(tmp_path: Path, photos: Path, templates: Templates) -> Path:
    path = tmp_path / "c"
    return templates.indexed(path, photos)


def test_nothing_is_due_in_a_small_collection(collection: Path) -> None:
    due = maintenance.due(collection)
    assert (due.merge, due.index, due.dead, due.unmeasured) == (False, (), 0, 0)


def test_what_has_left_is_due_for_a_purge(collection: Path, photos: Path) -> None:
    (photos / "coffee.png").unlink()
    with imseek.open(collection) as opened:
        opened.index([photos])
    assert maintenance.due(collection).dead == 1
    maintenance.purge(collection)
    assert maintenance.due(collection).dead == 0


def test_many_small_shards_are_due_for_a_merge(tmp_path: Path, photo_files: list[Path]) -> None:
    path = tmp_path / "many"
    with imseek.create(path, encoder="fake") as made:
        for file in photo_files[:7]:
            made.index([file])
        assert not maintenance.due(path).merge
        generation = made.info().generation
    assert maintenance.due(path) == maintenance.due(path)
    with imseek.open(path) as opened:
        assert opened.info().generation == generation


def test_a_wanted_index_is_due_until_it_is_built(collection: Path) -> None:
    maintenance.build_index(collection, IndexPolicy(kind="HNSW8,SQfp16"))
    assert maintenance.due(collection).index == ()
    maintenance.build_index(collection, IndexPolicy(kind="none"))
    assert maintenance.due(collection).index == ()


def test_all_bytes_are_counted_by_kind(collection: Path) -> None:
    use = maintenance.disk_use(collection)
    assert sum(part.bytes for part in use) == sum(
        path.stat().st_size for path in collection.rglob("*") if path.is_file()
    )
    kinds = {part.kind: part for part in use}
    assert {"vectors", "metadata", "catalog"} <= set(kinds)
    assert "index" not in kinds
    assert [part.bytes for part in use] == sorted((part.bytes for part in use), reverse=True)
    (collection / "undo").mkdir()
    (collection / "undo" / "x.jsonl").write_bytes(b"12345")
    assert {part.kind: part.bytes for part in maintenance.disk_use(collection)}["undo"] == 5
    maintenance.build_index(collection, IndexPolicy(kind="HNSW8,SQfp16"))
    assert {part.kind for part in maintenance.disk_use(collection)} >= {"index", "vectors"}


@pytest.mark.parametrize("ask", [maintenance.due, maintenance.disk_use])
def test_where_there_is_none(tmp_path: Path, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(CollectionNotFoundError):
        ask(tmp_path / "none")


def test_damage_is_told(collection: Path) -> None:
    (collection / "current.json").write_text("{")
    with pytest.raises(CorruptCollectionError):
        maintenance.due(collection)

"""Which generations a process answers from, and for how long."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import imseek
from imseek.errors import CollectionNotFoundError, ExpiredPageError
from imseek.search import generations
from imseek.search.generations import GenerationCache

pytestmark = pytest.mark.slow


@pytest.fixture
def root(collection: imseek.Collection, photos: Path) -> Path:
    collection.index([photos])
    return collection.path


def new_generation(collection: imseek.Collection, photos: Path, name: str) -> int:
    (photos / name).write_bytes((photos / "coffee.png").read_bytes())
    collection.index()
    return collection.info().generation


def test_an_earlier_one_is_kept_only_where_it_is_paged(collection: imseek.Collection, photos: Path, root: Path) -> None:
    held = GenerationCache(root, "faiss")
    first = held.newest()
    new_generation(collection, photos, "a.png")
    assert held.newest() is not first
    with pytest.raises(ExpiredPageError):
        held.of(first.reader.generation)
    second = held.newest()
    second.paged = True
    newest = new_generation(collection, photos, "b.png")
    assert held.newest().reader.generation == newest
    assert held.of(second.reader.generation) is second
    assert held.of(newest) is held.newest()
    with pytest.raises(ExpiredPageError, match=f"generation {newest + 1}"):
        held.of(newest + 1)


def test_not_for_ever(collection: imseek.Collection, photos: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = GenerationCache(root, "faiss")
    first = held.newest()
    first.paged = True
    new_generation(collection, photos, "a.png")
    assert held.of(first.reader.generation) is first
    now = generations.time.monotonic()
    monkeypatch.setattr(generations.time, "monotonic", lambda: now + generations.KEEP_SECONDS + 1)
    with pytest.raises(ExpiredPageError):
        held.of(first.reader.generation)


def test_vectors_are_shared_between_generations(collection: imseek.Collection, photos: Path, root: Path) -> None:
    held = GenerationCache(root, "faiss")
    first = held.newest()
    (space,) = first.reader.current.spaces
    before = held.index(first, space)
    first.paged = True
    new_generation(collection, photos, "a.png")
    after = held.index(held.newest(), space)
    assert after.segments[0].rows is before.segments[0].rows
    assert after._parts[0].flat is before._parts[0].flat  # type: ignore[attr-defined]
    assert held.index(first, space) is before
    assert (len(before), len(after)) == (8, 9)


def test_not_where_a_merge_has_written_much_anew(
    collection: imseek.Collection, photos: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = GenerationCache(root, "faiss")
    first = held.newest()
    (space,) = first.reader.current.spaces
    before = held.index(first, space)
    first.paged = True
    for n in range(7):  # the eighth shard brings a merge
        new_generation(collection, photos, f"{n}.png")
    imseek.maintenance.merge(root)
    (merged,) = held.newest().reader.current.shards
    assert merged.shard_id > 0, "all is written anew"
    monkeypatch.setattr(generations, "MAX_OWN_BYTES", before.segments[0].rows.nbytes)
    held.index(held.newest(), space)
    assert held.of(first.reader.generation) is first
    held.newest().indexes.clear()
    monkeypatch.setattr(generations, "MAX_OWN_BYTES", before.segments[0].rows.nbytes - 1)
    assert held.of(first.reader.generation) is first, "nothing of the newer one is open yet"
    held.index(held.newest(), space)
    with pytest.raises(ExpiredPageError):
        held.of(first.reader.generation)


def test_another_collection_in_its_place(root: Path, tmp_path: Path, photos: Path) -> None:
    """Of the same generation, so that its vectors and its places could be taken for those of the first."""
    held = GenerationCache(root, "faiss")
    first = held.newest().reader
    shutil.rmtree(root)
    with imseek.create(root, encoder="fake") as other:
        other.index([photos])
        assert other.info().generation == first.generation
        assert other.uuid != first.identity.uuid
    for ask in (held.newest, lambda: held.of(first.generation), held.renew):
        with pytest.raises(CollectionNotFoundError, match="another collection") as caught:
            ask()
        assert caught.value.hint == "open it again"

"""Albums: tags with a cover and an order, stored with the collection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import imseek
from imseek import albums, backup, edits, overview, tags
from imseek.analysis.space_vectors import Vectors
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.data.writing import user_edits, writer_wait
from imseek.data.writing.writer_wait import open_writer
from imseek.edits import ImageEdit
from imseek.errors import AlbumNotFoundError, CorruptCollectionError, ImageNotFoundError, UsageError
from imseek.maintenance import purge, repair, verify
from imseek.types.albums import AlbumInfo
from imseek.types.tags import Tag
from imseek.ui.web import undoable_changes


@pytest.fixture
def root(coloured: Path) -> Path:
    return coloured


def ids(root: Path) -> list[int]:
    return [int(i) for i in Vectors(Reader(root)).ids]


def test_an_album_is_a_tag_with_a_cover_and_an_order(root: Path) -> None:
    a, b, c, d, *_ = ids(root)
    assert albums.every(root) == ()
    assert albums.create(root, " Lisbon ").images == 0
    assert albums.every(root) == (AlbumInfo("Lisbon", 0, None),)
    albums.add(root, "Lisbon", [c])
    assert albums.add(root, "Lisbon", [a, c]).changed == 1
    assert albums.get(root, "Lisbon").image_ids == (c, a)  # As they were added.
    tags.add(root, "Lisbon", [b])
    assert albums.arrange(root, "Lisbon", [b, a]).changed == 0
    albums.set_cover(root, "Lisbon", a)
    assert albums.every(root) == (AlbumInfo("Lisbon", 3, a),)
    assert albums.get(root, "Lisbon").image_ids == (b, a, c)
    albums.add(root, "Lisbon", [d])
    assert albums.get(root, "Lisbon").image_ids == (b, a, c, d)
    albums.remove(root, "Lisbon", [a])
    assert albums.get(root, "Lisbon") == imseek.Album("Lisbon", b, (b, c, d))  # Its cover has gone.
    with imseek.open(root) as collection:
        assert {hit.image_id for hit in collection.search("red", where="tag('Lisbon')")} == {b, c, d}


def test_a_tag_becomes_an_album_and_follows_its_name(root: Path) -> None:
    a, b, *_ = ids(root)
    tags.add(root, "sea", [b], provenance="probe sea")
    albums.create(root, "sea", [a])
    assert albums.get(root, "sea").image_ids == (b, a)
    tags.rename(root, "sea", "ocean")
    assert [one.name for one in albums.every(root)] == ["ocean"]
    albums.rename(root, "ocean", "water")
    assert tags.of(root, [a, b]) == {a: (Tag("water", "person"),), b: (Tag("water", "probe sea"),)}
    albums.create(root, "empty")
    albums.rename(root, "empty", "still empty")
    assert [one.name for one in albums.every(root)] == ["still empty", "water"]
    assert albums.delete(root, "water").changed == 2
    assert tags.counts(root) == ()
    assert [one.name for one in albums.every(root)] == ["still empty"]


def test_what_cannot_be_done_is_refused(root: Path) -> None:
    a, b, *_ = ids(root)
    albums.create(root, "Lisbon", [a])
    generation = Reader(root).generation
    with pytest.raises(AlbumNotFoundError, match="no album is called 'Lisbo'") as error:
        albums.add(root, "Lisbo", [a])
    assert "Lisbon" in (error.value.hint or "")
    for act in (albums.get, albums.delete, albums.remove):
        with pytest.raises(AlbumNotFoundError):
            act(root, "nothing")
    with pytest.raises(AlbumNotFoundError):
        albums.rename(root, "nothing", "x")
    with pytest.raises(UsageError, match="already"):
        albums.create(root, "Lisbon")
    with pytest.raises(UsageError, match="already"):
        albums.rename(root, "Lisbon", "Lisbon")
    with pytest.raises(UsageError, match="is not in the album"):
        albums.set_cover(root, "Lisbon", b)
    with pytest.raises(UsageError, match="is not in the album"):
        albums.arrange(root, "Lisbon", [a, b])
    with pytest.raises(UsageError, match="empty"):
        albums.create(root, " ")
    with pytest.raises(ImageNotFoundError):
        albums.create(root, "Rome", [10**6])
    assert Reader(root).generation == generation


def test_any_change_can_be_taken_back(root: Path) -> None:
    a, b, c, *_ = ids(root)
    albums.create(root, "Lisbon", [a, b, c])
    albums.arrange(root, "Lisbon", [c])
    tags.add(root, "Lisbon", [b], provenance="person")
    before, order = tags.states(root, ["Lisbon", "Rome"]), albums.get(root, "Lisbon")
    for act in (
        lambda: albums.remove(root, "Lisbon", [b]),
        lambda: albums.delete(root, "Lisbon"),
        lambda: albums.rename(root, "Lisbon", "Rome"),
        lambda: tags.remove(root, "Lisbon", everywhere=True),
        lambda: albums.set_cover(root, "Lisbon", b),
        lambda: albums.arrange(root, "Lisbon", [b]),
    ):
        state = albums.state(root, ["Lisbon", "Rome"])
        act()
        generation = Reader(root).generation
        albums.restore(root, state)
        assert Reader(root).generation == generation + 1
        assert tags.states(root, ["Lisbon", "Rome"]) == before
        assert albums.get(root, "Lisbon") == order
        assert len(albums.every(root)) == 1
    state = albums.state(root, ["Lisbon"], ids(root))
    albums.add(root, "Lisbon", ids(root))
    albums.restore(root, state)
    assert albums.get(root, "Lisbon") == order


def test_an_album_whose_images_are_not_searched_is_renamed(root: Path) -> None:
    a, *_ = ids(root)
    albums.create(root, "Lisbon", [a])
    (root / layout.CHECKSUMS).unlink()
    with sqlite3.connect(root / layout.CATALOG) as catalog:
        catalog.execute("UPDATE images SET state = 'suspended' WHERE image_id = ?", (a,))
    albums.rename(root, "Lisbon", "Rome")
    assert [one.name for one in albums.every(root)] == ["Rome"]
    assert tags.states(root, ["Lisbon", "Rome"]) == {(a, "Rome"): "person"}


def test_a_change_that_waits_for_another_writer_knows_what_that_one_wrote(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c, *_ = ids(root)
    albums.create(root, "Lisbon", [a, b])
    open_writer = writer_wait.open_writer

    def first(act: Callable[[], object]) -> None:
        def later(*given: Any) -> Any:
            monkeypatch.setattr(writer_wait, "open_writer", open_writer)
            act()
            return open_writer(*given)

        monkeypatch.setattr(writer_wait, "open_writer", later)

    first(lambda: albums.set_cover(root, "Lisbon", b))
    albums.arrange(root, "Lisbon", [b])
    assert albums.get(root, "Lisbon") == imseek.Album("Lisbon", b, (b, a))
    first(lambda: albums.arrange(root, "Lisbon", [a, b]))
    albums.set_cover(root, "Lisbon", None)
    assert albums.get(root, "Lisbon").image_ids == (a, b)
    first(lambda: albums.create(root, "Rome", [a]))
    with pytest.raises(UsageError, match="already"):
        albums.create(root, "Rome", [b])
    first(lambda: albums.add(root, "Lisbon", [c]))
    albums.delete(root, "Lisbon")
    assert tags.states(root, ["Lisbon"]) == {}
    first(lambda: albums.delete(root, "Rome"))
    with pytest.raises(AlbumNotFoundError):
        albums.add(root, "Rome", [b])


def test_undoing_changes_of_its_tag_brings_back_the_order(root: Path) -> None:
    a, b, c, *_ = ids(root)
    albums.create(root, "Lisbon", [c])
    albums.add(root, "Lisbon", [a])
    albums.add(root, "Lisbon", [b])
    with imseek.open(root) as collection:
        for act in (
            lambda: undoable_changes.remove_tag(collection, "Lisbon"),
            lambda: undoable_changes.tag_images(collection, "Lisbon", [c], add=False),
        ):
            _, change = act()
            assert change is not None
            change.undo()
            assert albums.get(root, "Lisbon").image_ids == (c, a, b)
        _, change = undoable_changes.tag_images(collection, "plain", [a], add=True)
        assert change is not None
        change.undo()
    assert tags.states(root, ["plain"]) == {}
    assert [one.name for one in albums.every(root)] == ["Lisbon"]


@pytest.mark.parametrize("values", [("x", "b", "[1]"), ("x", None, "[["), ("x", None, "{}")])
def test_a_record_that_imseek_does_not_write(root: Path, values: tuple[object, ...]) -> None:
    (root / layout.CHECKSUMS).unlink()
    with sqlite3.connect(root / layout.CATALOG) as catalog:
        catalog.execute("INSERT INTO albums VALUES (?, ?, ?, 0, 9223372036854775807)", values)
    with pytest.raises(CorruptCollectionError, match="album"):
        albums.every(root)


def test_states_of_tags_are_restored_with_who_gave_them(root: Path) -> None:
    a, b, *_ = ids(root)
    tags.add(root, "cat", [a], provenance="probe pets")
    before = {(a, "cat"): "probe pets", (b, "cat"): None}
    tags.add(root, "cat", [a, b])
    assert tags.restore(root, before).changed == 2
    assert tags.states(root, ["cat"]) == {(a, "cat"): "probe pets"}
    generation = tags.restore(root, {(10**6, "cat"): "person"}).generation  # Such an image has gone.
    assert tags.states(root, ["cat"]) == {(a, "cat"): "probe pets"}
    assert tags.restore(root, {}).generation == generation


def test_backups_purges_and_checks_know_albums(root: Path, tmp_path: Path) -> None:
    a, b, *_ = ids(root)
    albums.create(root, "Lisbon", [a, b])
    albums.arrange(root, "Lisbon", [b])
    edits.put(root, {a: ImageEdit(caption="the harbour", rating=4)})
    backup.write(root, tmp_path / "all.tar")
    backup.restore(tmp_path / "all.tar", tmp_path / "again")
    assert albums.get(tmp_path / "again", "Lisbon").image_ids == (b, a)
    assert edits.of(tmp_path / "again", [a]) == {a: ImageEdit("the harbour", 4)}
    albums.delete(root, "Lisbon")
    purge(root)
    with sqlite3.connect(root / layout.CATALOG) as catalog:
        assert catalog.execute("SELECT COUNT(*) FROM albums").fetchone() == (0,)
    assert verify(root).problems == ()
    with sqlite3.connect(root / layout.CATALOG) as catalog:
        catalog.execute("INSERT INTO albums VALUES ('x', NULL, '[\"a\"]', 0, 9223372036854775807)")
    assert any("albums" in problem.message for problem in verify(root).problems)


def test_a_catalog_of_before_there_were_albums(root: Path) -> None:
    (root / layout.CHECKSUMS).unlink()
    with sqlite3.connect(root / layout.CATALOG) as catalog:
        catalog.execute("DROP TABLE albums")
        catalog.execute("DROP INDEX tags_by_tag")
        catalog.execute("ALTER TABLE documents DROP COLUMN written")
        catalog.execute("DELETE FROM migrations WHERE version >= 5")
    assert albums.every(root) == ()
    albums.create(root, "Lisbon", ids(root)[:1])
    assert [one.name for one in albums.every(root)] == ["Lisbon"]


class TestEdits:
    def test_what_users_state_goes_before_all_else(self, root: Path) -> None:
        a, b, *_ = ids(root)
        assert edits.put(root, {a: ImageEdit(caption="a quay at dusk", rating=5), b: ImageEdit(rating=-1)}) == 2
        with imseek.open(root) as collection:
            assert collection.get(a).metadata["caption"] == "a quay at dusk"
            found = collection.search("quay", where="rating = 5")
            assert [hit.image_id for hit in found] == [a]
            assert found.hits[0].matches[0].field == "caption"
        assert Reader(root).captions([a, b]) == {a: "a quay at dusk"}
        assert edits.of(root, [a, b]) == {a: ImageEdit("a quay at dusk", 5), b: ImageEdit(None, -1)}

    def test_indexing_keeps_them_and_none_takes_them_back(self, root: Path, coloured_pictures: Path) -> None:
        a, *_ = ids(root)
        edits.put(root, {a: ImageEdit(caption="a quay")})
        assert edits.put(root, {a: ImageEdit(caption="a quay")}) == 0
        with imseek.open(root) as collection:
            collection.index([coloured_pictures], rehash=True)
            assert collection.get(a).metadata["caption"] == "a quay"
        edits.put(root, {a: ImageEdit()})
        assert edits.of(root, [a]) == {a: ImageEdit()}
        assert "caption" not in Reader(root).image(a).metadata

    @pytest.mark.parametrize(
        "wrong",
        [
            {"rating": 6},
            {"rating": -2},
            {"caption": " "},
            {"caption": "a\0b"},
            {"caption": "a\ud800b"},
            {"caption": "x" * 2001},
        ],
    )
    def test_wrong_values_are_refused(self, wrong: dict[str, object]) -> None:
        with pytest.raises(UsageError):
            ImageEdit(**wrong)  # type: ignore[arg-type]

    def test_unknown_images_are_refused(self, root: Path) -> None:
        with pytest.raises(ImageNotFoundError):
            edits.put(root, {10**6: ImageEdit(rating=1)})

    def test_they_follow_a_file_that_changes(self, root: Path, coloured_pictures: Path) -> None:
        picture = coloured_pictures / "red" / "red0.png"
        with imseek.open(root) as collection:
            old = overview.find_image(collection, str(picture))
            edits.put(root, {old: ImageEdit(caption="a quay", rating=3)})
            with Image.open(picture) as image:
                image.rotate(90).resize((70, 50)).save(picture)
            collection.index([coloured_pictures])
            new = overview.find_image(collection, str(picture))
            assert new != old
            assert edits.of(root, [new]) == {new: ImageEdit("a quay", 3)}
            assert [hit.image_id for hit in collection.search("quay", where="rating = 3")] == [new]
            assert collection.search("quay", where="rating = 3").hits[0].matches[0].field == "caption"
        assert verify(root).problems == ()

    def test_values_of_other_programs_count_as_not_stated(self, root: Path) -> None:
        a, b, *_ = ids(root)
        with open_writer(root, "edit") as writer:
            user_edits.put(writer, {a: {"caption": "x" * 2001, "rating": 4}, b: {"caption": " ", "rating": 7}})
        assert edits.of(root, [a, b]) == {a: ImageEdit(rating=4), b: ImageEdit()}

    def test_repair_says_that_they_are_lost(self, root: Path) -> None:
        a, *_ = ids(root)
        edits.put(root, {a: ImageEdit(caption="a quay")})
        (column,) = [path for shard in Reader(root).current.shards for path in shard.columns.values()]
        (root / column).write_bytes(b"damaged")
        assert f"{column}: captions and ratings that users stated; only a backup has them" in repair(root).lost
        assert edits.of(root, [a]) == {a: ImageEdit()}

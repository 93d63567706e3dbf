"""Keywords, people, ratings and captions in pictures and beside them, from the first run to an edit and a removal."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import BOTH_CATALOGS
from PIL import Image
from xmp import annotations

import imseek
from imseek import maintenance
from imseek.data import layout
from imseek.data.reader import Reader
from imseek.data.shards.derived_columns import put_columns
from imseek.data.words.analysis import parse_words
from imseek.data.writing.writer import Writer
from imseek.types.indexing_runs import SourceOptions

pytestmark = BOTH_CATALOGS


@pytest.fixture
def coast(photos: Path) -> Path:
    """A photograph of the folder that says things itself."""
    path = photos / "coast.jpg"
    with Image.open(photos / "rocket.jpg") as image:
        image.rotate(90).save(path, xmp=annotations("sea", title="Embedded", rating=2, caption="in the picture"))
    return path


def shown(collection: imseek.Collection, path: Path) -> dict[str, Any]:
    """What the collection says of the picture at a path."""
    names = ("caption", "title", "keywords", "people", "rating", "colour_label")
    places = Reader(collection.path).places(range(100))
    (image_id,) = [i for i, place in places.items() if place.path.endswith(os.fsencode(path.name))]
    return {name: value for name, value in image_of(collection, image_id).items() if name in names}


def matches(collection: imseek.Collection, words: str) -> list[int]:
    """The images whose words match all of these."""
    found = Reader(collection.path).match_words(parse_words(words), 5)
    return [image_id for image_id, share in zip(found.ids.tolist(), found.shares.tolist(), strict=True) if share > 0.99]


def image_of(collection: imseek.Collection, image_id: int) -> dict[str, Any]:
    return dict(Reader(collection.path).image(image_id).metadata)


def test_what_a_picture_says_is_stored(collection: imseek.Collection, photos: Path, coast: Path) -> None:
    collection.index([photos])
    assert shown(collection, coast) == {
        "caption": "in the picture", "title": "Embedded", "keywords": ["sea"], "rating": 2,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["coast.xmp", "coast.jpg.xmp"])
def test_a_sidecar_goes_before_the_picture_field_by_field(
    collection: imseek.Collection, photos: Path, coast: Path, name: str
) -> None:
    (photos / name).write_bytes(annotations("dunes", "two\nlines", people=("Anna",), rating=5, label="Red"))
    collection.index([photos])
    assert shown(collection, coast) == {
        "caption": "in the picture", "title": "Embedded", "keywords": ["dunes", "two lines"], "people": ["Anna"],
        "rating": 5, "colour_label": "Red",
    }  # fmt: skip


def test_an_edit_is_taken_up_without_opening_the_picture_and_a_removal_takes_it_away(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None]
) -> None:
    sidecar = photos / "coast.xmp"
    sidecar.write_bytes(annotations("dunes", rating=5))
    later(10)
    collection.index([photos])
    again = collection.index([photos])
    assert (again.unchanged, again.sidecars, again.files_opened) == (9, 0, 0)
    before = Reader(collection.path)
    (image_id,) = [i for i, row in before.intrinsics(range(20)).items() if row.get("rating") == 5]

    sidecar.write_bytes(annotations("cliffs", people=("Anna",), caption="beside it"))
    later(10)
    dry = collection.index([photos], dry_run=True)
    assert (dry.unchanged, dry.sidecars) == (9, 1)
    edited = collection.index([photos])
    assert (edited.unchanged, edited.sidecars, edited.files_opened, edited.bytes_read) == (9, 1, 0, 0)
    assert shown(collection, coast) == {
        "caption": "beside it", "title": "Embedded", "keywords": ["cliffs"], "people": ["Anna"], "rating": 2,
    }  # fmt: skip
    assert before.image(image_id).metadata["keywords"] == ["dunes"]  # the old generation keeps the old
    assert before.match_words(parse_words("dunes"), 5).ids.tolist() == [image_id]
    assert matches(collection, "dunes") == []
    assert matches(collection, "cliffs Anna beside embedded") == [image_id]
    assert collection.index([photos]).sidecars == 0

    sidecar.unlink()
    assert collection.index([photos]).sidecars == 1
    assert shown(collection, coast) == {
        "caption": "in the picture", "title": "Embedded", "keywords": ["sea"], "rating": 2,
    }  # fmt: skip
    assert all(layout.SIDECARS not in shard.columns for shard in Reader(collection.path).current.shards)
    assert image_id in Reader(collection.path).images([image_id])
    assert (matches(collection, "cliffs"), matches(collection, "sea")) == ([], [image_id])
    assert maintenance.verify(collection.path).ok


def test_a_sidecar_that_comes_later_is_taken_up(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    later(10)
    collection.index([photos])
    (photos / "rocket.jpg.xmp").write_bytes(annotations("launch"))
    (photos / "below" / "flower.txt").write_text("a dahlia")
    later(10)
    assert collection.index([photos]).sidecars == 2
    assert shown(collection, photos / "rocket.jpg")["keywords"] == ["launch"]
    assert shown(collection, photos / "below" / "flower.jpg") == {"caption": "a dahlia"}
    # Half of them at once, by name.
    (photos / "rocket.jpg.xmp").write_bytes(annotations("start"))
    later(10)
    assert collection.index([], names=[photos / "rocket.jpg"]).sidecars == 1
    assert shown(collection, photos / "rocket.jpg")["keywords"] == ["start"]


def test_a_fresh_edit_is_read_again_until_its_time_stamp_can_be_trusted(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    later(10)
    collection.index([photos])
    later(-10)
    (photos / "rocket.xmp").write_bytes(annotations("launch"))
    assert [collection.index([photos]).sidecars for _ in range(2)] == [1, 1]
    later(10)
    assert [collection.index([photos]).sidecars for _ in range(2)] == [1, 0]


def test_a_moved_picture_has_what_lies_beside_it_now(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None]
) -> None:
    (photos / "coast.xmp").write_bytes(annotations("dunes"))
    later(10)
    collection.index([photos])
    coast.rename(photos / "below" / "moved.jpg")
    assert collection.index([photos]).moved == 1
    assert shown(collection, photos / "below" / "moved.jpg")["keywords"] == ["sea"]
    (photos / "coast.xmp").rename(photos / "below" / "moved.xmp")
    assert collection.index([photos]).sidecars == 1
    assert shown(collection, photos / "below" / "moved.jpg")["keywords"] == ["dunes"]


def test_a_copy_has_what_lies_beside_itself(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None]
) -> None:
    (photos / "coast.xmp").write_bytes(annotations("dunes", caption="dunes"))
    shutil.copyfile(coast, photos / "copy.jpg")
    collection.index([photos])
    shutil.copyfile(coast, photos / "below" / "third.jpg")
    assert collection.index([photos]).copied == 1
    assert shown(collection, coast)["keywords"] == ["dunes"]
    for copy in (photos / "copy.jpg", photos / "below" / "third.jpg"):
        assert shown(collection, copy) == {
            "caption": "in the picture", "title": "Embedded", "keywords": ["sea"], "rating": 2,
        }  # fmt: skip


def test_dropped_columns_stay_away(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None]
) -> None:
    (photos / "coast.xmp").write_bytes(annotations("dunes", people=("Anna",)))
    later(10)
    collection.index([photos], source=SourceOptions(columns=("-people", "-rating")))
    assert shown(collection, coast).keys() == {"caption", "title", "keywords"}
    (photos / "coast.xmp").write_bytes(annotations("dunes", people=("Ben",)))
    later(10)
    assert collection.index([photos]).sidecars == 1
    assert "people" not in shown(collection, coast)


def test_merged_shards_keep_what_lies_beside_pictures(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None]
) -> None:
    (photos / "coast.xmp").write_bytes(annotations("dunes"))
    later(10)
    for path in sorted(photos.rglob("*.*")):
        if path.suffix != ".xmp":
            collection.index([path])
    assert len(Reader(collection.path).current.shards) == 2
    assert shown(collection, coast)["keywords"] == ["dunes"]


# --- other sources -------------------------------------------------------------------------------------------


def test_a_rating_in_words_leaves_the_ratings_numbers(collection: imseek.Collection, photos: Path) -> None:
    first, second, *_ = sorted(photos.glob("*.*"))
    first.with_suffix(".xmp").write_bytes(annotations("dunes", rating=5))
    second.with_suffix(".json").write_text(json.dumps({"rating": "good"}))
    collection.index([photos])
    (found,) = collection.search(imseek.Query((imseek.Term(text="x"),), where="rating >= 4"))
    assert found.path == str(first)
    (found,) = collection.search(imseek.Query((imseek.Term(text="x"),), where="extra_rating = 'good'"))
    assert found.path == str(second)


def test_takeout_beside_a_listed_file(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    beside = photos / "rocket.jpg.supplemental-meta.json"
    said: dict[str, Any] = {"title": "rocket.jpg", "photoTakenTime": {"timestamp": "1"}, "people": [{"name": "Anna"}]}
    beside.write_text(json.dumps(said))
    later(10)
    collection.index([], names=[photos / "rocket.jpg"])
    assert shown(collection, photos / "rocket.jpg") == {"people": ["Anna"]}
    beside.write_text(json.dumps(said | {"people": [{"name": "Ben"}]}))
    later(10)
    assert collection.index().sidecars == 1
    assert shown(collection, photos / "rocket.jpg") == {"people": ["Ben"]}


def test_beside_files_that_a_table_names(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    (photos / "table.csv").write_text("image,caption,rating\nrocket.jpg,from the table,3\n")
    (photos / "rocket.xmp").write_bytes(annotations("launch", caption="beside", rating=5))
    later(10)
    collection.index([photos / "table.csv"])
    expected = {"caption": "from the table", "rating": 3}
    assert shown(collection, photos / "rocket.jpg") == {**expected, "keywords": ["launch"]}
    (photos / "rocket.xmp").write_bytes(annotations("start", caption="beside", rating=5))
    later(10)
    report = collection.index()
    assert (report.sidecars, report.unchanged, report.files_opened) == (1, 1, 0)
    assert shown(collection, photos / "rocket.jpg") == {**expected, "keywords": ["start"]}


def test_in_an_archive(collection: imseek.Collection, photos: Path, tmp_path: Path) -> None:
    def pack(*keywords: str) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.write(photos / "rocket.jpg", "rocket.jpg")
            archive.writestr("rocket.jpg.xmp", annotations(*keywords))

    pack("launch")
    collection.index([tmp_path / "a.zip"])
    assert shown(collection, Path("rocket.jpg"))["keywords"] == ["launch"]
    pack("start", "fire")
    assert collection.index().unchanged == 1
    assert shown(collection, Path("rocket.jpg"))["keywords"] == ["start", "fire"]


# --- strangers' files ----------------------------------------------------------------------------------------


def test_a_link_to_a_private_file_is_not_followed(
    collection: imseek.Collection, photos: Path, tmp_path: Path, later: Callable[[float], None]
) -> None:
    (tmp_path / "private.xmp").write_bytes(annotations("secret"))
    (photos / "rocket.xmp").symlink_to(tmp_path / "private.xmp")
    later(10)
    collection.index([photos])
    assert shown(collection, photos / "rocket.jpg") == {}
    assert collection.index([photos]).sidecars == 0


@pytest.mark.parametrize("content", [b"", b"<x", b"\0" * 100, b" " * (50 << 20), None])
def test_a_useless_sidecar_is_looked_at_once(
    collection: imseek.Collection, photos: Path, content: bytes | None, later: Callable[[float], None]
) -> None:
    sidecar = photos / "rocket.xmp"
    if content is None:
        os.mkfifo(sidecar)
    else:
        sidecar.write_bytes(content)
    later(10)
    assert collection.index([photos]).added == 8
    assert collection.index([photos]).sidecars == 0


# --- maintenance ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_a_repair_has_the_next_run_read_sidecars_again(
    collection: imseek.Collection, photos: Path, coast: Path, later: Callable[[float], None], how: str
) -> None:
    (photos / "coast.xmp").write_bytes(annotations("dunes"))
    later(10)
    collection.index([photos])
    (file,) = (collection.path / layout.COLUMNS / layout.SIDECARS).iterdir()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    assert not maintenance.verify(collection.path).ok
    maintenance.repair(collection.path)
    assert maintenance.verify(collection.path).ok
    assert shown(collection, coast)["keywords"] == ["sea"]
    assert collection.index([photos]).sidecars == 9
    assert shown(collection, coast)["keywords"] == ["dunes"]


def test_edited_captions_are_embedded_again(
    collection: imseek.Collection, photos: Path, later: Callable[[float], None]
) -> None:
    (photos / "rocket.txt").write_text("a rocket")
    later(10)
    collection.index([photos])
    assert maintenance.embed_captions(collection.path).outcome == "switched"
    (image_id,) = matches(collection, "rocket")
    (photos / "rocket.txt").write_text("a space ship")
    later(10)
    assert any(note.startswith("1 caption has changed since") for note in collection.index([photos]).notes)
    assert maintenance.embed_captions(collection.path).outcome == "switched"
    reader = Reader(collection.path)
    assert not any("changed since" in note for note in collection.index([photos]).notes)
    assert maintenance.embed_captions(collection.path).outcome == "already"
    (photos / "other.txt").write_text("a space ship")
    shutil.copyfile(photos / "rocket.jpg", photos / "other.jpg")
    collection.index([photos])
    text = reader.current.caption_space
    assert text is not None
    reader = Reader(collection.path)
    (twin,) = {*matches(collection, "space ship")} - {image_id}
    assert reader.vector(twin, text.space_id).tolist() == reader.vector(image_id, text.space_id).tolist()


def test_the_name_of_the_set_is_reserved(collection: imseek.Collection) -> None:
    with Writer(collection.path, "test") as writer, pytest.raises(ValueError, match="files beside pictures"):
        put_columns(writer, layout.SIDECARS, {"a": {0: 1}})

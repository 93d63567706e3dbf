"""Suggestions from a collection of real photographs: where they come from, and that commits are followed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from xmp import annotations

import imseek
from imseek import overview
from imseek.analysis import word_completions
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import CollectionNotFoundError, UsageError
from imseek.ocr import text_store
from imseek.ocr.results import TextLine


@pytest.fixture
def described(collection: imseek.Collection, photos: Path) -> imseek.Collection:
    """Eight photographs: one with a caption, one with keywords and people, one with text, one with tags."""
    (photos / "rocket.txt").write_text("The Falcon rocket, before its launch")
    keywords = ("Beach", "São Paulo", "http://evil.example/a.png", "~/private", "x" * 100)
    (photos / "coffee.png.xmp").write_bytes(annotations("brown bear", *keywords, people=("Anna Bergström",)))
    (photos / "CatPictures").mkdir()
    (photos / "chelsea.png").rename(photos / "CatPictures" / "my_chelsea-portrait.png")
    collection.index([photos])
    return collection


def suggested(collection: imseek.Collection, text: str) -> list[tuple[str, str]]:
    return [(one.text, one.kind) for one in overview.suggest(collection, text)]


def id_of(collection: imseek.Collection, name: str) -> int:
    return next(i for i, place in overview.find_places(collection, range(100)).items() if place.display.endswith(name))


def wait_for(collection: imseek.Collection, text: str, expected: list[tuple[str, str]]) -> None:
    end = time.monotonic() + 60
    while (found := suggested(collection, text)) != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert found == expected


def test_all_that_words_of_a_collection_come_from(described: imseek.Collection, photos: Path) -> None:
    with Writer(described.path, "test") as writer:
        text_store.begin(writer, "none 1")
        line = TextLine(0.1, 0.1, 0.5, 0.1, 0.9, "Invoice No. 17")
        text_store.store(writer, {id_of(described, "rocket.jpg"): [line]})
    imseek.tags.add(described, "bedtime stories", [id_of(described, "rocket.jpg")])
    imseek.tags.add(described, "invisible", [id_of(described, "rocket.jpg")], provenance="duplicates [undo 1]")
    assert suggested(described, "bea") == [("Beach", "keyword"), ("brown bear", "keyword")]
    assert suggested(described, "sao") == [("São Paulo", "keyword")]
    assert suggested(described, "anna") == [("Anna Bergström", "person")]
    assert suggested(described, "bed") == [("bedtime stories", "tag")]
    assert suggested(described, "falc") == [("falcon", "word")]
    assert suggested(described, "invo") == [("invoice", "word")]
    assert suggested(described, "invi") == []
    # Names are split at case and separators, and end where the source begins.
    assert suggested(described, "pict") == [("pictures", "name")]
    assert suggested(described, "portr") == [("portrait", "name")]
    assert suggested(described, photos.parent.name[:4]) == []
    assert suggested(described, "befo") == [("before", "word")]
    assert suggested(described, "th") == []
    assert suggested(described, "xxx") == []
    # A path or an address would be opened where it is typed.
    assert suggested(described, "http") == suggested(described, "evil") == suggested(described, "priv") == []
    assert [one.kind for one in overview.suggest(described, "b", limit=50, kinds=["keyword"])] == ["keyword", "keyword"]


def test_a_commit_is_followed_without_waiting(described: imseek.Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert suggested(described, "zeb") == []
    counting = word_completions.count_words

    def slowly(reader: Reader) -> word_completions.Vocabulary:
        time.sleep(0.5)
        return counting(reader)

    monkeypatch.setattr(word_completions, "count_words", slowly)
    imseek.tags.add(described, "zebra", [id_of(described, "coffee.png")])
    start = time.perf_counter()
    assert suggested(described, "zeb") == []
    assert time.perf_counter() - start < 0.4
    wait_for(described, "zeb", [("zebra", "tag")])
    imseek.tags.remove(described, "zebra", [id_of(described, "coffee.png")])
    wait_for(described, "zeb", [])


def test_words_of_images_that_have_gone(described: imseek.Collection, photos: Path) -> None:
    assert suggested(described, "portr") == [("portrait", "name")]
    (photos / "CatPictures" / "my_chelsea-portrait.png").rename(photos / "sphinx.png")
    (photos / "coffee.png").unlink()
    described.index()
    wait_for(described, "portr", [])
    wait_for(described, "sphi", [("sphinx", "name")])
    wait_for(described, "anna", [])


def test_what_cannot_be_suggested(described: imseek.Collection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        overview.suggest(described, "a", limit=0)
    with pytest.raises(UsageError, match="no kind 'nothing'"):
        overview.suggest(described, "a", kinds=["nothing"])  # type: ignore[list-item]
    with pytest.raises(CollectionNotFoundError):
        overview.suggest(tmp_path / "nowhere", "a")
    with imseek.create(tmp_path / "empty", encoder="fake") as empty:
        assert overview.suggest(empty, "a") == ()


def test_copies_of_a_collection_have_their_own(described: imseek.Collection, tmp_path: Path) -> None:
    assert suggested(described, "zeb") == []
    with imseek.open(shutil.copytree(described.path, tmp_path / "copy")) as copy:
        imseek.maintenance.trust(copy.path)
        imseek.tags.add(copy, "zebra", [id_of(copy, "coffee.png")])
        assert suggested(copy, "zeb") == [("zebra", "tag")]
    assert suggested(described, "zeb") == []

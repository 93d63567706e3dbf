"""Tags of which an image has one, and other names for tags."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import imseek
from imseek import tags
from imseek.analysis.space_vectors import Vectors
from imseek.data.reader import Reader
from imseek.data.writing.writer import Writer
from imseek.errors import ImageNotFoundError, LockedError, UsageError
from imseek.types.tags import Tag


@pytest.fixture
def root(coloured: Path) -> Path:
    return coloured


def ids(root: Path) -> list[int]:
    return [int(i) for i in Vectors(Reader(root)).ids]


class TestChoosing:
    def test_an_image_has_the_last_that_was_chosen(self, root: Path) -> None:
        a, b, c, *_ = ids(root)
        tags.add(root, "holiday", [a, b])
        told = tags.choose(root, {a: "cat", b: "dog"}, ["cat", "dog"])
        assert (told.named, told.changed) == (2, 2)
        told = tags.choose(root, {a: "dog", b: None, c: None}, ["cat", "dog"])
        assert told.changed == 3  # cat and dog taken away, dog given
        person = Tag("holiday", "person")
        assert tags.of(root, [a, b, c]) == {a: (Tag("dog", "person"), person), b: (person,), c: ()}

    def test_it_is_one_commit(self, root: Path) -> None:
        a, b, *_ = ids(root)
        tags.choose(root, {a: "cat"}, ["cat", "dog"])
        before = Reader(root).generation
        told = tags.choose(root, {a: "dog", b: "cat"}, ["cat", "dog"])
        assert told.generation == Reader(root).generation == before + 1

    def test_a_persons_word_goes_over_a_models(self, root: Path) -> None:
        a, b, *_ = ids(root)
        tags.add(root, "cat", [a, b], provenance="probe pets")
        tags.choose(root, {a: "cat", b: "dog"}, ["cat", "dog"])
        assert tags.of(root, [a, b]) == {a: (Tag("cat", "person"),), b: (Tag("dog", "person"),)}
        tags.choose(root, {a: "cat"}, ["cat", "dog"], provenance="probe pets")
        assert tags.of(root, [a]) == {a: (Tag("cat", "person"),)}

    def test_so_it_does_where_tags_are_given_one_by_one(self, root: Path) -> None:
        a, b, c, *_ = ids(root)
        tags.add(root, "cat", [a, b], provenance="probe pets")
        assert tags.add(root, "cat", [a, c]).changed == 2
        assert tags.add(root, "cat", [a, b, c], provenance="probe pets").changed == 0
        person, model = (Tag("cat", "person"),), (Tag("cat", "probe pets"),)
        assert tags.of(root, [a, b, c]) == {a: person, b: model, c: person}

    def test_nothing_chosen_changes_nothing(self, root: Path) -> None:
        before = Reader(root).generation
        assert tags.choose(root, {}, ["cat"]).changed == 0
        assert Reader(root).generation == before

    def test_what_cannot_be_chosen(self, root: Path) -> None:
        a, *_ = ids(root)
        with pytest.raises(UsageError, match="'cow' is none of the tags"):
            tags.choose(root, {a: "cow"}, ["cat", "dog"])
        with pytest.raises(UsageError, match="'' is none of the tags"):
            tags.choose(root, {a: ""}, ["cat", "dog"])
        with pytest.raises(UsageError, match="a tag must not be empty"):
            tags.choose(root, {a: ""}, ["cat", ""])
        with pytest.raises(UsageError, match="a tag is one line"):
            tags.choose(root, {a: "cat"}, ["cat", "do\ng"])
        with pytest.raises(ImageNotFoundError, match="no image 999"):
            tags.choose(root, {a: "cat", 999: "cat"}, ["cat"])
        assert tags.counts(root) == ()

    def test_another_writer_is_not_waited_for_without_end(self, root: Path) -> None:
        a, *_ = ids(root)
        with Writer(root, "index"), pytest.raises(LockedError):
            tags.choose(root, {a: "cat"}, ["cat"], patience=0.1)
        assert tags.counts(root) == ()


class TestRenaming:
    def test_who_gave_it_stays(self, root: Path) -> None:
        a, b, c, *_ = ids(root)
        tags.add(root, "kat", [a])
        tags.add(root, "kat", [b], provenance="probe pets")
        tags.add(root, "cat", [c])
        before = Reader(root).generation
        told = tags.rename(root, "kat", " cat ")
        assert (told.changed, told.generation) == (2, before + 1)
        (one,) = tags.counts(root)
        assert (one.tag, dict(one.by)) == ("cat", {"person": 2, "probe pets": 1})

    def test_an_image_that_has_both_keeps_the_other_as_it_is(self, root: Path) -> None:
        a, *_ = ids(root)
        tags.add(root, "kat", [a], provenance="probe pets")
        tags.add(root, "cat", [a])
        tags.rename(root, "kat", "cat")
        assert tags.of(root, [a]) == {a: (Tag("cat", "person"),)}

    def test_a_person_goes_over_a_model_where_two_become_one(self, root: Path) -> None:
        a, *_ = ids(root)
        tags.add(root, "kat", [a])
        tags.add(root, "cat", [a], provenance="probe pets")
        tags.rename(root, "kat", "cat")
        assert tags.of(root, [a]) == {a: (Tag("cat", "person"),)}

    @pytest.mark.parametrize(
        ("tag", "to", "what"),
        [
            ("dog", "cow", "no image has the tag 'dog'"),
            ("cat", "cat", "already its name"),
            ("cat", " ", "empty"),
        ],
    )
    def test_what_cannot_be_renamed(self, root: Path, tag: str, to: str, what: str) -> None:
        tags.add(root, "cat", ids(root)[:1])
        with pytest.raises(UsageError, match=what):
            tags.rename(root, tag, to)
        assert [one.tag for one in tags.counts(root)] == ["cat"]


def test_two_that_choose_at_once_lose_nothing(root: Path) -> None:
    some = ids(root)[:6]

    def choose(image_id: int) -> None:
        tags.choose(root, {image_id: "cat"}, ["cat", "dog"])

    threads = [threading.Thread(target=choose, args=(one,)) for one in some]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with imseek.open(root) as collection:
        assert [one.images for one in tags.counts(collection)] == [6]

"""Answers that show themselves in notebooks: a grid of pictures, whatever has happened to these."""

from __future__ import annotations

import base64
import copy
import io
import os
import pickle
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving import served

import imseek
from imseek.errors import ImageNotFoundError, UsageError
from imseek.search.query import Query, Term
from imseek.showing import grid
from imseek.showing.sheet import title_of
from imseek.types.search_results import Match, SearchResult
from imseek.ui.notebook import Grid


class Page(HTMLParser):
    """What a browser would make of it: tags, attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def shown(result: SearchResult | Grid) -> Page:
    html = result._repr_html_()
    assert html is not None
    page = Page(html)
    assert {tag for tag, _ in page.tags} <= {"div", "figure", "img", "span", "figcaption", "br", "bdi"}
    assert all(set(attributes) <= {"style", "title", "src", "alt"} for _, attributes in page.tags)
    assert all(image["src"].startswith("data:image/webp;base64,") for image in page.images)
    return page


def pixels(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def indexed(collection, photos):
    collection.index([photos])
    return collection


def test_each_hit_with_its_picture_in_their_order(indexed, photos) -> None:
    result = indexed.search("red", limit=8)
    page = shown(result)
    names = [Path(hit.path).name for hit in result]
    assert [image["alt"] for image in page.images] == [
        f"{n}: {name}, score {hit.score:.3f}" for n, (name, hit) in enumerate(zip(names, result, strict=True), 1)
    ]
    for hit, image in zip(result, page.images, strict=True):
        with Image.open(hit.path) as original:
            small = original.convert("RGB")
        small.thumbnail((grid.SIDE, grid.SIDE))
        made = pixels(image["src"])
        assert made.shape[:2] == (small.height, small.width)
        assert np.abs(made.astype(int) - np.asarray(small)).mean() < 12
    assert "8 hits among 8 images" in page.text


def test_after_the_collection_was_closed_copied_and_pickled(indexed) -> None:
    result = indexed.search("red", limit=3)
    html = result._repr_html_()
    indexed.close()
    assert result._repr_html_() == html
    assert pickle.loads(pickle.dumps(result))._repr_html_() == html
    assert copy.deepcopy(result)._repr_html_() == html
    assert len(shown(replace(result, hits=result.hits[:2])).images) == 2


def test_where_pictures_are_is_no_part_of_an_answer(indexed) -> None:
    result = indexed.search("red", limit=1)
    assert replace(result, pictures=None) == result
    assert "pictures=" not in repr(result)
    assert replace(result, pictures=None)._repr_html_() is None


def test_each_answer_of_many_and_of_several(indexed, photos, tmp_path) -> None:
    first, second = indexed.search_many(["red", "blue"], limit=2)
    assert (len(shown(first).images), len(shown(second).images)) == (2, 2)
    shutil.copytree(photos, tmp_path / "copy")
    with imseek.create(tmp_path / "other", encoder="fake") as other:
        other.index([tmp_path / "copy"])
        both = imseek.search_all([indexed, other], "red", limit=4)
    assert {hit.collection for hit in both} == {indexed.uuid, other.uuid}
    assert len(shown(both).images) == 4


def test_what_cannot_be_read_says_why(indexed, photos) -> None:
    result = indexed.search("red", limit=8)
    (photos / "coffee.png").unlink()
    (photos / "chelsea.png").write_bytes(b"no picture at all")
    page = shown(result)
    assert len(page.images) == 6
    assert "not there any more" in page.text
    assert "changed since it was indexed" in page.text


def test_a_collection_that_is_gone_raises_nothing(indexed, tmp_path) -> None:
    result = indexed.search("red", limit=3)
    indexed.close()
    shutil.rmtree(tmp_path / "collection")
    page = shown(result)
    assert page.images == []
    assert page.text.count("cannot be read") >= 3


def test_names_are_text(collection, tmp_path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = [b'"><script>alert(1)<', b"&amp;", b"\xff\n\x1b[2J", "\u202egnp".encode()]
    for n, name in enumerate(names):
        Image.new("RGB", (20, 20), (250, n, 0)).save(folder / "made.png")
        (folder / "made.png").rename(folder / os.fsdecode(name + b".png"))
    collection.index([folder])
    page = shown(collection.search("red", limit=4))
    assert len(page.images) == 4
    for said in ('"><script>alert(1)<.png', "&amp;.png", "\\xff\\n\\x1b[2J.png", "\\u202egnp.png"):
        assert said in page.text
    assert "\x1b" not in page.text


def test_notes_and_groups_are_text_too(indexed) -> None:
    result = replace(indexed.search(Query((Term(text="red"),), group_by="folder")), notes=("<b>\ud800",))
    page = shown(result)
    assert "<b>\\ud800" in page.text
    assert re.search(r"photos \(6\)\n", page.text)


def test_it_is_bounded(indexed, monkeypatch) -> None:
    result = indexed.search("red", limit=8)
    monkeypatch.setattr(grid, "MAX_TILES", 5)
    page = shown(result)
    assert len(page.images) == 5
    assert "and 3 more" in page.text
    sizes = [len(base64.b64decode(image["src"].partition(",")[2])) for image in page.images]
    monkeypatch.setattr(grid, "MAX_BYTES", sum(sizes[:2]))
    assert len(shown(result).images) == 2
    monkeypatch.setattr(grid, "MAX_SECONDS", -1.0)
    page = shown(result)
    assert page.images == []
    assert page.text.count("left out: it took too long") == 5


def test_why_an_image_is_a_hit(indexed) -> None:
    result = indexed.search("red", limit=2)
    matches = (Match("picture", score=0.314), Match("name", ("<b>/", "x\ny")), Match("text", ("a",), "… a & b"))
    odd = replace(result, hits=(replace(result[0], matches=matches), replace(result[1], matches=())))
    expected = 'picture 0.31 · name <b>/, x\\ny · text "… a & b"'
    assert shown(odd).text.count(expected) == 1
    assert shown(imseek.show(indexed, odd)).text.count(expected) == 1


def test_an_answer_that_makes_no_sense_raises_nothing(indexed) -> None:
    result = indexed.search("red", limit=1)
    odd = replace(result, hits=(replace(result[0], score="<i>much"),))
    page = shown(odd)
    assert "cannot be shown" in page.text
    assert "<i>" not in odd._repr_html_()


def test_nothing_found(collection) -> None:
    assert "0 hits among 0 images" in shown(collection.search("red")).text


def test_a_query_in_one_line() -> None:
    terms = (Term(text="a car"), Term(image_id=3), Term(text="snow", weight=-0.5), Term(picture=b"x"))
    assert title_of(Query(terms)) == "a car, image 3, not snow, a picture"


class TestShow:
    def test_ids_images_and_hits(self, indexed) -> None:
        first, second, third = indexed.search("red", limit=3)
        picked = [first.image_id, np.int64(second.image_id), indexed.get(third.image_id), first]
        page = shown(imseek.show(indexed, picked))
        names = [Path(hit.path).name for hit in (first, second, third, first)]
        assert [image["alt"] for image in page.images] == [*names[:3], f"{names[3]}, {first.score:.3f}"]
        assert "4 images" in page.text
        assert len(shown(imseek.show(indexed, first.image_id)).images) == 1
        with Image.open(first.path) as original:
            height, width = pixels(page.images[0]["src"]).shape[:2]
            assert width / height == pytest.approx(original.width / original.height, rel=0.02)

    def test_reports(self, indexed, photos) -> None:
        shutil.copyfile(photos / "coffee.png", photos / "again.png")
        indexed.index()
        sample = imseek.clusters.sample(indexed, 3)
        page = shown(imseek.show(indexed, sample))
        assert [image["alt"].partition(",")[0] for image in page.images] == [
            Path(os.fsdecode(one.place.path)).name for one in sample.chosen
        ]
        assert "3 of 9 images, chosen by facility location" in page.text
        duplicates = imseek.duplicates.find(indexed)
        page = shown(imseek.show(indexed, duplicates))
        assert "1 group of duplicates among 9 images" in page.text
        assert "1. exact (2)" in page.text
        assert sorted(image["alt"].partition(",")[0] for image in page.images) == ["again.png", "coffee.png"]
        assert [image["alt"].endswith("keep") for image in page.images] == [True, False]
        clusters = imseek.clusters.find(indexed, k=2)
        page = shown(imseek.show(indexed, clusters))
        assert len(page.images) == sum(len(cluster.medoids) for cluster in clusters.clusters)
        outliers = imseek.clusters.outliers(indexed, limit=2)
        assert len(shown(imseek.show(indexed, outliers)).images) == 2

    def test_sections_share_the_bound(self, indexed, monkeypatch) -> None:
        report = imseek.clusters.find(indexed, k=4)
        every = sum(len(cluster.medoids) for cluster in report.clusters)
        monkeypatch.setattr(grid, "MAX_TILES", every - 1)
        page = shown(imseek.show(indexed, report))
        assert len(page.images) == every - 1
        assert "and 1 more" in page.text

    def test_of_another_collection(self, indexed, tmp_path) -> None:
        hit = replace(indexed.search("red", limit=1)[0], collection="another")
        page = shown(imseek.show(indexed, [hit]))
        assert page.images == []
        assert "not there any more" in page.text

    @pytest.mark.parametrize("what", ["red", b"red", None, 1.5, True, [None], ["red"], object()])
    def test_what_names_no_pictures(self, indexed, what) -> None:
        with pytest.raises(UsageError, match="names no pictures"):
            imseek.show(indexed, what)

    def test_an_id_that_is_none(self, indexed) -> None:
        with pytest.raises(ImageNotFoundError):
            imseek.show(indexed, [10_000])


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory, photo_files):
    """A collection, here and on a server."""
    root = tmp_path_factory.mktemp("served")
    with imseek.create(root / "collection", encoder="fake") as made:
        made.index(photo_files)
        with served(root / "collection") as running:
            yield made, running


class TestServers:
    def test_small_pictures_come_from_there(self, everywhere) -> None:
        collection, server = everywhere
        here = shown(collection.search("red", limit=3))
        with imseek.connect(server.url) as remote:
            result = remote.search("red", limit=3)
        there = shown(result)
        assert [image["alt"] for image in there.images] == [image["alt"] for image in here.images]
        for ours, theirs in zip(here.images, there.images, strict=True):
            difference = pixels(ours["src"]).astype(int) - pixels(theirs["src"])
            assert np.abs(difference).mean() < 8

    def test_show_asks_there_too(self, everywhere) -> None:
        collection, server = everywhere
        with imseek.connect(server.url) as remote:
            grid = imseek.show(remote, [3, 5])
        names = [Path(os.fsdecode(collection.get(n).place.path)).name for n in (3, 5)]
        assert [image["alt"] for image in shown(grid).images] == names

    def test_a_token_stays_in_the_process(self, everywhere) -> None:
        with imseek.connect(everywhere[1].url, "secret-token") as remote:
            result = remote.search("red", limit=1)
        assert "secret-token" not in repr(result.pictures)
        data = pickle.dumps(result)
        assert b"secret-token" not in data
        assert len(shown(pickle.loads(data)).images) == 1

    def test_a_server_that_has_ended_raises_nothing(self, everywhere) -> None:
        with imseek.connect(everywhere[1].url) as remote:
            result = remote.search("red", limit=2)
        everywhere[1].end()
        page = shown(result)
        assert page.images == []
        assert "no answer from" in page.text

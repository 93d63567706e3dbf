"""Pictures on the web as a source: fetched once, found again, and nothing asked that must not be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sourcing.cases import draw
from sourcing.web import WebServer

import imseek
from imseek.errors import MediaError

PRIVATE = imseek.SourceOptions(allow_private=True)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        server.pages = {f"{n}.png": draw(n) for n in range(4)}
        yield server


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[imseek.Collection]:
    with imseek.create(tmp_path / "collection", encoder="fake") as made:
        yield made


def test_urls_are_fetched_once_and_lead_back(collection: imseek.Collection, web: WebServer) -> None:
    urls = [web.url(f"{n}.png") for n in range(4)]
    report = collection.index(names=urls, source=PRIVATE)
    assert (report.added, report.bytes_read) == (4, sum(map(len, web.pages.values())))
    assert sorted(web.asked) == sorted(web.pages)
    for n, url in enumerate(urls):
        (hit,) = collection.search(draw(n), limit=1)
        assert (hit.path, hit.uri) == (url, url)
        assert collection.read(hit.image_id) == draw(n)
    web.asked.clear()
    for again in (collection.index(names=urls), collection.index()):
        assert (again.unchanged, again.files_opened) == (4, 0)
    assert web.asked == []


def test_a_url_among_paths_is_listed(collection: imseek.Collection, web: WebServer, photos: Path) -> None:
    assert collection.index([photos, web.url("1.png")], source=PRIVATE).added == 9
    assert sorted(source.kind for source in collection.info().sources) == ["folder", "list"]
    assert all(source.present for source in collection.info().sources)


def test_rehash_asks_again_and_follows_changes(collection: imseek.Collection, web: WebServer) -> None:
    urls = [web.url(f"{n}.png") for n in range(2)]
    collection.index(names=urls, source=PRIVATE)
    web.pages["1.png"] = draw(11)
    report = collection.index(rehash=True)
    assert (report.unchanged, report.changed, report.live) == (1, 1, 2)


def test_dead_links_are_recorded_and_not_asked_again(collection: imseek.Collection, web: WebServer) -> None:
    report = collection.index(names=[web.url("0.png"), web.url("nothing.png")], source=PRIVATE)
    assert (report.added, [failure.reason for failure in report.failures]) == (1, ["fetch_failed"])
    web.asked.clear()
    assert collection.index().skipped == 1
    assert web.asked == []
    web.pages["nothing.png"] = draw(9)
    assert collection.index(retry_failed=True).added == 1


def test_a_link_that_dies_later_keeps_its_image(collection: imseek.Collection, web: WebServer) -> None:
    collection.index(names=[web.url("0.png")], source=PRIVATE)
    (hit,) = collection.search(np.ones(64))
    del web.pages["0.png"]
    assert collection.index(rehash=True).live == 1
    with pytest.raises(MediaError, match="404"):
        collection.read(hit.image_id)


def test_the_local_network_is_refused_unless_asked_for(collection: imseek.Collection, web: WebServer) -> None:
    report = collection.index(names=[web.url("0.png"), "http://169.254.169.254/latest/meta-data"])
    assert (report.added, {f.reason for f in report.failures}) == (0, {"forbidden_address"})
    assert web.asked == []


def test_files_and_urls_mix_in_one_list(collection: imseek.Collection, web: WebServer, photos: Path) -> None:
    names = [str(photos / "coffee.png"), web.url("0.png")]
    assert collection.index(names=names, source=PRIVATE).added == 2
    (source,) = collection.info().sources
    assert (source.kind, source.images) == ("list", 2)
    (photos / "coffee.png").unlink()
    report = collection.index()
    assert (report.removed, report.live) == (1, 1)


def test_files_of_an_absent_folder_are_kept(collection: imseek.Collection, photos: Path) -> None:
    collection.index([photos / "coffee.png", photos / "below/flower.jpg"])
    (photos / "below").rename(photos.parent / "elsewhere")
    report = collection.index()
    assert (report.removed, report.live) == (0, 2)
    assert any("1 image is kept" in note for note in report.notes)

"""Collections that are there already: what others do to them, sources that move, damage, other names, the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Visit, indexing
from playwright.sync_api import expect

import imseek
from imseek.data.catalog.sqlite.lock import WriterLock

SLOW = 60_000  # ms: a process of imseek starts for each job


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    (folder / "collections").mkdir()
    return folder


@pytest.fixture
def trips(home: Path, photos: Path) -> Iterator[Path]:
    """A collection of that name; its sources are ``photos`` and the folder ``more`` beside it."""
    shutil.copytree(photos / "below", photos.parent / "more")
    path = home / "collections" / "_trips_"
    with imseek.create(path, encoder="fake") as collection:
        collection.index([photos])
        collection.index([photos.parent / "more"])
    yield path
    shutil.rmtree(path, ignore_errors=True)


def at(visit: Visit) -> Any:
    page = visit("collections", c="_trips_")
    expect(page.locator(".st-key-collections-title")).to_contain_text("_trips_")
    expect(page.get_by_role("tab", name="Sources")).to_be_visible()
    return page


@pytest.mark.long
def test_sources_move_and_go(visit: Visit, trips: Path, photos: Path) -> None:
    moved = photos.parent / "moved"
    photos.rename(moved)
    page = at(visit)
    expect(page.get_by_text("⚠️ Missing.")).to_have_count(1)
    page.get_by_role("button", name="Moved…").first.click()
    page.get_by_label("New location").fill(str(moved))
    page.get_by_role("button", name="Use this folder").click()
    expect(page.get_by_text("Relocating a source: done")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("⚠️ Missing.")).to_have_count(0)
    page.get_by_role("button", name="Remove…").last.click()
    expect(page.get_by_role("dialog")).to_contain_text("2 pictures will be removed from the collection")
    page.get_by_role("button", name="Remove from").click()
    expect(page.get_by_text("Removing a source: done")).to_be_visible(timeout=SLOW)
    with imseek.open(trips) as collection:
        (source,) = collection.info().sources
    assert source.path == os.fsencode(moved)
    assert (photos.parent / "more").is_dir()

    page.get_by_label("Folder, picture").fill(str(photos.parent / "more"))
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Would index: 2 new")).to_be_visible(timeout=SLOW)
    some = next((photos.parent / "more").iterdir())
    shutil.copy(some, some.with_name(f".hidden{some.suffix}"))
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Include hidden files and folders").click()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Would index: 3 new")).to_be_visible(timeout=SLOW)


@pytest.mark.long
def test_what_others_do_is_seen(visit: Visit, trips: Path) -> None:
    page = at(visit)
    with indexing(trips):
        run = page.locator(".st-key-collections-run")
        expect(run).to_contain_text("started in a terminal", timeout=SLOW)
        expect(run).to_contain_text("3 of 9")
        expect(page.get_by_role("button", name="Update all")).to_be_disabled()
        run.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Indexing: stopped")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name="Update all")).to_be_enabled()
    lock = WriterLock(trips)
    lock.acquire()
    try:
        page.get_by_role("button", name="Update all").click()
        expect(page.get_by_text("is being written by another process")).to_be_visible(timeout=SLOW)
        expect(page.get_by_text("wait until it has finished, then try again")).to_be_visible()
    finally:
        lock.release()


def test_damage_is_told_and_mended(visit: Visit, trips: Path) -> None:
    (trips / "current.json").write_text("{")
    page = visit("collections", c="_trips_")
    expect(page.get_by_text("is damaged or missing")).to_be_visible()
    expect(page.get_by_text("cannot be opened")).to_be_visible()
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_text("1 problem;")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Repair").first.click()
    expect(page.get_by_text("Repaired: no problems left")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("10 pictures").first).to_be_visible()


@pytest.mark.long
def test_another_name_and_the_end(visit: Visit, trips: Path, photos: Path) -> None:
    page = at(visit)
    page.get_by_role("tab", name="Maintenance").click()
    page.get_by_role("button", name="Purge").click()
    expect(page.get_by_text("no file holds anything of what has left")).to_be_visible(timeout=SLOW)
    page.get_by_label("New name").fill("../trips")
    page.get_by_role("button", name="Rename").click()
    expect(page.get_by_text("cannot name a collection")).to_be_visible()
    page.get_by_label("New name").fill("journeys")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".st-key-collections-title")).to_contain_text("journeys")
    page.get_by_role("button", name="Delete journeys…").click()
    delete = page.get_by_role("dialog").get_by_role("button", name="Delete journeys", exact=True)
    page.get_by_label("Type its name").fill("journey")
    expect(delete).to_be_disabled()
    page.get_by_label("Type its name").fill("journeys")
    delete.click()
    expect(page.get_by_text("Create your first collection")).to_be_visible()
    assert not (trips.parent / "journeys").exists()
    assert len(list(photos.rglob("*.*"))) == 8

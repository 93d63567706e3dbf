"""The top bar of all pages: switching collections, searching from everywhere, tasks, phones, and an outage."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import Visit, indexing, pages, top, wait_until_idle
from playwright.sync_api import expect

import imseek

SWITCHER = ".st-key-shell-switcher .opener"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``photos``: eight photographs; ``_two_``: two of them; ``broken``: one that cannot be opened."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "collections").mkdir()
    for name, files in (("photos", photo_files), ("_two_", photo_files[:2]), ("broken", photo_files[:1])):
        with imseek.create(folder / "collections" / name, encoder="fake") as collection:
            collection.index(names=files)
    (folder / "collections" / "broken" / "current.json").write_text("{")
    return folder


def _asked(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def _switch(page: Any, name: str) -> None:
    page.locator(SWITCHER).click()
    page.locator(".st-key-shell-switcher .one", has_text=name).click()


def test_switching_shows_the_other_collection_and_says_so_in_the_address(visit: Visit) -> None:
    page = visit(c="photos", q="red", n="30", where="width > 1")
    expect(page.locator(".card")).to_have_count(8)
    expect(page).to_have_title("photos · imseek")
    page.locator(SWITCHER).click()
    rows = page.locator(".st-key-shell-switcher .one")
    expect(rows).to_have_text([re.compile(r"_two_2$"), "brokencannot be opened", re.compile("✓photos8$")])
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(SWITCHER)).to_contain_text("_two_")
    assert _asked(page) == {"c": ["_two_"], "q": ["red"]}  # What belongs to the old one is gone.
    expect(page).to_have_title("_two_ · imseek")
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    page.go_back()
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator(SWITCHER)).to_contain_text("photos")
    page.get_by_role("link", name="Collections").click()
    page.get_by_role("button", name="_two_", exact=True).click()
    expect(page.locator(".st-key-collections-title")).to_contain_text("_two_")
    assert _asked(page)["c"] == ["_two_"]


def test_an_address_without_a_collection_names_the_one_that_is_shown(visit: Visit) -> None:
    page = visit()
    expect(page.locator(".card")).to_have_count(2)
    page.wait_for_url("**c=_two_**")
    entries = page.evaluate("history.length")
    page.get_by_role("link", name="Labels").click()
    page.wait_for_url("**/labels?c=_two_**")
    assert page.evaluate("history.length") == entries + 1


@pytest.mark.parametrize("where", ["collections", "", "labels"])
def test_nothing_stands_in_the_place_of_a_missing_collection(visit: Visit, where: str) -> None:
    page = visit(where, c="<b>gone</b>", width=400)
    expect(page.get_by_role("heading", name="No collection “<b>gone</b>”")).to_be_visible()
    expect(page.locator(SWITCHER)).to_contain_text("No collection <b>gone</b>")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    expect(page.get_by_role("tab")).to_have_count(0)
    page.get_by_role("button", name="photos", exact=True).click()
    expect(page.locator(SWITCHER)).to_contain_text("photos")
    assert _asked(page)["c"] == ["photos"]


def test_a_collection_that_is_deleted_leaves_its_place_empty(visit: Visit, home: Path, photo_files: list[Path]) -> None:
    with imseek.create(home / "collections" / "to_go", encoder="fake") as collection:
        collection.index(names=photo_files[:1])
    page = visit("collections", c="to_go")
    page.get_by_role("tab", name="Maintenance").click()
    page.get_by_role("button", name="Delete to_go…").click()
    page.get_by_label("Type its name").fill("to_go")
    page.get_by_role("dialog").get_by_role("button", name="Delete to_go").click()
    expect(page.get_by_role("heading", name="No collection “to_go”")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    assert not (home / "collections" / "to_go").exists()


def test_one_can_search_from_every_page(visit: Visit, photo_files: list[Path]) -> None:
    page = visit("collections", c="photos")
    expect(page.locator(".veil")).to_be_attached()
    page.get_by_role("tab", name="Sources").wait_for()
    wait_until_idle(page)
    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.type("red")
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(8)
    assert _asked(page) == {"c": ["photos"], "q": ["red"]}
    expect(page.locator(".st-key-shell-pages [aria-current]")).to_have_text(re.compile("Search$"))
    page.get_by_role("link", name="Labels").click()
    page.wait_for_url("**/labels**")
    expect(page.locator(".st-key-shell-pages [aria-current]")).to_have_text(re.compile("Labels$"))
    expect(page.get_by_label("Search", exact=True)).to_have_value("")
    expect(page.get_by_label("Classes")).to_be_visible()
    page.locator("input[type=file]").first.set_input_files(photo_files[7])
    page.wait_for_url("**like=upload**")
    expect(page.locator(".card").first).to_contain_text("flower.jpg")


@pytest.mark.parametrize("query", [{"q": "red"}, {}])
def test_on_a_phone_pictures_begin_near_the_top_and_pages_are_at_the_bottom(
    visit: Visit, query: dict[str, str]
) -> None:
    page = visit(c="photos", width=400, **query)
    first = page.locator(".card").first
    expect(first).to_be_visible()
    expect(page.locator(SWITCHER)).to_be_visible()
    expect(page.locator(SWITCHER)).to_contain_text("photos")
    wait_until_idle(page)
    assert top(first) <= 160
    bar = page.locator(".st-key-shell-pages").bounding_box()
    assert bar["y"] + bar["height"] == pytest.approx(900, abs=2)
    page.get_by_role("link", name="Collections").click()
    expect(page.get_by_role("tab", name="Sources")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_tasks_are_seen_on_every_page_and_in_the_title(visit: Visit, home: Path) -> None:
    page = visit(c="_two_", q="red")
    expect(page.locator(".card")).to_have_count(2)
    tasks = page.get_by_role("button", name="1 task, 33%")
    expect(tasks).to_have_count(0)
    with indexing(home / "collections" / "photos"):
        expect(tasks).to_be_visible()
        expect(page).to_have_title("33% · _two_ · imseek")
        tasks.click()
        expect(page.locator(".task")).to_contain_text("Indexing · photos3 of 9")
        page.keyboard.press("Escape")
        page.locator(SWITCHER).click()
        expect(page.locator(".one", has_text="photos")).to_contain_text("Indexing…")
        page.keyboard.press("Escape")
    expect(page.locator(".ended")).to_contain_text(re.compile("Indexing: .* · photos"))
    expect(page).to_have_title("_two_ · imseek")
    expect(tasks).to_have_count(0)


def test_the_first_search_after_an_outage_counts(browser: Any, tmp_path: Path, home: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    page = browser.new_page()
    outage = page.get_by_text("imseek does not answer. If it was stopped")  # A part of the page may say so too.
    with pages(tmp_path, home, "--port", port) as running:
        page.goto(running.at(c="photos", q="red"))
        expect(page.locator(".card")).to_have_count(8)
        expect(outage).to_be_attached()  # Its script may come later than the pictures.
    expect(outage).to_be_visible()
    expect(page.get_by_text("Streamlit")).to_be_hidden()
    (tmp_path / "again").mkdir()
    with pages(tmp_path / "again", home, "--port", port):
        expect(outage).to_be_hidden()
        box = page.get_by_label("Search", exact=True)
        box.fill("tag:nothing")
        box.press("Enter")
        expect(page.locator(".chip")).to_contain_text("tag: nothing")
    page.close()


def test_many_conditions_that_cannot_be_read_are_one_line(visit: Visit) -> None:
    page = visit(c="photos", more=",".join(f"x{n}" for n in range(50)))
    said = page.get_by_text("50 parts of the address cannot be read, and were left out")
    expect(said).to_be_visible()
    expect(page.get_by_text("more=x49")).to_be_hidden()
    said.click()
    expect(page.get_by_text("more=x49")).to_be_visible()

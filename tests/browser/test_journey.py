"""One way through all of it, as somebody goes it who has just installed imseek: a collection, words, a picture, more
like it, duplicates, and back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from browsing import Pages, Visit, pages, wait_until_idle
from playwright.sync_api import expect


@pytest.fixture
def album(tmp_path: Path, photo_files: list[Path]) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for path in photo_files:
        shutil.copyfile(path, folder / path.name)
    shutil.copyfile(folder / "china.jpg", folder / "china copy.jpg")
    return folder


@pytest.fixture
def ui(tmp_path: Path, browser: Any) -> Iterator[Pages]:
    """Over a library with nothing in it, with a trash of its own."""
    share = {"XDG_DATA_HOME": str(tmp_path / "share")}
    with pages(tmp_path, tmp_path / "library", environment=share) as running:
        yield running


@pytest.mark.always
def test_from_nothing_to_a_tidy_collection(visit: Visit, album: Path, photo_files: list[Path]) -> None:
    # Nothing is there yet: the first page leads to where one begins.
    page = visit()
    expect(page.get_by_text("Which pictures do you want to search?")).to_be_visible()
    page.get_by_role("link", name="More choices").click()
    page.get_by_label("Name", exact=True).fill("album")
    page.get_by_label("Folder with pictures").fill(f"{album}/")
    expect(page.get_by_text(f"All pictures in {album}/ and the folders below it")).to_be_visible()
    page.get_by_role("combobox", name="Encoder").click()
    page.get_by_role("option", name="Built-in").click()
    page.get_by_role("button", name="Create and index").click()
    expect(page.get_by_text("Indexing: done")).to_be_visible(timeout=120_000)

    # Words.
    page.get_by_role("link", name="Search these pictures").click()
    box = page.get_by_label("Search", exact=True)
    expect(page.locator(".card")).to_have_count(9)
    box.fill("a cat")
    box.press("Enter")
    expect(page.locator(".card").first).to_contain_text("chelsea.png", timeout=60_000)

    # A picture instead, from this machine.
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("9 pictures", exact=True)).to_be_visible()  # Until then the uploader is the one of the cat.
    page.locator("input[type=file]").set_input_files(photo_files[7])
    expect(page.locator(".card").first).to_contain_text("flower.jpg")

    # More like another of the hits, from the keyboard; the address says so, and is enough for another tab.
    page.locator(".card", has_text="china").first.focus()  # One for both copies.
    page.keyboard.press("m")
    page.wait_for_url("**more=**")
    expect(page.locator(".card").first).to_contain_text("china")
    again = visit(**dict(parse_qsl(urlsplit(page.url).query)))
    expect(again.locator(".card").first).to_contain_text("china")

    # One of two copies goes into the trash, and comes back.
    page.get_by_role("link", name="Duplicates").click()
    page.get_by_role("button", name="Find duplicates").click()
    expect(page.get_by_role("listbox", name="Group 1 of 1", exact=True)).to_be_visible(timeout=60_000)
    wait_until_idle(page)
    page.keyboard.press("k")
    expect(page.get_by_text("1 of 1 group decided")).to_be_visible()
    page.get_by_role("radio", name="Clean up").click()
    page.get_by_role("button", name="Move 1 file to the trash").click()
    page.get_by_role("dialog").get_by_role("button", name="Move 1 file to the trash").click()
    expect(page.get_by_text("✓ 1 file moved to the trash")).to_be_visible()
    assert len(list(album.glob("china*"))) == 1
    page.get_by_role("radio", name="Restore").click()
    page.get_by_role("button", name="Restore…").click()
    page.get_by_role("dialog").get_by_role("button", name="Restore 1 file").click()
    expect(page.get_by_text("✓ 1 file restored.")).to_be_visible()
    assert len(list(album.glob("china*"))) == 2


def test_demo_photos_are_searched_while_they_are_indexed(visit: Visit) -> None:
    """One button; pictures appear by themselves, and the page counts as many as the top bar."""
    page = visit()
    page.get_by_role("button", name="Try it with demo photos").click()
    expect(page.get_by_role("button", name="Collection demo, 19 pictures")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("19 pictures", exact=True)).to_be_visible()
    expect(page.locator(".card")).to_have_count(19)
    page.get_by_label("Search", exact=True).fill("a cat")
    page.get_by_label("Search", exact=True).press("Enter")
    expect(page.locator(".card").first).to_contain_text("chelsea.png")


#: The focused element, within shadow roots too, as somebody hears it: its name, or what it says.
_FOCUSED = """() => {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at?.getAttribute("aria-label") || at?.labels?.[0]?.textContent || at?.textContent || "";
}"""


def _tab_to(page: Any, name: str) -> None:
    """Press Tab until an element of this name has the focus."""
    seen = []
    for _ in range(120):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(_FOCUSED)[:40])
        if re.search(name, seen[-1]):
            return
    raise AssertionError(f"no Tab leads to {name}, but to {seen}")


@pytest.mark.long
def test_the_keyboard_alone_is_enough(visit: Visit, album: Path) -> None:
    """From an empty library to an album, a comparison, and a copy in the trash and back."""
    page = visit()
    expect(page.get_by_text("Which pictures do you want to search?")).to_be_visible()
    expect(page.get_by_label("Folder with pictures")).to_be_visible()
    _tab_to(page, "^Folder with pictures")
    page.keyboard.type(f"{album}/")
    expect(page.get_by_role("button", name="Index this folder")).to_be_enabled()
    _tab_to(page, "^Index this folder$")
    page.keyboard.press("Enter")
    cards = page.locator(".card")
    expect(cards).to_have_count(9, timeout=120_000)
    expect(page.get_by_text("9 pictures", exact=True)).to_be_visible()

    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.type("a cat")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=a+cat**")
    expect(cards.first).to_contain_text("chelsea.png", timeout=60_000)
    _tab_to(page, "^chelsea.png")
    page.keyboard.press("Enter")
    large = page.locator("dialog.large[open]")
    expect(large.locator(".path")).to_contain_text("chelsea.png")
    page.keyboard.press("5")
    expect(large.get_by_role("button", name="5 stars (5)")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("+")
    page.keyboard.press("Escape")
    expect(cards.first).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.get_by_text("2 selected")).to_be_visible()
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("c")
    expect(page.locator("dialog.sides[open] .pane")).to_have_count(2)
    page.keyboard.press("Escape")
    _tab_to(page, "^Album ▾")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name of a new album")).to_be_focused()
    page.keyboard.type("Cats")
    page.keyboard.press("Enter")
    expect(page.locator(".imseek-changes")).to_contain_text("Album “Cats” created with 2 pictures")

    page.keyboard.press("Control+z")
    expect(page.locator(".imseek-changes")).to_contain_text("Undone")
    _tab_to(page, "Duplicates$")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Find duplicates")).to_be_visible()
    _tab_to(page, "^Find duplicates$")
    page.keyboard.press("Enter")
    expect(page.get_by_role("listbox", name="Group 1 of 1", exact=True)).to_be_visible(timeout=60_000)
    page.keyboard.press("k")
    expect(page.get_by_text("1 of 1 group decided")).to_be_visible()
    for part, act, end in (
        ("Clean up", "Move 1 file to the trash", "✓ 1 file moved to the trash"),
        ("Restore", "Restore…", "✓ 1 file restored."),
    ):
        _tab_to(page, "^(One by one|Clean up|Review|Restore|All groups)")
        for _ in range(6):
            if page.evaluate(_FOCUSED).startswith(part):
                break
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")
        expect(page.get_by_role("button", name=act)).to_be_visible()
        _tab_to(page, f"^{act}")
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        _tab_to(page, "^(Move|Restore) 1 file")
        page.keyboard.press("Enter")
        expect(page.get_by_text(end)).to_be_visible()
    assert len(list(album.glob("china*"))) == 2

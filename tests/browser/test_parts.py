"""Parts of pages in forms that the page of searches has not: see tests/browsing/parts_page.py."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import HOSTILE, Pages, Visit, pages, visits
from playwright.sync_api import expect

import imseek
from imseek.ui.web.plain_text import one_line

LARGE = "dialog.large[open]"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``photos``: eight photographs; the reddest is chelsea.png."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "collections").mkdir()
    with imseek.create(folder / "collections" / "photos", encoder="fake") as collection:
        collection.index(names=photo_files)
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, home: Path, browser: Any) -> Iterator[Pages]:
    tests = str(Path(__file__).parents[1])
    program = ("-c", f"import sys; sys.path.append({tests!r}); from browsing.parts_page import main; main()")
    with pages(tmp_path_factory.mktemp("parts"), home, program=program) as running:
        yield running


@pytest.fixture
def part(browser: Any, parts: Pages) -> Iterator[Visit]:
    with visits(browser, parts) as opens:
        yield lambda part, collection="photos": opens(part=part, c=collection)


@pytest.mark.long
def test_what_is_beyond_the_cutoff_is_faint_below_a_line(part: Visit) -> None:
    page = part("rule")
    expect(page.get_by_role("separator")).to_have_text("less relevant from here")
    expect(page.locator(".card.faint")).to_have_count(5)
    parts = page.locator(".grid :is(.card, .rule)").evaluate_all(
        """all => all.map(one => [one.getBoundingClientRect().top, one.className.split(' ').at(-1)])
          .sort((a, b) => a[0] - b[0])"""
    )
    assert [kind for _, kind in parts] == ["card"] * 3 + ["rule"] + ["faint"] * 5
    page.locator(".card").nth(1).focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card").nth(4)).to_be_focused()  # The row above ends after three.
    page.keyboard.press("ArrowUp")
    expect(page.locator(".card").nth(1)).to_be_focused()


@pytest.mark.long
def test_groups_have_headings_and_are_selected_as_a_whole(part: Visit) -> None:
    page = part("groups")
    expect(page.locator(".heading")).to_have_count(2)
    expect(page.locator(".heading").first).to_contain_text("/one/**bold**")
    expect(page.locator(".heading").first).to_contain_text("3 of 9 pictures")
    expect(page.locator(".heading").last).to_contain_text("Unknown")
    page.locator(".heading").first.get_by_role("button").click()
    expect(page.get_by_role("toolbar", name="Selected pictures")).to_contain_text("3 selected")


@pytest.mark.long
def test_letters_ask_for_more_and_less(part: Visit) -> None:
    page = part("letters")
    page.locator(".card").first.focus()
    page.keyboard.press("m")
    expect(page.get_by_text(re.compile(r"like \d+ True"))).to_be_visible()
    page.keyboard.press("l")
    expect(page.get_by_text(re.compile(r"like \d+ False"))).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("less like this one")


def test_a_picture_leads_to_those_that_it_stands_for(part: Visit) -> None:
    page = part("collapsed")
    expect(page.get_by_role("listbox")).to_have_count(2)
    card = page.locator(".card").first
    expect(card.locator(".mark")).to_have_text("+2")
    card.click()
    large = page.locator(LARGE).first
    same = large.get_by_role("button", name="Show this one")
    expect(same).to_have_count(2)
    ids = same.locator("img").evaluate_all("all => all.map(one => one.src.match(/images.(\\d+)/)[1])")
    same.last.click()
    expect(large).to_contain_text("A duplicate of chelsea.png")
    expect(large.locator(".path")).not_to_contain_text("chelsea.png")
    expect(same).to_have_count(2)  # The first one, and the other duplicate.
    page.keyboard.press("m")
    expect(page.get_by_text(f"like {ids[1]} True")).to_be_visible()


@pytest.mark.long
def test_a_picture_is_opened_in_another_tab_where_no_viewer_can_be(part: Visit) -> None:
    page = part("rule")
    page.locator(".card").first.focus()
    with page.context.expect_page() as opened:
        page.keyboard.press("o")
    expect(opened.value).to_have_url(re.compile(r"/pictures/photos/images/\d+$"))
    assert opened.value.evaluate("document.images[0].naturalWidth") == 451


@pytest.mark.long
def test_a_page_shows_one_large(part: Visit) -> None:
    page = part("viewer")
    page.get_by_role("button", name="Show one").click()
    expect(page.locator(LARGE)).to_contain_text("1 of 1")
    page.keyboard.press("Escape")
    expect(page.locator(LARGE)).to_have_count(0)
    page.get_by_role("button", name="Show one").click()
    expect(page.locator(LARGE)).to_contain_text("1 of 1")
    expect(page.get_by_role("button", name="Less like this")).to_have_count(0)  # Of what?
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile(r"/\?c=photos&like=id:\d+"))


@pytest.mark.long
def test_pictures_without_a_grid_are_taken_along(part: Visit) -> None:
    page = part("offer")
    expect(page.get_by_role("toolbar")).to_contain_text("8 pictures")
    with page.expect_download() as zipped:
        page.get_by_role("link", name="Zip").click()
    with zipfile.ZipFile(zipped.value.path()) as made:
        assert len(made.namelist()) == 8


def test_labels_are_no_markdown(part: Visit) -> None:
    page = part("labels")
    for n, text in enumerate(HOSTILE):
        label = page.locator(f".st-key-label-{n} button")
        expect(label).to_be_visible()
        assert label.text_content().replace("​", "") == one_line(text.strip())
    made = "a, strong, em, code, img, del, h1, li, .katex, [data-testid=stIconMaterial]"
    expect(page.locator(f"[data-testid=stMain] :is({made}):not(.st-key-shell *)")).to_have_count(0)

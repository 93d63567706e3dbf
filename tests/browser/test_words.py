"""Words beside pictures and in them, on the pages: suggestions, why a picture was found, and the text that it shows."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages, Visit, pages
from playwright.sync_api import expect
from xmp import annotations

import imseek
from imseek.data.writing.writer import Writer
from imseek.ocr import text_store
from imseek.ocr.results import TextLine

HOSTILE = "<script>document.title = 'hacked'</script>"


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path], browser: Any) -> Iterator[Pages]:
    """Eight photographs, one of which has a caption, keywords, tags, and text of two lines."""
    home = tmp_path_factory.mktemp("library")
    folder = home / "pictures"
    folder.mkdir()
    for file in photo_files:
        shutil.copy(file, folder)
    (folder / "coffee.png.xmp").write_bytes(
        annotations("Breakfast table", HOSTILE, caption=f"A harbour, and {HOSTILE} coffee", rating=4)
    )
    root = home / "collections" / "photos"
    root.parent.mkdir()
    with imseek.create(root, encoder="builtin") as collection:
        collection.index([folder])
        (image_id,) = (hit.image_id for hit in collection.search("coffee") if "coffee.png" in (hit.path or ""))
    with Writer(root, "test") as writer:
        text_store.begin(writer, "none 1")
        lines = [
            TextLine(0.1, 0.2, 0.5, 0.1, 0.9, f"Harbour {HOSTILE}"),
            TextLine(0.1, 0.5, 0.4, 0.1, 0.9, "Total: 17"),
        ]
        text_store.store(writer, {image_id: lines})
    imseek.tags.add(root, "best of 2024", [image_id])
    with pages(tmp_path_factory.mktemp("ui"), home) as running:
        yield running


def _box(page: Any) -> Any:
    return page.get_by_label("Search", exact=True)


def _ready(visit: Visit, **options: Any) -> Any:
    page = visit(c="photos", **options)
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator("#search-suggestion-list")).to_be_attached()
    return page


def _options(page: Any) -> Any:
    return page.locator("#search-suggestion-list").get_by_role("option")


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (400, True)])
def test_from_a_suggestion_to_the_text_of_a_picture(visit: Visit, width: int, dark: bool) -> None:
    page = _ready(visit, width=width, dark=dark)
    box = _box(page)
    box.click()
    page.keyboard.type("harb")
    expect(_options(page)).to_have_text(["harbour"])
    expect(box).to_have_attribute("role", "combobox")
    expect(box).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "search-suggestion-0")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=harbour**")
    expect(box).to_have_value("harbour")
    expect(box).to_have_attribute("aria-expanded", "false")
    first = page.locator(".card").first
    expect(first).to_contain_text("coffee.png")
    expect(first.locator(".why")).to_contain_text(f"caption A harbour, and {HOSTILE} coffee")
    expect(first.locator(".why mark")).to_have_text(["harbour", "Harbour"])
    first.locator("img").click()
    text = page.locator(".written")
    expect(text).to_have_text(f"Harbour {HOSTILE}Total: 17")
    expect(text.locator("mark")).to_have_text(["Harbour"])
    expect(page.locator("dialog.large .reason")).to_have_count(2)
    expect(page.get_by_text("★★★★☆")).to_be_attached()
    # One frame, of the line with the word, over the shown picture.
    frame, picture = page.locator("dialog.large .shown .framed"), page.locator("dialog.large .frame img")
    expect(frame).to_have_count(1)
    expect(frame).to_be_visible()
    page.wait_for_function("one => one.naturalWidth > 0", arg=picture.element_handle())
    shown, around = frame.bounding_box(), picture.bounding_box()
    natural = picture.evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
    scale = min(1, around["width"] / natural[0], around["height"] / natural[1])
    left = around["x"] + (around["width"] - natural[0] * scale) / 2 + 0.1 * natural[0] * scale
    top = around["y"] + (around["height"] - natural[1] * scale) / 2 + 0.2 * natural[1] * scale
    assert shown["x"] == pytest.approx(left, abs=8)
    assert shown["y"] == pytest.approx(top, abs=8)
    assert shown["width"] == pytest.approx(0.5 * natural[0] * scale, abs=8)
    toggle = page.get_by_role("button", name="Frames")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("t")
    expect(frame).to_have_count(0)
    toggle.click()
    expect(frame).to_be_visible()
    # The words are selected where they stand in the picture, too.
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    letters = page.locator("dialog.large .letters").last
    width, line = letters.bounding_box()["width"], letters.locator("..").bounding_box()["width"]
    assert width == pytest.approx(line, rel=0.03)
    letters.click(click_count=3)
    page.keyboard.press("Control+c")
    assert page.evaluate("navigator.clipboard.readText()").strip() == "Total: 17"
    # It can be selected and copied.
    text.locator("div").nth(1).click(click_count=3)
    assert page.evaluate("document.getSelection().type") == "Range"
    page.get_by_role("button", name="Copy text").click()
    expect(page.locator("dialog.large .said")).to_have_text("Copied.")
    assert page.title() == "photos · imseek"


def test_suggestions_by_mouse_by_keys_and_none(visit: Visit) -> None:
    page = _ready(visit)
    box = _box(page)
    box.click()
    page.keyboard.type("a red br")
    expect(_options(page)).to_have_text(["a red Breakfast tablekeyword"])
    page.keyboard.press("Escape")
    expect(_options(page).first).to_be_hidden()
    page.keyboard.press("ArrowDown")
    expect(_options(page).first).to_be_visible()
    page.keyboard.press("ArrowUp")
    expect(_options(page).first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    expect(_options(page).first).to_have_attribute("aria-selected", "false")
    box.fill("scr")
    expect(_options(page)).to_have_text(["script", f"{HOSTILE}keyword"])
    # Enter without a choice searches for what stands there.
    box.fill("be")
    expect(_options(page)).to_have_text(["best of 2024tag, as a filter"])
    box.press("Enter")
    page.wait_for_url("**q=be")
    expect(_options(page).first).to_be_hidden()
    box.fill("best")
    _options(page).first.click()
    expect(page.locator(".chip")).to_have_text(["onlytag: best of 2024✕"])
    expect(box).to_have_value("be")
    expect(page.locator(".card")).to_have_count(1)
    box.fill("")
    box.press("Enter")
    expect(_options(page).first).to_be_hidden()
    assert page.title() == "photos · imseek"


def test_filters_by_text_and_keyword(visit: Visit) -> None:
    """The rail: a choice is a chip, in the address, and changes the numbers of the others."""
    page = _ready(visit)
    rail = page.get_by_role("region", name="Filters", exact=True)
    expect(rail).to_be_visible()
    rail.get_by_role("button", name="Text in the picture", exact=True).click()
    box = rail.get_by_role("checkbox", name="With text 1", exact=True)
    box.focus()
    page.keyboard.press("Space")
    page.wait_for_url("**has_text+IS+TRUE**")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".chip")).to_have_text(["onlyhas text✕"])
    expect(box).to_be_focused()
    rail.get_by_role("button", name="Shape", exact=True).click()
    expect(rail.get_by_role("checkbox", name="Landscape")).to_have_accessible_name("Landscape 1")
    rail.get_by_role("button", name="Clear all", exact=True).click()
    expect(page.locator(".card")).to_have_count(8)
    rail.get_by_role("checkbox", name="Breakfast table 1").click()
    page.wait_for_url("**Breakfast+table**")
    expect(page.locator(".card")).to_have_count(1)
    expect(rail.get_by_role("checkbox", name=HOSTILE)).to_be_visible()
    page.get_by_role("button", name="Filters 1 chosen").click()
    expect(rail).to_be_hidden()
    page.reload()
    expect(page.get_by_role("button", name="Filters 1 chosen")).to_be_visible()
    expect(rail).to_be_hidden()
    page.get_by_role("button", name="Filters 1 chosen").click()  # As it was found.
    expect(rail).to_be_visible()


def test_filters_on_phones_are_a_sheet(visit: Visit) -> None:
    page = _ready(visit, width=400)
    opener = page.get_by_role("button", name="Filters", exact=True)
    opener.click()
    sheet = page.get_by_role("dialog", name="Filters", exact=True)
    expect(sheet.locator(".imseek-changes")).to_be_attached()  # What is said is not hidden behind it.
    sheet.get_by_role("checkbox", name="★★★★ or more 1").click()
    page.wait_for_url("**rating+%3E%3D+4**")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_role("button", name="Filters 1 chosen")).to_be_focused()

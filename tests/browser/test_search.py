"""The page of searches, as it is used: words, pictures, pieces, filters, options, pages, earlier searches."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import Visit
from playwright.sync_api import expect

import imseek
from imseek.ui.web import search_state

#: Gives the page a file, as a paste or a drop does.
GIVE = """([kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type }));
  const init = { bubbles: true, cancelable: true };
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { ...init, clipboardData: carried })
    : new DragEvent("drop", { ...init, dataTransfer: carried });
  document.body.dispatchEvent(event);
}"""


def _asked(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def _box(page: Any) -> Any:
    return page.get_by_label("Search", exact=True)


def _uploader(page: Any) -> Any:
    found = page.locator("input[type=file]")
    expect(found).to_have_count(1)  # The one before is there until the run is over.
    return found


def _give(page: Any, how: str, data: str) -> None:
    expect(page.locator(".veil")).to_be_attached()
    expect(_uploader(page)).to_be_attached()
    page.evaluate(GIVE, [how, "china.jpg", "image/jpeg", data])


def _first(page: Any, name: str) -> None:
    expect(page.locator(".card").first).to_contain_text(name)


def _chips(page: Any, *texts: str | re.Pattern[str]) -> None:
    expect(page.locator(".chip")).to_have_count(len(texts))
    for n, text in enumerate(texts):
        expect(page.locator(".chip").nth(n)).to_contain_text(text)


def test_words_back_and_small_knobs(visit: Visit) -> None:
    page = visit(c="photos")
    expect(page.get_by_text("8 pictures", exact=True)).to_be_visible()
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator(".veil")).to_be_attached()
    # Its script is fetched by itself, and may come after all the others.
    expect(_box(page)).to_be_visible()
    page.keyboard.press("/")
    expect(_box(page)).to_be_focused()
    page.keyboard.type("a cat")
    page.keyboard.press("Enter")
    _first(page, "chelsea.png")
    _box(page).fill("a rocket")
    _box(page).press("Enter")
    _first(page, "rocket.jpg")
    assert _asked(page) == {"c": ["photos"], "q": ["a rocket"]}
    entries = page.evaluate("history.length")
    page.get_by_role("button", name="Options").click()
    page.get_by_text("Collapse near-duplicates").click()
    page.wait_for_url("**collapse=off**")
    page.get_by_text("Exact search").click()
    page.wait_for_url("**exact=on**")
    assert page.evaluate("history.length") == entries
    page.go_back()
    _first(page, "chelsea.png")
    expect(_box(page)).to_have_value("a cat")
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.get_by_text("8 pictures", exact=True)).to_be_visible()
    assert _asked(page) == {"c": ["photos"]}


@pytest.mark.long
def test_a_picture_with_words_pasted_and_dropped(visit: Visit, tmp_path: Path, photo_files: list[Path]) -> None:
    page = visit(c="photos")
    expect(page.locator(".card")).to_have_count(8)
    _uploader(page).set_input_files(photo_files[7])  # flower.jpg
    _first(page, "flower.jpg")
    _chips(page, "your picture")
    (said,) = _asked(page)["like"]
    _box(page).fill("a cat")
    _box(page).press("Enter")
    _chips(page, "a cat", "your picture")
    other = visit(**{name: values[0] for name, values in _asked(page).items()})
    _chips(other, "a cat", "your picture")  # The link is enough.
    assert _asked(other)["like"] == [said]
    other.locator(".chip").nth(1).get_by_role("button", name="Remove").click()
    _first(other, "chelsea.png")
    data = base64.b64encode(photo_files[6].read_bytes()).decode()
    _give(other, "paste", data)
    _chips(other, "a cat", "your picture")
    other.get_by_role("button", name="Clear", exact=True).click()
    expect(other.locator(".chip")).to_have_count(0)
    _give(other, "drop", data)
    _first(other, "china.jpg")
    bad = tmp_path / "broken.png"
    bad.write_bytes(photo_files[0].read_bytes()[:300])
    _uploader(other).set_input_files(bad)
    expect(other.get_by_text("Cannot search with broken.png")).to_be_visible()
    _first(other, "china.jpg")


@pytest.mark.long
def test_pieces_are_weighed_turned_round_and_removed(visit: Visit) -> None:
    page = visit(c="photos", q="a cat")
    _first(page, "chelsea.png")
    page.get_by_role("button", name="Add or exclude").click()
    page.get_by_label("Add", exact=True).fill("2:a rocket")
    page.get_by_label("Add", exact=True).press("Enter")
    _chips(page, "a cat", "a rocket")
    page.get_by_label("Exclude", exact=True).fill("coffee")
    page.get_by_label("Exclude", exact=True).press("Enter")
    _chips(page, "a cat", "a rocket", re.compile("not.*coffee"))
    page.keyboard.press("Escape")
    weight = page.get_by_label("Weight of a cat")
    weight.fill("0.1")
    weight.press("Enter")
    page.wait_for_url("**q=0.1**")
    _first(page, "rocket.jpg")
    assert _asked(page) | {"c": []} == {"c": [], "q": ["0.1:a cat", "2:a rocket"], "not": ["coffee"]}
    page.locator(".chip").nth(1).get_by_role("button", name="Exclude this instead").click()
    _first(page, "chelsea.png")
    assert _asked(page)["not"] == ["coffee", "2:a rocket"]
    page.get_by_role("button", name="Remove coffee").click()
    _chips(page, "a cat", "a rocket")
    _box(page).fill("")
    _box(page).press("Enter")
    expect(page.get_by_text("add words or a picture to find")).to_be_visible()


@pytest.mark.long
def test_filters_without_and_with_sql(visit: Visit) -> None:
    page = visit(c="photos", q="a cat")
    _first(page, "chelsea.png")
    page.get_by_role("button", name="Format", exact=True).click()
    page.get_by_role("checkbox", name="JPEG 3").click()
    _chips(page, "format: JPEG")
    expect(page.locator(".card")).to_have_count(3)
    sizes = page.get_by_role("radio", name="Large", exact=True)
    expect(sizes).to_have_count(1)
    page.get_by_role("button", name="More filters").click()
    condition = page.get_by_role("textbox", name="Only pictures where")
    expect(condition).to_have_value("format IN ('JPEG')")
    condition.fill("widht > 500")
    condition.press("Control+Enter")
    expect(page.get_by_text("No column 'widht'")).to_be_visible()
    expect(page.get_by_text("Did you mean width?")).to_be_visible()
    condition.fill("width > 1e9")
    condition.press("Control+Enter")
    expect(page.get_by_text("Nothing found")).to_be_visible()
    note, found = (page.locator(name).bounding_box() for name in (".st-key-search-notes", ".st-key-search-nothing h3"))
    assert note is not None
    assert found is not None
    assert note["y"] + note["height"] <= found["y"], "a note lies over what is said"
    expect(sizes).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear filters").click()
    _first(page, "chelsea.png")


@pytest.mark.long
def test_filters_alone_show_what_they_let_through(visit: Visit) -> None:
    page = visit(c="photos", where="format = 'JPEG'")
    expect(page.get_by_text("3 pictures", exact=True)).to_be_visible()
    expect(page.locator(".card")).to_have_count(3)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".card")).to_have_count(8)
    other = visit(c="photos", where="width < 1")
    expect(other.get_by_text("No pictures match these conditions")).to_be_visible()
    bad = visit(c="photos", where="width <")
    expect(bad.get_by_text(re.compile("^⚠️ "))).to_be_visible()
    bad.get_by_role("button", name="Remove").click()
    expect(bad.locator(".card")).to_have_count(8)


@pytest.mark.long
def test_more_like_this_earlier_and_saved(visit: Visit) -> None:
    page = visit(c="photos", q="a rocket")
    _first(page, "rocket.jpg")
    page.locator(".card").nth(1).focus()
    page.keyboard.press("l")
    _chips(page, "less like")
    assert len(_asked(page)["less"]) == 1
    page.get_by_role("button", name="Less like this instead").or_(
        page.get_by_role("button", name="More like this instead")
    ).click()
    page.wait_for_url("**more=**")
    page.get_by_role("button", name="History").click()
    page.get_by_label("Save this search as").fill("*rockets* ![x](http://stranger.example/a.png)")
    page.get_by_label("Save this search as").press("Enter")
    page.get_by_label("Saved").click()
    page.get_by_text("*rockets* ![x](http://stranger.example/a.png)").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_label("Saved")).to_have_count(0)
    page.get_by_role("button", name="a rocket", exact=True).click()
    expect(page.locator(".chip")).to_have_count(0)
    assert _asked(page) == {"c": ["photos"], "q": ["a rocket"]}


@pytest.mark.long
def test_an_address_of_a_page_of_hits_leads_there_and_to_the_first(visit: Visit, home: Path) -> None:
    asked = search_state.text_search("a cat").with_changes(limit=3, cutoff=False)
    with imseek.open(home / "collections" / "photos") as collection:  # A token is that of all options but the limit.
        token = collection.search(asked.query(lambda _: b"")).next_page
    assert token is not None
    page = visit(c="photos", q="a cat", n="3", cutoff="off", page=token)
    expect(page.locator(".card")).to_have_count(5)
    page.get_by_role("button", name="Show from the first picture on").click()
    expect(page.locator(".card")).to_have_count(8)
    _first(page, "chelsea.png")
    page.goto(re.sub("[?]", "?page=AAAA&", page.url))
    expect(page.get_by_text("start again from the first page")).to_be_visible()


HOSTILE = "<img src=x onerror=alert(1)> ![x](http://stranger.example/a.png) **b** $x$ :material/home:"


@pytest.mark.sample(width=1)
@pytest.mark.parametrize("width", [400, 2500])
def test_whatever_stands_in_an_address_is_text(visit: Visit, width: int) -> None:
    page = visit(c="photos", q=HOSTILE, like="id:999999", where="tag('" + HOSTILE + "')", by=HOSTILE, width=width)
    expect(_box(page)).to_have_value(HOSTILE)
    expect(page.get_by_text("cannot be read: by=<img")).to_be_visible()
    _chips(page, HOSTILE, "picture 999999", HOSTILE)
    expect(page.get_by_text("999999").last).to_be_visible()
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

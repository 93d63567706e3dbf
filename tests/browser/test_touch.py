"""Fingers on a screen of 400 pixels: selecting, what can be done with a selection, and one picture large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages, visits
from playwright.sync_api import expect

import imseek

LARGE = "dialog.large[open]"


@pytest.fixture(scope="module")
def home(shared_home: Path, photo_files: list[Path]) -> Path:
    path = shared_home / "collections" / "touched"
    if not path.exists():
        with imseek.create(path, encoder="fake") as collection:
            collection.index(names=photo_files)
    return shared_home


@pytest.fixture
def phone(browser: Any, ui: Pages) -> Iterator[Any]:
    with visits(browser, ui, has_touch=True, is_mobile=True) as opens:
        page = opens(c="touched", q="red")
        page.set_viewport_size({"width": 400, "height": 800})
        expect(page.locator(".card")).to_have_count(8)
        yield page


def test_pictures_are_selected_and_put_into_an_album(phone: Any, home: Path) -> None:
    cards = phone.locator(".card")
    for n in range(2):
        cards.nth(n).locator(".tick").tap()
    bar = phone.get_by_role("toolbar", name="Selected pictures")
    expect(bar).to_contain_text("2 selected")
    box = bar.bounding_box()
    pages = phone.locator(".st-key-shell-pages").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 400
    assert box["y"] + box["height"] <= pages["y"]  # The links to the pages stay free.
    for name in ("Clear", "Compare", "Album", "Copy paths"):
        button = bar.get_by_role("button", name=name).first
        button.scroll_into_view_if_needed()
        assert min(button.bounding_box()[side] for side in ("width", "height")) >= 32
    bar.get_by_role("button", name="Album").tap()
    phone.get_by_label("Name of a new album").fill("by hand")
    phone.get_by_role("button", name="Create").tap()
    toast = phone.locator(".imseek-changes")
    expect(toast).to_contain_text("Album “by hand” created with 2 pictures")
    toast.get_by_role("button", name="Undo").tap()
    expect(toast).to_contain_text("Undone")
    assert imseek.albums.every(home / "collections" / "touched") == ()
    bar.get_by_role("button", name="Compare").tap()
    expect(phone.locator("dialog.sides[open] .pane")).to_have_count(2)
    phone.locator("dialog.sides[open]").get_by_role("button", name="Close").tap()
    bar.get_by_role("button", name="Clear").tap()
    expect(bar).to_have_count(0)


def test_a_picture_is_pinched_moved_and_put_back(phone: Any) -> None:
    phone.locator(".card").first.tap()
    large = phone.locator(LARGE)
    expect(large.locator(".path")).to_be_attached()
    canvas = large.locator(".canvas")
    fitted = canvas.bounding_box()
    touch = phone.context.new_cdp_session(phone)
    x, y = fitted["x"] + fitted["width"] / 2, fitted["y"] + fitted["height"] / 2

    def fingers(kind: str, *at: tuple[float, float]) -> None:
        points = [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(at)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", (x - 40, y), (x + 40, y))
    for far in (60, 80, 100, 120):
        fingers("touchMove", (x - far, y), (x + far, y))
    fingers("touchEnd")
    larger = canvas.bounding_box()
    assert larger["width"] == pytest.approx(3 * fitted["width"], rel=0.05)
    fingers("touchStart", (x, y))
    for by in (20, 40, 60):
        fingers("touchMove", (x + by, y + by / 2))
    fingers("touchEnd")
    moved = canvas.bounding_box()
    assert moved["x"] - larger["x"] == pytest.approx(60, abs=25)  # The first pixels decide what a gesture is.
    expect(large).to_contain_text("1 of 8")  # An enlarged picture is moved, not left.
    fingers("touchStart", (x - 150, y), (x + 150, y))
    for far in (100, 60, 30, 20):
        fingers("touchMove", (x - far, y), (x + far, y))
    fingers("touchEnd")
    assert canvas.bounding_box()["width"] == pytest.approx(fitted["width"], abs=1)
    fingers("touchStart", (300, y))
    for to in (240, 180, 120):
        fingers("touchMove", (to, y + 4))
    fingers("touchEnd")
    expect(large).to_contain_text("2 of 8")

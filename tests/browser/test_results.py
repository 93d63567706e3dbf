"""Pictures that were found: the grid, one of them large."""

from __future__ import annotations

from browsing import Visit
from playwright.sync_api import expect


def test_a_picture_is_shown_large_and_arrows_lead_on(visit: Visit) -> None:
    page = visit(c="photos", q="a cat")
    first = page.locator(".card").first
    first.click()
    large = page.get_by_role("dialog", name="One picture large")
    expect(large.get_by_role("img")).to_have_js_property("complete", True)
    expect(large).to_contain_text("chelsea.png")
    expect(large).to_contain_text("1 of 8")
    page.keyboard.press("ArrowRight")
    expect(large).to_contain_text("2 of 8")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(first).to_be_focused()

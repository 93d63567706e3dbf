"""The frame of the pages: logging in, choosing a collection, the end."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages, Visit, pages
from playwright.sync_api import expect


def test_words_in_the_address_find_pictures(visit: Visit) -> None:
    page = visit(c="photos", q="a cat")
    expect(page.locator(".card").first).to_contain_text("chelsea.png")
    assert "token" not in page.url


@pytest.mark.sample(width=1)
@pytest.mark.parametrize("width", [400, 1400, 2500])
def test_nothing_is_wider_than_the_window(visit: Visit, width: int) -> None:
    page = visit(c="photos", q="a cat", width=width)
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_without_the_token_there_is_only_a_form(browser: Any, ui: Pages) -> None:
    page = browser.new_page()
    page.goto(ui.url + "/duplicates?c=photos")
    expect(page.get_by_text("You are not logged in.")).to_be_visible()
    page.get_by_label("Token").fill("something else")
    page.get_by_role("button").click()
    expect(page.get_by_text("That is not the token.")).to_be_visible()
    page.get_by_label("Token").fill(ui.entrance.partition("token=")[2])
    page.get_by_role("button").click()
    expect(page.get_by_label("Search", exact=True)).to_be_visible()
    page.close()


@pytest.mark.parametrize("path", ["/pictures/photos/images/1", "/_stcore/metrics", "/login"])
def test_nothing_is_had_without_the_token(ui: Pages, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(ui.url + path)
    refused.value.close()
    assert refused.value.code == 401


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Host": "rebound.example"}, 421), ({"Origin": "http://elsewhere.example"}, 403)],
)
def test_strangers_are_refused_whatever_they_bring(ui: Pages, headers: dict[str, str], code: int) -> None:
    token = ui.entrance.partition("token=")[2]
    asked = urllib.request.Request(ui.url + "/", headers={"Cookie": f"imseek={token}", **headers})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)
    refused.value.close()
    assert refused.value.code == code


@pytest.mark.sample(sig=1)
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_though_a_page_is_open(browser: Any, tmp_path: Path, home: Path, sig: int) -> None:
    with pages(tmp_path, home) as running:
        page = browser.new_page()
        page.goto(running.at(c="photos", q="a cat"))
        expect(page.locator(".card").first).to_be_visible()
        assert running.end(sig) == 128 + sig
        page.close()

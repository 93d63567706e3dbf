"""One picture large: enlarged and moved, its neighbours and similar ones beside it, its keys."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import Visit
from playwright.sync_api import expect

LARGE = "dialog.large[open]"


def _open(visit: Visit, **options: Any) -> Any:
    page = visit(c="photos", q="a cat", cutoff="off", **options)
    page.locator(".card").first.click()
    expect(page.locator(f"{LARGE} .path")).to_be_visible()
    return page


def _box(page: Any) -> Any:
    return page.locator(f"{LARGE} .canvas").bounding_box()


def test_a_picture_is_enlarged_about_the_point_and_moved(visit: Visit) -> None:
    page = _open(visit)
    fitted = _box(page)
    assert fitted["width"] == pytest.approx(451, abs=1)  # Nothing is enlarged by itself.
    x, y = fitted["x"] + 240, fitted["y"] + 140
    page.mouse.move(x, y)
    page.mouse.wheel(0, -800)
    page.wait_for_function(f"box => document && box.getBoundingClientRect().width > {fitted['width'] * 3}",
                           arg=page.locator(f"{LARGE} .canvas").element_handle())  # fmt: skip
    larger = _box(page)
    factor = larger["width"] / fitted["width"]
    assert larger["x"] + 240 * factor == pytest.approx(x, abs=2)
    assert larger["y"] + 140 * factor == pytest.approx(y, abs=2)
    page.mouse.down()
    page.mouse.move(x + 60, y + 40, steps=4)
    page.mouse.up()
    moved = _box(page)
    assert moved["x"] - larger["x"] == pytest.approx(60, abs=2)
    assert moved["y"] - larger["y"] == pytest.approx(40, abs=2)
    page.mouse.dblclick(x, y)
    assert _box(page) == pytest.approx(fitted, abs=1)
    page.mouse.dblclick(x, y)
    assert _box(page)["width"] > 1.9 * fitted["width"]
    page.keyboard.press("0")
    assert _box(page) == pytest.approx(fitted, abs=1)
    page.keyboard.press("+")
    assert _box(page)["width"] == pytest.approx(1.5 * fitted["width"], abs=2)
    page.keyboard.press("ArrowRight")  # Moves it, if it is wider than its frame; else the next one would be shown.
    expect(page.locator(LARGE)).to_contain_text("1 of 8")


@pytest.mark.long
def test_two_fingers_enlarge(visit: Visit) -> None:
    page = _open(visit)
    before = _box(page)
    page.locator(f"{LARGE} .frame").evaluate(
        """frame => {
          const box = frame.getBoundingClientRect();
          const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
          const point = (type, pointerId, by) => frame.dispatchEvent(new PointerEvent(type, {
            pointerId, pointerType: "touch", bubbles: true, clientX: x + by, clientY: y }));
          frame.setPointerCapture = () => {};
          point("pointerdown", 11, -50); point("pointerdown", 12, 50);
          point("pointermove", 11, -100); point("pointermove", 12, 100);
          point("pointerup", 11, -100); point("pointerup", 12, 100);
        }"""
    )
    after = _box(page)
    assert after["width"] == pytest.approx(2 * before["width"], rel=0.02)
    middle = [box["x"] + box["width"] / 2 for box in (before, after)]
    assert middle[0] == pytest.approx(middle[1], abs=3)


def test_the_next_picture_is_there_at_once(visit: Visit) -> None:
    page = _open(visit)
    neighbours = "() => performance.getEntriesByType('resource').filter(one => /side=1024/.test(one.name)).length >= 3"
    page.wait_for_function(neighbours)
    page.wait_for_timeout(300)  # They are decoded.
    took = page.evaluate(
        """async () => {
          const find = (at) => [...at.querySelectorAll("*")].flatMap((one) =>
            one.shadowRoot ? [...find(one.shadowRoot), ...one.shadowRoot.querySelectorAll("dialog.large[open]")] : []);
          const [dialog] = find(document);
          const before = dialog.querySelector(".canvas img");
          const start = performance.now();
          dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
          const image = dialog.querySelector(".canvas img");
          if (image === before || !image.complete || !image.naturalWidth) return -1;
          await image.decode();
          return performance.now() - start;
        }"""
    )
    assert took >= 0, "the next picture was not loaded in advance"
    assert took < 1000  # 50 ms is the aim; machines of tests are busy.


def test_neighbours_and_similar_pictures_are_a_click_away(visit: Visit) -> None:
    page = _open(visit)
    large = page.locator(LARGE)
    film = large.get_by_role("group", name="Pictures before and after")
    expect(film.locator(".still")).to_have_count(8)
    expect(film.locator("[aria-current=true]")).to_have_count(1)
    film.locator(".still").nth(2).click()
    expect(large).to_contain_text("3 of 8")
    title = large.locator("h2").inner_text()
    similar = large.locator(".alike button")
    expect(similar).to_have_count(7)  # Of eight, all but itself.
    name = similar.first.get_attribute("aria-label")
    assert name != title
    similar.first.click()
    expect(large.locator("h2")).to_have_text(name)
    expect(large.locator(".path")).to_contain_text(name)
    large.get_by_role("button", name=f"Back to {title}").click()
    expect(large.locator("h2")).to_have_text(title)


def test_a_question_mark_shows_the_keys_here_too(visit: Visit) -> None:
    page = _open(visit)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys").last
    expect(keys).to_contain_text("fit it to the window, or show it pixel by pixel")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.locator(LARGE)).to_be_visible()  # It is closed by another Esc.
    page.keyboard.press("Escape")
    expect(page.locator(LARGE)).to_be_hidden()


def test_a_picture_opened_again_at_once_stays_open(visit: Visit) -> None:
    """Browsers say late that a dialog was closed: after Back and Forward, it is open again by then."""
    page = _open(visit)
    page.locator(LARGE).evaluate("dialog => { dialog.close(); dialog.showModal(); }")
    page.wait_for_timeout(200)  # For the event.
    expect(page.locator(LARGE)).to_be_visible()
    assert "view" in parse_qs(urlsplit(page.url).query)
    page.keyboard.press("m")
    page.wait_for_url("**more=**")


@pytest.mark.long
def test_arrows_held_down_end_where_they_end(visit: Visit) -> None:
    page = _open(visit)
    began = time.monotonic()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(page.locator(LARGE)).to_contain_text("8 of 8")
    shown = page.locator(f"{LARGE} .canvas img")
    page.wait_for_function("one => one.isConnected && one.naturalWidth > 0", arg=shown.element_handle())
    expect(page.locator(f"{LARGE} .path")).to_contain_text(page.locator(f"{LARGE} h2").inner_text())
    assert time.monotonic() - began < 60


def test_a_part_of_a_picture_is_drawn_and_searched_by(visit: Visit) -> None:
    page = _open(visit)
    shown = page.locator(f"{LARGE} .canvas img")
    expect(shown).to_have_attribute("alt", "chelsea.png")
    page.keyboard.press("r")
    box = page.locator(f"{LARGE} .region-box")
    expect(box).to_be_focused()
    whole = _box(page)
    middle = box.bounding_box()
    assert middle["width"] == pytest.approx(whole["width"] / 2, abs=2)

    # By keyboard it moves and grows, and stays inside the picture.
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    moved = box.bounding_box()
    assert moved["x"] == pytest.approx(whole["x"], abs=2)
    assert moved["width"] == pytest.approx(whole["width"] * 0.52, abs=2)
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator(LARGE)).to_be_visible()

    # By mouse: the head of the cat.
    page.get_by_role("button", name="Search a part").click()
    corner = [whole["x"] + whole["width"] * 0.25, whole["y"] + whole["height"] * 0.1]
    page.mouse.move(*corner)
    page.mouse.down()
    page.mouse.move(corner[0] + whole["width"] * 0.5, corner[1] + whole["height"] * 0.6, steps=5)
    page.mouse.up()
    drawn = box.bounding_box()
    assert drawn["x"] == pytest.approx(corner[0], abs=2)
    assert drawn["height"] == pytest.approx(whole["height"] * 0.6, abs=2)
    page.keyboard.press("Enter")
    page.wait_for_url("**like=id**")
    region = [float(one) for one in parse_qs(urlsplit(page.url).query)["like"][0].partition("@")[2].split(",")]
    assert region == pytest.approx([0.25, 0.1, 0.5, 0.6], abs=0.02)
    expect(page.get_by_text("part of chelsea.png")).to_be_visible()
    expect(page.locator(".card").first).to_contain_text("chelsea.png")

    # The address alone leads there again.
    page.reload()
    expect(page.locator(".card").first).to_contain_text("chelsea.png")


def test_selected_pictures_are_compared_side_by_side(visit: Visit) -> None:
    page = visit(c="photos", q="a cat", cutoff="off")
    cards = page.locator(".card")
    for n in range(3):
        cards.nth(n).locator(".tick").click(force=True)
    expect(page.get_by_text("3 selected")).to_be_visible()
    page.get_by_role("button", name="Compare", exact=True).click()
    sides = page.locator("dialog.sides[open]")
    expect(sides.locator(".pane")).to_have_count(3)
    expect(sides.locator("tr.differs", has_text="Pixels")).to_be_visible()
    same = sides.locator("tr:not(.differs)", has_text="Source")
    expect(same).to_be_visible()
    page.keyboard.press("d")
    expect(same).to_be_hidden()

    # What enlarges and moves one, does so to all.
    def factor(n: int) -> float:
        frame = sides.locator(".frame").nth(n).bounding_box()
        canvas = sides.locator(".canvas").nth(n).bounding_box()
        return max(canvas["width"] / frame["width"], canvas["height"] / frame["height"])

    before = [factor(n) for n in range(3)]
    frame = sides.locator(".frame").nth(1).bounding_box()
    page.mouse.move(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    page.mouse.wheel(0, -600)
    after = [factor(n) for n in range(3)]
    assert after[0] / before[0] == pytest.approx(after[1] / before[1], rel=0.01)
    assert after[2] / before[2] == pytest.approx(after[1] / before[1], rel=0.01)
    assert after[1] > 1.5 * before[1]
    page.keyboard.press("Escape")
    expect(sides).to_have_count(0)
    # What is said while they are compared can be read there; too many to compare are not silence.
    cards.first.focus()
    page.keyboard.press("f")
    said = page.locator(".imseek-changes").get_by_role("status")
    expect(said).to_contain_text("1 picture added to favourites")
    page.keyboard.press("c")
    page.keyboard.press("Control+z")
    expect(sides.get_by_text("Undone: 1 picture added to favourites")).to_be_visible()
    sides.get_by_role("button", name="Dismiss").click()
    page.keyboard.press("Escape")
    cards.nth(3).locator(".tick").click(force=True)
    cards.nth(4).locator(".tick").click(force=True)
    page.keyboard.press("c")
    expect(page.get_by_text("Select two to four pictures to compare them. 5 are selected.")).to_be_visible()
    expect(sides).to_have_count(0)

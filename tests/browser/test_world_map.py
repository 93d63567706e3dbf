"""The small map of the world in the facet rail, alone in a browser: what a click, a drag and its buttons ask for."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import expect

_COUNTS = {
    "view": [-180, -90, 180, 90],
    "outside": 1200,
    "rows": [
        {"value": "known", "label": "With a location", "count": 15, "chosen": False},
        {
            **{"value": "n", "label": "Norway", "at": "60° N, 11° E", "count": 14, "chosen": False},
            **{"place": [11, 60], "box": [5, 58, 12, 61]},
        },
        {
            **{"value": "k", "label": "Kenya", "at": "1° S, 37° E", "count": 1, "chosen": True},
            **{"place": [37, -1], "box": [37, -1, 37, -1]},
        },
    ],
}


@pytest.fixture(scope="module")
def world(browser: Any) -> Iterator[Any]:
    """A page with the map, 360 pixels wide, whose calls are in ``told``."""
    files = resources.files("imseek.ui.web.components")
    script = "".join(files.joinpath(name).read_text("utf-8") for name in ("mounting.js", "common.js", "world_map.js"))
    context = browser.new_context(viewport={"width": 500, "height": 400})
    page = context.new_page()
    page.goto("about:blank")
    page.set_content(
        f"<style>{files.joinpath('rail.css').read_text('utf-8')}</style><div id=here style='width:372px'></div>"
    )
    page.add_script_tag(
        content=script
        + "const told = []; const map = new WorldMap((view) => told.push(view), (row) => told.push(row.value));"
        "document.getElementById('here').append(map.root); outline = Promise.resolve({ path: 'M0,0h10v10h-10z' });"
    )
    page.evaluate("(counts) => map.update(counts, '/world')", _COUNTS)
    yield page
    context.close()


@pytest.fixture
def told(world: Any) -> Any:
    """What has been told since the test began, once the map rests."""
    world.evaluate("(counts) => { told.length = 0; return map.update(counts, '/world'); }", _COUNTS)

    def read() -> list[Any]:
        world.wait_for_timeout(300)
        return list(world.evaluate("told.splice(0)"))

    return read


def test_places_are_drawn_and_a_click_chooses_one(world: Any, told: Any) -> None:
    expect(world.locator(".spot")).to_have_count(2)
    expect(world.locator(".spot").first).to_have_attribute("title", "Norway, 60° N, 11° E: 14 pictures")
    expect(world.locator(".spot.chosen")).to_have_attribute("title", "Kenya, 1° S, 37° E: 1 picture")
    expect(world.get_by_text("1,200 elsewhere")).to_be_visible()
    assert world.locator("path").last.get_attribute("d") == "M0,0h10v10h-10z"
    box = world.locator(".world").bounding_box()
    world.mouse.click(box["x"] + box["width"] * (11 + 180) / 360, box["y"] + box["height"] * (90 - 60) / 180)
    assert told() == ["n"]


def test_buttons_zoom_and_show_all(world: Any, told: Any) -> None:
    expect(world.get_by_role("button", name="Zoom out")).to_be_disabled()
    world.get_by_role("button", name="Zoom in").click()
    assert told() == [[-90, -45, 90, 45]]
    world.get_by_role("button", name="Zoom out").click()
    assert told() == [[-180, -90, 180, 90]]
    world.get_by_role("button", name="Zoom in").click()
    world.get_by_role("button", name="All").click()
    assert told() == [None]  # What was to come before it does not come after it.


def test_a_drag_moves_the_map_and_stays_on_the_world(world: Any, told: Any) -> None:
    world.get_by_role("button", name="Zoom in").click()
    told()
    box = world.locator(".world").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for far in (-box["width"] / 4, -5 * box["width"]):
        world.mouse.move(x, y)
        world.mouse.down()
        world.mouse.move(x + far / 2, y)
        world.mouse.move(x + far, y)
        world.mouse.up()
    assert told() == [[0, -45, 180, 45]]


def test_a_place_is_shown_with_space_around_it_even_one_point(world: Any, told: Any) -> None:
    world.evaluate("map.goTo([5, 58, 12, 61])")
    ((west, south, east, north),) = told()
    assert west < 5 < 12 < east
    assert south < 58 < 61 < north
    assert east - west == pytest.approx(2 * (north - south))
    world.evaluate("map.goTo([37, -1, 37, -1])")
    ((west, south, east, north),) = told()
    assert 0 < east - west < 0.01
    expect(world.get_by_role("button", name="Zoom in")).to_be_disabled()

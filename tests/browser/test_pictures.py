"""Pictures as the browser gets them: drawings with scripts, files that are not what was indexed, and many pages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages
from PIL import Image
from playwright.sync_api import Download, expect

import imseek

#: Says on every page that holds it, and to the server, that it ran.
DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90" onload="say()">
<script>function say() { try { top.ran = true } catch (e) {} fetch("/ran"); } say();</script>
<rect width="90" height="90" fill="red"/></svg>"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``drawing``: one SVG; ``photos``: eight photographs, and one that has changed since."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "drawing.svg").write_text(DRAWING)
    Image.new("RGB", (300, 200), "red").save(folder / "changed.png")
    with imseek.create(folder / "collections" / "drawing", encoder="fake") as collection:
        assert collection.index(names=[folder / "drawing.svg"]).added == 1
    with imseek.create(folder / "collections" / "photos", encoder="fake") as collection:
        assert collection.index(names=[*photo_files, folder / "changed.png"]).added == 9
    Image.new("RGB", (300, 200), "blue").save(folder / "changed.png")
    return folder


@pytest.fixture
def vast(home: Path, photo_files: list[Path]) -> str:
    """A collection of one picture of 108 megapixels."""
    with Image.open(next(path for path in photo_files if path.name == "coffee.png")) as photo:
        photo.convert("L").resize((12_000, 9_000)).save(home / "vast.png", compress_level=1)
    with imseek.create(home / "collections" / "vast", encoder="fake") as collection:
        assert collection.index(names=[home / "vast.png"]).added == 1
    return "vast"


@pytest.fixture
def context(browser: Any) -> Iterator[Any]:
    made = browser.new_context(viewport={"width": 1400, "height": 900})
    yield made
    made.close()


def show(page: Any, element: str) -> None:
    """Put the drawing into a page of ours, and wait until it is there, or a while where it never is."""
    expect(page.locator(".card").first).to_be_visible()
    page.evaluate(
        """async (element) => {
          const made = document.createElement(element);
          const loaded = new Promise((done) => {
            made.onload = made.onerror = done;
            setTimeout(done, element === "img" ? 30000 : 2000);
          });
          made.id = "drawing";
          made[element === "object" ? "data" : "src"] = "/pictures/drawing/images/0";
          document.body.append(made);
          await loaded;
        }""",
        element,
    )
    page.wait_for_timeout(300)


@pytest.mark.sample(element=1)
@pytest.mark.parametrize("element", ["img", "iframe", "object", "embed"])
def test_a_drawing_runs_no_script_in_a_page(context: Any, ui: Pages, element: str) -> None:
    page = context.new_page()
    page.goto(ui.at(c="drawing"))
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    show(page, element)
    assert page.evaluate("window.ran") is None
    assert not [url for url in asked if url.endswith("/ran")]
    if element == "img":
        assert page.evaluate("document.getElementById('drawing').naturalWidth") == 90


def test_without_our_headers_its_script_would_run(context: Any, ui: Pages) -> None:
    """Else the test above could not fail."""
    page = context.new_page()
    page.goto(ui.at(c="drawing"))
    drawing = "**/pictures/drawing/images/0"
    page.route(drawing, lambda asked: asked.fulfill(body=DRAWING, content_type="image/svg+xml"))
    show(page, "iframe")
    assert page.evaluate("window.ran") is True


@pytest.mark.long
def test_the_link_to_a_drawing_downloads_it(context: Any, ui: Pages, tmp_path: Path) -> None:
    page = context.new_page()
    page.goto(ui.at(c="drawing"))
    with page.expect_download() as waiting:
        page.evaluate("location.href = '/pictures/drawing/images/0'")
    download: Download = waiting.value
    download.save_as(tmp_path / "got.svg")
    assert (tmp_path / "got.svg").read_text() == DRAWING


def test_a_file_that_changed_since_it_was_indexed_is_named_as_such(context: Any, ui: Pages) -> None:
    page = context.new_page()
    page.goto(ui.at(c="photos", q="red"))
    card = page.locator(".card", has=page.locator(".title", has_text="changed.png"))
    expect(card).to_contain_text("This picture cannot be shown")
    card.click()
    large = page.get_by_role("dialog", name="Picture")
    expect(large.locator(".gone")).to_have_text("This file changed since it was indexed: index again.")


@pytest.mark.long
def test_a_picture_of_more_than_100_megapixels_is_shown_and_enlarged(context: Any, ui: Pages, vast: str) -> None:
    page = context.new_page()
    page.set_default_timeout(90_000)
    page.goto(ui.at(c=vast))
    image = page.locator(".card img")
    page.wait_for_function("one => one.naturalWidth > 0", arg=image.element_handle(), timeout=90_000)
    page.locator(".card").click()
    large = page.locator("dialog.large[open] .canvas img")
    expect(large).to_have_js_property("naturalWidth", 1024)
    expect(page.locator("dialog.large[open]")).to_contain_text("12,000 × 9,000")
    page.keyboard.press("z")
    expect(large).to_have_js_property("naturalWidth", 12_000)
    assert large.bounding_box()["width"] == pytest.approx(12_000, abs=2)


def test_what_a_browser_does_not_show_is_not_said_to_be_missing(context: Any, ui: Pages) -> None:
    """The file is there, and the server sends it."""
    page = context.new_page()
    page.route("**/thumbnail?side=1024", lambda asked: asked.fulfill(body="[]", content_type="application/json"))
    page.goto(ui.at(c="photos", q="red"))
    page.locator(".card").first.click()
    gone = page.get_by_role("dialog", name="Picture").locator(".gone")
    expect(gone).to_have_text("The server sends this picture, but this browser does not show it.")


@pytest.mark.long
def test_closed_pages_hold_no_descriptors(browser: Any, ui: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some closed pages are kept for a while, in case they come back: what they hold does not grow beyond those."""
    from imseek.ui.web.reconnectable_sessions import MAX_SESSIONS

    def load() -> None:
        made = browser.new_context()
        page = made.new_page()
        page.goto(ui.at(c="drawing"))
        expect(page.locator(".card").first).to_be_visible()
        made.close()

    def loops() -> int:
        links = [path.readlink() for path in Path(f"/proc/{ui.process.pid}/fd").iterdir() if path.is_symlink()]
        return sum("eventpoll" in str(link) for link in links)

    for _ in range(MAX_SESSIONS + 12):
        load()
    end = time.monotonic() + 10
    while loops() > MAX_SESSIONS + 3 and time.monotonic() < end:
        time.sleep(0.1)
    assert MAX_SESSIONS // 2 < loops() <= MAX_SESSIONS + 3  # those, and the server's own


def test_times_are_those_of_the_readers_zone(browser: Any, ui: Pages) -> None:
    found = []
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # UTC+14 and UTC-11
        context = browser.new_context(viewport={"width": 1400, "height": 900}, timezone_id=zone)
        page = context.new_page()
        page.goto(ui.at("collections", c="photos"))
        page.get_by_role("tab").nth(2).click()
        written = page.get_by_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")).first
        expect(written).to_be_attached()
        text = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", written.text_content() or "")
        assert text is not None
        found.append(datetime.fromisoformat(text[0]))
        context.close()
    assert found[0] - found[1] == timedelta(hours=25)

"""Many pictures on one page: loaded and drawn on the way down, in rows, as sharp as the screen shows them."""

from __future__ import annotations

import csv
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages, Visit, top, visits, wait_until_idle
from PIL import ExifTags, Image
from playwright.sync_api import expect

import imseek

MANY = 420
YEARS = 20
DATED = YEARS * 12 + 20


@pytest.fixture(scope="module")
def home(shared_home: Path, photo_files: list[Path]) -> Path:
    """``many``: overlapping parts of eight photographs, wide, high and square, under names that begin alike.

    ``dated``: one photograph for each month of twenty years, and twenty for Christmas 2023.
    """
    folder = shared_home
    if (folder / "many").exists():  # A process comes back to this module after tests of others.
        return folder
    (folder / "many").mkdir()
    photos = [Image.open(path).convert("RGB") for path in photo_files]
    for n in range(MANY):
        photo = photos[n % len(photos)]
        width, height = photo.size
        part = (width, height * 2 // 3), (width * 2 // 5, height), (min(photo.size),) * 2
        wide, high = part[n % 3]
        left, top = (width - wide) * (n % 7) // 7, (height - high) * (n % 5) // 5
        photo.crop((left, top, left + wide, top + high)).save(folder / "many" / f"IMG_20240101_{n:04}.jpg", quality=70)
    path = folder / "collections" / "many"
    with imseek.create(path, encoder="fake") as collection:
        assert collection.index([folder / "many"]).live == MANY
    dated = folder / "dated"
    dated.mkdir()
    for n in range(DATED):
        photo = photos[n % len(photos)].copy()
        photo.thumbnail((160, 160))
        exif = Image.Exif()
        if n:  # One has no date.
            day = f"{2004 + n // 12}:{n % 12 + 1:02}:{n % 28 + 1:02} 12:00:00"
            day = f"2023:12:{24 + n % 2} 12:00:00" if n >= YEARS * 12 else day
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = day
        photo.save(dated / f"{n:04}.jpg", quality=70, exif=exif)
    with imseek.create(folder / "collections" / "dated", encoder="fake") as collection:
        assert collection.index([dated]).live == DATED
    return folder


@pytest.fixture
def dense(browser: Any, ui: Pages) -> Iterator[Visit]:
    """A page on a screen of two pixels a point."""
    with visits(browser, ui, device_scale_factor=2) as opens:
        yield opens


def _scroll(page: Any, to: str = "it.scrollHeight") -> None:
    page.evaluate(f"(() => {{ const it = document.querySelector('[data-testid=stMain]'); it.scrollTop = {to}; }})()")


def _at(page: Any) -> int:
    return int(urllib.parse.parse_qs(urllib.parse.urlsplit(page.url).query).get("at", ["0"])[0])


def _to_the_end(page: Any) -> set[str]:
    """Scroll until the last picture is there, and return all titles seen on the way."""
    seen: set[str] = set()
    last = page.locator(f".card[aria-posinset='{MANY}']")
    for _ in range(200):
        seen.update(page.locator(".card .title").all_text_contents())
        assert page.locator(".card").count() < 150  # The others are not in the document.
        if last.count():
            break
        _scroll(page, "it.scrollTop + 700")
        page.wait_for_timeout(40)
    expect(last).to_be_visible()
    seen.update(page.locator(".card .title").all_text_contents())
    return seen


def test_pictures_follow_on_the_way_down_and_the_address_says_where_one_is(visit: Visit) -> None:
    page = visit(c="many")
    expect(page.locator(".card").first).to_be_visible()
    seen = _to_the_end(page)
    assert seen == {f"IMG_20240101_{n:04}.jpg" for n in range(MANY)}
    _scroll(page, "it.scrollTop - 300")
    page.wait_for_function("Number(new URL(location).searchParams.get('at')) > 300")
    there = _at(page)
    assert there < MANY

    page.reload()
    first = page.locator(f".card[aria-posinset='{there + 1}']")
    expect(first).to_be_in_viewport()
    page.get_by_role("button", name="Back to the top").click()
    expect(page.locator(".card[aria-posinset='1']")).to_be_in_viewport()
    expect(page).not_to_have_url(re.compile("at="))


@pytest.mark.long
def test_another_search_begins_at_its_first_picture_and_back_returns(visit: Visit) -> None:
    page = visit(c="many", q="red", cutoff="off")
    expect(page.locator(".card").first).to_be_visible()
    _scroll(page, "2500")
    expect(page).to_have_url(re.compile(r"at=\d+"))
    there = _at(page)
    page.locator(f".card[aria-posinset='{there + 3}']").focus()
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile("more="))
    expect(page.locator(".card[aria-posinset='1']")).to_be_in_viewport()
    assert _at(page) == 0
    assert page.evaluate("document.querySelector('.stMain').scrollTop") == 0
    page.go_back()
    expect(page.locator(f".card[aria-posinset='{there + 1}']")).to_be_in_viewport()


def test_a_search_from_far_down_the_start_page_begins_at_its_first_picture(visit: Visit) -> None:
    page = visit(c="many", at="200")
    expect(page.locator(".card[aria-posinset='201']")).to_be_in_viewport()
    page.locator(".card[aria-posinset='201']").focus()
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile("like="))
    expect(page.get_by_text(re.compile(r"pictures (of .*)?· .* ms"))).to_be_in_viewport()
    expect(page.locator(".card[aria-posinset='1']")).to_have_count(1)  # The grid of before goes last.
    expect(page.locator(".card[aria-posinset='1']")).to_be_in_viewport()


def test_a_picture_far_down_is_shown_large_again_among_the_others(visit: Visit) -> None:
    page = visit(c="many", at="200")
    page.locator(".card[aria-posinset='203']").click()
    large = page.locator("dialog.large[open]")
    expect(large).to_contain_text(f"203 of {MANY}")
    page.wait_for_url("**view=**")
    page.reload()
    expect(large).to_contain_text(f"203 of {MANY}")
    page.keyboard.press("ArrowRight")
    expect(large).to_contain_text(f"204 of {MANY}")
    page.keyboard.press("Escape")
    expect(page.locator(".card[aria-posinset='204']")).to_be_focused()
    expect(page.locator(".card[aria-posinset='204']")).to_be_in_viewport()


def test_pictures_that_followed_are_selected_with_their_scores(visit: Visit, home: Path, tmp_path: Path) -> None:
    page = visit(c="many", q="red", cutoff="off", n="20")
    bar = page.get_by_role("toolbar", name="Selected pictures")
    expect(page.get_by_text(f"{MANY} pictures · ")).to_be_visible()
    _to_the_end(page)
    page.locator(f".card[aria-posinset='{MANY}'] .tick").click(force=True)
    expect(bar).to_contain_text("1 selected")
    with page.expect_download() as waiting:
        bar.get_by_role("link", name="CSV").click()
    waiting.value.save_as(tmp_path / "one.csv")
    with (tmp_path / "one.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    with imseek.open(home / "collections" / "many") as collection:
        last = collection.search("red", limit=MANY).hits[-1]
    assert float(row["score"]) == pytest.approx(last.score, abs=1e-3)
    bar.get_by_role("button", name=f"All {MANY}").click()
    expect(bar).to_contain_text(f"{MANY} selected")
    page.locator(".card").first.focus()
    page.keyboard.press("Escape")
    expect(bar).to_have_count(0)


@pytest.mark.long
def test_the_large_view_goes_on_to_pictures_that_follow(visit: Visit) -> None:
    page = visit(c="many", n="20")
    page.locator(".card").first.click()
    large = page.locator("dialog.large[open]")
    expect(large).to_contain_text(f"1 of {MANY}")
    for n in range(2, 31):
        page.keyboard.press("ArrowRight")
        expect(large).to_contain_text(f"{n} of {MANY}")
    page.keyboard.press("Escape")
    expect(page.locator(".card[aria-posinset='30']")).to_be_focused()
    expect(page.locator(".card[aria-posinset='30']")).to_be_in_viewport()


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 1400, 2500])
def test_rows_are_justified(visit: Visit, width: int) -> None:
    page = visit(c="many", width=width)
    expect(page.locator(".card").first).to_be_visible()
    boxes = page.locator(".card .frame").evaluate_all(
        """all => all.map(one => one.getBoundingClientRect())
          .map(({top, left, right, height}) => [top, left, right, height])"""
    )
    grid = page.locator(".grid").bounding_box()
    rows: dict[float, list[Any]] = {}
    for box in boxes:
        rows.setdefault(box[0], []).append(box)
    assert len(rows) > 2
    for row in [*rows.values()][:-1]:
        assert len({round(height) for *_, height in row}) == 1
        assert row[0][1] == pytest.approx(grid["x"], abs=1)
        assert row[-1][2] == pytest.approx(grid["x"] + grid["width"], abs=1)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_thumbnails_have_the_pixels_of_the_screen(visit: Visit, dense: Visit) -> None:
    for opens, size, least in ((visit, "Small", 0.9), (dense, "Medium", 1.8), (visit, "Large", 0.9)):
        page = opens(c="many", size=size)
        image = page.locator(".card img").first
        expect(image).to_have_js_property("complete", True)
        page.wait_for_function("one => one.naturalWidth > 0", arg=image.element_handle())
        side = int(re.search(r"side=(\d+)", image.evaluate("one => one.currentSrc"))[1])  # type: ignore[index]
        box = image.evaluate("one => [one.clientWidth, one.clientHeight]")
        assert side >= least * max(box)
        assert side <= 4 * max(box) * least  # Nor many more.


def test_circles_lie_beside_badges_and_options_hold_no_buttons(visit: Visit) -> None:
    page = visit(c="many", q="red")
    card = page.locator(".card", has=page.locator(".mark")).first
    expect(card).to_be_visible()
    card.hover()
    tick, mark = card.locator(".tick").bounding_box(), card.locator(".mark").bounding_box()
    apart = tick["x"] + tick["width"] <= mark["x"] or tick["y"] + tick["height"] <= mark["y"]
    assert apart
    assert page.locator("[role=option] :is(button, a, input)").count() == 0
    # Names that begin alike show how they end.
    tail = card.locator(".title .tail")
    assert tail.bounding_box()["width"] > 20
    assert re.fullmatch(r"_\d{4}\.jpg|\d_\d{4}\.jpg|\d{4}\.jpg", tail.text_content() or "")


def test_pictures_by_date_have_a_scrubber(visit: Visit) -> None:
    page = visit(c="dated")
    expect(page.locator(".heading .title").first).to_have_text("Mon, 25 December 2023")
    expect(page.locator(".card .title").first).to_have_text("0259.jpg")
    scrubber = page.get_by_role("slider", name="Date")
    expect(scrubber).to_have_attribute("aria-valuetext", "Mon, 25 December 2023")
    assert (
        int(scrubber.get_attribute("aria-valuemax")) == 23
    )  # Three days, other months of 2023, nineteen years, and no date.
    box = scrubber.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] - 1)
    page.mouse.up()
    expect(page.locator(".heading .title").last).to_have_text("Without a date")
    expect(page.locator(".card .title").last).to_have_text("0000.jpg")  # Its name is loaded where one looks.
    page.wait_for_function("Number(new URL(location).searchParams.get('at')) > 200")
    scrubber.focus()
    page.keyboard.press("Home")
    expect(scrubber).to_have_attribute("aria-valuetext", "Mon, 25 December 2023")
    page.keyboard.press("PageDown")
    expect(scrubber).to_have_attribute("aria-valuetext", "2022")
    page.keyboard.press("ArrowUp")
    expect(scrubber).to_have_attribute("aria-valuetext", "January to November 2023")
    page.locator(".card:focus, .card[tabindex='0']").first.focus()
    page.keyboard.press("Control+a")
    expect(page.get_by_text(f"{DATED} selected")).to_be_visible()
    page.get_by_role("radio", name="Newest here").click()
    page.wait_for_url("**sort=added**")
    expect(scrubber).to_be_hidden()
    expect(page.locator(".heading")).to_have_count(0)


def test_no_picture_is_left_over_that_fits_into_the_row_above(visit: Visit) -> None:
    page = visit(c="dated")
    expect(page.locator(".heading .title").first).to_have_text("Mon, 25 December 2023")
    joined = 0
    for width in range(1000, 1800, 40):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(60)
        # Of the first day, ten pictures: width and height of each row, and how many stand in it.
        boxes = page.locator(".card .frame").evaluate_all(
            "all => all.slice(0, 10).map(one => { const box = one.getBoundingClientRect(); "
            "return [Math.round(box.top), box.right, box.width / box.height, box.height]; })"
        )
        rows: dict[int, list[list[float]]] = {}
        for box in boxes:
            rows.setdefault(box[0], []).append(box)
        sizes = [len(row) for row in rows.values()]
        assert sum(sizes) == 10
        *_, before, last = [[], *rows.values()]
        if len(last) == 1 and before:
            room = page.locator(".list").bounding_box()["width"] - 8 * len(before)
            assert room / sum(box[2] for box in [*before, *last]) < 0.76 * 180
        joined += any(box[3] < 158 for box in boxes)
    assert joined  # In some windows one has joined the others.


def test_on_phones_pictures_by_date_begin_near_the_top(visit: Visit) -> None:
    page = visit(c="dated", width=400)
    expect(page.locator(".heading .title").first).to_have_text("Mon, 25 December 2023")
    wait_until_idle(page)
    assert top(page.locator(".card").first) <= 160


def test_a_year_is_chosen_by_its_bar(visit: Visit) -> None:
    page = visit(c="dated")
    page.get_by_role("button", name="2010: 12 pictures").click()
    page.wait_for_url("**2010-01-01**")
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("button", name="May 2010: 1 picture").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".chip")).to_have_text(["onlyMay 2010✕"])
    page.get_by_label("From", exact=True).fill("2010-05-30")
    expect(page.get_by_text("No pictures match these conditions")).to_be_visible()
    expect(page.get_by_role("button", name="2010: 12 pictures")).to_be_visible()

"""Pictures that were found: the grid, one of them large, what can be done with some."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import HOSTILE, Pages, Visit, visits, wait_until_idle
from playwright.sync_api import expect

import imseek
from imseek.ui.web.plain_text import one_line

LARGE = "dialog.large[open]"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """``photos``: eight photographs; ``hostile``: one under names and captions of all kinds; ``odd``: some that are in
    archives, have gone, or that no browser shows."""
    folder = tmp_path_factory.mktemp("library")
    made = folder / "collections"
    made.mkdir()
    _photos(made, folder, photo_files)
    _hostile(made, folder, photo_files)
    _odd(made, folder, photo_files)
    return folder


def _photos(made: Path, folder: Path, photo_files: list[Path]) -> None:
    (folder / "photos").mkdir()
    files = [Path(shutil.copy(path, folder / "photos")) for path in photo_files]
    with imseek.create(made / "photos", encoder="fake") as collection:
        collection.index(names=files)


def _hostile(made: Path, folder: Path, photo_files: list[Path]) -> None:
    (folder / "hostile").mkdir()
    for n, text in enumerate(HOSTILE):
        name = f"{n}{text[:150]}.jpg".replace("/", "∕")
        shutil.copyfile(photo_files[-1], folder / "hostile" / name)
        (folder / "hostile" / name).with_suffix(".txt").write_text(text)
    deep = folder / "hostile" / "/".join(["d" * 200] * 15)
    deep.mkdir(parents=True)
    shutil.copyfile(photo_files[3], deep / "rocket.jpg")
    with (folder / "hostile" / os.fsdecode(b"caf\xe9.jpg")).open("wb") as file:
        file.write(photo_files[3].read_bytes())
    with imseek.create(made / "hostile", encoder="fake") as collection:
        collection.index([folder / "hostile"])
        ids = [hit.image_id for hit in collection.search("red", limit=50)]
        for text in HOSTILE:
            if text.strip() == text and len(text) < 200 and text.isprintable():
                imseek.tags.add(collection, text, ids)


def _odd(made: Path, folder: Path, photo_files: list[Path]) -> None:
    from PIL import Image

    with zipfile.ZipFile(folder / "album.zip", "w") as archive:
        archive.write(photo_files[2], "in/coffee.png")
    shutil.copyfile(photo_files[3], folder / "gone.jpg")
    with Image.open(photo_files[0]) as picture:
        picture.save(folder / "scan.tif")
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 51.0, 30.0), 3: "E", 4: (2.0, 17.0, 40.0)})
        picture.convert("RGB").save(folder / "paris.jpg", exif=exif)
    with imseek.create(made / "odd", encoder="fake") as collection:
        collection.index([folder / name for name in ("album.zip", "gone.jpg", "scan.tif", "paris.jpg")])
    (folder / "gone.jpg").unlink()


@pytest.fixture
def refused(browser: Any, ui: Pages) -> Iterator[Visit]:
    """As ``visit``, for what the server refuses: browsers write that to the console."""
    with visits(browser, ui) as opens:
        yield opens


def _card(page: Any, text: str) -> Any:
    return page.locator(".card", has=page.locator(".title", has_text=text))


# -- one picture large ---------------------------------------------------------------------------------------


def test_a_picture_is_shown_large_and_arrows_lead_on(visit: Visit, home: Path) -> None:
    page = visit(c="photos", q="red")
    first = page.locator(".card").first
    first.click()
    large = page.locator(LARGE)
    expect(large.locator("table").first).to_contain_text("451 × 300")
    expect(large.locator(".frame img")).to_have_js_property("naturalWidth", 451)
    expect(large).to_contain_text("chelsea.png")
    expect(large).to_contain_text("1 of 8")
    expect(large.locator(".path")).to_have_text(str(home / "photos" / "chelsea.png"))
    page.keyboard.press("ArrowRight")
    expect(large).to_contain_text("2 of 8")
    expect(large).not_to_contain_text("chelsea.png")
    page.keyboard.press("End")
    expect(large).to_contain_text("8 of 8")
    expect(large.locator(".next")).to_be_hidden()
    page.keyboard.press("Home")
    large.get_by_role("button", name="Actual size").click()
    expect(large.locator(".frame.enlarged")).to_be_visible()
    page.keyboard.press("z")
    expect(large.locator(".frame.enlarged")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    expect(first).to_be_focused()  # Where one was, and not at the top of the page.


@pytest.mark.long
def test_focus_comes_back_to_the_picture_that_was_last(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(LARGE)).to_contain_text("3 of 8")
    page.keyboard.press("Escape")
    expect(page.locator(".card").nth(2)).to_be_focused()


@pytest.mark.long
def test_tags_are_given_and_taken_in_the_large_view(visit: Visit, home: Path) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.click()
    field = page.get_by_label("A tag for this picture")
    field.fill("mml")  # Letters that mean something elsewhere.
    field.press("Enter")
    tag = page.locator(f"{LARGE} .tag")
    expect(tag).to_have_text("mml×")
    assert [(one.tag, one.images) for one in imseek.tags.counts(home / "collections" / "photos")] == [("mml", 1)]
    page.get_by_label("Remove the tag mml").click()
    expect(tag).to_have_count(0)
    assert imseek.tags.counts(home / "collections" / "photos") == ()


def test_whatever_is_changed_can_be_undone(visit: Visit, home: Path) -> None:
    """Favourites, an album, rating and caption; all is as before in the end."""
    root = home / "collections" / "photos"
    page = visit(c="photos", q="red")
    toast = page.locator(".imseek-changes")
    second = page.locator(".card").nth(1)
    second.focus()
    page.keyboard.press("f")
    expect(toast.get_by_role("status")).to_contain_text("1 picture added to favourites")
    expect(second).to_be_focused()
    expect(second).to_have_attribute("aria-label", re.compile("favourite$"))
    page.keyboard.press("Control+z")
    expect(toast).to_contain_text("Undone: 1 picture added to favourites")
    expect(second).not_to_have_attribute("aria-label", re.compile("favourite$"))

    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    bar = page.get_by_role("toolbar", name="Selected pictures")
    bar.get_by_role("button", name="Album").click()
    page.get_by_label("Name of a new album").fill("best of")
    page.get_by_label("Name of a new album").press("Enter")
    expect(toast).to_contain_text("Album “best of” created with 2 pictures")
    album = visit("albums", c="photos")
    cover = album.locator(".card", has_text="best of")
    cover.focus()
    expect(cover.locator(".heart, .tick")).to_have_count(0)  # Covers are opened, not selected.
    cover.click()
    expect(album.locator(".card")).to_have_count(2)
    album.get_by_role("button", name="Delete album").click()
    expect(album.locator(".imseek-changes")).to_contain_text("Album “best of” deleted")
    album.locator(".imseek-changes").get_by_role("button", name="Undo").click()
    expect(album.locator(".card", has_text="best of")).to_be_visible()

    page.bring_to_front()
    second.click()
    large = page.locator(LARGE)
    expect(large.get_by_role("button", name="5 stars (5)")).to_be_visible()
    page.keyboard.press("5")
    expect(large.get_by_role("button", name="5 stars (5)")).to_have_attribute("aria-pressed", "true")
    large.get_by_role("button", name="Add a caption").click()
    page.keyboard.type("5 cats zz")  # Letters and digits that mean something elsewhere.
    page.keyboard.press("Control+z")  # What was typed, not what was rated.
    large.get_by_label("Caption", exact=True).fill("two cats")
    page.keyboard.press("Enter")
    expect(large.locator(".caption")).to_have_text("two cats")
    expect(large).to_be_visible()
    large.get_by_role("button", name="Undo").click()  # In the dialog, outside of which nothing can be clicked.
    expect(large.get_by_role("button", name="Add a caption")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(large.get_by_role("button", name="5 stars (5)")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Control+z")
    expect(large).to_contain_text("Undone: Album “best of” created")
    assert imseek.tags.counts(root) == imseek.albums.every(root) == ()


@pytest.mark.long
def test_paths_are_copied(visit: Visit, home: Path) -> None:
    page = visit(c="photos", q="red")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".card").first.focus()
    page.keyboard.press("y")
    expect(page.get_by_text("Copied.")).to_be_visible()
    path = str(home / "photos" / "chelsea.png")
    assert page.evaluate("navigator.clipboard.readText()") == path
    page.evaluate("navigator.clipboard.writeText('something else')")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copy path").click()
    expect(page.locator(f"{LARGE} .said")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == path


@pytest.mark.long
def test_where_nothing_can_be_copied_the_path_is_selected(visit: Visit, home: Path) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.click()
    page.get_by_role("button", name="Copy path").wait_for()
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); "
        "document.execCommand = () => false; }"
    )
    page.get_by_role("button", name="Copy path").click()
    expect(page.locator(f"{LARGE} .said")).to_have_text("Press Ctrl+C to copy.")
    field = page.get_by_label("Text to copy")
    expect(field).to_be_focused()
    chosen = field.evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)")
    assert chosen == str(home / "photos" / "chelsea.png")


@pytest.mark.long
def test_pictures_in_odd_places(refused: Visit, home: Path) -> None:
    page = refused(c="odd", q="red", collapse="off")
    large = page.locator(LARGE)
    expect(page.locator(".card")).to_have_count(4)
    expect(_card(page, "gone.jpg")).to_contain_text("This picture cannot be shown")
    _card(page, "gone.jpg").click()
    expect(large.locator(".gone")).to_contain_text(f"The file is missing: {home}/gone.jpg")
    expect(large).to_contain_text("The file is missing.")
    page.keyboard.press("Escape")
    _card(page, "coffee.png").click()
    expect(large).to_contain_text("Inside an archive.")
    expect(large.locator(".path")).to_have_text(f"{home}/album.zip!/in/coffee.png")
    expect(large.locator(".frame img")).to_have_js_property("naturalWidth", 600)
    page.keyboard.press("Escape")
    _card(page, "scan.tif").click()
    expect(large).to_contain_text("A preview: browsers do not show TIFF.")
    expect(large.locator(".frame img")).to_have_js_property("naturalWidth", 512)
    page.keyboard.press("Escape")
    _card(page, "paris.jpg").click()
    expect(large).to_contain_text("48.85833° N, 2.29444° E")
    link = large.get_by_role("link", name="OpenStreetMap")
    assert link.get_attribute("rel") == "noreferrer noopener"
    assert (link.get_attribute("href") or "").startswith("https://www.openstreetmap.org/?mlat=48.858333&mlon=2.294444")


# -- the grid ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_pictures_are_selected_by_keys(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    cards, bar = page.locator(".card"), page.get_by_role("toolbar", name="Selected pictures")
    cards.first.focus()
    page.keyboard.press("Space")
    expect(bar).to_contain_text("1 selected")
    expect(cards.first).to_be_focused()  # The page has run again.
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    expect(bar).to_contain_text("3 selected")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+a")
    expect(bar).to_contain_text("8 selected")
    page.keyboard.press("Escape")
    expect(bar).to_have_count(0)
    expect(page.locator(".card[aria-selected=true]")).to_have_count(0)
    page.keyboard.press("End")
    expect(cards.last).to_be_focused()
    cards.nth(1).click(modifiers=["Control"])
    cards.nth(4).click(modifiers=["Shift"])
    expect(bar).to_contain_text("4 selected")
    bar.get_by_role("button", name="All 8").click()
    expect(bar).to_contain_text("8 selected")
    expect(bar.get_by_role("button", name="All 8")).to_have_count(0)
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_have_count(0)
    expect(page.locator(".card[aria-selected=true]")).to_have_count(0)


@pytest.mark.long
def test_a_question_mark_shows_the_keys(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("copy its path")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.locator(".card").first).to_be_focused()


@pytest.mark.long
def test_m_leads_to_what_is_like_it(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.focus()
    page.keyboard.press("m")
    expect(page).to_have_url(re.compile(r"(like=id(%3A|:)|more=)\d+"))


@pytest.mark.long
def test_the_size_of_pictures_is_in_the_address(visit: Visit) -> None:
    page = visit(c="photos", q="red", size="Large")
    first = page.locator(".card .frame").first
    expect(first).to_be_visible()
    assert first.bounding_box()["height"] > 240
    before = page.evaluate("history.length")
    page.get_by_role("radio", name="Small").click()
    expect(page).to_have_url(re.compile("size=Small"))
    expect(page.get_by_role("radio", name="Small")).to_be_checked()
    expect(first).to_have_css("height", re.compile(r"^\d\dpx$|^1[0-4]\dpx$"))
    assert page.evaluate("history.length") == before


@pytest.mark.long
@pytest.mark.parametrize("size", ["240", "", "x"])
def test_sizes_that_are_none_do_no_harm(visit: Visit, size: str) -> None:
    page = visit(c="photos", q="red", size=size)
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


# -- some of them --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_selection_is_taken_along(refused: Visit, home: Path) -> None:
    page = refused(c="photos", q="red")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".card").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    bar = page.get_by_role("toolbar", name="Selected pictures")
    expect(bar).to_contain_text("2 selected")
    with page.expect_download() as zipped:
        bar.get_by_role("link", name="Zip").click()
    assert zipped.value.suggested_filename == "photos-2.zip"
    with zipfile.ZipFile(zipped.value.path()) as made:
        assert made.read("chelsea.png") == (home / "photos" / "chelsea.png").read_bytes()
        names = set(made.namelist())
    with page.expect_download() as table:
        bar.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(table.value.path()).read_text())))
    assert {Path(row["path"]).name for row in rows} == names
    assert float(rows[0]["score"]) > float(rows[1]["score"])
    bar.get_by_role("button", name="Copy paths").click()
    expect(bar).to_contain_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(row["path"] for row in rows)
    bar.get_by_label("A tag for the selected pictures").fill("pets")
    bar.get_by_role("button", name="Add").click()
    toast = page.locator(".imseek-changes")
    expect(toast).to_contain_text("2 pictures tagged “pets”")
    assert [(one.tag, one.images) for one in imseek.tags.counts(home / "collections" / "photos")] == [("pets", 2)]
    bar.get_by_label("A tag for the selected pictures").fill("pets")
    bar.get_by_role("button", name="Remove").click()
    expect(toast).to_contain_text("“pets” removed from 2 pictures")
    bar.get_by_label("A tag for the selected pictures").fill("nobody's")
    bar.get_by_role("button", name="Remove").click()
    expect(bar).to_contain_text("No image has the tag")


# -- names that mean harm ------------------------------------------------------------------------------------


@pytest.mark.sample(width=1)
@pytest.mark.parametrize("width", [400, 1400])
def test_names_captions_and_tags_are_only_text(visit: Visit, home: Path, width: int) -> None:
    page = visit(c="hostile", q="red", width=width, collapse="off")
    cards = page.locator(".card")
    expect(cards.first).to_have_attribute("aria-setsize", str(len(HOSTILE) + 2))  # On a phone, some are out of sight.
    with imseek.open(home / "collections" / "hostile") as collection:
        captions = {hit.metadata.get("caption", "rocket.jpg") for hit in collection.search("red", limit=50)}
    assert HOSTILE[0] in captions
    cards.first.click()
    large = page.locator(LARGE)
    alts = set()
    for n in range(len(HOSTILE) + 2):
        expect(large).to_contain_text(f"{n + 1} of {len(HOSTILE) + 2}")
        expect(large.locator("table").first).to_be_visible()
        alts.add(large.locator(".canvas img").get_attribute("alt"))
        assert large.evaluate("it => it.scrollWidth <= it.clientWidth")
        assert large.locator(".facts").evaluate("it => it.scrollWidth <= it.clientWidth")
        page.keyboard.press("ArrowRight")
    assert {one_line(caption) for caption in captions} <= alts
    harm = "script:not([src]), .facts img:not(.same img, .still img), .facts b, a[href*='elsewhere']"
    expect(large.locator(harm)).to_have_count(0)
    page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.title() != "hacked"


# -- the address of a picture --------------------------------------------------------------------------------


def _viewed(page: Any) -> list[str] | None:
    return parse_qs(urlsplit(page.url).query).get("view")


def test_back_closes_the_large_view_and_leaves_the_search(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").first.click()
    large = page.locator(LARGE)
    expect(large).to_contain_text("1 of 8")
    page.wait_for_url("**view=**")
    entries = page.evaluate("history.length")
    (before,) = _viewed(page) or []
    page.keyboard.press("ArrowRight")
    expect(large).to_contain_text("2 of 8")
    page.wait_for_function("before => new URLSearchParams(location.search).get('view') !== before", arg=before)
    assert page.evaluate("history.length") == entries  # One entry, however many pictures one has seen.
    page.go_back()
    expect(large).to_be_hidden()
    expect(page.locator(".card")).to_have_count(8)
    expect(page.locator(".card").nth(1)).to_be_focused()
    assert parse_qs(urlsplit(page.url).query) == {"c": ["photos"], "q": ["red"]}
    page.go_forward()
    expect(large).to_contain_text("2 of 8")
    page.keyboard.press("Escape")
    expect(large).to_be_hidden()
    page.wait_for_function("!location.search.includes('view')")
    assert page.evaluate("history.length") == entries


def test_a_reload_or_a_link_opens_the_picture_again(visit: Visit) -> None:
    page = visit(c="photos", q="red")
    page.locator(".card").nth(2).click()
    page.wait_for_url("**view=**")
    name = page.locator(f"{LARGE} h2").text_content()
    (shown,) = _viewed(page) or []
    page.reload()
    large = page.locator(LARGE)
    expect(large.locator("h2")).to_have_text(name)
    expect(large).to_contain_text("3 of 8")
    page.keyboard.press("ArrowLeft")
    expect(large).to_contain_text("2 of 8")
    page.go_back()
    expect(large).to_be_hidden()
    expect(page.locator(".card")).to_have_count(8)
    page.go_forward()
    expect(large).to_be_visible()
    wait_until_idle(page)
    page.keyboard.press("m")  # A search, which Back leaves for the one before.
    page.wait_for_url("**more=**")
    assert _viewed(page) is None
    expect(large).to_be_hidden()
    page.go_back()
    page.wait_for_function("!location.search.includes('more')")
    later = visit(c="photos", q="red", n="1", view=shown)  # Among the hits, but not those on the first page.
    expect(later.locator(f"{LARGE} h2")).to_have_text(name)
    expect(later.locator(LARGE)).to_contain_text("3 of 8")
    alone = visit(c="photos", q="red", where=f"id != {shown}", view=shown)  # Not among the hits.
    expect(alone.locator(f"{LARGE} h2")).to_have_text(name)
    expect(alone.locator(f"{LARGE} .path")).to_be_visible()
    assert alone.locator(f"{LARGE} .head").inner_text().strip() == "✕"  # It has no number.
    alone.keyboard.press("Escape")
    expect(alone.locator(".card")).to_have_count(7)
    alone.wait_for_function("!new URL(location).searchParams.has('view')")


def test_a_picture_is_swiped_away(browser: Any, ui: Pages) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(ui.at(c="photos", q="red"))
    page.locator(".card").first.tap()
    large = page.locator(LARGE)
    expect(large).to_contain_text("1 of 8")
    touch = context.new_cdp_session(page)

    def swipe(x: int, y: int) -> None:
        for kind, at in (
            ("touchStart", (0, 0)),
            ("touchMove", (x / 2, y / 2)),
            ("touchMove", (x, y)),
            ("touchEnd", None),
        ):
            points = [] if at is None else [{"x": 200 + at[0], "y": 200 + at[1]}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    swipe(-150, 5)
    expect(large).to_contain_text("2 of 8")
    swipe(150, -5)
    expect(large).to_contain_text("1 of 8")
    body = large.locator(".body").element_handle()
    expect(large.locator(".path")).to_be_visible()
    swipe(5, -150)  # To what is known of it.
    page.wait_for_function("body => body.scrollTop > 60", arg=body)
    page.evaluate("body => body.scrollTo({top: 60, behavior: 'instant'})", arg=body)
    swipe(5, 150)
    page.wait_for_function("body => body.scrollTop === 0", arg=body)
    expect(large).to_be_visible()
    swipe(10, 160)
    expect(large).to_be_hidden()
    page.wait_for_function("!location.search.includes('view')")
    context.close()

"""Make the pictures of docs/ui.md: the pages of ``imseek ui`` in Debian's chromium, over free photographs.

make page-pictures            (needs the extras builtin, demo, explore, ui and dev)
python -P docs/pictures/pages.py search large         (only these)
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageOps
from playwright.sync_api import expect, sync_playwright

import imseek
from imseek.ui.demo_photographs import photographs

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1] / "tests"), str(HERE)]

from browsing import CHROMIUM, FLAGS, pages  # noqa: E402 - beside the tests
from make import FREE  # noqa: E402

#: Milliseconds to wait for what a page shows: the machine may be busy.
expect.set_options(timeout=60_000)

#: Colours of a picture for the docs: some 100 kB each.
COLOURS = 160


def album(folder: Path) -> Path:
    """The free photographs, parts of them, and some of them once more, smaller; with dates that are made up."""
    folder.mkdir()
    for year, path in enumerate((path for path in photographs() if path.stem in FREE), 2015):
        with Image.open(path) as opened:
            whole = ImageOps.exif_transpose(opened).convert("RGB")
        whole.save(folder / f"{path.stem}.jpg", quality=92)
        if path.stem in ("chelsea", "coffee", "rocket"):
            whole.resize((whole.width // 2, whole.height // 2)).save(folder / f"{path.stem} small.webp")
        w, h = whole.size
        for n, (x, y) in enumerate(((0, 0), (0.4, 0), (0, 0.4), (0.4, 0.4))):
            part = whole.crop((int(x * w), int(y * h), int((x + 0.6) * w), int((y + 0.6) * h)))
            exif = Image.Exif()
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"{year}:0{n + 3}:12 10:00:00"
            part.save(folder / f"{path.stem} part {n + 1}.jpg", quality=90, exif=exif)
    (folder / "chelsea.txt").write_text("A tabby cat looks into the camera")
    return folder


def search(page: Any) -> None:
    expect(page.locator(".card img").first).to_be_visible()
    page.reload()  # The page says how long a query took, and the first one loads the encoder.
    expect(page.locator(".card img").first).to_be_visible()
    expect(page.get_by_role("region", name="Filters").get_by_role("checkbox").first).to_be_visible()


def large(page: Any) -> None:
    page.locator(".card", has_text="chelsea.jpg").click()
    expect(page.get_by_role("dialog").locator("img").first).to_be_visible()
    page.wait_for_load_state("networkidle")


def albums(page: Any) -> None:
    expect(page.locator(".card img").first).to_be_visible()


def make_albums(collection: imseek.Collection) -> None:
    for name, words, count in (
        ("Cats", "a cat", 6),
        ("Breakfast", "a cup of coffee", 5),
        ("Into space", "a rocket", 7),
    ):
        imseek.albums.create(collection, name, [hit.image_id for hit in collection.search(words, limit=count)])
    imseek.tags.add(collection, imseek.tags.FAVOURITE, [hit.image_id for hit in collection.search("stars", limit=3)])


def duplicates(page: Any) -> None:
    page.get_by_role("button", name="Find duplicates").click()
    expect(page.get_by_role("listbox", name="Group 1 of")).to_be_visible(timeout=120_000)
    page.get_by_role("button", name="Stop").wait_for(state="hidden", timeout=120_000)
    page.wait_for_timeout(10_000)  # The message that it is done goes by itself.


def plane(page: Any) -> None:
    expect(page.locator("canvas").first).to_be_visible()


def words(page: Any) -> None:
    page.get_by_label("Classes").fill("cat\ncup of coffee\nrocket\nstars: galaxy, stars in the night sky")
    expect(page.get_by_text("most certain").first).to_be_visible(timeout=120_000)


def collections(page: Any) -> None:
    expect(page.get_by_role("tab", name="Sources")).to_be_visible()


#: What is shown: file, page, query, what is done there, dark.
SHOWN: tuple[tuple[str, str, dict[str, str], Callable[[Any], None], bool], ...] = (
    ("search", "", {"q": "a cat"}, search, False),
    ("large", "", {"q": "a cat"}, large, True),
    ("albums", "albums", {}, albums, False),
    ("duplicates", "duplicates", {}, duplicates, False),
    ("map-page", "map", {}, plane, False),
    ("labels", "labels", {}, words, False),
    ("collections", "collections", {}, collections, True),
)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root = Path(scratch) / "library" / "collections" / "photos"
        root.parent.mkdir(parents=True)
        with imseek.create(root, encoder="builtin") as collection:
            collection.index([album(Path(scratch) / "photos")])
            imseek.maps.lay_out(collection)
            make_albums(collection)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        with pages(Path(scratch), Path(scratch) / "library") as running:
            for name, path, query, act, dark in (one for one in SHOWN if one[0] in (sys.argv[1:] or one)):
                page = browser.new_page(
                    viewport={"width": 1280, "height": 800}, color_scheme="dark" if dark else "light"
                )
                page.set_default_timeout(60_000)
                page.goto(running.at(path, c="photos", **query))
                act(page)
                page.wait_for_timeout(5000)  # Thumbnails are painted.
                shot = Image.open(io.BytesIO(page.screenshot()))
                shot.convert("RGB").quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()

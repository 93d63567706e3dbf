"""Duplicates: found, decided by keyboard, put into the trash, and brought back; on copies of real photographs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browsing import Pages, Visit, pages
from PIL import Image, ImageOps
from playwright.sync_api import expect

import imseek
from imseek import duplicates

#: Names of files are anybody's. No colon or slash of its own, which not every file system has.
HOSTILE = "*cat* ![x](evil) <img src=x onerror=alert(1)>.jpg"


@dataclass(frozen=True, slots=True)
class Album:
    """A library with one collection, the folder of its pictures, and where the trash is."""

    home: Path
    folder: Path
    share: Path

    @property
    def collection(self) -> Path:
        return self.home / "collections" / "album"

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    def trashed(self) -> set[str]:
        found = self.share / "Trash" / "files"
        return {path.name for path in found.iterdir()} if found.exists() else set()


def made(folder: Path, photo_files: list[Path]) -> Album:
    """Three groups: china twice, the cat as three different files, coffee and its mirror image."""
    album = Album(folder / "library", folder / "album", folder / "share")
    album.folder.mkdir()
    for path in photo_files:
        shutil.copyfile(path, album.folder / path.name)
    shutil.copyfile(album.folder / "china.jpg", album.folder / "china copy.jpg")
    with Image.open(album.folder / "chelsea.png") as opened:
        cat = opened.convert("RGB")
    cat.resize((225, 150)).save(album.folder / "cat small.webp")
    cat.save(album.folder / HOSTILE, quality=40)
    with Image.open(album.folder / "coffee.png") as opened:
        ImageOps.mirror(opened.convert("RGB")).save(album.folder / "coffee mirrored.png")
    album.collection.parent.mkdir(parents=True)
    with imseek.create(album.collection, encoder="builtin") as collection:
        collection.index([album.folder])
    return album


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Album:
    """One that several tests look at, and none decides about."""
    return made(tmp_path_factory.mktemp("looked-at"), photo_files)


@pytest.fixture(scope="module")
def home(album: Album) -> Path:
    return album.home


def find(visit: Visit, **options: Any) -> Any:
    page = visit("duplicates", c="album", **options)
    # What another test has looked for is there at once.
    sought = page.get_by_role("button", name="Find duplicates")
    expect(sought.or_(group(page, "Group 1 of 3")).first).to_be_visible()
    if sought.is_visible():
        sought.click()
        expect(page.get_by_role("listbox", name=re.compile("of 3$"))).to_be_visible(timeout=60_000)
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
        page.reload()  # Until then, the group that was found first is shown, which may be another one of them.
    expect(group(page, "Group 1 of 3")).to_be_visible()
    return page


def group(page: Any, label: str) -> Any:
    """The pictures of a group, once keys are meant for it."""
    return page.get_by_role("listbox", name=label, exact=True)


@pytest.mark.long
def test_names_of_files_are_shown_as_they_are(visit: Visit) -> None:
    page = find(visit)
    page.keyboard.press("p")
    expect(group(page, "Group 3 of 3")).to_be_visible()
    expect(page.locator("bdi", has_text=HOSTILE)).to_be_visible()
    page.get_by_role("radio", name="All groups").click()
    listed = group(page, "Pictures").locator(".card")
    expect(listed).to_have_count(3)
    listed.nth(1).click()
    expect(group(page, "Group 2 of 3")).to_be_visible()


def test_two_pictures_are_laid_over_each_other(visit: Visit) -> None:
    page = find(visit)
    page.keyboard.press("c")
    over = page.get_by_role("dialog", name="Two pictures compared")
    expect(over).to_be_visible()
    expect(over.locator(".stage.slider .pane img")).to_have_count(2)
    page.keyboard.press("4")
    expect(over.locator(".stage.difference")).to_be_visible()
    page.keyboard.press("+")
    assert "scale(1.5)" in over.locator(".pane img").first.get_attribute("style")
    page.keyboard.press("Escape")
    expect(over).to_be_hidden()
    expect(page.get_by_text("0 of 3 groups decided")).to_be_visible()


@pytest.mark.long
@pytest.mark.parametrize("width", [400, 2500])
def test_nothing_is_wider_than_the_window(visit: Visit, width: int) -> None:
    page = find(visit, width=width)
    expect(page.locator(".card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def own(tmp_path: Path, photo_files: list[Path]) -> Album:
    """One that a test may change."""
    return made(tmp_path, photo_files)


@pytest.fixture
def trash(tmp_path: Path, own: Album, browser: Any) -> Iterator[Pages]:
    """Pages over it, with a trash of their own."""
    with pages(tmp_path, own.home, environment={"XDG_DATA_HOME": str(own.share)}) as running:
        yield running


class TestJourney:
    @pytest.fixture
    def ui(self, trash: Pages) -> Pages:
        return trash

    def test_a_key_counts_while_groups_are_found(self, visit: Visit) -> None:
        page = visit("duplicates", c="album")
        page.get_by_role("button", name="Find duplicates").click()
        expect(page.get_by_role("listbox", name=re.compile("^Group"))).to_be_visible(timeout=60_000)
        page.keyboard.press("s")
        expect(page.get_by_text(re.compile("of 3 groups decided, 1 for later"))).to_be_visible(timeout=60_000)

    def test_from_finding_to_bringing_back(self, visit: Visit, own: Album) -> None:
        page = find(visit)
        expect(page.get_by_text("0 of 3 groups decided")).to_be_visible()
        expect(page.locator(".card")).to_have_count(2)
        expect(page.locator(".card.at .said")).to_contain_text("Suggested to stay")

        # The second of two copies stays. Nobody has clicked anything.
        page.keyboard.press("ArrowRight")
        kept = page.locator(".card.at dd").nth(4).inner_text()
        page.keyboard.press("k")
        expect(page.get_by_text("1 of 3 groups decided; 1 picture may go")).to_be_visible()
        expect(group(page, "Group 2 of 3")).to_be_visible()
        page.keyboard.press("s")
        expect(page.get_by_text("1 of 3 groups decided, 1 for later")).to_be_visible()
        expect(group(page, "Group 3 of 3")).to_be_visible()
        page.keyboard.press("Shift+K")
        expect(page.get_by_text("2 of 3 groups decided, 1 for later")).to_be_visible()
        expect(group(page, "Group 2 of 3")).to_be_visible()  # Nothing else is left.
        page.keyboard.press("u")
        expect(page.get_by_text("1 of 3 groups decided, 1 for later")).to_be_visible()
        expect(group(page, "Group 3 of 3")).to_be_visible()
        expect(page.locator(".card").first).to_be_visible()
        page.keyboard.press("Shift+K")
        expect(page.get_by_text("2 of 3 groups decided, 1 for later")).to_be_visible()

        # It survives a reload, and is in the collection as `imseek duplicates judge` has it.
        page.reload()
        expect(page.get_by_text("2 of 3 groups decided, 1 for later")).to_be_visible()
        said = duplicates.judgements(own.collection)
        assert {one.verdict for one in said} == {"different"}

        # Keys count after another view was looked at, too.
        page.get_by_role("radio", name="All groups").click()
        expect(page.get_by_text("Click a group to look at it.")).to_be_visible()
        page.get_by_role("radio", name="One by one").click()
        expect(group(page, "Group 2 of 3")).to_be_visible()
        page.keyboard.press("j")
        expect(group(page, "Group 3 of 3")).to_be_visible()

        page.get_by_role("radio", name="Clean up").click()
        expect(page.get_by_text("1 file in 1 group")).to_be_visible()
        page.get_by_role("button", name="Move 1 file to the trash").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text("will be moved to the trash. 1 picture stays.")).to_be_visible()
        assert {"china.jpg", "china copy.jpg"} <= own.files()  # Nothing yet.
        dialog.get_by_role("button", name="Move 1 file to the trash").click()
        expect(page.get_by_text("✓ 1 file moved to the trash")).to_be_visible()
        (gone,) = {"china.jpg", "china copy.jpg"} - {kept}
        assert kept in own.files()
        assert gone not in own.files()
        assert own.trashed() == {gone}

        page.get_by_role("radio", name="Restore").click()
        page.get_by_role("button", name="Restore…").click()
        dialog.get_by_role("button", name="Restore 1 file").click()
        expect(page.get_by_text("✓ 1 file restored.")).to_be_visible()
        assert gone in own.files()
        assert own.trashed() == set()
        expect(page.get_by_text("Brought back", exact=True)).to_be_visible()

        # What was said is taken back.
        page.get_by_text("What was said of 3 pairs of pictures").click()
        for n, some in enumerate(("1 judgement", "2 judgements", "3 judgements")):
            group(page, "Pictures").locator(".card .tick").nth(n).click()
            expect(page.get_by_role("button", name=f"Take back {some}")).to_be_visible()
        page.get_by_role("button", name="Take back 3 judgements").click()
        expect(page.get_by_text("What was said of")).to_be_hidden()
        assert duplicates.judgements(own.collection) == ()

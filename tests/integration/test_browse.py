"""`imseek browse` under its keys, on real pictures."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from textual.widgets import Input, Static

from imseek.errors import ImseekError, UsageError
from imseek.ui.cli.browse import _write
from imseek.ui.terminal.browse import Browse
from imseek.ui.terminal.browse_state import BrowseQuery
from imseek.ui.terminal.overlays import Keys, Large, WriteTo
from imseek.ui.terminal.tiles import Tile


class Driven:
    """A browser that is being used: what is on its screen, and what it was told to open and to write."""

    def __init__(self, app: Browse, pilot, opened: list, written: list) -> None:
        self.app, self.pilot, self.opened, self.written = app, pilot, opened, written

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            await self.pilot.pause()
            if holds():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"never: {what or holds}; {self.status!r}")

    async def ready(self) -> None:
        """Until hits are in the tiles that there is room for."""
        app = self.app

        def shown() -> bool:
            room = len(app.window.shown)
            return len(app._tiles.tiles) == room and len(self.tiles) == min(room, len(app.results.hits)) > 0

        await self.until(shown, "hits in tiles")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def ask(self, line: str) -> None:
        app = self.app
        before = app._search_number
        app.query_one("#words", Input).value = line
        app.action_words()
        await self.press("enter")
        await self.until(lambda: app._search_number > before and not app._searching, f"an answer to {line}")

    @property
    def status(self) -> str:
        return str(self.app.screen_stack[0].query_one("#status", Static).content)

    @property
    def names(self) -> list[str]:
        return [tile.query_one(".name", Static).content for tile in self.tiles]

    @property
    def tiles(self) -> list[Tile]:
        return [tile for tile in self.app.screen_stack[0].query(Tile) if not tile.has_class("-empty")]

    @property
    def here(self) -> str:
        assert self.app.here is not None
        return Path(self.app.here.path).name


def drive(opened, wish: BrowseQuery, use: Callable[[Driven], Awaitable[None]], size=(110, 34), view=None, write=None):
    """Runs ``use`` and gives what the browser ended with."""

    async def run():
        seen: list = []
        written: list = []
        app = Browse(
            opened,
            wish,
            view=view or seen.append,
            write=write or (lambda path, lines: written.append((path, list(lines)))),
        )
        async with app.run_test(size=size) as pilot:
            await use(Driven(app, pilot, seen, written))
        return app.return_value

    return asyncio.run(run())


@pytest.fixture
def indexed(collection, photos):
    collection.index([photos])
    return collection


@pytest.fixture
def many(collection, tmp_path):
    """150 pictures of as many colours."""
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(150):
        pixels = np.full((12, 12, 3), (255 - n, n, 20), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:03}.png")
    collection.index([folder])
    return collection


def test_words_bring_thumbnails_with_scores(indexed) -> None:
    expected = indexed.search("red", limit=60)

    async def use(browser: Driven) -> None:
        assert "type what you look for" in browser.status
        assert browser.app.focused.id == "words"
        await browser.ask("red")
        assert [hit.image_id for hit in browser.app.results.hits] == [hit.image_id for hit in expected]
        assert browser.names == [Path(hit.path).name for hit in expected]
        assert str(browser.tiles[0].query_one(".score", Static).content) == f"1  {expected[0].score:.3f}"
        assert browser.app.focused.id == "tiles"
        await browser.until(lambda: all(isinstance(tile._picture, bytes) for tile in browser.tiles), "thumbnails")
        for tile in browser.tiles:
            assert tile._image.display
            assert tile._image.image is not None
        assert browser.status == "1 of 8"

    drive(indexed, BrowseQuery(), use)


def test_a_thumbnail_is_the_picture(indexed) -> None:
    async def use(browser: Driven) -> None:
        await browser.until(lambda: len(browser.app._thumbs) == 8, "thumbnails")
        for hit in browser.app.results.hits:
            with Image.open(io.BytesIO(browser.app._thumbs[hit.collection, hit.image_id])) as made:
                small = np.asarray(made.convert("RGB").resize((8, 8)), int)
            with Image.open(hit.path) as original:
                whole = np.asarray(original.convert("RGB").resize((8, 8)), int)
            assert np.abs(small - whole).mean() < 10

    drive(indexed, BrowseQuery("red"), use)


def test_keys_move_select_and_end(indexed) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        names = browser.names
        columns = browser.app.window.columns
        await browser.press("right")
        assert browser.here == names[1]
        await browser.press("space", "down")
        assert browser.here == names[1 + columns]
        await browser.press("up", "left", "left", "up")
        assert browser.here == names[0]
        await browser.press("end")
        assert browser.here == names[-1]
        await browser.press("space", "home")
        assert browser.here == names[0]
        assert browser.status == "1 of 8 · 2 selected"
        assert [tile.has_class("-here") for tile in browser.tiles].index(True) == 0
        assert [tile.has_class("-chosen") for tile in browser.tiles].count(True) == 2
        await browser.press("q")

    chosen = drive(indexed, BrowseQuery("red"), use)
    expected = indexed.search("red", limit=60)
    assert chosen == [expected[1], expected[7]]


def test_enter_shows_it_large_with_what_is_known(indexed, photos) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        hit = browser.app.results.hits[0]
        await browser.press("enter")
        screen = browser.app.screen
        assert isinstance(screen, Large)
        await browser.until(lambda: screen._image.image is not None, "the picture")
        facts = " ".join(str(one.content) for one in screen.query(".fact"))
        assert hit.place.display in facts
        assert f"width  {hit.metadata['width']}" in facts
        await browser.until(lambda: not screen.query_one("#said").display)
        await browser.press("right", "space")
        assert browser.here == browser.names[1]
        assert "2 of 8  ✓ selected" in str(screen.query(".fact").first(Static).content)
        await browser.press("escape")
        assert not isinstance(browser.app.screen, Large)

    drive(indexed, BrowseQuery("red"), use)


def test_words_that_match_are_told(indexed, photos) -> None:
    file = sorted(path for path in photos.rglob("*") if path.is_file())[0]

    async def use(browser: Driven) -> None:
        await browser.ready()
        assert "matched: " in browser.status
        assert browser.status.endswith(f"name {file.name}")
        await browser.press("enter")
        screen = browser.app.screen
        facts = [str(one.content) for one in screen.query(".fact")]
        assert any(fact.startswith("matched  ") and fact.endswith(f"name {file.name}") for fact in facts), facts
        await browser.press("escape", "end")
        assert "matched" not in browser.status

    drive(indexed, BrowseQuery(file.stem), use)


def test_more_and_less_like_this_are_asked_with_the_words(indexed) -> None:
    asked = []
    real = indexed.search

    def search(query, **options):
        asked.append(query)
        return real(query, **options)

    indexed.search = search

    async def use(browser: Driven) -> None:
        await browser.ready()
        first, second = (hit.image_id for hit in browser.app.results.hits[:2])
        await browser.press("m")
        await browser.until(lambda: not browser.app._searching)
        assert (asked[-1].more, asked[-1].less, asked[-1].terms[0].text) == ((first,), (), "red")
        assert "more like 1" in browser.status
        at = next(n for n, hit in enumerate(browser.app.results.hits) if hit.image_id == second)
        await browser.press(*["right"] * at, "enter", "l")
        await browser.until(lambda: len(asked) == 3 and not browser.app._searching)
        assert (asked[-1].more, asked[-1].less) == ((first,), (second,))
        assert not isinstance(browser.app.screen, Large)
        await browser.press("r")
        await browser.until(lambda: len(asked) == 4 and not browser.app._searching)
        assert (asked[-1].more, asked[-1].less) == ((), ())

    drive(indexed, BrowseQuery("red"), use)


def test_the_next_hits_come_as_one_scrolls(many) -> None:
    expected = [hit.image_id for hit in many.search("red", limit=150)]

    async def use(browser: Driven) -> None:
        await browser.ready()
        assert len(browser.tiles) == browser.app.window.columns * browser.app.window.rows == 8
        assert browser.status == "1 of 60+"
        await browser.press(*["pagedown"] * 4)
        assert browser.app.window.top == 7
        assert browser.app.window.cursor == 32
        await browser.until(lambda: len(browser.app.results.hits) == 120, "the second page")
        for _ in range(3):
            await browser.press("end")
            await browser.until(lambda: not browser.app._searching)
        assert [hit.image_id for hit in browser.app.results.hits] == expected
        assert browser.status == "150 of 150"
        assert browser.here == browser.names[-1]
        await browser.until(lambda: all(isinstance(tile._picture, bytes) for tile in browser.tiles), "thumbnails")

    drive(many, BrowseQuery("red"), use)


def test_keys_do_not_wait_for_a_search(indexed) -> None:
    began, go = threading.Event(), threading.Event()
    real = indexed.search

    def slow(query, **options):
        if query.terms[0].text == "slow":
            began.set()
            assert go.wait(30)
        return real(query, **options)

    indexed.search = slow

    async def use(browser: Driven) -> None:
        await browser.ready()
        browser.app.ask(BrowseQuery("slow"))
        await browser.until(began.is_set)
        await browser.press("right", "right")
        assert browser.here == browser.names[2]
        # A late answer to what is no longer asked changes nothing.
        browser.app.ask(BrowseQuery("blue"))
        await browser.until(lambda: not browser.app._searching)
        blue = [hit.image_id for hit in browser.app.results.hits]
        go.set()
        await asyncio.sleep(0.2)
        await browser.pilot.pause()
        assert (
            [hit.image_id for hit in browser.app.results.hits] == blue == [h.image_id for h in real("blue", limit=60)]
        )

    drive(indexed, BrowseQuery("red"), use)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("id:999", "999"),
        ("./nowhere.jpg", "nowhere.jpg"),
        ("red + -", "standard input"),
        ("[bold red]x[/]", "1 of 8"),
    ],
)
def test_what_is_wrong_is_said_in_place(indexed, line, said) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        browser.app.query_one("#words", Input).value = line
        browser.app.action_words()
        await browser.press("enter")
        await browser.until(lambda: said in browser.status, said)
        assert browser.app._wish.line == (line if "[" in line else "red")
        assert len(browser.tiles) == 8
        await browser.press("right")
        assert browser.here == browser.names[1]

    drive(indexed, BrowseQuery("red"), use)


def test_a_picture_that_is_gone_says_so_in_its_tile(indexed, photos) -> None:
    (photos / "coffee.png").unlink()

    async def use(browser: Driven) -> None:
        await browser.until(lambda: len(browser.app._thumbs) == 8)
        gone = browser.tiles[browser.names.index("coffee.png")]
        assert str(gone.query_one(".none", Static).content) == "not there any more"
        assert gone.query_one(".none").display
        assert not gone._image.display

    drive(indexed, BrowseQuery("red"), use)


def test_open_copy_and_write(indexed) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        first = browser.app.results.hits[0]
        await browser.press("y")
        assert browser.app.clipboard == first.path
        assert browser.status == f"copied {first.path}"
        await browser.press("o")
        await browser.until(lambda: browser.opened == [first])
        await browser.press("space", "right", "space", "e")
        assert isinstance(browser.app.screen, WriteTo)
        await browser.press("enter")
        await browser.until(lambda: browser.written)
        assert browser.written == [(Path("selected.txt"), [hit.path for hit in browser.app.results.hits[:2]])]
        assert browser.status == "wrote 2 paths to selected.txt"

    drive(indexed, BrowseQuery("red"), use)


def test_nothing_is_written_on_the_screen() -> None:
    for name in ("-", "/dev/stdout"):
        with pytest.raises(UsageError, match="written to stdout"):
            _write(Path(name), ["/photos/1.jpg"])


def test_what_cannot_be_opened_or_written_is_said_in_place(indexed) -> None:
    def view(hit) -> None:
        raise ImseekError("no viewer", hint="install one")

    def write(path, lines) -> None:
        raise UsageError("selected.txt is there already")

    async def use(browser: Driven) -> None:
        await browser.ready()
        await browser.press("o")
        await browser.until(lambda: browser.status == "no viewer (install one)")
        await browser.press("e", "enter")
        await browser.until(lambda: browser.status == "selected.txt is there already")
        assert browser.app.query_one("#status").has_class("-error")

    drive(indexed, BrowseQuery("red"), use, view=view, write=write)


def test_the_keys_are_told(indexed) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        await browser.press("question_mark")
        assert isinstance(browser.app.screen, Keys)
        await browser.press("escape")
        assert not isinstance(browser.app.screen, Keys)

    drive(indexed, BrowseQuery("red"), use)


@pytest.mark.parametrize("size", [(20, 12), (80, 24), (250, 70)])
def test_any_size(indexed, size) -> None:
    async def use(browser: Driven) -> None:
        await browser.ready()
        window = browser.app.window
        assert window.columns == max(1, size[0] // 26)
        assert len(browser.tiles) == min(8, window.columns * window.rows)
        await browser.press("end")
        assert browser.here == Path(browser.app.results.hits[-1].path).name
        await browser.pilot.resize_terminal(60, 40)
        await browser.until(lambda: browser.app.window.columns == 2)
        assert browser.here == Path(browser.app.results.hits[-1].path).name
        assert any(tile.has_class("-here") for tile in browser.tiles)

    drive(indexed, BrowseQuery("red"), use, size=size)

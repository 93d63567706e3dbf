"""Chromium, and collections to look at. Without a browser these tests skip and say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import CHROMIUM, FLAGS, Pages, Visit, pages

import imseek

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Until the last test here: while Playwright is open this thread has an event loop, and no other can run in it."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing (Debian: apt install chromium)")
    sync_api.expect.set_options(timeout=60_000)  # The first query loads its encoder.
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="package")
def shared_home(tmp_path_factory: pytest.TempPathFactory, photo_files: list[Path]) -> Path:
    """A library with the collection ``photos``: eight real photographs, encoded by ``builtin``.

    Nothing writes to it. A module that writes adds a collection of another name, or has a ``home`` of its own.
    """
    folder = tmp_path_factory.mktemp("library")
    path = folder / "collections" / "photos"
    path.parent.mkdir(parents=True)
    with imseek.create(path, encoder="builtin") as collection:
        collection.index(names=photo_files)
    return folder


@pytest.fixture(scope="package")
def shared_ui(tmp_path_factory: pytest.TempPathFactory, shared_home: Path, browser: Any) -> Iterator[Pages]:
    """The pages over ``shared_home``."""
    with pages(tmp_path_factory.mktemp("ui"), shared_home) as running:
        yield running


@pytest.fixture(scope="module")
def home(shared_home: Path) -> Path:
    return shared_home


@pytest.fixture(scope="module")
def ui(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    home: Path,
    shared_home: Path,
    browser: Any,
) -> Iterator[Pages]:
    """The pages over ``home``: those that other modules see too, where it is ``shared_home``."""
    if home == shared_home:
        yield request.getfixturevalue("shared_ui")
    else:
        with pages(tmp_path_factory.mktemp("ui"), home) as running:
            yield running


@pytest.fixture
def visit(browser: Any, ui: Pages, tmp_path: Path) -> Iterator[Visit]:
    """``visit("map", c="photos")`` opens a page, logged in. No page may ask another host for anything, nor write an
    error to the console."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    strangers: list[str] = []
    errors: list[str] = []

    def route(asked: Any) -> None:
        if asked.request.url.startswith((ui.url, "data:", "blob:")):
            asked.continue_()
        else:
            strangers.append(asked.request.url)
            asked.abort()

    context.route("**/*", route)
    context.set_default_timeout(60_000)
    opened = []

    def open_(page: str = "", /, *, width: int = 1400, dark: bool = False, **query: str) -> Any:
        made = context.new_page()
        made.set_viewport_size({"width": width, "height": 900})
        made.emulate_media(color_scheme="dark" if dark else "light")
        made.on("pageerror", lambda error: errors.append(str(error)))
        made.on("console", lambda said: _note(said, errors))
        made.goto(ui.at(page, **query))
        opened.append(made)
        return made

    yield open_
    for n, made in enumerate(opened):
        made.screenshot(path=str(tmp_path / f"page-{n}.png"))
    context.close()
    assert strangers == []
    assert errors == []


def _note(said: Any, errors: list[str]) -> None:
    if said.type == "error":
        errors.append(f"{said.text} ({said.location.get('url')})")

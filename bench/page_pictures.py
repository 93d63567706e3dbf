"""Pictures of every page of `imseek ui` at three widths, in light and dark, and contact sheets of them.

    python bench/page_pictures.py --home HOME --collection NAME --out DIR [--tree CHECKOUT] [--only search map]

`HOME` is an imseek home (`IMSEEK_HOME`) whose collection `NAME` is shown; it is not changed, except for data that pages
store, such as a history of searches. `--tree` serves the pages of another checkout of imseek, such as a `git worktree`
of an older commit, for pictures from before a change. States that the older pages do not have are listed. `DIR`
receives `PAGE-WIDTH-MODE.png` and, for each page, `sheet-PAGE.png` with all of them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browsing import FLAGS, Pages, pages

WIDTHS: Final = {1440: 900, 400: 800, 2560: 1440}
MODES: Final = ("light", "dark")
#: Milliseconds until thumbnails are painted, which no event announces.
_SETTLE: Final = 2500
_CARD: Final = ".card img"


def _wait(page: Any, ready: str) -> None:
    page.locator(ready).first.wait_for()


def _large(page: Any) -> None:
    _wait(page, _CARD)
    page.locator(".card").first.click()
    _wait(page, "dialog.large[open], [role=dialog]")


def _duplicates(page: Any) -> None:
    _wait(page, "button:visible:has-text('Find duplicates'), .group .card")
    if (find := page.get_by_role("button", name="Find duplicates")).is_visible():  # The server keeps what it found.
        find.click()
    _wait(page, ".group .card")


def _words(page: Any) -> None:
    page.get_by_label("Classes").fill("cat\ncup of coffee\nrocket\nstars")
    page.keyboard.press("Control+Enter")
    page.get_by_text("most certain").first.wait_for()


#: State → path of its page, query, and the action that brings it about.
STATES: Final[dict[str, tuple[str, dict[str, str], Callable[[Any], None]]]] = {
    "start": ("", {}, lambda page: _wait(page, _CARD)),
    "search": ("", {"q": "a cat"}, lambda page: _wait(page, _CARD)),
    "large": ("", {"q": "a cat"}, _large),
    "albums": ("albums", {}, lambda page: _wait(page, ".card img, .covers img")),
    "duplicates": ("duplicates", {}, _duplicates),
    "map": ("map", {}, lambda page: _wait(page, "canvas")),
    "labels": ("labels", {}, _words),
    "collections": ("collections", {}, lambda page: _wait(page, "[role=tab]")),
    "missing": ("", {"c": "nowhere"}, lambda page: _wait(page, "main, [data-testid=stMain]")),
}


def _shoot(browser: Any, ui: Pages, collection: str, state: str, out: Path) -> list[str]:
    path, query, act = STATES[state]
    failures = []
    for width, height in WIDTHS.items():
        for mode in MODES:
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=mode)
            context.set_default_timeout(60_000)
            page = context.new_page()
            page.goto(ui.at(path, **{"c": collection, **query}))
            try:
                act(page)
            except Exception as error:  # Another checkout may lack the state: its page is pictured as it is.
                failures.append(f"{state} at {width}, {mode}: {str(error).splitlines()[0]}")
            page.wait_for_timeout(_SETTLE)
            page.screenshot(path=out / f"{state}-{width}-{mode}.png")
            context.close()
    return failures


def _sheet(state: str, out: Path) -> None:
    """Lay the pictures of a page beside each other: light above dark, each 640 pixels high."""
    rows = [[Image.open(out / f"{state}-{width}-{mode}.png").convert("RGB") for width in WIDTHS] for mode in MODES]
    rows = [
        [one.resize((round(one.width * 640 / one.height), 640), Image.Resampling.LANCZOS) for one in row]
        for row in rows
    ]
    sheet = Image.new("RGB", (sum(one.width + 8 for one in rows[0]), 2 * 648), "#888")
    for n, row in enumerate(rows):
        at = 0
        for one in row:
            sheet.paste(one, (at, n * 648))
            at += one.width + 8
    sheet.save(out / f"sheet-{state}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--only", nargs="*", choices=STATES, default=list(STATES))
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    options.out.mkdir(parents=True, exist_ok=True)
    environment = {"PYTHONPATH": os.fspath(options.tree.resolve())}
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        pages(Path(folder), options.home.absolute(), environment=environment) as ui,
    ):
        browser = playwright.chromium.launch(executable_path=options.browser, args=FLAGS)
        for state in options.only:
            failures = _shoot(browser, ui, options.collection, state, options.out)
            _sheet(state, options.out)
            print(f"{state}: {'; '.join(failures) or 'done'}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()

"""Check the pages of `imseek ui` with axe-core, in light and dark, on a wide window and on a phone.

    npm pack axe-core && tar xzf axe-core-*.tgz
    python bench/axe.py --collection PATH --axe package/axe.min.js [--browser /usr/bin/chromium]

The collection should have duplicates, and captions or text. Printed are the violations of every page, with the number
of elements and the first of them; the exit code is 1 if there are any. Two findings are left out that nobody but
Streamlit can change: `presentation-role-conflict` on its file uploader, and its link that skips to the content, which
axe-core does not recognise where the first other link is in a shadow tree, as ours is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import recorder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browsing import FLAGS, Pages, pages

_LEFT_OUT: Final = "presentation-role-conflict"
_RUN: Final = """async () => (await axe.run({ exclude: [["[data-testid=stSkipToContent]"]] },
  { resultTypes: ["violations"] })).violations.map((one) =>
  [one.id, one.impact, one.nodes.length, one.nodes[0].html.slice(0, 120), one.nodes[0].failureSummary])"""


def _states(page: Any, ui: Pages) -> Iterator[str]:
    """Bring the page into each state in turn, and yield its name."""

    def go(name: str, ready: str, **query: str) -> None:
        page.goto(ui.at(name, **query))
        page.locator(ready).first.wait_for(timeout=120_000)
        page.wait_for_timeout(1500)

    go("", ".card")
    yield "search, without a query"
    go("", ".card", q="a red bird", cutoff="off")
    yield "search"
    page.locator(".card").first.click()
    page.locator("dialog.large[open] .alike img").first.wait_for()
    yield "search, one picture large"
    page.keyboard.press("r")
    page.locator("dialog.large[open] .region-box").wait_for()
    yield "search, a part drawn"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    for n in range(2):
        page.locator(".card").nth(n).focus()
        page.keyboard.press("Space")
    page.get_by_role("button", name="Compare", exact=True).wait_for()
    yield "search, two selected"
    page.get_by_role("button", name="Compare", exact=True).click()
    page.locator("dialog.sides[open] .differs").first.wait_for()
    yield "search, two side by side"
    go("duplicates", "button:visible:has-text('Find duplicates'), .group .card")
    if (find := page.get_by_role("button", name="Find duplicates")).is_visible():  # The server keeps what it found.
        yield "duplicates, form"
        find.click()
    page.locator(".group .card").first.wait_for(timeout=300_000)
    yield "duplicates, one group"
    page.keyboard.press("c")
    page.locator("[aria-label='Two pictures compared']").first.wait_for()
    yield "duplicates, two compared"
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="All groups").click()
    page.locator(".grid .card").first.wait_for()
    yield "duplicates, all groups"
    for name in ("albums", "map", "labels", "collections"):
        go(name, "main button")
        yield name
    page.get_by_role("tab", name="Maintenance").click()
    page.get_by_role("button", name="Merge files").wait_for()
    yield "collections, maintenance"
    go("labels", "main button")
    page.get_by_role("radio", name="Tags").click()
    page.wait_for_timeout(1500)
    yield "labels, tags"
    go("", "main", c="nowhere")
    yield "a collection that is missing"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    script, count = options.axe.read_text("utf-8"), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        pages(Path(folder), Path(folder, "home"), str(options.collection.absolute())) as ui,
    ):
        browser = playwright.chromium.launch(executable_path=options.browser, args=FLAGS)
        for width, scheme in ((1400, "light"), (1400, "dark"), (400, "light")):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            for state in _states(page, ui):
                if not page.evaluate("'axe' in window"):
                    page.evaluate(script)
                count += _report(f"{state}, {width} pixels, {scheme}", page.evaluate(_RUN), print)
            context.close()
        browser.close()
    print(f"{count} violations")
    recorder.put(violations=count)
    return 1 if count else 0


def _report(state: str, violations: list[list[Any]], say: Callable[[str], None]) -> int:
    relevant = [one for one in violations if one[0] != _LEFT_OUT]
    say(f"{state}: {len(relevant) or 'no'} violation{'' if len(relevant) == 1 else 's'}")
    for rule, impact, nodes, html, summary in relevant:
        say(f"  {rule} ({impact}), {nodes} elements, such as {html}\n    {' '.join(summary.split())[:300]}")
        recorder.add_row("violations", state=state, rule=rule, impact=impact, elements=nodes)
    return len(relevant)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

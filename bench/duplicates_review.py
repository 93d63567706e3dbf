"""How long the Duplicates page of `imseek ui` takes: to the first group, to the next one, and to a decision.

    python bench/duplicates_review.py --collection PATH [--groups 30] [--browser /usr/bin/chromium]

The collection needs at least --groups groups. The pages run in a process of their own, chromium beside them on the same
machine. Printed, in ms, as p50 and p95: from opening the page again, once groups are known, to the pictures of the
first group; from a key that goes to the next group (j), and from one that keeps the picture suggested and goes on (k),
to the first frame in which that group's pictures are decoded; and the processor time of the server for each. Decisions
stay in a temporary library.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import recorder

from ui import Pages, open_browser

#: Waits for the next key, then counts frames until another group's pictures are there.
WATCH = """() => {
  const roots = (at) => [...at.querySelectorAll("*")].flatMap((one) =>
    one.shadowRoot ? [one.shadowRoot, ...roots(one.shadowRoot)] : []);
  const listed = () => [document, ...roots(document)].map((root) =>
    root.querySelector("[role=listbox][aria-label^='Group ']")).find(Boolean);
  const before = listed().getAttribute("aria-label");
  window.bench = { pictures: null };
  const look = (start) => {
    const box = listed();
    const images = box ? [...box.querySelectorAll("img")] : [];
    if (box && box.getAttribute("aria-label") !== before && images.length > 1 &&
        images.every((one) => one.complete && one.naturalWidth > 0)) {
      window.bench.pictures = performance.now() - start;
      return;
    }
    requestAnimationFrame(() => look(start));
  };
  window.addEventListener("keydown", () => look(performance.now()), { once: true, capture: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=30)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    with open_browser(options.collection, options.browser) as (browser, ui):
        page = _open(browser, ui)
        start = time.perf_counter()
        page.get_by_role("button", name="Find duplicates").click()
        _first_group(page).wait_for(timeout=600_000)
        first_group = (time.perf_counter() - start) * 1000
        print(f'from "Find duplicates" to the first group: {first_group:.0f} ms')
        recorder.put(first_group_ms=first_group)
        reopened = []
        for _ in range(6):
            page.close()
            start = time.perf_counter()
            page = _open(browser, ui)
            _first_group(page).wait_for(timeout=120_000)
            reopened.append((time.perf_counter() - start) * 1000)
        recorder.add_times("page with its first group, groups known", reopened)
        for key, what in (("j", "next group"), ("k", "keep the picture suggested, next group")):
            _press(page, ui, key, what, options.groups)


def _open(browser: Any, ui: Pages) -> Any:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(ui.at("duplicates"))
    return page


def _first_group(page: Any) -> Any:
    return page.locator("[role=listbox][aria-label^='Group '] .card img").first


def _press(page: Any, ui: Pages, key: str, what: str, count: int) -> None:
    times, server = [], []
    for _ in range(count):
        page.wait_for_timeout(300)  # As a person looks.
        page.evaluate(WATCH)
        before = recorder.process_seconds(ui.process.pid)
        page.keyboard.press(key)
        page.wait_for_function("window.bench.pictures !== null", timeout=60_000)
        times.append(page.evaluate("window.bench.pictures"))
        server.append((recorder.process_seconds(ui.process.pid) - before) * 1000)
    recorder.add_times(f"{what} ({key})", times)
    recorder.add_times("  processor time of the server", server)


if __name__ == "__main__":
    sys.exit(recorder.run(main))

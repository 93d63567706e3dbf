"""How long the pages of `imseek ui` take: first paint, and from Enter to the results on the screen.

    python bench/ui.py --collection PATH [--searches 30] [--browser /usr/bin/chromium]

The pages run in a process of their own, chromium beside them on the same machine. Printed, in ms, as p50 and p95: from
opening an address with a cold cache to the first contentful paint and to the first row of pictures on the screen, with
the MB transferred by then; the time between frames while the newest 10,000 pictures are scrolled, with the most cards
in the document; from Enter in the box of words to the first frame with the new names, and to that with the first row of
thumbnails decoded (pictures without a file have none). No two searches are alike. The share of the server is the time
that the page states (`N ms`: encoder, index, metadata); CPU times are those of the server's process, and of the
browser's. The first search, which loads the encoder, is printed separately. The library is a temporary one, so the
user's history and uploads stay untouched.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import recorder

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from browsing import FLAGS, Pages, pages

WORDS = ("car", "cat", "sea", "table", "house", "tree", "flower", "bird", "boat", "dog")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "small", "old", "large", "young")

#: Counts frames until the grid shows other names, then until the pictures of its first row are there.
WATCH = """() => {
  const root = (at) => [...at.querySelectorAll("*")].flatMap((one) =>
    one.shadowRoot ? [one.shadowRoot, ...root(one.shadowRoot)] : []);
  const state = () => {
    for (const shadow of root(document)) {
      const cards = [...shadow.querySelectorAll(".card")];
      if (cards.length) return cards;
    }
    return [];
  };
  const labels = () => state().map((card) => card.getAttribute("aria-label")).join("|");
  const before = labels();
  window.bench = { names: null, pictures: null };
  const box = document.querySelector("input[aria-label=Search]");
  const settled = (card) => {
    const image = card.querySelector("img");
    return !image || (image.complete && (image.naturalWidth > 0 || image.loading === "lazy"));
  };
  const look = (start) => {
    const now = labels();
    if (window.bench.names === null && now && now !== before) window.bench.names = performance.now() - start;
    if (window.bench.names !== null && state().slice(0, 6).every(settled)) {
      window.bench.pictures = performance.now() - start;
      return;
    }
    requestAnimationFrame(() => look(start));
  };
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter") look(performance.now());
  }, { once: true });
}"""


#: Scrolls to picture number ``pictures`` as fast as possible, then 600 frames up. Returns the times between
#: frames of both, and the most cards that were in the document.
SCROLL = """async (pictures) => {
  const root = (at) => [...at.querySelectorAll("*")].flatMap((one) =>
    one.shadowRoot ? [one.shadowRoot, ...root(one.shadowRoot)] : []);
  const shadow = root(document).find((one) => one.querySelector(".grid"));
  const scroller = document.querySelector("[data-testid=stMain]");
  let most = 0;
  let last = 0;
  const walk = async (step, count, frames) => {
    let before = await new Promise(requestAnimationFrame);
    let stuck = 0; // Frames in which nothing moved: the end, unless more pictures come.
    while (frames.length < count && last < pictures && stuck < 120) {
      const at = scroller.scrollTop;
      scroller.scrollTop += step;
      stuck = scroller.scrollTop === at ? stuck + 1 : 0;
      const now = await new Promise(requestAnimationFrame);
      frames.push(now - before);
      before = now;
      if (frames.length % 20) continue;
      const cards = [...shadow.querySelectorAll(".card")];
      most = Math.max(most, cards.length);
      if (step > 0) last = Math.max(last, ...cards.map((one) => Number(one.dataset.n) + 1));
    }
    return frames;
  };
  const fast = await walk(400, 6000, []);
  const reached = last;
  last = 0;
  const slow = await walk(-30, 600, []);
  return { fast, slow, most, last: reached };
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--searches", type=int, default=30)
    parser.add_argument("--browser", default="/usr/bin/chromium")
    options = parser.parse_args()
    with open_browser(options.collection, options.browser) as (browser, ui):
        _paint(browser, ui)
        _scroll(browser, ui)
        _search(browser, ui, options.searches)


@contextmanager
def open_browser(collection: Path, browser: str) -> Iterator[tuple[Any, Pages]]:
    """Start the pages of a collection, and the program ``browser`` to look at them."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        pages(Path(folder), Path(folder, "home"), str(collection.absolute())) as ui,
    ):
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        yield chromium, ui
        chromium.close()


def _paint(browser: Any, ui: Pages) -> None:
    cold, server, paints, weights = [], [], [], []
    for _ in range(6):
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        page = context.new_page()
        before = recorder.process_seconds(ui.process.pid)
        start = time.perf_counter()
        page.goto(ui.at(), wait_until="commit")
        page.locator(".card").first.wait_for(timeout=120_000)
        cold.append((time.perf_counter() - start) * 1000)
        server.append((recorder.process_seconds(ui.process.pid) - before) * 1000)
        paint, weight = page.evaluate(
            """() => [performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
              performance.getEntriesByType("resource").reduce((sum, one) => sum + one.transferSize, 0)]"""
        )
        paints.append(paint)
        weights.append(weight / 1e6)
        context.close()
    print(f"transferred until then, with a cold cache: {np.median(weights):.2f} MB")
    recorder.put(transferred_mb=float(np.median(weights)))
    recorder.add_times("first contentful paint (new visitor, warm process)", paints[1:])
    print(f"first page of this process: {cold[0]:.0f} ms")
    recorder.put(first_page_ms=cold[0])
    recorder.add_times("first paint (new visitor, warm process)", cold[1:])
    recorder.add_times("  processor time of the server", server[1:])


def _scroll(browser: Any, ui: Pages) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(ui.at())
    page.locator(".card").first.wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    before = _children(ui.process.pid)
    frames_of = page.evaluate(SCROLL, 10_000)
    print(f"scrolled over {frames_of['last']:,} pictures; at most {frames_of['most']} cards in the document")
    recorder.put(scrolled_pictures=frames_of["last"], most_cards=frames_of["most"])
    recorder.add_times("between two frames at 400 pixels a frame", frames_of["fast"])
    recorder.add_times("between two frames at 30 pixels a frame", frames_of["slow"])
    frames = len(frames_of["fast"]) + len(frames_of["slow"])
    print(f"  processor time of the browser: {(_children(ui.process.pid) - before) * 1000 / frames:.1f} ms a frame")
    page.close()


def _search(browser: Any, ui: Pages, searches: int) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(ui.at())
    page.locator(".card").first.wait_for(timeout=120_000)
    box = page.get_by_label("Search", exact=True)
    names, pictures, reported, server_until_names, server, client = [], [], [], [], [], []
    for n in range(searches + 1):
        page.evaluate(WATCH)
        box.fill(f"a {COLOURS[n % 10]} {WORDS[n // 10 % 10]}, {n}")
        cpu, clients = recorder.process_seconds(ui.process.pid), _children(ui.process.pid)
        box.press("Enter")
        page.wait_for_function("window.bench.names !== null", timeout=120_000)
        server_until_names.append((recorder.process_seconds(ui.process.pid) - cpu) * 1000)
        page.wait_for_function("window.bench.pictures !== null", timeout=120_000)
        names.append(page.evaluate("window.bench.names"))
        pictures.append(page.evaluate("window.bench.pictures"))
        server.append((recorder.process_seconds(ui.process.pid) - cpu) * 1000)
        client.append((_children(ui.process.pid) - clients) * 1000)
        line = page.get_by_text(re.compile(r"· [\d,]+ ms$")).first.text_content()
        reported.append(float(re.search(r"([\d,]+) ms$", line)[1].replace(",", "")))  # type: ignore[index]
    print(f"first search: {names[0]:.0f} ms")
    recorder.put(first_search_ms=names[0])
    recorder.add_times("Enter → names of the results on the screen", names[1:])
    recorder.add_times("  of it the search itself", reported[1:])
    recorder.add_times("  processor time of the server until then", server_until_names[1:])
    recorder.add_times("Enter → first row of pictures", pictures[1:])
    recorder.add_times("  processor time of the server until then", server[1:])
    recorder.add_times("  processor time of the browser until then", client[1:])


def _children(server: int) -> float:
    """Processor seconds of all descendants of this process except the server: the browser and its driver."""
    seconds = 0.0
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(text.rpartition(")")[2].split()[1])
    for pid in parents:
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and pid not in (server, os.getpid()):
            try:
                seconds += recorder.process_seconds(pid)
            except OSError:
                continue
    return seconds


if __name__ == "__main__":
    sys.exit(recorder.run(main))

"""Speed of the page of maps in chromium with many points: first paint, moving, a lasso, a filter.

    python bench/map_page.py 100000

Makes a collection of random vectors without pictures in a temporary folder, lays it out by principal components, and
opens ``imseek ui`` on it. Chromium draws in software here; with a graphics card it is faster.
"""

from __future__ import annotations

import argparse
import base64
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import recorder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browsing import CHROMIUM, FLAGS, Pages, pages
from playwright.sync_api import Page, sync_playwright

import imseek
from imseek import maps
from imseek.types.indexing_runs import SourceOptions

_PIXEL = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")

#: Done when the next frame is on the screen.
_FRAME = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
#: Records the milliseconds of the script of each frame, and those between frames.
_RECORD = """() => {
  const usual = window.requestAnimationFrame.bind(window);
  window.frames_ = []; window.between = []; let before = 0;
  window.requestAnimationFrame = (act) => usual((at) => {
    const began = performance.now(); act(at); window.frames_.push(performance.now() - began);
    if (before) window.between.push(at - before); before = at;
  });
}"""


def make_collection(folder: Path, count: int) -> None:
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(12, 32)).astype(np.float32) * 1.2
    kind = generator.integers(0, 12, count)
    vectors = np.lib.format.open_memmap(folder / "made.npy", "w+", np.float32, (count, 32))
    for start in range(0, count, 100_000):
        part = kind[start : start + 100_000]
        rows = centres[part] + generator.normal(size=(len(part), 32)).astype(np.float32)
        vectors[start : start + 100_000] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    vectors.flush()
    pq.write_table(pa.table({"kind": [f"kind {one}" for one in kind.tolist()]}), folder / "made.parquet")
    root = folder / "collections" / "many"
    with imseek.create(root, encoder="fake:32") as collection:
        collection.index([folder / "made.npy"], source=SourceOptions(encoder="fake:32"))
    maps.lay_out(root, method="pca")


def cpu() -> float:
    """Processor seconds of all processes below this one: the pages and the browser."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # The process has ended meanwhile.
        stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    ours = {os.getpid()}
    for _ in range(8):
        ours |= {pid for pid, (parent, _) in stats.items() if parent in ours}
    return sum(stats[pid][1] for pid in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


@contextmanager
def time_step(what: str) -> Iterator[None]:
    start, cpu_start = time.perf_counter(), cpu()
    yield
    seconds, processor = time.perf_counter() - start, cpu() - cpu_start
    print(f"{what}: {seconds:.2f} s, processor {processor:.2f} s", flush=True)
    recorder.add_row("steps", step=what, seconds=seconds, cpu_s=processor)


def open_map(browser: Any, ui: Pages, **query: str) -> Page:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(120_000)
    context.route("**/pictures/**", lambda route: route.fulfill(body=_PIXEL, content_type="image/webp"))
    page = context.new_page()
    page.goto(ui.at("map", c="many", **query))
    page.locator("canvas.points[data-view]").wait_for()
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=int)
    parser.add_argument(
        "--folder", type=Path, help="where the collection is kept for later runs (default: it is not kept)"
    )
    arguments = parser.parse_args()
    count = arguments.points
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = arguments.folder or Path(name)
        if not (folder / "collections").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make_collection(folder, count)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        with pages(folder, folder) as ui:
            for which in ("first visit", "later visit, empty cache"):
                with time_step(f"{which}, until the map is drawn"):
                    page = open_map(browser, ui)
                entries = "performance.getEntriesByName('first-contentful-paint')"
                paint = page.evaluate(f"{entries}[0].startTime")
                print(f"  of it first contentful paint: {paint:.0f} ms")
                recorder.add_row("paint", visit=which, first_contentful_paint_ms=paint)
            page.goto(ui.at("", c="many"))
            page.locator(".card").first.wait_for()
            page.wait_for_timeout(2000)
            with time_step("from the Search page, until the map is drawn"):
                page.get_by_role("link", name="Map").click()
                page.locator("canvas.points[data-view]").wait_for()
            array_bytes = page.evaluate(
                "performance.getEntriesByType('resource').filter((e) => e.name.includes('/arrays/'))"
                ".reduce((sum, e) => sum + e.decodedBodySize, 0)"
            )
            print(f"arrays: {array_bytes / 1e6:.2f} MB")
            recorder.put(points=count, arrays_mb=array_bytes / 1e6)
            box = page.locator("canvas.points").bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.evaluate(_RECORD)
            for what in ("with pictures", "points only"):
                page.evaluate("window.frames_ = []; window.between = []")
                page.mouse.move(x, y)
                page.mouse.down()
                with time_step(f"40 frames moved, {what}"):
                    for n in range(40):
                        page.mouse.move(x + 3 * n, y + 2 * n)
                        page.evaluate(_FRAME)
                page.mouse.up()
                script = sorted(page.evaluate("window.frames_"))
                shares = {share: script[int(share * (len(script) - 1))] for share in (0.5, 0.95, 1)}
                print(f"  script of a frame, ms: {', '.join(f'p{100 * a:.0f} {b:.1f}' for a, b in shares.items())}")
                recorder.add_row("frames", what=what, p50=shares[0.5], p95=shares[0.95], most=shares[1])
                page.get_by_role("checkbox", name="pictures").uncheck()
            page.get_by_role("button", name="Fit", exact=True).click()
            page.get_by_role("button", name="Rectangle").click()
            with time_step("a rectangle, until its pictures are listed"):
                page.mouse.move(x - 200, y - 150)
                page.mouse.down()
                page.mouse.move(x + 200, y + 150)
                page.mouse.up()
                page.locator(".grid .card").first.wait_for()
            print(page.locator(".status").inner_text())
            page = open_map(browser, ui, colour="Column kind")
            entry = page.locator(".legend li button").first
            entry.wait_for()
            page.wait_for_timeout(2000)
            with time_step("a colour of the legend alone, until it is drawn"):
                entry.evaluate("(one) => one.click()")
                page.evaluate(_FRAME)
            took = page.evaluate(
                """() => { const find = (root) => { for (const e of root.querySelectorAll("*")) {
                  if (e.matches(".legend li button")) return e;
                  const inside = e.shadowRoot && find(e.shadowRoot); if (inside) return inside; } return null; };
                const began = performance.now(); find(document).click();
                const frame = (done) => requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
                return new Promise(frame);
                }"""
            )
            print(f"  all colours again, in the browser: {took:.0f} ms")
            recorder.put(filter_ms=took)
        browser.close()


if __name__ == "__main__":
    sys.exit(recorder.run(main))

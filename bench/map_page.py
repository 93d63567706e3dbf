"""How fast the page of maps is in chromium with many points: first paint, moving, a lasso.

    python bench/map_page.py 100000

Makes a collection of random vectors without pictures in a temporary folder, lays it out by principal components, and
opens ``imseek ui`` on it. Chromium without a graphics card draws by software: elsewhere it is faster.
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


def made(folder: Path, count: int) -> None:
    generator = np.random.default_rng(3)
    kind = generator.integers(0, 12, count)
    vectors = generator.normal(size=(12, 32))[kind] * 1.2 + generator.normal(size=(count, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "made.npy", vectors.astype(np.float32))
    pq.write_table(pa.table({"kind": [f"kind {one}" for one in kind.tolist()]}), folder / "made.parquet")
    root = folder / "collections" / "many"
    with imseek.create(root, encoder="fake:32") as collection:
        collection.index([folder / "made.npy"], source=SourceOptions(encoder="fake:32"))
    maps.lay_out(root, method="pca")


def cpu() -> float:
    """Seconds of processor time of all processes that this one has started: the pages, the browser."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It has ended meanwhile.
        stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    ours = {os.getpid()}
    for _ in range(8):
        ours |= {pid for pid, (parent, _) in stats.items() if parent in ours}
    return sum(stats[pid][1] for pid in ours - {os.getpid()}) / os.sysconf("SC_CLK_TCK")


@contextmanager
def timed(what: str) -> Iterator[None]:
    began, used = time.perf_counter(), cpu()
    yield
    seconds, processor = time.perf_counter() - began, cpu() - used
    print(f"{what}: {seconds:.2f} s, processor {processor:.2f} s", flush=True)
    recorder.add_row("steps", step=what, seconds=seconds, cpu_s=processor)


def opened(browser: Any, ui: Pages) -> Page:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(120_000)
    context.route("**/pictures/**", lambda asked: asked.fulfill(body=_PIXEL, content_type="image/webp"))
    page = context.new_page()
    page.goto(ui.at("map", c="many"))
    page.locator("canvas.points[data-view]").wait_for()
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=int)
    count = parser.parse_args().points
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        made(folder, count)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        with pages(folder, folder) as ui:
            for which in ("first visit", "later visit, empty cache"):
                with timed(f"{which}, until the map is drawn"):
                    page = opened(browser, ui)
                entries = "performance.getEntriesByName('first-contentful-paint')"
                paint = page.evaluate(f"{entries}[0].startTime")
                print(f"  of it first contentful paint: {paint:.0f} ms")
                recorder.add_row("paint", visit=which, first_contentful_paint_ms=paint)
            sent = page.evaluate(
                "performance.getEntriesByType('resource').filter((e) => e.name.includes('/arrays/'))"
                ".reduce((sum, e) => sum + e.decodedBodySize, 0)"
            )
            print(f"arrays: {sent / 1e6:.2f} MB")
            recorder.put(points=count, arrays_mb=sent / 1e6)
            box = page.locator("canvas.points").bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for what in ("with pictures", "points only"):
                page.mouse.move(x, y)
                page.mouse.down()
                with timed(f"40 frames moved, {what}"):
                    for n in range(40):
                        page.mouse.move(x + 3 * n, y + 2 * n)
                        page.evaluate(_FRAME)
                page.mouse.up()
                page.get_by_role("checkbox", name="pictures").uncheck()
            page.get_by_role("button", name="Whole map", exact=True).click()
            page.get_by_role("button", name="Rectangle").click()
            with timed("a rectangle, until its pictures are listed"):
                page.mouse.move(x - 200, y - 150)
                page.mouse.down()
                page.mouse.move(x + 200, y + 150)
                page.mouse.up()
                page.locator(".grid .card").first.wait_for()
            print(page.locator(".status").inner_text())
        browser.close()


if __name__ == "__main__":
    sys.exit(recorder.run(main))

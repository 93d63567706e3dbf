"""How fast the page of maps is in chromium with many points: first paint, moving, a lasso.

    python bench/map_page.py 100000

Makes a collection of random vectors without pictures in a temporary folder, lays it out by principal components, and
opens ``imseek ui`` on it. Chromium without a graphics card draws by software: elsewhere it is faster.
"""

from __future__ import annotations

import base64
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from browsing import CHROMIUM, FLAGS, Pages, pages
from playwright.sync_api import Page, sync_playwright

import imseek
from imseek import maps
from imseek.types import SourceOptions

_PIXEL = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")


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


def opened(browser: Any, ui: Pages) -> Page:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(120_000)
    context.route("**/pictures/**", lambda asked: asked.fulfill(body=_PIXEL, content_type="image/webp"))
    page = context.new_page()
    page.goto(ui.at("map", c="many"))
    page.locator("canvas.points[data-view]").wait_for()
    return page


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        made(folder, count)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        with pages(folder, folder) as ui:
            for which in ("first visit", "later visit, empty cache"):
                began = time.perf_counter()
                page = opened(browser, ui)
                print(f"{which}: map drawn after {time.perf_counter() - began:.2f} s")
            sent = page.evaluate(
                "performance.getEntriesByType('resource').filter((e) => e.name.includes('/arrays/'))"
                ".reduce((sum, e) => sum + e.decodedBodySize, 0)"
            )
            print(f"arrays: {sent / 1e6:.2f} MB")
            box = page.locator("canvas.points").bounding_box()
            assert box is not None
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            for what in ("with pictures", "points only"):
                page.mouse.move(x, y)
                page.mouse.down()
                times: list[float] = []
                for n in range(40):
                    began = time.perf_counter()
                    page.mouse.move(x + 3 * n, y + 2 * n)
                    page.evaluate(
                        "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
                    )
                    times.append(1000 * (time.perf_counter() - began))
                page.mouse.up()
                print(f"moved, {what}: a frame takes {statistics.median(times):.0f} ms (median of 40)")
                page.get_by_role("checkbox", name="pictures").uncheck()
            page.get_by_role("button", name="All", exact=True).click()
            page.get_by_role("button", name="Rectangle").click()
            began = time.perf_counter()
            page.mouse.move(x - 200, y - 150)
            page.mouse.down()
            page.mouse.move(x + 200, y + 150)
            page.mouse.up()
            page.get_by_text("selected").first.wait_for()
            page.locator(".grid .card").first.wait_for()
            print(f"rectangle: results after {time.perf_counter() - began:.2f} s")
            print(page.locator(".status").inner_text())
        browser.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
